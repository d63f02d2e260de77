//! Payloads, one table per form, and properties that hold for any of them.

use domain::{Unit, UtcMillis, status::RejectReason};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use sunshine_ingest::{DecodeError, IngestLimits, Number, PayloadUnit, Value, decode};

const RECEIVED: UtcMillis = UtcMillis(1_795_000_000_500);

/// Metric, number, unit, moment.
type Row = (Option<&'static str>, f64, Option<&'static str>, Option<i64>);

/// Values as rows, refused values by their first reason; or why the whole payload is refused.
fn read(payload: &[u8]) -> Result<(Vec<Row>, Option<RejectReason>), RejectReason> {
    let mut values = Vec::new();
    let decoded = decode(payload, RECEIVED, &IngestLimits::default(), &mut values).map_err(|e| e.reason())?;
    let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let row = |v: &Value<'_>| {
        let number = match v.number {
            Number::Real(v) => v,
            Number::Truth(v) => f64::from(u8::from(v)),
        };
        let unit = match &v.unit {
            PayloadUnit::Unsaid => None,
            PayloadUnit::Known(unit) => Some(unit.code()),
            PayloadUnit::Unknown(name) => Some(leak(name)),
        };
        (v.metric.as_deref().map(leak), number, unit, v.at.map(|at| at.0))
    };
    Ok((
        values.iter().map(row).collect(),
        decoded.first.map(|e| e.reason()),
    ))
}

fn check_taken(cases: &[(&str, &[Row])]) {
    for (payload, want) in cases {
        assert_eq!(read(payload.as_bytes()), Ok((want.to_vec(), None)), "{payload}");
    }
}

const AT: i64 = 1_795_000_000_000;

