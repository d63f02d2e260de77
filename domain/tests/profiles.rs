//! Profiles: what is built in is sound, and what an operator writes is refused with its line.

use sunshine_domain::{
    Codec, DeviceId, FacilityId, Metric, Profile, Profiles,
    profile::{ProfilesError, SnippetWords},
};

const GOOD: &str = r#"profile = "cooler"
title_zh = "冷柜"
title_en = "Cooler"
codec = "json"
source = "its manual"
report_interval_s = 60

[[field]]
field = "t"
metric = "temperature"
unit = "degC"
range = [-40.0, 60.0]
words = { low = -1 }

[[field]]
field = "*.door"
metric = "door_open"
invert = true
"#;

#[test]
fn what_is_built_in_is_sound() {
    let profiles = Profiles::built_in();
    let codecs: std::collections::BTreeSet<&str> = profiles.iter().map(|p| p.codec.code()).collect();
    assert_eq!(
        codecs.len(),
        Codec::ALL.len(),
        "every codec has a profile: {codecs:?}"
    );
    let (facility, device) = (FacilityId::new("f").unwrap(), DeviceId::new("d").unwrap());
    for profile in profiles.iter() {
        assert!(
            !profile.setup_zh.is_empty() && !profile.snippet.is_empty(),
            "{}",
            profile.id
        );
        let filled = profile.filled_snippet(&SnippetWords {
            host: "broker.example",
            port: "1883",
            http: "broker.example:8086",
            secret: "s3cret{root}",
            facility: &facility,
            device: &device,
        });
        for word in [
            "{host}",
            "{port}",
            "{http}",
            "{user}",
            "{secret}",
            "{facility}",
            "{device}",
        ] {
            assert!(!filled.contains(word), "{}: {filled}", profile.id);
        }
        assert!(
            filled.contains("s3cret{root}"),
            "what is filled in is not filled in again: {filled}"
        );
    }
    let z2m = profiles.get("zigbee2mqtt").unwrap();
    assert!(z2m.codec.is_gateway() && !z2m.codec.needs_vendor_root());
    assert!(profiles.get("sparkplug-b").unwrap().codec.needs_vendor_root());
    let chirpstack = profiles.get("chirpstack").unwrap();
    assert!(
        chirpstack.snippet.contains("{{dev_eui}}"),
        "ChirpStack fills this in itself"
    );
}

#[test]
fn fields_are_found_by_their_paths() {
    let profile = Profile::parse(GOOD).unwrap();
    let found = |path: &str| {
        profile
            .field(path)
            .map(|(field, thing)| (field.metric.to_string(), thing.map(str::to_owned)))
    };
    assert_eq!(found("t"), Some(("temperature".into(), None)));
    assert_eq!(
        found("left.door"),
        Some(("door_open".into(), Some("left".into())))
    );
    for none in ["", "tt", "door", ".door", "a.b.door", "left.doors"] {
        assert_eq!(found(none), None, "{none}");
    }
    let temperature = Metric::new("temperature").unwrap();
    assert_eq!(profile.range(&temperature), Some((-40.0, 60.0)));
    assert_eq!(profile.due_every_s(&profile.fields[0]), 60);
}

#[test]
fn a_mistake_is_named_with_its_line() {
    let cases = [
        (
            GOOD.replace("codec = \"json\"", "codec = \"jason\""),
            4,
            "unknown variant",
        ),
        (
            GOOD.replace("unit = \"degC\"", "unitt = \"degC\""),
            11,
            "unknown field",
        ),
        (
            GOOD.replace("report_interval_s = 60", "report_interval_s = 0"),
            6,
            "1 to 86400",
        ),
        (GOOD.replace("\"cooler\"", "\"a/b\""), 1, "'/'"),
        (GOOD.replace("degC", "ppm"), 11, "does not measure"),
        (GOOD.replace("[-40.0, 60.0]", "[60.0, -40.0]"), 12, "least first"),
        (GOOD.replace("*.door", "*.*"), 16, "at most one *"),
        (GOOD.replace("*.door", "t"), 16, "stands twice"),
        (
            GOOD.replace("metric = \"door_open\"", "metric = \"temperature\""),
            18,
            "inverted",
        ),
        (GOOD.replace("\"its manual\"", "\"\""), 5, "must say something"),
    ];
    for (text, line, word) in cases {
        let refused = Profile::parse(&text).unwrap_err();
        assert!(refused.reason.contains(word), "{refused}");
        assert_eq!(refused.line, line, "{refused}");
    }
    assert!(
        Profile::parse(&"#".repeat(70_000))
            .unwrap_err()
            .reason
            .contains("bytes")
    );
}

#[test]
fn an_operators_own_take_the_place_of_others() {
    let own = GOOD.replace("\"cooler\"", "\"json\"");
    let profiles = Profiles::built_in().with([("json.toml", own.as_str())]).unwrap();
    assert_eq!(profiles.get("json").unwrap().title_en, "Cooler");
    assert_eq!(profiles.iter().count(), Profiles::built_in().iter().count());
    let twice = Profiles::built_in().with([("a.toml", GOOD), ("b.toml", GOOD)]);
    assert_eq!(
        twice.unwrap_err(),
        ProfilesError::Twice {
            name: "b.toml".into()
        }
    );
    let wrong = Profiles::built_in()
        .with([("a.toml", "profile = 1")])
        .unwrap_err();
    assert!(
        wrong.to_string().starts_with("a.toml, line 1, key profile:"),
        "{wrong}"
    );
}
