//! Sparkplug B as an edge node writes it: one metric, whose number is 1.

use domain::Clock;
use prost::Message as _;

/// `sparkplug_b.proto` of the Eclipse Tahu project, as far as it is written here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Payload {
    /// When it was written, in milliseconds since 1970.
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    /// Its metrics.
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Entry>,
    /// Its number, 0 to 255.
    #[prost(uint64, optional, tag = "3")]
    pub seq: Option<u64>,
}

/// One metric of it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// What the metric is called; absent where the number says it.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// The number that stands for the name.
    #[prost(uint64, optional, tag = "2")]
    pub alias: Option<u64>,
    /// How the value is written: 10 is a double.
    #[prost(uint32, optional, tag = "4")]
    pub datatype: Option<u32>,
    /// The value, as a double.
    #[prost(double, optional, tag = "13")]
    pub value: Option<f64>,
    /// The value, as yes or no.
    #[prost(bool, optional, tag = "14")]
    pub truth: Option<bool>,
}

/// A payload of now: with the metric's name in a birth certificate, without it later.
pub fn sparkplug(seq: u64, name: Option<&str>, value: f64) -> Vec<u8> {
    let payload = Payload {
        timestamp: u64::try_from(Clock::system().now().0).ok(),
        metrics: vec![Entry {
            name: name.map(str::to_owned),
            alias: Some(1),
            datatype: Some(10),
            value: Some(value),
            truth: None,
        }],
        seq: Some(seq),
    };
    payload.encode_to_vec()
}
