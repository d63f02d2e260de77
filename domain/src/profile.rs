//! Profiles (接入规约): how a kind of device speaks, as data. Which codec reads it, which of its fields are which
//! metric in which unit, what range a sensor can measure at all, how often it reports, and what to enter in it.
//!
//! A profile is TOML and closed: an unknown key, a field that is given twice or a range upside down is refused with
//! its line. Those built in are in `domain/profiles/`; an operator's own come from a folder and may replace them.

mod check;
mod trial;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::{
    id::{DeviceId, FacilityId, Metric},
    metric::Unit,
    reading::SeriesKey,
    time::UtcMillis,
};

pub use trial::{MAX_TRIED_BYTES, Tried, TriedReading, TryProfile};

/// The most fields of one profile.
pub const MAX_FIELDS: usize = 200;

/// The most profiles together, built in and own.
pub const MAX_PROFILES: usize = 500;

/// The most bytes of a profile's file.
pub const MAX_PROFILE_BYTES: usize = 64 * 1024;

/// The profile of a device that speaks our own form.
pub const STANDARD: &str = "standard";

const BUILT_IN: [&str; 16] = [
    include_str!("../profiles/standard.toml"),
    include_str!("../profiles/zigbee2mqtt.toml"),
    include_str!("../profiles/tasmota.toml"),
    include_str!("../profiles/shelly.toml"),
    include_str!("../profiles/shelly-gen1.toml"),
    include_str!("../profiles/chirpstack.toml"),
    include_str!("../profiles/senml-cbor.toml"),
    include_str!("../profiles/line-protocol.toml"),
    include_str!("../profiles/sparkplug-b.toml"),
    include_str!("../profiles/json.toml"),
    include_str!("../profiles/nbiot-smoke.toml"),
    include_str!("../profiles/nbiot-gas.toml"),
    include_str!("../profiles/sos-button.toml"),
    include_str!("../profiles/sos-bracelet.toml"),
    include_str!("../profiles/fridge-probe.toml"),
    include_str!("../profiles/gas-detector.toml"),
];

/// What reads a device's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codec {
    /// Our own form: `up`, `up/<metric>`, `status`, `image`, `vision`; JSON or SenML JSON.
    Standard,
    /// JSON of any shape, on `up` or over HTTP; the profile says where device, time and values stand in it.
    Json,
    /// Zigbee2MQTT, whose base topic is the device's root.
    Zigbee2mqtt,
    /// Tasmota, whose full topic begins with the device's root.
    Tasmota,
    /// Shelly of the second generation and later, whose topic prefix is the device's root.
    Shelly,
    /// Shelly of the first generation, below a root of its own.
    ShellyGen1,
    /// ChirpStack 4, whose event topic begins with the device's root.
    Chirpstack,
    /// SenML as CBOR (RFC 8428) on `up` and `up/<metric>`.
    SenmlCbor,
    /// InfluxDB line protocol on `up`.
    LineProtocol,
    /// Eclipse Sparkplug B, below a root of its own.
    SparkplugB,
}

impl Codec {
    /// Every codec, for tables and tests.
    pub const ALL: [Codec; 10] = [
        Codec::Standard,
        Codec::Json,
        Codec::Zigbee2mqtt,
        Codec::Tasmota,
        Codec::Shelly,
        Codec::ShellyGen1,
        Codec::Chirpstack,
        Codec::SenmlCbor,
        Codec::LineProtocol,
        Codec::SparkplugB,
    ];

    /// The name in profiles and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Codec::Standard => "standard",
            Codec::Json => "json",
            Codec::Zigbee2mqtt => "zigbee2mqtt",
            Codec::Tasmota => "tasmota",
            Codec::Shelly => "shelly",
            Codec::ShellyGen1 => "shelly-gen1",
            Codec::Chirpstack => "chirpstack",
            Codec::SenmlCbor => "senml-cbor",
            Codec::LineProtocol => "line-protocol",
            Codec::SparkplugB => "sparkplug-b",
        }
    }

    /// Whether a device of this kind speaks for others behind it, which are called `<device>.<name>`.
    #[must_use]
    pub const fn is_gateway(self) -> bool {
        !matches!(self, Codec::Standard | Codec::SenmlCbor)
    }

    /// Whether it speaks below a root that cannot be moved into the device's own.
    #[must_use]
    pub const fn needs_vendor_root(self) -> bool {
        matches!(self, Codec::ShellyGen1 | Codec::SparkplugB)
    }
}