#[test]
fn our_own_form() {
    check_taken(&[
        ("4.1", &[(None, 4.1, None, None)]),
        (" -4\n", &[(None, -4.0, None, None)]),
        ("+.5", &[(None, 0.5, None, None)]),
        ("true", &[(None, 1.0, None, None)]),
        ("false", &[(None, 0.0, None, None)]),
        (r#"{"ts":1795000000000,"v":4.1}"#, &[(None, 4.1, None, Some(AT))]),
        (
            r#"{"v":4.1,"ts":1795000000000.9}"#,
            &[(None, 4.1, None, Some(AT))],
        ),
        (r#"{"v":true}"#, &[(None, 1.0, None, None)]),
        (r#"{"v":4,"ts":null}"#, &[(None, 4.0, None, None)]),
        (r#"{"v":39.2,"u":"degF"}"#, &[(None, 39.2, Some("degF"), None)]),
        (
            r#"{"v":39.2,"u":"furlong"}"#,
            &[(None, 39.2, Some("furlong"), None)],
        ),
        (
            r#"{"ts":"2026-11-18T19:06:40+08:00","v":4}"#,
            &[(None, 4.0, None, Some(AT))],
        ),
        (r#"{"ts":-5,"v":4}"#, &[(None, 4.0, None, Some(-5))]),
        (r#"{"ts":1e300,"v":4}"#, &[(None, 4.0, None, Some(i64::MAX))]),
        (
            r#"{"values":{"temperature":4.1,"door_open":false},"ts":1795000000000}"#,
            &[
                (Some("temperature"), 4.1, None, Some(AT)),
                (Some("door_open"), 0.0, None, Some(AT)),
            ],
        ),
        (
            r#"{"v":1,"values":{"co":2}}"#,
            &[(Some("co"), 2.0, None, None), (None, 1.0, None, None)],
        ),
        (
            r#"{"values":{"\u6e29\u5ea6":4}}"#,
            &[(Some("温度"), 4.0, None, None)],
        ),
        // What is not known is passed over, however deep.
        (
            r#"{"v":1,"fw":{"a":[1,{"b":null}]},"rssi":-70}"#,
            &[(None, 1.0, None, None)],
        ),
        // A backlog: every object has its own time, or none.
        (
            r#"[{"ts":1795000000000,"v":1},{"v":2},{"ts":1795000060000,"values":{"co":3}}]"#,
            &[
                (None, 1.0, None, Some(AT)),
                (None, 2.0, None, None),
                (Some("co"), 3.0, None, Some(AT + 60_000)),
            ],
        ),
    ]);
}

/// The examples of RFC 8428, section 5.1, in its order.
#[test]
fn senml_of_the_standard() {
    const OW: &str = "10e2073a01080063";
    check_taken(&[
        (
            r#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]"#,
            &[(Some(OW), 23.1, Some("degC"), None)],
        ),
        (
            r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},
                {"n":"current","u":"A","v":1.2}]"#,
            &[
                (Some("voltage"), 120.1, Some("V"), None),
                (Some("current"), 1.2, Some("A"), None),
            ],
        ),
        (
            r#"[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,
                 "n":"voltage","u":"V","v":120.1},
                {"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","v":1.7}]"#,
            &[
                (Some("voltage"), 120.1, Some("V"), Some(1_276_020_076_001)),
                (Some("current"), 1.2, Some("A"), Some(1_276_020_071_001)),
                (Some("current"), 1.3, Some("A"), Some(1_276_020_072_001)),
                (Some("current"), 1.7, Some("A"), Some(1_276_020_076_001)),
            ],
        ),
        (
            r#"[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},
                {"u":"lon","v":24.30621},{"t":60,"v":20.3},{"u":"%EL","t":150,"v":98}]"#,
            &[
                (Some(OW), 20.0, Some("%RH"), Some(1_320_067_464_000)),
                (Some(OW), 24.30621, Some("lon"), Some(1_320_067_464_000)),
                (Some(OW), 20.3, Some("%RH"), Some(1_320_067_524_000)),
                (Some(OW), 98.0, Some("%"), Some(1_320_067_614_000)),
            ],
        ),
        // Resolved: every record by itself says what the pack above says with its base.
        (
            r#"[{"n":"urn:dev:ow:10e2073a0108006:voltage","u":"V","t":1.276020076001e+09,"v":120.1},
                {"n":"urn:dev:ow:10e2073a0108006:current","u":"A","t":1.276020071001e+09,"v":1.2}]"#,
            &[
                (Some("voltage"), 120.1, Some("V"), Some(1_276_020_076_001)),
                (Some("current"), 1.2, Some("A"), Some(1_276_020_071_001)),
            ],
        ),
        (
            r#"[{"bn":"2001:db8::2/","bt":1.320078429e+09,"n":"temperature","u":"Cel","v":27.2},
                {"n":"humidity","u":"%RH","v":80}]"#,
            &[
                (Some("temperature"), 27.2, Some("degC"), Some(1_320_078_429_000)),
                (Some("humidity"), 80.0, Some("%RH"), Some(1_320_078_429_000)),
            ],
        ),
    ]);
    let several_types = br#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},
        {"n":"label","vs":"Machine Room"},{"n":"open","vb":false},{"n":"nfc-reader","vd":"aGkgCg"}]"#;
    let want = vec![
        (Some("temp"), 23.1, Some("degC"), None),
        (Some("open"), 0.0, None, None),
    ];
    assert_eq!(read(several_types), Ok((want, Some(RejectReason::Value))));
}

/// Section 5.1 also shows two things in one pack. Here a device speaks for itself: the values of the second
/// would take the place of the first one's.
#[test]
fn what_two_things_measure_is_not_mixed() {
    let two = r#"[{"bn":"2001:db8::2/","bt":1.320078429e+09,"n":"temperature","u":"Cel","v":27.2},
        {"n":"humidity","u":"%RH","v":80},
        {"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},{"n":"light","u":"%","v":67},
        {"bn":"","n":"2001:db8::2/temperature","t":60,"u":"Cel","v":27.3}]"#;
    let at = 1_320_078_429_000;
    let want = vec![
        (Some("temperature"), 27.2, Some("degC"), Some(at)),
        (Some("humidity"), 80.0, Some("%RH"), Some(at)),
        (Some("light"), 67.0, Some("%"), Some(at)),
        (Some("temperature"), 27.3, Some("degC"), Some(at + 60_000)),
    ];
    assert_eq!(read(two.as_bytes()), Ok((want, Some(RejectReason::Shape))));
    // A name that is cut between base name and name, wherever the cut is.
    check_taken(&[(
        r#"[{"bn":"a:tempera","n":"ture","v":1},{"bn":"a:","n":"temperature","v":2},{"bn":"","n":"a:temperature","v":3},
            {"bn":"a:temperature","v":4}]"#,
        &[
            (Some("temperature"), 1.0, None, None),
            (Some("temperature"), 2.0, None, None),
            (Some("temperature"), 3.0, None, None),
            (Some("temperature"), 4.0, None, None),
        ],
    )]);
}

