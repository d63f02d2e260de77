//! A profile tried on one message: decoded by the very code that decodes the log, and stored nowhere.

use std::{cell::RefCell, sync::Arc};

use domain::{
    DeviceId, DeviceTopic, FacilityId, Profile, Quality, SeriesId, SeriesKey, Unit, UtcMillis, address,
    profile::{Tried, TriedReading},
};
use journal::{Envelope, Kind, Position, Record};

use crate::{Decoder, IngestLimits, SeriesDirectory, TooManySeries};

/// What stands for the device whose message it is.
const FACILITY: &str = "try";
const DEVICE: &str = "device";

/// One device of one profile, and the series that its message brings.
struct Bench {
    profile: Arc<Profile>,
    device: (FacilityId, DeviceId),
    series: RefCell<Vec<SeriesKey>>,
}

impl SeriesDirectory for &Bench {
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries> {
        let mut series = self.series.borrow_mut();
        let known = series.iter().position(|known| known == key);
        let at = known.unwrap_or_else(|| {
            series.push(key.clone());
            series.len() - 1
        });
        u32::try_from(at).map(SeriesId).map_err(|_too_many| TooManySeries)
    }

    fn unit(&self, _: &SeriesKey) -> Option<Unit> {
        None
    }

    fn profile(&self, _: &FacilityId, _: &DeviceId) -> Option<Arc<Profile>> {
        (self.profile.id != domain::profile::STANDARD).then(|| Arc::clone(&self.profile))
    }

    fn owner(&self, _: &str) -> Option<(FacilityId, DeviceId)> {
        Some(self.device.clone())
    }

    fn version(&self) -> u64 {
        1
    }
}

/// What one message would come to if it came now, at `now`, from a device of that profile. A topic below a device's
/// root is taken as this device's, whichever device it names; one without a root is taken as what stands behind it.
#[must_use]
pub fn try_profile(profile: &Arc<Profile>, topic: &str, payload: &[u8], now: UtcMillis) -> Tried {
    let names = (FacilityId::new(FACILITY), DeviceId::new(DEVICE));
    let (Ok(facility), Ok(device)) = names else {
        return Tried::default();
    };
    let topic = topic.trim().trim_matches('/');
    let subject = match DeviceTopic::parse(topic) {
        _ if profile.codec.needs_vendor_root() && !topic.starts_with("sk/v1/") => topic.to_owned(),
        Some(parsed) => address::device_root(&facility, &device) + parsed.rest,
        None => address::device_root(&facility, &device) + topic,
    };
    let bench = Bench {
        profile: Arc::clone(profile),
        device: (facility, device),
        series: RefCell::default(),
    };
    let record = Record {
        position: Position(0),
        next: Position(1),
        time_ms: now.0,
        envelope: Envelope {
            kind: Kind::MESSAGE,
            flags: 0,
            source: "",
            subject: &subject,
            attributes: &[],
            body: payload,
        },
    };
    let span = (domain::LogPosition(0), domain::LogPosition(1));
    let batch = Decoder::new(&bench, IngestLimits::default()).batch(span, std::iter::once(record));
    let series = bench.series.borrow();
    let mut tried = Tried::default();
    for reading in &batch.readings {
        let Some(key) = series.get(reading.series.0 as usize) else {
            continue;
        };
        tried.readings.push(TriedReading {
            behind: behind(&key.device),
            metric: key.metric.to_string(),
            unit: key.metric.unit(),
            value: reading.value,
            at: (reading.quality == Quality::Good).then_some(reading.at),
        });
        if matches!(reading.quality, Quality::ClockAhead | Quality::ClockUnset) && tried.refused.is_empty() {
            let why = "the message's time cannot be true; the moment of receipt would count: set the device's clock";
            tried.refused.push(("time", why.to_owned()));
        }
    }
    let present = batch.presence.iter();
    tried.presence = present.map(|p| (behind(&p.device), p.online)).collect();
    let rejects = batch.rejects.into_iter();
    tried.refused.extend(rejects.map(|r| (r.reason.code(), r.detail)));
    tried
}

/// What stands behind the device, if this is not the device itself.
fn behind(device: &DeviceId) -> Option<String> {
    let name = device.as_str().strip_prefix(DEVICE)?.strip_prefix('.')?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use domain::Profiles;

    use super::*;

    const NOW: UtcMillis = UtcMillis(1_795_000_000_000);

    fn tried(profile: &str, topic: &str, payload: &[u8]) -> Tried {
        let profiles = Profiles::built_in();
        try_profile(profiles.get(profile).unwrap(), topic, payload, NOW)
    }

    #[test]
    fn a_message_is_read_as_it_would_be_read_from_a_device() {
        let zigbee = tried(
            "zigbee2mqtt",
            "fridge",
            br#"{"temperature":4.25,"contact":false}"#,
        );
        let values: Vec<_> = zigbee
            .readings
            .iter()
            .map(|r| (r.behind.as_deref(), r.metric.as_str(), r.value))
            .collect();
        assert_eq!(
            values,
            [
                (Some("fridge"), "door_open", 1.0),
                (Some("fridge"), "temperature", 4.25)
            ]
        );
        let whole = tried(
            "standard",
            "sk/v1/binhe/fridge-1/up/temperature",
            b"{\"ts\":1795000000000,\"v\":4.1}",
        );
        assert_eq!(whole.readings.len(), 1, "{whole:?}");
        assert_eq!(whole.readings[0].at, Some(NOW));
        let old = tried("shelly-gen1", "shellies/shellyht-1/sensor/temperature", b"7.5");
        assert_eq!(old.readings[0].value, 7.5, "{old:?}");
        let pushed = tried(
            "nbiot-smoke",
            "http/push",
            br#"{"imei":"869951042000001","values":{"smoke_state":1}}"#,
        );
        assert_eq!(
            pushed.readings[0].behind.as_deref(),
            Some("869951042000001"),
            "{pushed:?}"
        );
    }

    #[test]
    fn what_would_be_refused_says_why() {
        let cases = [
            ("zigbee2mqtt", "fridge", &b"{"[..], "syntax"),
            ("fridge-probe", "up/temperature", b"900", "range"),
            ("json", "elsewhere", b"{}", "topic"),
            ("sparkplug-b", "spBv1.0/g/DDATA/e/d", b"\xff", "syntax"),
            (
                "standard",
                "up/temperature",
                br#"{"ts":1999999999999,"v":4.1}"#,
                "time",
            ),
        ];
        for (profile, topic, payload, why) in cases {
            let tried = tried(profile, topic, payload);
            assert_eq!(
                tried.refused.first().map(|(code, _)| *code),
                Some(why),
                "{profile}: {tried:?}"
            );
        }
    }
}
