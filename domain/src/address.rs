//! Where devices speak: topics below `sk/v1/<facility>/<device>/`. The same text fences a device in
//! (the broker's access list) and tells what a message is about (ingest).

use crate::id::{DeviceId, FacilityId};

/// The root of every device topic.
pub const ROOT: &str = "sk/v1/";

/// A topic below a device's own root, taken apart. Borrows from the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceTopic<'a> {
    /// The facility's identifier, not yet checked.
    pub facility: &'a str,
    /// The device's identifier, not yet checked.
    pub device: &'a str,
    /// What kind of message it is.
    pub leaf: Leaf<'a>,
    /// Everything after the device's root, as it stands.
    pub rest: &'a str,
}

/// The part of a device topic after the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf<'a> {
    /// `up`: several values in one payload.
    Up,
    /// `up/<metric>`: one value.
    UpMetric(&'a str),
    /// `status`: `online`, or `offline` as the will.
    Status,
    /// `image`: one JPEG.
    Image,
    /// `vision`: one observation of the device's own picture, as JSON; `vision/<camera>`: of a camera behind it.
    Vision(Option<&'a str>),
    /// `events`: what Frigate says of one object.
    FrigateEvents,
    /// `reviews`: what Frigate says of everything in front of one camera.
    FrigateReviews,
    /// `http/push`: JSON that came over HTTP.
    Push,
    /// `http/write/<precision>`: line protocol that came over HTTP, with times in `ns`, `us`, `ms` or `s`.
    Lines(&'a str),
    /// `cmd/<name>`: a command to the device.
    Command(&'a str),
    /// Anything else below the device's root.
    Other(&'a str),
}

impl<'a> DeviceTopic<'a> {
    /// Takes `topic` apart; `None` when it is not below a device's root.
    #[must_use]
    pub fn parse(topic: &'a str) -> Option<DeviceTopic<'a>> {
        let rest = topic.strip_prefix(ROOT)?;
        let (facility, rest) = rest.split_once('/')?;
        let (device, leaf) = rest.split_once('/')?;
        if facility.is_empty() || device.is_empty() || leaf.is_empty() {
            return None;
        }
        let rest = leaf;
        let leaf = match leaf {
            "up" => Leaf::Up,
            // Frigate says so on a topic of its own.
            "status" | "available" => Leaf::Status,
            "image" => Leaf::Image,
            "vision" => Leaf::Vision(None),
            "events" => Leaf::FrigateEvents,
            "reviews" => Leaf::FrigateReviews,
            "http/push" => Leaf::Push,
            other => match other.split_once('/') {
                Some(("up", metric)) if !metric.is_empty() && !metric.contains('/') => Leaf::UpMetric(metric),
                Some(("vision", camera)) if !camera.is_empty() && !camera.contains('/') => {
                    Leaf::Vision(Some(camera))
                }
                Some(("cmd", name)) if !name.is_empty() => Leaf::Command(name),
                Some(("http", more)) => match more.strip_prefix("write/") {
                    Some(precision) => Leaf::Lines(precision),
                    None => Leaf::Other(other),
                },
                _ => Leaf::Other(other),
            },
        };
        Some(DeviceTopic {
            facility,
            device,
            leaf,
            rest,
        })
    }
}

/// The prefix below which a device may publish, with its closing slash.
#[must_use]
pub fn device_root(facility: &FacilityId, device: &DeviceId) -> String {
    format!("{ROOT}{facility}/{device}/")
}

/// The only filter, and everything contained in it, that a device may subscribe to.
#[must_use]
pub fn command_filter(facility: &FacilityId, device: &DeviceId) -> String {
    format!("{ROOT}{facility}/{device}/cmd/#")
}

/// A root outside [`ROOT`] that a maker's firmware cannot leave. A device has at most one, and nobody else has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VendorRoot {
    /// `spBv1.0/<group>/…/<edge node>`: an edge node of Sparkplug B and its devices.
    Sparkplug {
        /// The Sparkplug group.
        group: String,
        /// The edge node in it.
        edge: String,
    },
    /// `shellies/<id>`: a Shelly of the first generation.
    Shelly {
        /// The Shelly's own identifier.
        id: String,
    },
}

/// Why a text is no vendor's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a root is spBv1.0/<group>/<edge node> or shellies/<id>, each part 1 to 64 bytes without / + # and blanks"
)]
pub struct VendorRootError;

/// The first level of every Sparkplug topic.
const SPARKPLUG: &str = "spBv1.0";

/// What an edge node publishes. Commands are others' to give.
const SPARKPLUG_FROM_EDGE: [&str; 6] = ["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"];

impl VendorRoot {
    /// Reads `spBv1.0/<group>/<edge node>` or `shellies/<id>`.
    ///
    /// # Errors
    /// [`VendorRootError`] when it is neither.
    pub fn parse(text: &str) -> Result<VendorRoot, VendorRootError> {
        let level = |text: &str| {
            let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '/' | '+' | '#' | '$');
            let good = !text.is_empty() && text.len() <= 64 && !text.contains(bad);
            good.then(|| text.to_owned()).ok_or(VendorRootError)
        };
        let mut levels = text.split('/');
        match (levels.next(), levels.next(), levels.next(), levels.next()) {
            // `spBv1.0/STATE/…` is where hosts say that they are there.
            (Some(SPARKPLUG), Some(group), Some(edge), None) if group != "STATE" => {
                Ok(VendorRoot::Sparkplug {
                    group: level(group)?,
                    edge: level(edge)?,
                })
            }
            (Some("shellies"), Some(id), None, None) => Ok(VendorRoot::Shelly { id: level(id)? }),
            _ => Err(VendorRootError),
        }
    }

    /// The root that owns `topic`, if it is below one: which of a device's topics these are is [`Self::may_publish`]'s
    /// to say.
    #[must_use]
    pub fn of_topic(topic: &str) -> Option<VendorRoot> {
        let mut levels = topic.split('/');
        let root = match (levels.next()?, levels.next()?, levels.next()?, levels.next()) {
            (SPARKPLUG, group, _kind, Some(edge)) => format!("{SPARKPLUG}/{group}/{edge}"),
            ("shellies", id, _, _) => format!("shellies/{id}"),
            _ => return None,
        };
        VendorRoot::parse(&root).ok()
    }

    /// Whether its owner may publish to `topic`.
    #[must_use]
    pub fn may_publish(&self, topic: &str) -> bool {
        match self {
            VendorRoot::Sparkplug { group, edge } => {
                let mut levels = topic.split('/');
                let own = levels.next() == Some(SPARKPLUG) && levels.next() == Some(group);
                let kind = levels
                    .next()
                    .is_some_and(|kind| SPARKPLUG_FROM_EDGE.contains(&kind));
                own && kind && levels.next() == Some(edge) && levels.count() <= 1
            }
            VendorRoot::Shelly { id } => {
                let rest = topic
                    .strip_prefix("shellies/")
                    .and_then(|rest| rest.strip_prefix(id.as_str()))
                    .and_then(|rest| rest.strip_prefix('/'));
                // A device that could write its own commands could make others believe that it was told to.
                rest.is_some_and(|rest| !rest.is_empty() && rest != "command" && !rest.ends_with("/command"))
            }
        }
    }

    /// The filters within which its owner may subscribe.
    #[must_use]
    pub fn subscribe_filters(&self) -> Vec<String> {
        match self {
            VendorRoot::Sparkplug { group, edge } => vec![
                format!("{SPARKPLUG}/{group}/NCMD/{edge}/#"),
                format!("{SPARKPLUG}/{group}/DCMD/{edge}/#"),
                // Whether the host application is there: every edge node asks for it.
                format!("{SPARKPLUG}/STATE/#"),
                "STATE/#".to_owned(),
            ],
            VendorRoot::Shelly { id } => vec![
                format!("shellies/{id}/command/#"),
                format!("shellies/{id}/+/+/command"),
                "shellies/command".to_owned(),
            ],
        }
    }
}

impl std::fmt::Display for VendorRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            VendorRoot::Sparkplug { group, edge } => write!(f, "{SPARKPLUG}/{group}/{edge}"),
            VendorRoot::Shelly { id } => write!(f, "shellies/{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendors_root_is_its_owners_alone() {
        for good in ["spBv1.0/厂区/edge-1", "shellies/shellyht-A1B2"] {
            assert_eq!(
                VendorRoot::parse(good).map(|r| r.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            "spBv1.0/g",
            "spBv1.0/g/e/x",
            "spBv1.0/+/e",
            "shellies/",
            "shellies/a/b",
            "x/y",
            "spBv1.0//e",
        ] {
            assert_eq!(VendorRoot::parse(bad), Err(VendorRootError), "{bad}");
        }
        let edge = VendorRoot::parse("spBv1.0/g/e").unwrap();
        for good in ["spBv1.0/g/NBIRTH/e", "spBv1.0/g/DDATA/e/d1", "spBv1.0/g/NDEATH/e"] {
            assert!(edge.may_publish(good), "{good}");
            assert_eq!(VendorRoot::of_topic(good), Some(edge.clone()), "{good}");
        }
        for bad in [
            "spBv1.0/g/NCMD/e",
            "spBv1.0/g/NDATA/f",
            "spBv1.0/h/NDATA/e",
            "spBv1.0/g/DDATA/e/d/x",
            "spBv1.0/g",
        ] {
            assert!(!edge.may_publish(bad), "{bad}");
        }
        let shelly = VendorRoot::parse("shellies/a").unwrap();
        assert!(
            shelly.may_publish("shellies/a/sensor/temperature") && shelly.may_publish("shellies/a/online")
        );
        for bad in [
            "shellies/a",
            "shellies/a/",
            "shellies/ab/online",
            "shellies/a/command",
            "shellies/a/relay/0/command",
        ] {
            assert!(!shelly.may_publish(bad), "{bad}");
        }
    }

    #[test]
    fn topics_are_taken_apart() {
        let cases = [
            ("sk/v1/f/d/up", Some(Leaf::Up)),
            ("sk/v1/厨房/d/up/temperature", Some(Leaf::UpMetric("temperature"))),
            ("sk/v1/f/d/up/a/b", Some(Leaf::Other("up/a/b"))),
            ("sk/v1/f/d/status", Some(Leaf::Status)),
            ("sk/v1/f/d/image", Some(Leaf::Image)),
            ("sk/v1/f/d/vision", Some(Leaf::Vision(None))),
            ("sk/v1/f/d/vision/cam1", Some(Leaf::Vision(Some("cam1")))),
            ("sk/v1/f/d/vision/a/b", Some(Leaf::Other("vision/a/b"))),
            ("sk/v1/f/d/events", Some(Leaf::FrigateEvents)),
            ("sk/v1/f/d/available", Some(Leaf::Status)),
            ("sk/v1/f/d/cmd/open", Some(Leaf::Command("open"))),
            ("sk/v1/f/d/http/push", Some(Leaf::Push)),
            ("sk/v1/f/d/http/write/ns", Some(Leaf::Lines("ns"))),
            ("sk/v1/f/d/http/x", Some(Leaf::Other("http/x"))),
            ("sk/v1/f/d/up/", Some(Leaf::Other("up/"))),
            ("sk/v1/f/d", None),
            ("sk/v1/f/d/", None),
            ("sk/v1//d/up", None),
            ("sk/v2/f/d/up", None),
            ("", None),
        ];
        for (topic, want) in cases {
            assert_eq!(DeviceTopic::parse(topic).map(|t| t.leaf), want, "{topic}");
        }
    }
}