#[test]
fn senml_beyond_the_examples() {
    check_taken(&[
        // No name: the topic says what it is. Relative times are relative to receipt.
        (
            r#"[{"v":4.1,"t":-10}]"#,
            &[(None, 4.1, None, Some(1_794_999_990_500))],
        ),
        (r#"[{"v":4.1,"t":0}]"#, &[(None, 4.1, None, None)]),
        // From 2^28 seconds on a time is no longer relative.
        (
            r#"[{"n":"a","v":1,"t":268435455},{"n":"a","v":2,"t":268435456}]"#,
            &[
                (Some("a"), 1.0, None, Some(RECEIVED.0 + 268_435_455_000)),
                (Some("a"), 2.0, None, Some(268_435_456_000)),
            ],
        ),
        (
            r#"[{"bt":-20,"v":1},{"t":20,"v":2}]"#,
            &[
                (None, 1.0, None, Some(1_794_999_980_500)),
                (None, 2.0, None, None),
            ],
        ),
        // One object by itself is read like an array of one.
        (
            r#"{"n":"temperature","v":4}"#,
            &[(Some("temperature"), 4.0, None, None)],
        ),
        // Base fields alone, a base value, the base of a name without a separator.
        (
            r#"[{"bn":"fridge-","bv":100,"bver":10},{"n":"a","v":1},{"n":"b","v":-1}]"#,
            &[
                (Some("fridge-a"), 101.0, None, None),
                (Some("fridge-b"), 99.0, None, None),
            ],
        ),
        (r#"[{"bn":"x/power","v":1}]"#, &[(Some("power"), 1.0, None, None)]),
        (
            r#"[{"bn":"x:y","n":"/power","v":1}]"#,
            &[(Some("power"), 1.0, None, None)],
        ),
        (
            r#"[{"n":"battery","u":"%EL","v":80}]"#,
            &[(Some("battery"), 80.0, Some("%"), None)],
        ),
        // A sum is a series of its own.
        (
            r#"[{"n":"energy","s":12.5,"v":2}]"#,
            &[
                (Some("energy.sum"), 12.5, None, None),
                (Some("energy"), 2.0, None, None),
            ],
        ),
        (
            r#"[{"bn":"a:","bs":10,"n":"x","s":1},{"n":"x","s":2}]"#,
            &[
                (Some("x.sum"), 11.0, None, None),
                (Some("x.sum"), 12.0, None, None),
            ],
        ),
        (
            r#"[{"n":"x","v":1,"ut":60,"unheard":[]}]"#,
            &[(Some("x"), 1.0, None, None)],
        ),
    ]);
}

#[test]
fn one_bad_value_does_not_cost_the_good_ones() {
    let good = |metric| vec![(Some(metric), 1.0, None, None)];
    let cases = [
        (r#"{"values":{"a":1,"b":"4.1"}}"#, good("a"), RejectReason::Value),
        (r#"{"values":{"b":null,"a":1}}"#, good("a"), RejectReason::Value),
        (
            r#"{"values":{"b":{"x":1},"a":1}}"#,
            good("a"),
            RejectReason::Value,
        ),
        (
            r#"[{"n":"a","v":1},{"n":"b","vs":"on"}]"#,
            good("a"),
            RejectReason::Value,
        ),
        (
            r#"[{"n":"a","v":1},{"n":"b","v":2,"vb":true}]"#,
            good("a"),
            RejectReason::Shape,
        ),
        (r#"[{"n":"a","v":1},{"n":"b"}]"#, good("a"), RejectReason::Shape),
        (
            r#"[{"n":"a","v":1},{"n":"b","v":1,"t":"now"}]"#,
            good("a"),
            RejectReason::Time,
        ),
        (
            r#"[{"values":{"a":1}},{"ts":"now","values":{"b":1}}]"#,
            good("a"),
            RejectReason::Time,
        ),
        (r#"[{"values":{"a":1}},{"ts":5}]"#, good("a"), RejectReason::Shape),
        (r#"[{"values":{"a":1}},{}]"#, good("a"), RejectReason::Shape),
        // Nothing good at all is told in the same way.
        (r#"{"v":"4.1"}"#, vec![], RejectReason::Value),
        (r#"{"v":null}"#, vec![], RejectReason::Value),
        (r#"{"ts":true,"v":4}"#, vec![], RejectReason::Time),
        (r#"{"values":{}}"#, vec![], RejectReason::Shape),
        (r#"{"value":4}"#, vec![], RejectReason::Shape),
        (r#"{"ts":1795000000000}"#, vec![], RejectReason::Shape),
    ];
    for (payload, taken, refused) in cases {
        assert_eq!(read(payload.as_bytes()), Ok((taken, Some(refused))), "{payload}");
    }
}

#[test]
fn what_is_not_understood_is_refused_whole() {
    let large = format!(r#"{{"v":1,"x":"{}"}}"#, "x".repeat(256 * 1024));
    let empty = format!("[{}]", vec!["{}"; 5_001].join(","));
    let many = format!("[{}]", vec![r#"{"v":1}"#; 5_001].join(","));
    let cases: &[(&[u8], RejectReason)] = &[
        (b"", RejectReason::Syntax),
        (b"  ", RejectReason::Syntax),
        (b"on", RejectReason::Syntax),
        (b"4,1", RejectReason::Syntax),
        (b"4.1 degC", RejectReason::Syntax),
        (b"\xff\xd8\xff", RejectReason::Syntax),
        (b"{\"v\":4.1", RejectReason::Syntax),
        (b"{\"v\":4.1}}", RejectReason::Syntax),
        (b"{'v':4.1}", RejectReason::Syntax),
        (b"{\"v\":NaN}", RejectReason::Syntax),
        (b"{\"v\":1,\"u\":\"\xff\"}", RejectReason::Syntax),
        (b"{\"v\":1e999}", RejectReason::Value),
        (b"\"4.1\"", RejectReason::Value),
        (b"null", RejectReason::Value),
        (b"[]", RejectReason::Shape),
        (b"[1,2]", RejectReason::Shape),
        (b"[[{\"v\":1}]]", RejectReason::Shape),
        (b"{\"values\":4}", RejectReason::Shape),
        (b"{\"v\":1,\"v\":2}", RejectReason::Shape),
        (b"{\"ts\":1,\"ts\":2,\"v\":2}", RejectReason::Shape),
        (b"{\"ts\":1,\"n\":\"a\",\"v\":2}", RejectReason::Shape),
        (b"[{\"bver\":11,\"n\":\"a\",\"v\":2}]", RejectReason::Shape),
        (b"[{\"bn\":7,\"n\":\"a\",\"v\":2}]", RejectReason::Shape),
        (b"[{\"n\":\"a\",\"v\":2,\"must_\":1}]", RejectReason::Shape),
        (large.as_bytes(), RejectReason::Size),
        (many.as_bytes(), RejectReason::Size),
        (empty.as_bytes(), RejectReason::Size),
    ];
    for (payload, want) in cases {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(60)]);
        assert_eq!(read(payload), Err(*want), "{shown}");
    }
    let largest = format!("[{}]", vec![r#"{"v":1}"#; 5_000].join(","));
    assert_eq!(read(largest.as_bytes()).map(|(rows, _)| rows.len()), Ok(5_000));
}

/// What is passed over is passed over without recursion: depth costs no stack.
#[test]
fn depth_is_no_danger() {
    let deep = |n| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    for n in [1, 100, 500, 120_000] {
        let taken = read(format!(r#"{{"v":1,"x":{}}}"#, deep(n)).as_bytes());
        assert_eq!(taken, Ok((vec![(None, 1.0, None, None)], None)), "{n}");
        let refused = read(format!(r#"{{"v":{}}}"#, deep(n)).as_bytes());
        assert_eq!(refused, Ok((vec![], Some(RejectReason::Value))), "{n}");
        assert!(read(deep(n).as_bytes()).is_err(), "{n}");
    }
}

#[test]
fn a_refusal_says_what_to_do_and_repeats_little() {
    let cases: &[(&[u8], &str)] = &[
        (b"{\"v\":4.1", "line 1, column 8"),
        (b"on", "true or false"),
        (b"{\"values\":4}", "\"values\""),
        (b"[]", "\"v\" on up/<metric>"),
    ];
    for (payload, words) in cases {
        let why = decode(payload, RECEIVED, &IngestLimits::default(), &mut Vec::new());
        let text = why.map(|_| String::new()).unwrap_or_else(|e| e.to_string());
        assert!(text.contains(words), "{text}");
    }
    let long = DecodeError::TooManyValues { max: 5 }.to_string();
    assert!(long.contains('5') && long.contains("several messages"), "{long}");
}

fn metric() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z][a-z0-9_]{0,20}", "\\PC{1,20}"]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        ts in prop::option::of(any::<i64>()),
        values in prop::collection::btree_map(metric(), -1e300_f64..1e300, 1..20),
    ) {
        let mut object = serde_json::json!({ "values": values });
        if let Some(ts) = ts {
            object["ts"] = ts.into();
        }
        let payload = object.to_string();
        let mut read = Vec::new();
        let decoded = decode(payload.as_bytes(), RECEIVED, &IngestLimits::default(), &mut read).unwrap();
        prop_assert_eq!(decoded.refused, 0);
        prop_assert_eq!(read.len(), values.len());
        for ((name, number), value) in values.iter().zip(&read) {
            prop_assert_eq!(value.metric.as_deref(), Some(name.as_str()));
            let Number::Real(real) = value.number else { panic!("{value:?}") };
            prop_assert!((real - number).abs() <= number.abs() * 1e-15);
            // Beyond 2^53 a moment loses its last digits; such moments are not believed anyhow.
            if ts.is_none_or(|ts| ts.abs() < 1 << 53) {
                prop_assert_eq!(value.at.map(|at| at.0), ts);
            }
        }
    }

    #[test]
    fn senml_of_any_values_is_read_back(
        base in "[a-z]{1,8}[:/]",
        rows in prop::collection::vec(("[a-z][a-z0-9_.-]{0,20}", -1e9_f64..1e9, 0_i64..1_000_000), 1..20),
        unit in prop::sample::select(Unit::ALL.to_vec()),
    ) {
        let mut records: Vec<_> = rows
            .iter()
            .map(|(n, v, t)| serde_json::json!({ "n": n, "v": v, "t": t }))
            .collect();
        records[0]["bn"] = base.into();
        records[0]["bu"] = unit.code().into();
        records[0]["bt"] = 1_700_000_000.into();
        let payload = serde_json::Value::from(records).to_string();
        let mut read = Vec::new();
        decode(payload.as_bytes(), RECEIVED, &IngestLimits::default(), &mut read).unwrap();
        prop_assert_eq!(read.len(), rows.len());
        for ((name, number, t), value) in rows.iter().zip(&read) {
            prop_assert_eq!(value.metric.as_deref(), Some(name.as_str()));
            let Number::Real(real) = value.number else { panic!("{value:?}") };
            prop_assert!((real - number).abs() <= number.abs() * 1e-15);
            prop_assert_eq!(&value.unit, &PayloadUnit::Known(unit));
            prop_assert_eq!(value.at, Some(UtcMillis((1_700_000_000 + t) * 1_000)));
        }
    }

    #[test]
    fn any_bytes_are_answered(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut values = Vec::new();
        let outcome = decode(&payload, RECEIVED, &IngestLimits::default(), &mut values);
        prop_assert_eq!(outcome.is_err() && !values.is_empty(), false);
    }

    #[test]
    fn almost_json_is_answered(parts in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"v\"", "\"ts\"", "\"values\"", "\"n\"", "\"bn\"", "\"t\"", "\"bt\"", "\"s\"",
        "\"u\"", "\"vb\"", "\"a:b/c\"", "1", "-1e300", "1e9", "true", "null", "\"\\u0000\"", "\"",
    ]), 0..40)) {
        let payload = parts.concat();
        let limits = IngestLimits { payload_values: 3, ..IngestLimits::default() };
        let mut values = Vec::new();
        if let Ok(decoded) = decode(payload.as_bytes(), RECEIVED, &limits, &mut values) {
            prop_assert!(values.len() + decoded.refused <= 3);
        }
    }
}
