//! Every line that is written is read back strictly, by a parser that is not ours, as exactly what went in.

use domain::{Sample, SeriesKey, UtcMillis};
use influxdb_line_protocol::{FieldValue, parse_lines};
use proptest::prelude::*;
use sunshine_store::remote::{LineError, LineHead, Lines};

/// Text of everything that a tag can and cannot hold.
fn tag() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9_.-]{1,12}",
        "[\\PC]{0,12}",
        "[a \\\\,=\"#\n\r\t\u{0}厨é🍲]{0,8}",
    ]
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        -1000.0..1000.0,
        (-100_000..100_000_i32).prop_map(|tenths| f64::from(tenths) / 10.0),
        Just(f64::MIN_POSITIVE),
        Just(f64::MAX),
        Just(-0.0)
    ]
}

proptest! {
    #[test]
    fn any_tags_and_values_are_refused_or_read_back_exactly(
        tags in prop::collection::vec(tag(), 4),
        samples in prop::collection::vec((value(), any::<i64>()), 0..20),
    ) {
        let named: Vec<(&'static str, &str)> =
            ["device", "facility", "metric", "unit"].into_iter().zip(tags.iter().map(String::as_str)).collect();
        let bad = tags.iter().any(|t| t.is_empty() || t.chars().any(|c| c.is_control() || c == '\\'));
        let head = LineHead::of_tags(&named);
        prop_assert_eq!(head.is_err(), bad);
        let Ok(head) = head else { return Ok(()) };
        let mut lines = Lines::default();
        let mut taken = Vec::new();
        for (value, at) in samples {
            match lines.push(&head, Sample { at: UtcMillis(at), value }) {
                Ok(()) => taken.push((value, at)),
                Err(LineError::NotFinite) => prop_assert!(!value.is_finite()),
                Err(LineError::Moment) => prop_assert!(at.checked_mul(1_000_000).is_none()),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        let text = lines.text(0..lines.len());
        prop_assert_eq!(text.lines().count(), taken.len());
        let parsed: Vec<_> = parse_lines(text).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(parsed.len(), taken.len());
        for (line, (value, at)) in parsed.iter().zip(taken) {
            prop_assert_eq!(line.series.measurement.as_str(), "reading");
            let read: Vec<(String, String)> = line.series.tag_set.iter().flatten()
                .map(|(k, v)| (k.to_string(), v.to_string())).collect();
            let want: Vec<(String, String)> =
                named.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            prop_assert_eq!(read, want);
            prop_assert_eq!(line.field_set.len(), 1);
            prop_assert_eq!(line.timestamp, Some(at));
            match line.field_value("value") {
                Some(FieldValue::F64(read)) => prop_assert_eq!(read.to_bits(), value.to_bits()),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}

#[test]
fn a_series_of_the_domain_is_never_refused() {
    for (facility, device, metric) in [("binhe-01", "fridge_1.a", "temperature"), ("厨房", "é", "未知")]
    {
        let key = SeriesKey {
            facility: facility.parse().unwrap(),
            device: device.parse().unwrap(),
            metric: metric.parse().unwrap(),
        };
        assert!(LineHead::new(&key).is_ok(), "{key}");
    }
}
