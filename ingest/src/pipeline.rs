//! From the log to batches.

use std::time::Duration;

use domain::{
    Batch, CameraKey, LogPosition, Observation, Profile, Quality, Reading, Sighted, UtcMillis,
    batch::{Birth, Picture, Presence, ProfileChange, Tick, Wish},
    observation::ObservedState,
    status::{Reject, excerpt},
};
use journal::{Chunk, Kind, Reader, Record};
use tracing::{debug, error};

use crate::{
    DecodeError, Decoded, IngestError, IngestLimits, SeriesDirectory, Value, decode, moment,
    observe::{self, FrigateTopic, OfCamera},
    reading::number_of,
    routes::{DeviceNumber, Route, RouteKind, Routes, SeriesRoute},
    sightings::{Shown, Sightings},
    vendor::{
        self, Report, VendorValue,
        sparkplug::{self, Nodes},
    },
};

/// Reads the log by a reader of its own and decodes it. Blocking: it belongs on a thread.
pub struct Ingest<D> {
    reader: Reader,
    chunk: Chunk,
    decoder: Decoder<D>,
}

impl<D: SeriesDirectory> Ingest<D> {
    /// Reads from where `reader` stands.
    pub fn new(reader: Reader, directory: D, limits: IngestLimits) -> Ingest<D> {
        Ingest {
            reader,
            chunk: Chunk::default(),
            decoder: Decoder::new(directory, limits),
        }
    }

    /// The next run of records, decoded; at most [`IngestLimits::batch_bytes`] of them. Waits up to `patience`
    /// for one: an empty batch says that nothing came. `None` when the log is closed and read to its end.
    ///
    /// # Errors
    /// [`IngestError::Journal`] when the log cannot be read.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Batch>, IngestError> {
        let bytes = self.decoder.limits.batch_bytes;
        let from = self.reader.position();
        self.reader.read(&mut self.chunk, bytes)?;
        if self.chunk.is_empty() {
            let open = self.reader.wait(patience);
            // Also after closing: the last records may have come in while we waited.
            self.reader.read(&mut self.chunk, bytes)?;
            if self.chunk.is_empty() && !open {
                return Ok(None);
            }
        }
        let span = (LogPosition(from.0), LogPosition(self.chunk.end().0));
        Ok(Some(self.decoder.batch(span, self.chunk.records())))
    }

    /// Takes up birth certificates from before the place at which it reads: see [`Decoder::restore`].
    pub fn restore(&mut self, births: &[Birth]) {
        self.decoder.restore(births);
    }

    /// Takes up operators' profiles from before that place: see [`Decoder::restore_profiles`].
    pub fn restore_profiles(&mut self, profiles: &[ProfileChange]) {
        self.decoder.restore_profiles(profiles);
    }

    /// The decoder, with its counters.
    pub fn decoder(&self) -> &Decoder<D> {
        &self.decoder
    }
}

/// Decodes records, wherever they come from. What it remembers makes it fast and changes no answer.
#[derive(Debug)]
pub struct Decoder<D> {
    directory: D,
    limits: IngestLimits,
    routes: Routes,
    /// What Sparkplug's messages rest on; not forgotten with the routes.
    nodes: Nodes,
    batches: u64,
    foreign: u64,
}

impl<D: SeriesDirectory> Decoder<D> {
    /// Remembers nothing yet.
    pub fn new(directory: D, limits: IngestLimits) -> Decoder<D> {
        Decoder {
            directory,
            limits,
            routes: Routes::default(),
            nodes: Nodes::default(),
            batches: 0,
            foreign: 0,
        }
    }

