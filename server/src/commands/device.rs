//! Devices that may sign in to the broker.

use std::sync::Arc;

use anyhow::{Context, bail};
use domain::{
    Access, Calibration, Clock, Identity, Profile, Profiles, Scope, SeriesKey, UtcMillis,
    profile::SnippetWords,
};

use store::{
    ProfileBook, Records, Vault,
    onboarding::{self, Known, RowError, RowProblem, quoted},
};

use crate::{
    app::open_records,
    cli::{ConfigArgs, DeviceAddArgs, DeviceCalibrateArgs, DeviceImportArgs, DeviceRevokeArgs},
    commands::{block_on, load, say},
    config::Config,
    directory::{self, new_secret},
};

/// Who does what is done here, in the audit trail.
const ACTOR: &str = "command line";

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
        let profile = profile_for(args, &known_profiles(&config, Some(&records)).await?)?;
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
                .below(args.root.clone())
        };
        let name = identity.name.clone();
        let signing = signing_key(&config, &identity)?;
        records.put_identities(&[identity]).await?;
        records
            .audit((ACTOR, "device.add", name.as_str(), &args.profile))
            .await?;
        records.close().await;
        let (port, intake) = (config.mqtt.listen.port().to_string(), config.intake.listen);
        let snippet = profile.filled_snippet(&SnippetWords {
            host: "HOST",
            port: &port,
            http: &intake.map_or("HOST:8086".to_owned(), |at| format!("HOST:{}", at.port())),
            secret: &secret,
            facility: &args.facility,
            device: &args.device,
        });
        say(&format!(
            "user      {name}\nsecret    {secret}\n{signing}topic     {}\n\nThe secret is shown this once and kept only as a \
             hash. {}\n\n{snippet}",
            match &args.root {
                Some(root) => root.to_string(),
                None => domain::address::device_root(&args.facility, &args.device),
            },
            profile.setup_en,
        ))
    })
}

/// The line that tells the key for signed requests, where any may come.
fn signing_key(config: &Config, identity: &Identity) -> anyhow::Result<String> {
    if config.intake.listen.is_none() {
        return Ok(String::new());
    }
    let vault = Vault::open(&config.data_dir.0).context("cannot open the vault of secrets")?;
    Ok(format!("signing   {}\n", vault.signing_key(identity)))
}

/// The profile that a device is to be added with.
fn profile_for(args: &DeviceAddArgs, profiles: &Profiles) -> anyhow::Result<Arc<Profile>> {
    let Some(profile) = profiles.get(&args.profile) else {
        bail!(
            "there is no profile {:?}; `sunshine device profiles` lists those there are",
            args.profile
        );
    };
    if profile.codec.needs_vendor_root() != args.root.is_some() {
        bail!(
            "the profile {} {}",
            profile.id,
            if args.root.is_some() {
                "speaks below the device's own root: leave --root out"
            } else {
                "needs --root: spBv1.0/<group>/<edge node> or shellies/<id>"
            }
        );
    }
    Ok(Arc::clone(profile))
}

/// Those that come with the product, those of the folder, and those that were written on the pages.
async fn known_profiles(config: &Config, records: Option<&Records>) -> anyhow::Result<Profiles> {
    let book = ProfileBook::new(directory::profiles(config.ingest.profiles_dir.as_deref())?);
    if let Some(records) = records {
        book.reload(records).await?;
    }
    Ok(book.now())
}

pub(crate) fn profiles(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = load(args)?;
    block_on(async {
        let clock = Clock::system();
        let there = config.data_dir.0.join("records.db").exists();
        let records = if there {
            Some(existing_records(&config, &clock).await?)
        } else {
            None
        };
        let profiles = known_profiles(&config, records.as_ref()).await?;
        if let Some(records) = records {
            records.close().await;
        }
        for profile in profiles.iter() {
            say(&format!(
                "{}\t{}\t{}",
                profile.id,
                profile.codec.code(),
                profile.title_en
            ))?;
        }
        Ok(())
    })
}

