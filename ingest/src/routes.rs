//! What a topic is about, remembered: a topic that was seen before costs one look-up and no allocation.

use std::{collections::HashMap, sync::Arc};

use domain::{Codec, DeviceId, DeviceTopic, FacilityId, Leaf, Metric, Profile, SeriesId, SeriesKey, Unit};
use foldhash::fast::RandomState;

use crate::{
    SeriesDirectory,
    error::{DecodeError, echo},
    observe::{FrigateTopic, behind},
};

/// A device's place in [`Routes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceNumber(u32);

/// What a topic is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) device: DeviceNumber,
    pub(crate) kind: RouteKind,
}

/// What kind of messages a topic carries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RouteKind {
    /// `up`.
    Up,
    /// `up/<metric>`; its series is learnt when a payload first leaves the metric to the topic.
    UpMetric(Option<SeriesRoute>),
    Status,
    Image,
    /// An observation of this device, which is the sender or a camera behind it.
    Vision(DeviceNumber),
    Frigate(FrigateTopic),
    /// A message of another maker's device; what its profile reads begins at this byte of the topic.
    Vendor(u16),
    /// A message of a Sparkplug edge node.
    Sparkplug,
    /// Said to the device, not by it.
    Command,
    Other,
}

/// Where a metric's values go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeriesRoute {
    pub(crate) series: SeriesId,
    /// The unit of a number whose payload names none.
    pub(crate) sent: Unit,
    /// The unit in which the series is kept; [`Unit::One`] when values are kept as they come.
    pub(crate) kept: Unit,
    /// What is done to a value in that unit.
    pub(crate) adjust: Adjust,
}

/// What a sensor can measure at all, and how far it is off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adjust {
    pub(crate) scale: f64,
    pub(crate) offset: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Adjust {
    /// Takes every value as it is.
    pub(crate) const NONE: Adjust = Adjust {
        scale: 1.0,
        offset: 0.0,
        least: f64::NEG_INFINITY,
        most: f64::INFINITY,
    };
}

/// A device that was heard.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) facility: FacilityId,
    pub(crate) id: DeviceId,
    /// How it speaks, or how the one speaks that speaks for it; `None` for our own form.
    pub(crate) profile: Option<Arc<Profile>>,
    series: HashMap<Box<str>, SeriesRoute, RandomState>,
    /// The batch in which it was last heard, and its place among that batch's sightings.
    pub(crate) heard: (u64, usize),
}

/// Topics, devices and metrics that were seen.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    topics: HashMap<Box<str>, Route, RandomState>,
    numbers: HashMap<(FacilityId, DeviceId), DeviceNumber, RandomState>,
    devices: Vec<Device>,
    /// Metrics over all devices.
    metrics: usize,
    /// The directory's version that this rests on.
    version: u64,
    /// An operator's profiles, as the log has brought them so far. Never forgotten: the log says each once.
    own: HashMap<String, Arc<Profile>>,
}

impl Routes {
    /// To be called between batches: forgets everything when points changed or there is too much of it.
    pub(crate) fn renew(&mut self, version: u64, max: usize) {
        if self.version != version || self.len() > max {
            *self = Routes {
                version,
                own: std::mem::take(&mut self.own),
                ..Routes::default()
            };
        }
    }

    /// From here on a profile is this one. What was learnt of topics and metrics rests on the one before; devices
    /// keep their numbers, because those are in use within a batch.
    pub(crate) fn speak(&mut self, profile: Profile) {
        self.own.insert(profile.id.clone(), Arc::new(profile));
        self.topics.clear();
        self.metrics = 0;
        for device in &mut self.devices {
            device.profile = None;
            device.series.clear();
        }
    }