    /// Takes up birth certificates from before the place at which the log will be read from, in the order of their
    /// positions. Those from behind it are in the log.
    pub fn restore<'b>(&mut self, births: impl IntoIterator<Item = &'b Birth>) {
        for birth in births {
            if let (Some(topic), Ok(payload)) = (
                sparkplug::Topic::parse(&birth.topic),
                sparkplug::parse(&birth.payload),
            ) {
                self.nodes.restore(&topic, &payload);
            }
        }
    }

    /// Takes up operators' profiles from before the place at which the log will be read from, in the order of their
    /// positions. One that this version cannot read is passed over, as it is when the log brings it.
    pub fn restore_profiles<'c>(&mut self, profiles: impl IntoIterator<Item = &'c ProfileChange>) {
        for change in profiles {
            if let Ok(profile) = Profile::parse(&change.text) {
                self.routes.speak(profile);
            }
        }
    }

    /// Messages so far whose topic is not below any device's root. Services may send such; nobody is told.
    pub fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Topics, devices and metrics that are remembered now.
    pub fn remembered(&self) -> usize {
        self.routes.len()
    }

    /// Decodes a run of records, in their order. `span` is its beginning and its end in the log.
    pub fn batch<'c>(
        &mut self,
        span: (LogPosition, LogPosition),
        records: impl Iterator<Item = Record<'c>>,
    ) -> Batch {
        self.routes.renew(self.directory.version(), self.limits.routes);
        self.batches += 1;
        let mut run = Run {
            directory: &self.directory,
            limits: &self.limits,
            routes: &mut self.routes,
            nodes: &mut self.nodes,
            sightings: Sightings::new(self.batches),
            values: Vec::new(),
            foreign: 0,
            place: span.0,
            batch: Batch {
                from: span.0,
                upto: span.1,
                ..Batch::default()
            },
        };
        for record in records {
            run.record(&record);
        }
        let Run {
            sightings,
            foreign,
            mut batch,
            ..
        } = run;
        batch.sightings = sightings.finish(&self.routes);
        self.foreign += foreign;
        batch
    }
}

/// A message, as far as it matters here.
#[derive(Debug, Clone, Copy)]
struct Message<'c> {
    topic: &'c str,
    body: &'c [u8],
    received: UtcMillis,
    route: Route,
}

/// One batch in the making.
struct Run<'d, 'c, D> {
    directory: &'d D,
    limits: &'d IngestLimits,
    routes: &'d mut Routes,
    nodes: &'d mut Nodes,
    sightings: Sightings<'c>,
    /// Used again for every message.
    values: Vec<Value<'c>>,
    foreign: u64,
    /// Where the record stands that is being decoded.
    place: LogPosition,
    batch: Batch,
}

