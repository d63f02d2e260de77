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
        let leaf = match leaf {
            "up" => Leaf::Up,
            // Frigate says so on a topic of its own.
            "status" | "available" => Leaf::Status,
            "image" => Leaf::Image,
            "vision" => Leaf::Vision(None),
            "events" => Leaf::FrigateEvents,
            "reviews" => Leaf::FrigateReviews,
            other => match other.split_once('/') {
                Some(("up", metric)) if !metric.is_empty() && !metric.contains('/') => Leaf::UpMetric(metric),
                Some(("vision", camera)) if !camera.is_empty() && !camera.contains('/') => {
                    Leaf::Vision(Some(camera))
                }
                Some(("cmd", name)) if !name.is_empty() => Leaf::Command(name),
                _ => Leaf::Other(other),
            },
        };
        Some(DeviceTopic {
            facility,
            device,
            leaf,
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

#[cfg(test)]
mod tests {
    use super::*;

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