/// Where a JSON message keeps what it says. Each list is tried in order; paths are members joined by dots.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Envelope {
    /// The name of the device behind the one that delivers: an IMEI, a serial number.
    pub device: Vec<String>,
    /// The moment: seconds or milliseconds since 1970, or RFC 3339.
    pub time: Vec<String>,
    /// The object that holds the values; the message itself where none of these is there.
    pub values: Vec<String>,
}

impl Default for Envelope {
    fn default() -> Envelope {
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Envelope {
            device: list(&["imei", "IMEI", "device"]),
            time: list(&["ts", "timestamp"]),
            values: list(&["values", "payload"]),
        }
    }
}

/// One field of a device's messages.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Where it stands: members joined by dots. `*` is one member of any name, such as a sensor's type.
    pub field: String,
    /// What it is.
    pub metric: Metric,
    /// The unit in which the device gives it; `None` when the message or the point says so.
    pub unit: Option<Unit>,
    /// Multiplies what is sent: 0.01 for a device that sends hundredths.
    pub scale: f64,
    /// A yes or no that the device says the other way round: `contact` is no `door_open`.
    pub invert: bool,
    /// What words stand for: `ON` is 1.
    pub words: BTreeMap<String, f64>,
    /// Whether a word that stands for nothing is passed over instead of refused.
    pub pass_other_words: bool,
    /// The least and the most that the sensor can measure, in the metric's own unit. What lies outside is a defect
    /// of the sensor, not a state of the kitchen: it is refused and counted.
    pub range: Option<(f64, f64)>,
    /// What a point of this metric usually is for; proposed when a device is added.
    pub point_type: Option<String>,
    /// How often a reading is due, in seconds, where that differs from the profile's.
    pub report_interval_s: Option<u32>,
}

/// How a kind of device speaks.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name: `zigbee2mqtt`.
    pub id: String,
    /// Its name for people, in Chinese.
    pub title_zh: String,
    /// The same in English.
    pub title_en: String,
    /// What reads it.
    pub codec: Codec,
    /// What its fields were read from.
    pub source: String,
    /// How often a reading is due, in seconds; silence is judged against it. 1 to 86,400.
    pub report_interval_s: u32,
    /// How often a device that speaks only of changes shows that it lives, in seconds. Its points are then due as
    /// often as this. 1 to 604,800.
    pub heartbeat_s: Option<u32>,
    /// Whether numbers that no field names are kept under their own names.
    pub keep_others: bool,
    /// The tag of line protocol that names the device behind.
    pub behind_tag: Option<String>,
    /// Where JSON keeps what it says.
    pub json: Envelope,
    /// What to enter in the device, in Chinese and English: a sentence.
    pub setup_zh: String,
    /// The same in English.
    pub setup_en: String,
    /// What to copy into the device. `{host}`, `{port}`, `{user}`, `{secret}`, `{root}`, `{facility}` and `{device}`
    /// stand for what belongs there.
    pub snippet: String,
    /// Its fields, in the order of the file.
    pub fields: Vec<Field>,
    /// The text that it was read from.
    pub text: String,
}

