//! Why a payload is refused, in words that an integrator can act on; and why ingest itself stops.

use std::borrow::Cow;

use domain::{IdError, Unit, status::RejectReason};

/// The most characters of the input that an error repeats.
const MAX_ECHO: usize = 40;

/// Ingest cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The log cannot be read.
    #[error("the log cannot be read; see the cause")]
    Journal(#[from] journal::JournalError),
}

/// Why a payload, or a value in it, is refused. The words name the cause and the remedy and repeat at most
/// a few characters of the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// More bytes than are read.
    #[error("the payload has {bytes} bytes and at most {max} are read; send it in several messages")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// More values than are taken from one payload.
    #[error("the payload holds more than {max} values; send them in several messages")]
    TooManyValues {
        /// What is allowed.
        max: usize,
    },
    /// Neither JSON nor a number.
    #[error(
        "the payload is neither JSON nor a number ({what} at line {line}, column {column}); \
         send for example {{\"ts\":1795000000000,\"v\":4.1}}, or true or false for a yes or no"
    )]
    Syntax {
        /// What the parser stumbled over.
        what: &'static str,
        /// In which line, from 1; 0 when that is not known.
        line: usize,
        /// At which byte of that line.
        column: usize,
    },
    /// JSON of a form that is not known.
    #[error(
        "the payload is JSON of an unknown form; send {{\"ts\":…,\"v\":4.1}}, {{\"ts\":…,\"values\":{{…}}}}, \
         an array of these, or SenML"
    )]
    UnknownForm,
    /// A member that must stand once stands twice.
    #[error("the member {member:?} stands twice in one object; send it once")]
    Twice {
        /// Its name.
        member: &'static str,
    },
    /// Members of our form and of SenML in one object.
    #[error(
        "one object holds members of SenML and of the plain form; use \"ts\" and \"values\", or \"t\" and \"n\""
    )]
    MixedForms,
    /// An object without a value.
    #[error(
        "an object holds no value; give \"v\" on up/<metric>, or \"values\":{{\"temperature\":4.1}} on up"
    )]
    NoValue,
    /// More than one value in a SenML record.
    #[error("a SenML record holds more than one of v, vb, vs and vd; give one")]
    SeveralValues,
    /// Two things of one pack are measured under one metric: their values would take each other's place.
    #[error(
        "a message holds {metric:?} of several things, told apart by their names only; publish each below a \
         device of its own, or give each a metric of its own in the device's profile"
    )]
    SeveralThings {
        /// The metric's name, cut.
        metric: String,
    },
    /// SenML of a version, or with a member, that must be understood and is not.
    #[error("the SenML needs an extension that is not known; send plain RFC 8428, version 10")]
    SenmlExtension,
    /// A value on `up` that says not what it measures.
    #[error("a value names no metric; publish it to up/<metric>, or send \"values\":{{\"temperature\":4.1}}")]
    NoMetric,
    /// A text, null, list or object where a value should stand.
    #[error("a value is no number; send a number without quotes, or true or false for a yes or no")]
    NotANumber,
    /// Infinite, or not a number at all.
    #[error("a value is not finite, or too large; leave it out while the sensor has no reading")]
    NotFinite,
    /// Neither 0 nor 1 where only these mean anything.
    #[error("{metric:?} is a yes or no; send true or 1, false or 0")]
    NotYesOrNo {
        /// The metric's name, cut.
        metric: String,
    },
    /// The time is not one.
    #[error(
        "a time is neither milliseconds since 1970 nor RFC 3339; send 1795000000000 or \"2026-11-21T20:00:00+08:00\""
    )]
    Time,
    /// A unit that is not known, on a metric whose unit is.
    #[error("the unit {unit:?} is not known; {metric:?} is kept in {}: send that", .wanted.code())]
    UnknownUnit {
        /// The unit, cut.
        unit: String,
        /// The metric's name, cut.
        metric: String,
        /// The unit in which the metric is kept.
        wanted: Unit,
    },
    /// A unit that measures something else.
    #[error("{} does not measure what {metric:?} measures, which is kept in {}; check the metric's name, the unit in \
             the message and the point's registered unit", .unit.code(), .wanted.code())]
    WrongUnit {
        /// The unit of the value.
        unit: Unit,
        /// The metric's name, cut.
        metric: String,
        /// The unit in which the metric is kept.
        wanted: Unit,
    },
    /// The metric's name is not an identifier.
    #[error("the metric's name {name:?} cannot be used: {why}")]
    Metric {
        /// The name, cut.
        name: String,
        /// Why not, and what is allowed.
        #[source]
        why: IdError,
    },
    /// No room for another series.
    #[error("the store holds as many series as it may; use fewer metric names, or raise the limit")]
    TooManySeries,
    /// An observation that makes no sense.
    #[error(
        "the observation is not understood ({why}); send for example \
         {{\"check\":\"no_mask\",\"state\":\"began\",\"ts\":1795000000000,\"score\":0.9}}"
    )]
    Observation {
        /// Which member, and why; cut.
        why: Cow<'static, str>,
    },
    /// The name of a device or camera behind this one that makes no identifier.
    #[error("the name {name:?} cannot be used behind this device: {why}; rename it where it was given")]
    BehindName {
        /// The name, cut.
        name: String,
        /// Why not, and what is allowed.
        #[source]
        why: IdError,
    },
    /// Nothing in the message that the device's profile knows.
    #[error(
        "the message holds nothing that the profile {profile:?} knows; it holds for example {found:?}: give the \
         device another profile, or name its fields in one of your own"
    )]
    NoKnownField {
        /// The profile.
        profile: String,
        /// The first member that was found, cut.
        found: String,
    },
    /// A word that stands for no number.
    #[error("{word:?} in {field:?} stands for no number; name it under `words` in the device's profile")]
    UnknownWord {
        /// The field.
        field: String,
        /// The word, cut.
        word: String,
    },
    /// An uplink of LoRaWAN without decoded values.
    #[error(
        "the uplink holds no decoded object; give its device profile in ChirpStack a codec that decodes its payload"
    )]
    NotDecoded,
    /// A line of line protocol that is wrong.
    #[error("line {line}: {what}; line protocol is measurement,tag=value field=4.1 1795000000000000000")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Line protocol that is no text.
    #[error("the payload is not UTF-8; line protocol is text")]
    NotText,
    /// CBOR that is wrong.
    #[error("the payload is no SenML in CBOR ({what}, at byte {at}); send RFC 8428 section 6")]
    Cbor {
        /// What is wrong with it.
        what: &'static str,
        /// After how many bytes.
        at: usize,
    },
    /// Protobuf that is wrong.
    #[error("the payload is no Sparkplug B protobuf; check the edge node's payload format")]
    Protobuf,
    /// A Sparkplug metric that is called by a number nobody knows.
    #[error(
        "metrics are called by numbers whose birth certificate was not received, or after a message that was missed; \
         the edge node is asked for it by NCMD Node Control/Rebirth: it must subscribe to its NCMD topic"
    )]
    NoBirth,
    /// A value that the sensor cannot measure.
    #[error(
        "{metric:?} is {value}, and its sensor measures {low} to {high} only; check the sensor and its wiring"
    )]
    OutOfRange {
        /// The metric's name, cut.
        metric: String,
        /// The value, rounded.
        value: String,
        /// The least.
        low: String,
        /// The most.
        high: String,
    },
    /// A topic that carries no readings.
    #[error(
        "the topic carries no readings of this device's profile; publish to up, up/<metric>, status, vision or image \
         below the device's own root, or give the device the profile of its make"
    )]
    Topic,
    /// A word on `status` that is not known.
    #[error("a status is online or offline; send one of these words")]
    Status,
}