    /// How a device speaks: as the log says, if it says anything of its profile.
    fn profile<D: SeriesDirectory>(
        &self,
        directory: &D,
        facility: &FacilityId,
        device: &DeviceId,
    ) -> Option<Arc<Profile>> {
        if !self.own.is_empty()
            && let Some(name) = directory.profile_name(facility, device)
            && let Some(own) = self.own.get(&*name)
        {
            return Some(Arc::clone(own));
        }
        directory.profile(facility, device)
    }

    /// Topics, devices and metrics together.
    pub(crate) fn len(&self) -> usize {
        self.topics.len() + self.devices.len() + self.metrics
    }

    /// What `topic` is about; `None` when it is not below a device's root.
    pub(crate) fn find<D: SeriesDirectory>(&mut self, directory: &D, topic: &str) -> Option<Route> {
        match self.topics.get(topic) {
            Some(route) => Some(*route),
            None => self.learn(directory, topic),
        }
    }

    fn learn<D: SeriesDirectory>(&mut self, directory: &D, topic: &str) -> Option<Route> {
        let Some(parsed) = DeviceTopic::parse(topic) else {
            return self.learn_foreign(directory, topic);
        };
        let facility = FacilityId::new(parsed.facility).ok()?;
        let id = DeviceId::new(parsed.device).ok()?;
        let profile = self.profile(directory, &facility, &id);
        let codec = profile.as_ref().map_or(Codec::Standard, |p| p.codec);
        let rest = u16::try_from(topic.len() - parsed.rest.len()).ok()?;
        let kind = match parsed.leaf {
            Leaf::Command(_) => RouteKind::Command,
            Leaf::Push | Leaf::Lines(_) => RouteKind::Vendor(rest),
            // These two are for others to publish only; the vendor's own are below.
            Leaf::Image if codec != Codec::Zigbee2mqtt => RouteKind::Image,
            _ if codec != Codec::Standard && codec != Codec::SparkplugB => RouteKind::Vendor(rest),
            Leaf::Up => RouteKind::Up,
            Leaf::UpMetric(_) => RouteKind::UpMetric(None),
            Leaf::Status => RouteKind::Status,
            Leaf::Image => RouteKind::Image,
            Leaf::Vision(None) => RouteKind::Vision(self.number(facility.clone(), id.clone())),
            Leaf::Vision(Some(camera)) => match behind(&id, camera) {
                Ok(camera) => RouteKind::Vision(self.number(facility.clone(), camera)),
                Err(_no_identifier) => RouteKind::Other,
            },
            Leaf::FrigateEvents => RouteKind::Frigate(FrigateTopic::Events),
            Leaf::FrigateReviews => RouteKind::Frigate(FrigateTopic::Reviews),
            Leaf::Other(_) => RouteKind::Other,
        };
        let device = self.number(facility, id);
        self.device_mut(device).profile = profile;
        let route = Route { device, kind };
        // A topic that carries nothing is not worth remembering: there may be any number of them.
        if !matches!(kind, RouteKind::Other | RouteKind::Command) {
            self.topics.insert(topic.into(), route);
        }
        Some(route)
    }

    /// A topic below a root that a maker's firmware cannot leave.
    fn learn_foreign<D: SeriesDirectory>(&mut self, directory: &D, topic: &str) -> Option<Route> {
        let (facility, id) = directory.owner(topic)?;
        let profile = self.profile(directory, &facility, &id)?;
        let kind = match profile.codec {
            Codec::SparkplugB => RouteKind::Sparkplug,
            _ => RouteKind::Vendor(0),
        };
        let device = self.number(facility, id);
        self.device_mut(device).profile = Some(profile);
        let route = Route { device, kind };
        self.topics.insert(topic.into(), route);
        Some(route)
    }

    /// The number of a device behind another, which speaks for it by its own profile.
    ///
    /// # Errors
    /// [`DecodeError::BehindName`] when the two names together are no identifier.
    pub(crate) fn behind(&mut self, device: DeviceNumber, name: &str) -> Result<DeviceNumber, DecodeError> {
        let Device {
            facility,
            id,
            profile,
            ..
        } = self.device(device);
        let (facility, id, profile) = (facility.clone(), behind(id, name)?, profile.clone());
        let number = self.number(facility, id);
        self.device_mut(number).profile = profile;
        Ok(number)
    }

