//! Devices that may sign in to the broker.

use anyhow::{Context, bail};
use domain::{Clock, Identity, Scope, UtcMillis};

use store::Records;

use crate::{
    app::open_records,
    cli::{ConfigArgs, DeviceAddArgs, DeviceRevokeArgs},
    commands::{block_on, load, say},
    config::Config,
    directory::new_secret,
};

/// The record store of an installation that has one: these commands make none by mistake.
async fn existing_records(config: &Config, clock: &Clock) -> anyhow::Result<Records> {
    let dir = &config.data_dir.0;
    if !dir.join("records.db").exists() {
        bail!(
            "there are no records in {} yet; read facilities in first with `sunshine import`",
            dir.display()
        );
    }
    open_records(dir, clock).await
}

pub(crate) fn add(args: &DeviceAddArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    block_on(async {
        let records = existing_records(&config, &Clock::system()).await?;
        let facility = records.facility(&Scope::everything(), &args.facility).await?;
        if facility.is_none() {
            bail!(
                "there is no facility {}; read it in first with `sunshine import`",
                args.facility
            );
        }
        let (secret, hash) = new_secret()?;
        let identity = Identity {
            expires_at: args.expires.map(|at| UtcMillis(at.as_millisecond())),
            ..Identity::of_device(&args.facility, &args.device, &args.profile, hash)
                .context("facility and device together make the user name")?
        };
        let name = identity.name.clone();
        records.put_identities(&[identity]).await?;
        records
            .audit(("command line", "device.add", name.as_str(), ""))
            .await?;
        records.close().await;
        say(&format!(
            "user      {name}\nsecret    {secret}\ntopic     {}up/<metric>\n\nThe secret is shown this once and \
             kept only as a hash. Try it:\n  mosquitto_pub -h HOST -u {name} -P {secret} -q 1 \
             -t {}up/temperature -m 4.1",
            domain::address::device_root(&args.facility, &args.device),
            domain::address::device_root(&args.facility, &args.device),
        ))
    })
}

pub(crate) fn list(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = load(args)?;
    block_on(async {
        let clock = Clock::system();
        let records = existing_records(&config, &clock).await?;
        let devices = records.devices(&Scope::everything(), None).await?;
        records.close().await;
        for device in &devices {
            say(&format!("{}\t{}", device.name, standing(device, clock.now())))?;
        }
        say(&format!("{} devices", devices.len()))
    })
}

fn standing(device: &Identity, now: UtcMillis) -> String {
    let date = |at: UtcMillis| {
        jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.to_string(), |t| t.to_string())
    };
    match (device.revoked_at, device.expires_at) {
        (Some(at), _) => format!("revoked {}", date(at)),
        (None, Some(at)) if at <= now => format!("expired {}", date(at)),
        (None, Some(at)) => format!("may sign in until {}", date(at)),
        (None, None) => "may sign in".to_owned(),
    }
}

pub(crate) fn revoke(args: &DeviceRevokeArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    block_on(async {
        let records = existing_records(&config, &Clock::system()).await?;
        let name = Identity::device_name(&args.facility, &args.device)?;
        records
            .revoke_identity(&name, "command line")
            .await
            .with_context(|| format!("cannot bar {name}"))?;
        records.close().await;
        say(&format!(
            "{name} may no longer sign in; a running server ends its session within a second."
        ))
    })
}