impl DecodeError {
    /// The reason under which it is counted.
    #[must_use]
    pub fn reason(&self) -> RejectReason {
        match self {
            DecodeError::TooLarge { .. } | DecodeError::TooManyValues { .. } => RejectReason::Size,
            DecodeError::Syntax { .. } => RejectReason::Syntax,
            DecodeError::UnknownForm
            | DecodeError::Twice { .. }
            | DecodeError::MixedForms
            | DecodeError::NoValue
            | DecodeError::SeveralValues
            | DecodeError::SeveralThings { .. }
            | DecodeError::SenmlExtension
            | DecodeError::NoMetric
            | DecodeError::Status => RejectReason::Shape,
            DecodeError::NotANumber | DecodeError::NotFinite | DecodeError::NotYesOrNo { .. } => {
                RejectReason::Value
            }
            DecodeError::Time => RejectReason::Time,
            DecodeError::UnknownUnit { .. } | DecodeError::WrongUnit { .. } => RejectReason::Unit,
            DecodeError::Metric { .. } => RejectReason::Metric,
            DecodeError::Observation { .. } => RejectReason::Shape,
            DecodeError::BehindName { .. } => RejectReason::Topic,
            DecodeError::NoKnownField { .. }
            | DecodeError::NotDecoded
            | DecodeError::Line { .. }
            | DecodeError::Cbor { .. } => RejectReason::Shape,
            DecodeError::UnknownWord { .. } => RejectReason::Value,
            DecodeError::NotText | DecodeError::Protobuf => RejectReason::Syntax,
            DecodeError::NoBirth => RejectReason::Missing,
            DecodeError::OutOfRange { .. } => RejectReason::Range,
            DecodeError::TooManySeries => RejectReason::TooManySeries,
            DecodeError::Topic => RejectReason::Topic,
        }
    }
}

/// The beginning of `text`, short enough for an error.
pub(crate) fn echo(text: &str) -> String {
    text.chars().take(MAX_ECHO).collect()
}