impl<'c, D: SeriesDirectory> Run<'_, 'c, D> {
    fn record(&mut self, record: &Record<'c>) {
        let received = UtcMillis(record.time_ms);
        self.place = LogPosition(record.position.0);
        match record.envelope.kind {
            Kind::TICK => self.batch.ticks.push(Tick {
                before: self.batch.readings.len(),
                at: received,
            }),
            Kind::MESSAGE => {
                let (topic, body) = (record.envelope.subject, record.envelope.body);
                match self.routes.find(self.directory, topic) {
                    Some(route) => self.message(Message {
                        topic,
                        body,
                        received,
                        route,
                    }),
                    None => {
                        self.foreign += 1;
                        debug!(
                            topic = excerpt(topic.as_bytes()),
                            "A message is not about any device."
                        );
                    }
                }
            }
            Kind::MEANING => self.meaning(record.envelope.subject, record.envelope.body, received),
            // A later version's record: it is no message and no tick, so it means nothing here.
            Kind(_) => {}
        }
        // Whoever has seen a part of this run takes up where it stopped.
        self.batch.positions.resize(self.batch.readings.len(), self.place);
    }

    /// A profile of an operator's holds from here on: what stands before in the log is never read by it.
    fn meaning(&mut self, id: &str, text: &[u8], received: UtcMillis) {
        let text = String::from_utf8_lossy(text);
        let read = Profile::parse(&text);
        match read {
            Ok(profile) if profile.id == id => {
                self.routes.speak(profile);
                self.batch.profiles.push(ProfileChange {
                    position: self.place,
                    received,
                    id: id.to_owned(),
                    text: text.into_owned(),
                });
            }
            Ok(_) | Err(_) => error!(
                profile = excerpt(id.as_bytes()),
                "A profile in the log cannot be read by this version; its devices are read as before. Run the \
                 newest version."
            ),
        }
    }

    fn message(&mut self, message: Message<'c>) {
        match message.route.kind {
            RouteKind::Command => {}
            RouteKind::Image => self.picture(&message),
            RouteKind::Vision(camera) => self.observation(&message, camera),
            RouteKind::Frigate(topic) => self.frigate(&message, topic),
            RouteKind::Other => {
                self.heard(&message, Shown::Payload(message.body));
                self.reject(&message, &DecodeError::Topic, None);
            }
            RouteKind::Status => self.status(&message),
            RouteKind::Vendor(at) => self.vendor(&message, &message.topic[usize::from(at)..]),
            RouteKind::Sparkplug => self.sparkplug(&message),
            RouteKind::Up | RouteKind::UpMetric(_) => self.values(&message),
        }
    }

    fn heard(&mut self, message: &Message<'c>, shown: Shown<'c>) {
        let said = (message.received, message.topic, shown);
        self.sightings.message(self.routes, message.route.device, said);
    }

    fn picture(&mut self, message: &Message<'c>) {
        self.heard(message, Shown::Image(message.body.len()));
        if message.body.len() > self.limits.picture_bytes {
            let (bytes, max) = (message.body.len(), self.limits.picture_bytes);
            return self.reject(message, &DecodeError::TooLarge { bytes, max }, None);
        }
        let device = self.routes.device(message.route.device);
        let camera = CameraKey {
            facility: device.facility.clone(),
            camera: device.id.clone(),
        };
        self.batch.pictures.retain(|older| older.camera != camera);
        self.batch.pictures.push(Picture {
            camera,
            received: message.received,
            jpeg: message.body.to_vec(),
        });
    }

    fn observation(&mut self, message: &Message<'c>, camera: DeviceNumber) {
        self.heard(message, Shown::Payload(message.body));
        let entered = observe::own(message.body).and_then(|said| self.enter(message, camera, said));
        if let Err(why) = entered {
            self.reject(message, &why, None);
        }
    }

    fn frigate(&mut self, message: &Message<'c>, topic: FrigateTopic) {
        self.heard(message, Shown::Payload(message.body));
        let entered = observe::frigate(message.body, topic).and_then(|all| {
            for OfCamera { camera, said } in all {
                let device = self.routes.device(message.route.device);
                let behind = observe::behind(&device.id, &camera)?;
                let camera = self.routes.number(device.facility.clone(), behind);
                self.enter(message, camera, said)?;
            }
            Ok(())
        });
        if let Err(why) = entered {
            self.reject(message, &why, None);
        }
    }

    /// An observation is a reading of its check's metric and more.
    fn enter(
        &mut self,
        message: &Message<'c>,
        camera: DeviceNumber,
        mut said: Sighted,
    ) -> Result<(), DecodeError> {
        let series = self.routes.series(self.directory, camera, said.check.code())?;
        let (at, quality) = moment::believe(Some(said.at), message.received, self.limits.future_ms);
        said.since = Some(said.since().min(at));
        said.at = at;
        self.batch.readings.push(Reading {
            series: series.series,
            at,
            received: message.received,
            value: f64::from(u8::from(said.state == ObservedState::Began)),
            quality,
        });
        self.sightings
            .reading(self.routes, message.route.device, quality != Quality::Good);
        let device = self.routes.device(camera);
        let camera = CameraKey {
            facility: device.facility.clone(),
            camera: device.id.clone(),
        };
        let observation = Observation {
            camera,
            said,
            received: message.received,
        };
        self.batch.observations.push((self.place, observation));
        Ok(())
    }

    fn status(&mut self, message: &Message<'c>) {
        let online = match message.body.trim_ascii() {
            b"online" | b"\"online\"" => true,
            b"offline" | b"\"offline\"" => false,
            _ => {
                self.heard(message, Shown::Payload(message.body));
                return self.reject(message, &DecodeError::Status, None);
            }
        };
        // A will is said by the broker, because the device is not there to be heard.
        if online {
            self.heard(message, Shown::Payload(message.body));
        }
        self.present(message, message.route.device, online);
    }

    /// A message of another maker's device.
    fn vendor(&mut self, message: &Message<'c>, leaf: &'c str) {
        let device = self.routes.device(message.route.device);
        let profile = device.profile.clone().unwrap_or_else(vendor::plain_profile);
        match vendor::read_vendor(&profile, leaf, message.body, message.received, self.limits) {
            Ok(report) => self.report(message, report),
            Err(why) => {
                self.heard(message, Shown::Payload(message.body));
                self.reject(message, &why, None);
            }
        }
    }

    fn sparkplug(&mut self, message: &Message<'c>) {
        // Commands to edge nodes are others' words.
        let Some(topic) = sparkplug::Topic::parse(message.topic) else {
            return;
        };
        let device = self.routes.device(message.route.device);
        let profile = device.profile.clone().unwrap_or_else(vendor::plain_profile);
        let payload = match sparkplug::parse(message.body) {
            Ok(payload) => payload,
            Err(why) => {
                self.heard(message, Shown::Payload(message.body));
                return self.reject(message, &why, None);
            }
        };
        let mapper = vendor::mapper(&profile, self.limits);
        let outcome = self.nodes.take(&topic, &payload, message.received, mapper);
        if topic.is_birth() {
            self.batch.births.push(Birth {
                position: self.place,
                received: message.received,
                topic: message.topic.to_owned(),
                payload: message.body.to_vec(),
            });
        }
        if outcome.ask {
            let (topic, payload) = topic.rebirth(message.received);
            self.batch.wishes.push(Wish {
                at: message.received,
                topic,
                payload,
            });
        }
        match outcome.report {
            Ok(report) => self.report(message, report),
            Err(why) => {
                self.heard(message, Shown::Payload(message.body));
                self.reject(message, &why, None);
            }
        }
    }

    /// What a maker's message came to, of the sender itself and of those behind it.
    fn report(&mut self, message: &Message<'c>, report: Report<'_>) {
        let Report {
            values,
            presence,
            mut decoded,
        } = report;
        // A death is said by the broker in the device's name: nobody was heard.
        let only_deaths =
            values.is_empty() && !presence.is_empty() && presence.iter().all(|(_, online)| !online);
        if !only_deaths {
            self.heard(message, Shown::Payload(message.body));
        }
        for (behind, online) in presence {
            match self.whose(message, behind.as_deref()) {
                Ok(device) => self.present(message, device, online),
                Err(why) => decoded.refuse(1, why),
            }
        }
        let sent = values.len() + decoded.refused;
        let mut last = message.route.device;
        for VendorValue { behind, value } in &values {
            let taken = self.whose(message, behind.as_deref()).and_then(|device| {
                if device != last && device != message.route.device {
                    let said = (message.received, message.topic, Shown::Payload(message.body));
                    self.sightings.message(self.routes, device, said);
                }
                last = device;
                self.vendor_value(message, device, value)
            });
            if let Err(why) = taken {
                decoded.refuse(1, why);
            }
        }
        self.tell_refused(message, &decoded, sent);
    }

    /// The sender, or the device of this name behind it. Its own name is itself.
    fn whose(&mut self, message: &Message<'c>, behind: Option<&str>) -> Result<DeviceNumber, DecodeError> {
        let sender = message.route.device;
        match behind {
            Some(name) if name != self.routes.device(sender).id.as_str() => self.routes.behind(sender, name),
            _ => Ok(sender),
        }
    }

    fn present(&mut self, message: &Message<'c>, device: DeviceNumber, online: bool) {
        let device = self.routes.device(device);
        self.batch.presence.push(Presence {
            facility: device.facility.clone(),
            device: device.id.clone(),
            online,
            received: message.received,
        });
    }

    fn vendor_value(
        &mut self,
        message: &Message<'c>,
        device: DeviceNumber,
        value: &Value<'_>,
    ) -> Result<(), DecodeError> {
        let name = value.metric.as_deref().ok_or(DecodeError::NoMetric)?;
        let series = self.routes.series(self.directory, device, name)?;
        let number = number_of(value, series, || name)?;
        self.take(message, device, (series, value.at, number));
        Ok(())
    }

    fn values(&mut self, message: &Message<'c>) {
        self.heard(message, Shown::Payload(message.body));
        let mut values = std::mem::take(&mut self.values);
        match decode(message.body, message.received, self.limits, &mut values) {
            Err(why) => self.reject(message, &why, None),
            Ok(mut decoded) => {
                let sent = values.len() + decoded.refused;
                let mut topic_series = match message.route.kind {
                    RouteKind::UpMetric(known) => known,
                    _ => None,
                };
                for value in &values {
                    if let Err(why) = self.value(message, value, &mut topic_series) {
                        decoded.refuse(1, why);
                    }
                }
                self.tell_refused(message, &decoded, sent);
            }
        }
        self.values = values;
    }

    fn value(
        &mut self,
        message: &Message<'c>,
        value: &Value<'c>,
        topic_series: &mut Option<SeriesRoute>,
    ) -> Result<(), DecodeError> {
        let device = message.route.device;
        let series = match (&value.metric, *topic_series) {
            (Some(name), _) => self.routes.series(self.directory, device, name)?,
            (None, Some(known)) => known,
            (None, None) => {
                let learnt = self.routes.topic_series(self.directory, device, message.topic)?;
                *topic_series.insert(learnt)
            }
        };
        let name = || match &value.metric {
            Some(name) => name,
            None => message.topic.rsplit_once('/').map_or("", |(_, metric)| metric),
        };
        let number = number_of(value, series, name)?;
        self.take(message, device, (series, value.at, number));
        Ok(())
    }

    /// A reading of a device that was noted as heard.
    fn take(
        &mut self,
        message: &Message<'c>,
        device: DeviceNumber,
        (series, said, value): (SeriesRoute, Option<UtcMillis>, f64),
    ) {
        let (at, quality) = moment::believe(said, message.received, self.limits.future_ms);
        self.batch.readings.push(Reading {
            series: series.series,
            at,
            received: message.received,
            value,
            quality,
        });
        let doubtful = matches!(quality, Quality::ClockAhead | Quality::ClockUnset);
        self.sightings.reading(self.routes, device, doubtful);
    }

    fn tell_refused(&mut self, message: &Message<'c>, decoded: &Decoded, sent: usize) {
        if let Some(why) = &decoded.first {
            self.reject(message, why, Some((decoded.refused, sent)));
        }
    }

    fn reject(&mut self, message: &Message<'c>, why: &DecodeError, some: Option<(usize, usize)>) {
        let device = self.routes.device(message.route.device);
        let detail = match some {
            Some((refused, sent)) if refused < sent => {
                format!("{refused} of {sent} values are refused, the others are taken; the first: {why}")
            }
            Some((refused, _)) if refused > 1 => format!("{refused} values are refused; the first: {why}"),
            _ => why.to_string(),
        };
        self.batch.rejects.push(Reject {
            facility: device.facility.clone(),
            device: device.id.clone(),
            received: message.received,
            topic: excerpt(message.topic.as_bytes()),
            reason: why.reason(),
            detail,
            excerpt: excerpt(message.body),
        });
    }
}