/// Why a text is not a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {reason}", if key.is_empty() { String::new() } else { format!(", key {key}") })]
pub struct ProfileError {
    /// The line, from 1.
    pub line: usize,
    /// The key that it is about; empty where it is about none.
    pub key: String,
    /// What is wrong there, and what would be right.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    profile: Spanned<String>,
    title_zh: String,
    title_en: String,
    codec: Codec,
    source: String,
    report_interval_s: Spanned<u32>,
    heartbeat_s: Option<Spanned<u32>>,
    #[serde(default)]
    keep_others: bool,
    behind_tag: Option<String>,
    #[serde(default)]
    json: Envelope,
    #[serde(default)]
    setup_zh: String,
    #[serde(default)]
    setup_en: String,
    #[serde(default)]
    snippet: String,
    #[serde(default)]
    field: Vec<Spanned<RawField>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawField {
    field: String,
    metric: Metric,
    unit: Option<Unit>,
    #[serde(default = "one")]
    scale: f64,
    #[serde(default)]
    invert: bool,
    #[serde(default)]
    words: BTreeMap<String, f64>,
    #[serde(default)]
    pass_other_words: bool,
    range: Option<[f64; 2]>,
    point_type: Option<String>,
    report_interval_s: Option<u32>,
}

fn one() -> f64 {
    1.0
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`ProfileError`] names the first line that is wrong.
    pub fn parse(text: &str) -> Result<Profile, ProfileError> {
        check::size(text)?;
        let raw: RawProfile = toml::from_str(text).map_err(|e| check::syntax_error(text, &e))?;
        check::profile(text, &raw)?;
        let field = |raw: Spanned<RawField>| {
            let raw = raw.into_inner();
            Field {
                field: raw.field,
                metric: raw.metric,
                unit: raw.unit,
                scale: raw.scale,
                invert: raw.invert,
                words: raw.words,
                pass_other_words: raw.pass_other_words,
                range: raw.range.map(|[low, high]| (low, high)),
                point_type: raw.point_type,
                report_interval_s: raw.report_interval_s,
            }
        };
        Ok(Profile {
            id: raw.profile.into_inner(),
            title_zh: raw.title_zh,
            title_en: raw.title_en,
            codec: raw.codec,
            source: raw.source,
            report_interval_s: raw.report_interval_s.into_inner(),
            heartbeat_s: raw.heartbeat_s.map(Spanned::into_inner),
            keep_others: raw.keep_others,
            behind_tag: raw.behind_tag,
            json: raw.json,
            setup_zh: raw.setup_zh,
            setup_en: raw.setup_en,
            snippet: raw.snippet,
            fields: raw.field.into_iter().map(field).collect(),
            text: text.to_owned(),
        })
    }

    /// This profile's text under another name: what somebody begins with who needs a little of it changed.
    #[must_use]
    pub fn renamed(&self, id: &str) -> String {
        let named = |line: &str| line.trim_start().starts_with("profile") && line.contains('=');
        let mut renamed = false;
        let lines = self.text.lines().map(|line| {
            if renamed || !named(line) {
                return line.to_owned();
            }
            renamed = true;
            format!("profile = {id:?}")
        });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }

    /// The field at `path` (members joined by dots), and the member that stands where the field has `*`.
    #[must_use]
    pub fn field<'p>(&self, path: &'p str) -> Option<(&Field, Option<&'p str>)> {
        self.fields
            .iter()
            .find_map(|field| field.captures(path).map(|thing| (field, thing)))
    }

    /// The least and the most that a sensor of `metric` can measure, in the metric's own unit.
    #[must_use]
    pub fn range(&self, metric: &Metric) -> Option<(f64, f64)> {
        self.fields
            .iter()
            .filter(|field| field.metric == *metric)
            .find_map(|field| field.range)
    }

    /// How often a reading of `field` is due, in seconds.
    #[must_use]
    pub fn due_every_s(&self, field: &Field) -> u32 {
        let day = 86_400;
        field
            .report_interval_s
            .or(self.heartbeat_s)
            .unwrap_or(self.report_interval_s)
            .min(day)
    }

    /// What to copy into a device, filled in.
    #[must_use]
    pub fn filled_snippet(&self, of: &SnippetWords<'_>) -> String {
        let root = crate::address::device_root(of.facility, of.device);
        let user = format!("{}/{}", of.facility, of.device);
        // In one pass: what is filled in is never searched again.
        let mut out = String::with_capacity(self.snippet.len() + 200);
        let mut rest = self.snippet.as_str();
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let words = [
                ("{host}", of.host),
                ("{port}", of.port),
                ("{http}", of.http),
                ("{user}", user.as_str()),
                ("{secret}", of.secret),
                ("{root}", root.trim_end_matches('/')),
                ("{facility}", of.facility.as_str()),
                ("{device}", of.device.as_str()),
            ];
            match words.iter().find(|(word, _)| rest.starts_with(word)) {
                Some((word, meaning)) => {
                    out.push_str(meaning);
                    rest = &rest[word.len()..];
                }
                None => {
                    out.push('{');
                    rest = &rest[1..];
                }
            }
        }
        out + rest
    }
}