pub(crate) fn claim(args: &DeviceRevokeArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    block_on(async {
        let records = existing_records(&config, &Clock::system()).await?;
        let claim = records
            .new_claim(&Scope::everything(), (&args.facility, &args.device), ACTOR)
            .await?;
        records.close().await;
        say(&format!(
            "code      {}\nuntil     {}\n\nWhoever opens /claim/{} gets a new secret for the device, once.",
            claim.code,
            date(claim.expires_at),
            claim.code
        ))
    })
}

pub(crate) fn calibrate(args: &DeviceCalibrateArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    let clock = Clock::system();
    block_on(async {
        let records = existing_records(&config, &clock).await?;
        let calibration = Calibration {
            key: SeriesKey {
                facility: args.facility.clone(),
                device: args.device.clone(),
                metric: args.metric.clone(),
            },
            scale: args.scale,
            offset: args.offset,
            due: args.due.map(|at| UtcMillis(at.as_millisecond())),
            since: clock.now(),
            by: ACTOR.to_owned(),
        };
        records
            .put_calibration(&Scope::everything(), &calibration)
            .await?;
        records.close().await;
        say(&format!(
            "{}: readings from now on are value × {} + {}.",
            calibration.key, args.scale, args.offset
        ))
    })
}

/// What a CSV file of devices is checked against.
async fn known(records: &Records) -> anyhow::Result<Known> {
    let everything = Scope::everything();
    let mut known = Known::default();
    for facility in records.facilities(&everything).await? {
        known.facilities.insert(facility.id);
    }
    for identity in records.devices(&everything, None).await? {
        if let Access::Device {
            facility,
            device,
            profile,
            ..
        } = identity.access
        {
            known.devices.insert((facility, device), profile);
        }
    }
    Ok(known)
}

/// Prints the secrets as CSV to standard output and what is wrong to standard error.
pub(crate) fn import(args: &DeviceImportArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    let text = std::fs::read_to_string(&args.file)
        .with_context(|| format!("cannot read {} as UTF-8", args.file.display()))?;
    block_on(async {
        let records = existing_records(&config, &Clock::system()).await?;
        let profiles = known_profiles(&config, Some(&records)).await?;
        let mut plan = onboarding::plan(&text, &profiles, &known(&records).await?)?;
        let mut added = 0;
        if !args.check {
            let devices: Vec<_> = plan.devices.iter().map(|planned| planned.new.clone()).collect();
            let answers = records.onboard(&devices, ACTOR).await?;
            say("line,user,secret")?;
            for (planned, answer) in plan.devices.iter().zip(answers) {
                if let Err(refused) = answer {
                    plan.errors.push(RowError {
                        line: planned.line,
                        column: "device".to_owned(),
                        problem: RowProblem::of(&refused),
                    });
                    continue;
                }
                added += 1;
                let user = format!("{}/{}", planned.new.facility, planned.new.device);
                let secret = planned.secret.as_deref().unwrap_or_default();
                say(&format!("{},{},{secret}", planned.line, quoted(&user)))?;
            }
        }
        records.close().await;
        plan.errors.sort_by_key(|error| error.line);
        for error in &plan.errors {
            eprintln!("{}: {error}", args.file.display());
        }
        eprintln!(
            "{} rows are sound, {added} devices were added, {} rows are wrong.",
            plan.devices.len(),
            plan.errors.len()
        );
        anyhow::ensure!(
            plan.errors.is_empty(),
            "correct the rows above and import the file again"
        );
        Ok(())
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

fn date(at: UtcMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.to_string(), |t| t.to_string())
}

fn standing(device: &Identity, now: UtcMillis) -> String {
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
            .revoke_identity(&name, ACTOR)
            .await
            .with_context(|| format!("cannot bar {name}"))?;
        records.close().await;
        say(&format!(
            "{name} may no longer sign in; a running server ends its session within a second."
        ))
    })
}
