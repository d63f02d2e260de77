//! Messages: what the messenger must not know it is handed here: the broker, the archive, the time zone.

use std::{net::SocketAddr, sync::Arc};

use alerts::{AlertHandle, Messenger, MessengerParts, Moments, PictureSource, Publish, PushKeys};
use anyhow::Context;
use broker::BrokerHandle;
use bytes::Bytes;
use domain::{Clock, Scope, SeriesKey, UtcMillis};
use futures::FutureExt as _;
use jiff::{Timestamp, tz::TimeZone};
use store::{
    Archive, Records, Vault,
    evidence::{Item, ItemRole},
    records::Practice,
};

use crate::{Config, secret_file::first_line};

/// What the messenger is made from.
pub(crate) struct Parts {
    pub(crate) records: Records,
    pub(crate) alerts: AlertHandle,
    pub(crate) archive: Archive,
    pub(crate) broker: BrokerHandle,
    pub(crate) clock: Clock,
    /// Where the pages listen.
    pub(crate) http: SocketAddr,
}

/// How cases are dealt with: the configured policy, in the site's time zone.
pub(crate) fn practice(config: &Config) -> anyhow::Result<Practice> {
    let zone = zone(config)?;
    let offset = move |at: UtcMillis| {
        let moment = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
        zone.to_offset(moment).seconds() / 60
    };
    Ok(Practice::new(config.cases.policy(), offset))
}

/// The messenger, which sends nothing yet.
pub(crate) fn open(config: &Config, parts: Parts) -> anyhow::Result<Messenger> {
    let zone = zone(config)?;
    let vault = Vault::open(&config.data_dir.0).context("cannot open the vault of secrets")?;
    let link = match &config.messages.base_url {
        Some(url) => url.clone(),
        None => format!("http://{}", parts.http),
    };
    let moments = Moments {
        local: Arc::new(move |at| local(&zone, at)),
        iso: Arc::new(iso),
    };
    Messenger::open(MessengerParts {
        picture: pictures(parts.records.clone(), parts.archive),
        records: parts.records,
        vault,
        clock: parts.clock,
        alerts: parts.alerts,
        addresses: config.messages.addresses(),
        authorities: authorities(config)?,
        push: push_keys(config)?,
        publish: publisher(parts.broker),
        moments,
        link,
    })
    .context("cannot set up messages")
}

/// The authorities that are trusted besides the machine's.
fn authorities(config: &Config) -> anyhow::Result<Vec<u8>> {
    let Some(path) = &config.messages.ca_file else {
        return Ok(Vec::new());
    };
    std::fs::read(path).with_context(|| {
        format!(
            "option messages.ca_file: cannot read {}; it holds certificates as PEM",
            path.display()
        )
    })
}

/// The keys by which browsers are notified, where there are any.
fn push_keys(config: &Config) -> anyhow::Result<Option<PushKeys>> {
    let messages = &config.messages;
    let (Some(path), Some(contact)) = (&messages.push_key_file, messages.push_contact()) else {
        return Ok(None);
    };
    let key = first_line(path).context("option messages.push_key_file")?;
    let keys = PushKeys::read(&key, contact);
    keys.map(Some)
        .with_context(|| format!("option messages.push_key_file: {}", path.display()))
}

fn zone(config: &Config) -> anyhow::Result<TimeZone> {
    let name = &config.site.time_zone;
    TimeZone::get(name).with_context(|| format!("option site.time_zone: {name:?} is no IANA time zone"))
}

fn local(zone: &TimeZone, at: UtcMillis) -> String {
    let moment = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    moment
        .to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}

fn iso(at: UtcMillis) -> String {
    Timestamp::from_millisecond(at.0).map_or_else(|_| String::new(), |moment| format!("{moment:.3}"))
}

fn publisher(broker: BrokerHandle) -> Publish {
    Arc::new(move |topic, payload| {
        let broker = broker.clone();
        async move {
            let published = broker.publish(&topic, &payload, false).await;
            published.map_err(|error| error.to_string())
        }
        .boxed()
    })
}

/// Looks for the picture of a camera's case: of the moment itself, with faces blurred, and of nothing else.
fn pictures(records: Records, archive: Archive) -> PictureSource {
    Arc::new(move |point, since| {
        let (records, archive) = (records.clone(), archive.clone());
        async move {
            match picture(&records, archive, point, since).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!("A message goes without its picture: {error:#}");
                    None
                }
            }
        }
        .boxed()
    })
}

async fn picture(
    records: &Records,
    archive: Archive,
    point: SeriesKey,
    since: UtcMillis,
) -> anyhow::Result<Option<Bytes>> {
    let everything = Scope::everything();
    let Some(finding) = records.finding_of_case(&everything, &point, since).await? else {
        return Ok(None);
    };
    let Some(id) = finding.evidence.first().copied() else {
        return Ok(None);
    };
    let read = move || {
        let Some(package) = archive.get(&Scope::everything(), &id)? else {
            return Ok(None);
        };
        let fits = |item: &Item| item.blurred && item.role == ItemRole::At && item.media_type == "image/jpeg";
        let Some(index) = package.items.iter().position(fits) else {
            return Ok(None);
        };
        archive.item(&Scope::everything(), &id, index)
    };
    let found = tokio::task::spawn_blocking(read)
        .await
        .context("reading evidence panicked")?;
    Ok(found?.map(|(_, jpeg)| Bytes::from(jpeg)))
}
