//! How devices write: every form of the standard profile and two of other makes, so that a demonstration exercises
//! the codecs.

use std::fmt::Write;

use domain::{Unit, UtcMillis};

/// How a model of device writes its payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `up/<metric>`: `{"ts":1795250000000,"v":4.1}`.
    Object,
    /// `up/<metric>`: the same with the time as RFC 3339 text.
    Rfc3339,
    /// `up/<metric>`: a bare number; the device has no clock.
    Plain,
    /// `up`: `{"ts":1795250000000,"values":{"co":2,"combustible_gas":0.4}}`.
    Values,
    /// `up`: a SenML pack (RFC 8428).
    SenMl,
    /// `tele/SENSOR`: a thermometer on Tasmota.
    Tasmota,
    /// `events/rpc`: a Shelly smoke detector that notifies of its state.
    Shelly,
}

impl Form {
    /// Whether it is another maker's: its past is delivered as pushed JSON.
    pub(crate) const fn is_foreign(self) -> bool {
        matches!(self, Form::Tasmota | Form::Shelly)
    }
}

/// A measured value as the device writes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) metric: &'a str,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
}

/// The topic's end and the payload of one report. `values` holds one value, except for
/// [`Form::Values`] and [`Form::SenMl`], which take several.
pub(crate) fn report(form: Form, at: UtcMillis, values: &[Written<'_>]) -> (String, String) {
    let first = values.first().expect("a device measures something");
    let metric = format!("up/{}", first.metric);
    match form {
        Form::Object => (metric, format!("{{\"ts\":{},\"v\":{}}}", at.0, first.value)),
        Form::Rfc3339 => (
            metric,
            format!("{{\"ts\":\"{}\",\"v\":{}}}", rfc3339(at), first.value),
        ),
        Form::Plain => (metric, first.value.to_string()),
        Form::Values => ("up".to_owned(), object_of_values(at, values)),
        Form::SenMl => {
            let mut pack = SenMlPack::new(at);
            values.iter().for_each(|value| pack.push(at, value));
            ("up".to_owned(), pack.finish())
        }
        Form::Tasmota => ("tele/SENSOR".to_owned(), tasmota(at, first)),
        Form::Shelly => ("events/rpc".to_owned(), shelly(at, first)),
    }
}

fn tasmota(at: UtcMillis, value: &Written<'_>) -> String {
    let unit = if value.unit == Unit::Fahrenheit { "F" } else { "C" };
    format!(
        "{{\"Time\":\"{}\",\"DS18B20\":{{\"Id\":\"0316A279A4FF\",\"Temperature\":{}}},\"TempUnit\":\"{unit}\"}}",
        rfc3339(at),
        value.value
    )
}

fn shelly(at: UtcMillis, value: &Written<'_>) -> String {
    format!(
        "{{\"src\":\"shellyplussmoke-80646f000001\",\"dst\":\"events\",\"method\":\"NotifyStatus\",\"params\":{{\"ts\":{},\
         \"smoke:0\":{{\"id\":0,\"alarm\":{},\"mute\":false}}}}}}",
        seconds(at.0),
        value.value > 0.5
    )
}

fn object_of_values(at: UtcMillis, values: &[Written<'_>]) -> String {
    let mut text = format!("{{\"ts\":{},\"values\":{{", at.0);
    for (n, value) in values.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        add(
            &mut text,
            format_args!("{comma}\"{}\":{}", value.metric, value.value),
        );
    }
    text.push_str("}}");
    text
}

fn rfc3339(at: UtcMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |stamp| stamp.to_string())
}

fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a String cannot fail");
}

/// Values of one metric as an array of `{"ts","v"}`, for `up/<metric>`.
#[derive(Debug, Default)]
pub(crate) struct Array(String);

impl Array {
    pub(crate) fn push(&mut self, at: UtcMillis, value: f64) {
        let before = if self.0.is_empty() { '[' } else { ',' };
        add(
            &mut self.0,
            format_args!("{before}{{\"ts\":{},\"v\":{value}}}", at.0),
        );
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push(']');
        self.0
    }
}

/// Rows of several values as pushed JSON, for `http/push`.
#[derive(Debug, Default)]
pub(crate) struct Pushed(String);

impl Pushed {
    pub(crate) fn push(&mut self, at: UtcMillis, values: &[Written<'_>]) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0 += &object_of_values(at, values);
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push(']');
        self.0
    }
}

/// A SenML pack: the base time once, then offsets.
#[derive(Debug)]
pub(crate) struct SenMlPack {
    base: UtcMillis,
    text: String,
}

impl SenMlPack {
    pub(crate) fn new(base: UtcMillis) -> SenMlPack {
        SenMlPack {
            base,
            text: String::new(),
        }
    }