    /// The number of a device, giving it one if it is new.
    pub(crate) fn number(&mut self, facility: FacilityId, id: DeviceId) -> DeviceNumber {
        let next = DeviceNumber(u32::try_from(self.devices.len()).expect("devices are fewer than routes"));
        let devices = &mut self.devices;
        *self
            .numbers
            .entry((facility, id))
            .or_insert_with_key(|(facility, id)| {
                let (facility, id) = (facility.clone(), id.clone());
                devices.push(Device {
                    facility,
                    id,
                    profile: None,
                    series: HashMap::default(),
                    heard: (0, 0),
                });
                next
            })
    }

    pub(crate) fn device(&self, number: DeviceNumber) -> &Device {
        &self.devices[number.0 as usize]
    }

    pub(crate) fn device_mut(&mut self, number: DeviceNumber) -> &mut Device {
        &mut self.devices[number.0 as usize]
    }

    /// Where the device's `metric` goes.
    pub(crate) fn series<D: SeriesDirectory>(
        &mut self,
        directory: &D,
        device: DeviceNumber,
        metric: &str,
    ) -> Result<SeriesRoute, DecodeError> {
        let known = self.device(device).series.get(metric);
        known
            .copied()
            .map_or_else(|| self.learn_series(directory, device, metric), Ok)
    }

    /// Where the metric named by `topic` goes; remembered with the topic.
    pub(crate) fn topic_series<D: SeriesDirectory>(
        &mut self,
        directory: &D,
        device: DeviceNumber,
        topic: &str,
    ) -> Result<SeriesRoute, DecodeError> {
        let Some(Leaf::UpMetric(metric)) = DeviceTopic::parse(topic).map(|t| t.leaf) else {
            return Err(DecodeError::NoMetric);
        };
        let route = self.series(directory, device, metric)?;
        self.topics.insert(
            topic.into(),
            Route {
                device,
                kind: RouteKind::UpMetric(Some(route)),
            },
        );
        Ok(route)
    }

    fn learn_series<D: SeriesDirectory>(
        &mut self,
        directory: &D,
        device: DeviceNumber,
        name: &str,
    ) -> Result<SeriesRoute, DecodeError> {
        let metric = Metric::new(name).map_err(|why| DecodeError::Metric {
            name: echo(name),
            why,
        })?;
        let canonical = metric.unit();
        let Device {
            facility,
            id,
            profile,
            ..
        } = self.device(device);
        let range = profile.as_ref().and_then(|profile| profile.range(&metric));
        let of_profile = profile.as_ref().and_then(|profile| {
            let mut fields = profile.fields.iter();
            fields.find(|field| field.metric == metric)?.unit
        });
        let key = SeriesKey {
            facility: facility.clone(),
            device: id.clone(),
            metric,
        };
        let series = directory
            .resolve(&key)
            .map_err(|_full| DecodeError::TooManySeries)?;
        let registered = directory.unit(&key);
        let sent = registered.or(of_profile).unwrap_or(canonical);
        // Of a metric that the product does not know, the point's own unit is the only one there is.
        let kept = if canonical == Unit::One { sent } else { canonical };
        let mut adjust = Adjust::NONE;
        if let Some((least, most)) = range {
            (adjust.least, adjust.most) = (least, most);
        }
        if let Some(calibration) = directory.calibration(&key) {
            (adjust.scale, adjust.offset) = (calibration.scale, calibration.offset);
        }
        let route = SeriesRoute {
            series,
            sent,
            kept,
            adjust,
        };
        self.device_mut(device).series.insert(name.into(), route);
        self.metrics += 1;
        Ok(route)
    }
}