impl Field {
    /// Whether this field stands at `path`; inside, the member that stands where it has `*`.
    fn captures<'p>(&self, path: &'p str) -> Option<Option<&'p str>> {
        let Some((before, after)) = self.field.split_once('*') else {
            return (self.field == path).then_some(None);
        };
        let thing = path.strip_prefix(before)?.strip_suffix(after)?;
        (!thing.is_empty() && !thing.contains('.')).then_some(Some(thing))
    }
}

/// What stands in a snippet's places.
#[derive(Debug, Clone, Copy)]
pub struct SnippetWords<'a> {
    /// The host that devices connect to.
    pub host: &'a str,
    /// Its MQTT port.
    pub port: &'a str,
    /// Where HTTP intake listens, `host:port`.
    pub http: &'a str,
    /// The device's secret, or what stands for it.
    pub secret: &'a str,
    /// Its facility.
    pub facility: &'a FacilityId,
    /// The device.
    pub device: &'a DeviceId,
}

/// Every profile by its name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Profiles(Arc<BTreeMap<String, Arc<Profile>>>);

/// Why a set of profiles is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfilesError {
    /// A file is wrong.
    #[error("{name}, {source}")]
    File {
        /// The file.
        name: String,
        /// Line and reason.
        source: ProfileError,
    },
    /// Two of the operator's files have one name.
    #[error("{name}: another file describes a profile of this name too; rename one of them")]
    Twice {
        /// The later file.
        name: String,
    },
    /// More than [`MAX_PROFILES`].
    #[error("there are {0} profiles; at most {MAX_PROFILES} are allowed")]
    TooMany(usize),
}

impl Profiles {
    /// Those that come with the product.
    ///
    /// # Panics
    /// Never in a tested build: a test parses them all.
    #[must_use]
    pub fn built_in() -> Profiles {
        let all = BUILT_IN.iter().map(|text| {
            let profile = Profile::parse(text).expect("the built-in profiles are tested");
            (profile.id.clone(), Arc::new(profile))
        });
        Profiles(Arc::new(all.collect()))
    }

    /// These and an operator's own, given as file names and texts; one of the same name takes the other's place.
    ///
    /// # Errors
    /// [`ProfilesError`] names the file, the line and the reason.
    pub fn with<N: AsRef<str>, T: AsRef<str>>(
        &self,
        own: impl IntoIterator<Item = (N, T)>,
    ) -> Result<Profiles, ProfilesError> {
        let mut all = (*self.0).clone();
        let mut seen = BTreeMap::new();
        for (name, text) in own {
            let name = name.as_ref().to_owned();
            let profile = Profile::parse(text.as_ref()).map_err(|source| ProfilesError::File {
                name: name.clone(),
                source,
            })?;
            if seen.insert(profile.id.clone(), ()).is_some() {
                return Err(ProfilesError::Twice { name });
            }
            all.insert(profile.id.clone(), Arc::new(profile));
        }
        if all.len() > MAX_PROFILES {
            return Err(ProfilesError::TooMany(all.len()));
        }
        Ok(Profiles(Arc::new(all)))
    }

    /// The profile of this name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Profile>> {
        self.0.get(id)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.0.values()
    }
}

/// How far a sensor is off, as a calibration found it: what is stored is `value × scale + offset`.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The series it corrects.
    pub key: SeriesKey,
    /// Multiplies the value; 1 leaves it. Not 0.
    pub scale: f64,
    /// Is added, in the metric's own unit.
    pub offset: f64,
    /// When the next calibration is due; `None` when it need not be repeated.
    pub due: Option<UtcMillis>,
    /// Since when it holds.
    pub since: UtcMillis,
    /// Who entered it.
    pub by: String,
}

impl Calibration {
    /// Why it cannot be one, if it cannot: no number, a scale of 0, or so far off that the sensor is broken.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        if !self.scale.is_finite() || !self.offset.is_finite() {
            return Some("scale and offset must be numbers");
        }
        if !(0.5..=2.0).contains(&self.scale) {
            return Some("the scale must be 0.5 to 2: a sensor that is further off is to be replaced");
        }
        (self.key.metric.unit() == Unit::Bool).then_some("a yes or no cannot be calibrated")
    }
}