    pub(crate) fn push(&mut self, at: UtcMillis, value: &Written<'_>) {
        if self.text.is_empty() {
            add(
                &mut self.text,
                format_args!("[{{\"bt\":{},", seconds(self.base.0)),
            );
        } else {
            self.text.push_str(",{");
        }
        add(&mut self.text, format_args!("\"n\":\"{}\"", value.metric));
        let offset = at.ms_since(self.base);
        if offset != 0 {
            add(&mut self.text, format_args!(",\"t\":{}", seconds(offset)));
        }
        match value.unit {
            // RFC 8428 has a type of its own for yes and no.
            Unit::Bool => add(&mut self.text, format_args!(",\"vb\":{}}}", value.value > 0.5)),
            Unit::Celsius => add(
                &mut self.text,
                format_args!(",\"u\":\"Cel\",\"v\":{}}}", value.value),
            ),
            unit => add(
                &mut self.text,
                format_args!(",\"u\":\"{}\",\"v\":{}}}", unit.code(), value.value),
            ),
        }
    }

    pub(crate) fn finish(mut self) -> String {
        self.text.push(']');
        self.text
    }
}

/// Milliseconds as seconds, exactly: without a detour through floating point.
fn seconds(ms: i64) -> String {
    match ms % 1_000 {
        0 => (ms / 1_000).to_string(),
        rest => format!("{}.{:03}", ms / 1_000, rest.abs()),
    }
}

/// What a device with a loose plug sends.
pub(crate) fn garbage(pick: u64) -> Vec<u8> {
    const KINDS: [&[u8]; 5] = [
        b"{\"ts\":1795250000000,\"v\":",
        b"{\"ts\":1795250000000,\"v\":\"ERR\"}",
        b"NaN",
        b"\xff\xfe\x00\x12\x80sensor fault",
        b"{\"ts\":\"yesterday\",\"v\":86.1}",
    ];
    KINDS[usize::try_from(pick % 5).unwrap_or(0)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UtcMillis = UtcMillis(1_795_250_000_250);

    fn written(metric: &'static str, unit: Unit, value: f64) -> Written<'static> {
        Written { metric, unit, value }
    }

    #[test]
    fn reports_have_their_forms() {
        let cold = [written("temperature", Unit::Celsius, 4.1)];
        let gas = [
            written("combustible_gas", Unit::PercentLel, 0.4),
            written("co", Unit::Ppm, 2.0),
        ];
        let store = [
            written("water_leak", Unit::Bool, 1.0),
            written("humidity", Unit::PercentRh, 55.2),
        ];
        let imported = [written("temperature", Unit::Fahrenheit, 39.4)];
        let smoke = [written("smoke_alarm", Unit::Bool, 1.0)];
        let cases: [(Form, &[Written<'_>], &str, &str); 7] = [
            (
                Form::Tasmota,
                &imported,
                "tele/SENSOR",
                r#"{"Time":"2026-11-21T08:33:20.25Z","DS18B20":{"Id":"0316A279A4FF","Temperature":39.4},"TempUnit":"F"}"#,
            ),
            (
                Form::Shelly,
                &smoke,
                "events/rpc",
                r#"{"src":"shellyplussmoke-80646f000001","dst":"events","method":"NotifyStatus","params":{"ts":1795250000.250,"smoke:0":{"id":0,"alarm":true,"mute":false}}}"#,
            ),
            (
                Form::Object,
                &cold,
                "up/temperature",
                r#"{"ts":1795250000250,"v":4.1}"#,
            ),
            (
                Form::Rfc3339,
                &cold,
                "up/temperature",
                r#"{"ts":"2026-11-21T08:33:20.25Z","v":4.1}"#,
            ),
            (Form::Plain, &cold, "up/temperature", "4.1"),
            (
                Form::Values,
                &gas,
                "up",
                r#"{"ts":1795250000250,"values":{"combustible_gas":0.4,"co":2}}"#,
            ),
            (
                Form::SenMl,
                &store,
                "up",
                r#"[{"bt":1795250000.250,"n":"water_leak","vb":true},{"n":"humidity","u":"%RH","v":55.2}]"#,
            ),
        ];
        for (form, values, topic, payload) in cases {
            assert_eq!(report(form, AT, values), (topic.to_owned(), payload.to_owned()));
            assert!(serde_json::from_str::<serde_json::Value>(payload).is_ok());
        }
    }

    #[test]
    fn packs_are_json_with_true_times() {
        let mut array = Array::default();
        let mut pack = SenMlPack::new(AT);
        for n in 0..3_u32 {
            let at = AT + i64::from(n) * 120_500;
            array.push(at, f64::from(n));
            pack.push(at, &written("temperature", Unit::Celsius, f64::from(n)));
        }
        let array: serde_json::Value = serde_json::from_str(&array.finish()).unwrap();
        assert_eq!(array[2]["ts"], AT.0 + 241_000);
        let pack: serde_json::Value = serde_json::from_str(&pack.finish()).unwrap();
        assert_eq!(pack[1]["t"], 120.5);
        assert_eq!(pack[2]["t"], 241);
        assert_eq!(pack[0]["bt"], 1_795_250_000.25);
    }

    #[test]
    fn garbage_is_not_a_reading() {
        for n in 0..5 {
            let payload = garbage(n);
            let value = serde_json::from_slice::<serde_json::Value>(&payload).ok();
            assert!(value.is_none_or(|v| v["v"].is_string() || v["ts"].is_string()));
        }
    }
}
