//! Rule packs: what is accepted, what is refused and on which line, and what the built-in ones hold.

use std::collections::BTreeSet;

use sunshine_domain::{
    Confidence, Metric, RuleKind, Severity,
    check::CHECKS,
    pack::{self, DEFAULT_PACKS, Pack, PackError},
};

const GOOD: &str = r#"pack = "p"
version = "1"
title_zh = "包"
title_en = "Pack"

[[rule]]
id = "R-1"
metric = "temperature"
point_type = "fridge_air"
unit = "degC"
judge = { kind = "threshold", op = ">", limit = 8.0, clear_op = "<=", clear_limit = 7.0 }
hold_s = 1800
clear_hold_s = 600
latched = false
severity = "P2"
clause = "c"
edition = "2018"
source = "s"
confidence = "secondary"
title_zh = "热"
title_en = "warm"
action_zh = "关门"
action_en = "shut the door"
"#;

#[test]
fn a_rule_is_read_with_everything_it_rests_on() {
    let pack = Pack::parse(GOOD).unwrap();
    let rule = &pack.rules[0];
    assert_eq!(
        (pack.id.as_str(), pack.version.as_str(), pack.rules.len()),
        ("p", "1", 1)
    );
    assert_eq!((rule.hold_ms, rule.clear_hold_ms), (1_800_000, 600_000));
    assert_eq!(
        (rule.severity, rule.confidence),
        (Severity::P2, Confidence::Secondary)
    );
    assert_eq!(
        (rule.clause.as_str(), rule.edition.as_str(), rule.source.as_str()),
        ("c", "2018", "s")
    );
    assert_eq!((rule.pack.as_str(), rule.pack_version.as_str()), ("p", "1"));
}

/// `GOOD` with `old` replaced by `new` is refused on `line` for a reason that mentions `word`.
#[track_caller]
fn check_refused(old: &str, new: &str, line: usize, word: &str) {
    assert!(GOOD.contains(old), "the row must change something: {old}");
    let text = GOOD.replace(old, new);
    let error = Pack::parse(&text).expect_err(new);
    let (PackError::Syntax { line: got, .. } | PackError::Rule { line: got, .. }) = &error else {
        panic!("{new:?}: {error}")
    };
    assert_eq!(*got, line, "{new:?}: {error}");
    assert!(error.to_string().contains(word), "{new:?}: {error}");
}

#[test]
fn a_rule_without_its_authority_is_refused() {
    for field in [
        "clause = \"c\"",
        "edition = \"2018\"",
        "source = \"s\"",
        "confidence = \"secondary\"",
    ] {
        let name = field.split(' ').next().unwrap();
        check_refused(&format!("{field}\n"), "", 6, name);
        if name != "confidence" {
            check_refused(field, &format!("{name} = \" \""), 6, name);
        }
    }
    check_refused("confidence = \"secondary\"", "confidence = \"sure\"", 19, "sure");
    check_refused("action_zh = \"关门\"", "action_zh = \"\"", 6, "action_zh");
}

#[test]
fn a_rule_that_cannot_be_is_refused() {
    let judge = "{ kind = \"threshold\", op = \">\", limit = 8.0, clear_op = \"<=\", clear_limit = 7.0 }";
    let rows = [
        ("latched = false", "latched = false\nlatch = true", 15, "latch"),
        (
            "version = \"1\"",
            "version = \"1\"\nverison = \"2\"",
            3,
            "verison",
        ),
        ("hold_s = 1800", "hold_s = -1", 12, "-1"),
        ("hold_s = 1800", "hold_s = 604801", 6, "604800"),
        ("id = \"R-1\"", "id = \"R 1\"", 7, "not allowed"),
        ("severity = \"P2\"", "severity = \"P9\"", 15, "P9"),
        (
            "metric = \"temperature\"",
            "metric = \"warmth\"",
            6,
            "does not know",
        ),
        ("metric = \"temperature\"\n", "", 6, "`metric` is missing"),
        ("unit = \"degC\"", "unit = \"ppm\"", 6, "degC"),
        ("unit = \"degC\"\n", "", 6, "degC"),
        ("limit = 8.0", "limit = inf", 6, "finite"),
        ("clear_limit = 7.0", "clear_limit = 9.0", 6, "safe side"),
        ("clear_op = \"<=\"", "clear_op = \">=\"", 6, "clear_op"),
        (
            "op = \">\", limit = 8.0, clear_op = \"<=\", clear_limit = 7.0",
            "op = \">\", limit = 8.0",
            11,
            "clear_op",
        ),
        ("clear_limit = 7.0", "clear_limit = 7.0, soon = 1", 11, "soon"),
        (
            "op = \">\", limit = 8.0, clear_op = \"<=\", clear_limit = 7.0",
            "op = \">=\", limit = 8.0, clear_op = \"<=\", clear_limit = 8.0",
            6,
            "safe side",
        ),
        (judge, "{ kind = \"dose\" }", 11, "dose"),
        (judge, "{ kind = \"boolean\" }", 6, "true or false"),
        (judge, "{ kind = \"no_data\", intervals = 1 }", 6, "2 to 100"),
        (judge, "{ kind = \"no_data\", intervals = 3 }", 6, "silence"),
    ];
    for (old, new, line, word) in rows {
        check_refused(old, new, line, word);
    }
}

#[test]
fn two_rules_of_one_name_are_refused_and_errors_stay_short() {
    let twice = format!("{GOOD}\n{}", &GOOD[GOOD.find("[[rule]]").unwrap()..]);
    let error = Pack::parse(&twice).unwrap_err();
    assert!(
        matches!(&error, PackError::Rule { line: 25, reason, .. } if reason.contains("same id")),
        "{error}"
    );
    let hostile = GOOD.replace(
        "severity = \"P2\"",
        &format!("severity = \"{}\"", "x".repeat(100_000)),
    );
    assert!(Pack::parse(&hostile).unwrap_err().to_string().len() < 300);
}

#[test]
fn the_built_in_packs_parse_and_their_rules_are_unique() {
    let packs = Pack::built_in();
    let names: Vec<&str> = packs.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(
        names,
        [
            "cn-canteen",
            "fire-gas",
            "environment",
            "vision",
            "system",
            "us-foodcode",
            "uk-eu"
        ]
    );
    let counts: Vec<usize> = packs.iter().map(|p| p.rules.len()).collect();
    assert_eq!(counts, [9, 11, 7, 17, 5, 3, 2]);
    let ids: BTreeSet<_> = pack::built_in().into_iter().map(|r| r.id).collect();
    assert_eq!(ids.len(), 54);
    for rule in pack::built_in() {
        assert!(!rule.title_zh.is_ascii(), "{}", rule.id);
    }
}

/// Whoever reads one of the two languages is told everything.
#[test]
fn what_a_rule_says_it_says_in_both_languages() {
    let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    for rule in pack::built_in() {
        for (zh, en) in [
            (&rule.title_zh, &rule.title_en),
            (&rule.action_zh, &rule.action_en),
        ] {
            assert!(
                zh.contains(is_han) && !en.contains(is_han),
                "{}: {zh} / {en}",
                rule.id
            );
        }
        for text in [&rule.clause, &rule.edition, &rule.source] {
            match text.split(" / ").collect::<Vec<_>>()[..] {
                // A year or a number of a law is the same in both.
                [both] => assert!(
                    both.starts_with("20") && !both.contains(is_han),
                    "{}: {text}",
                    rule.id
                ),
                [zh, en] => {
                    assert!(zh.contains(is_han) && !en.contains(is_han), "{}: {text}", rule.id);
                }
                _ => panic!("{}: more than two languages in {text}", rule.id),
            }
        }
    }
}

#[test]
fn a_rule_that_is_judged_beyond_its_requirement_says_so() {
    for id in ["CN-HOT-01", "CN-RM-01"] {
        let rules = pack::built_in();
        let rule = rules.iter().find(|r| r.id.as_str() == id).unwrap();
        assert!(
            rule.clause.contains("全天判定") && rule.clause.contains("judges all day"),
            "{id}"
        );
        assert!(
            rule.action_zh.contains("关闭") && rule.action_en.contains("close the case"),
            "{id}"
        );
    }
}

#[test]
fn what_endangers_people_is_latched_and_doors_have_a_time() {
    for rule in pack::built_in() {
        let metric = rule.metric.as_ref().map_or("", Metric::as_str);
        let silence = matches!(rule.kind, RuleKind::NoData { .. });
        let danger = matches!(
            metric,
            "combustible_gas"
                | "co"
                | "smoke_alarm"
                | "sos"
                | "rodent"
                | "visual_fire"
                | "stove_unattended"
                | "person_down"
        );
        assert_eq!(
            rule.latched,
            danger && !silence || rule.id.as_str() == "FG-HEAT-01",
            "{}",
            rule.id
        );
        if metric == "door_open" {
            assert_eq!(rule.kind, RuleKind::Boolean);
            assert!(rule.hold_ms >= 60_000, "{}", rule.id);
        }
    }
}

#[test]
fn packs_are_switched_on_by_name() {
    let rules = pack::active(&DEFAULT_PACKS).unwrap();
    assert_eq!(rules.len(), 49);
    assert!(rules.iter().all(|r| DEFAULT_PACKS.contains(&r.pack.as_str())));
    let error = pack::active(&["cn-canteen", "mars"]).unwrap_err();
    assert!(error.to_string().contains("uk-eu"), "{error}");
}

/// Columns of the table up to the severity hold no quoted commas.
const TABLE: &str = include_str!("../packs/rules.csv");

#[test]
fn every_row_of_the_table_is_a_rule_with_its_numbers_or_left_out_with_a_reason() {
    let rules = pack::built_in();
    let texts = [
        include_str!("../packs/cn-canteen.toml"),
        include_str!("../packs/fire-gas.toml"),
        include_str!("../packs/environment.toml"),
        include_str!("../packs/system.toml"),
        include_str!("../packs/us-foodcode.toml"),
        include_str!("../packs/uk-eu.toml"),
    ];
    let mut judged = 0;
    for row in TABLE.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let (id, pack, limit, hold_s, severity) = (cells[0], cells[1], cells[6], cells[7], cells[11]);
        let left_out = format!("#   {id}  ");
        let mentioned = texts.iter().any(|t| t.lines().any(|l| l.starts_with(&left_out)));
        let Some(rule) = rules.iter().find(|r| r.id.as_str() == id) else {
            assert!(mentioned, "{id} is neither a rule nor left out");
            continue;
        };
        assert!(!mentioned, "{id} is a rule and left out");
        judged += 1;
        assert_eq!(
            (rule.pack.as_str(), rule.severity.code()),
            (pack, severity),
            "{id}"
        );
        match rule.kind {
            RuleKind::Threshold {
                limit: got,
                clear_limit,
                ..
            } => {
                assert_eq!(limit.parse(), Ok(got), "{id}");
                assert_eq!(cells[9].parse(), Ok(clear_limit), "{id}");
                assert_eq!(hold_s.parse(), Ok(rule.hold_ms / 1000), "{id}");
            }
            // For a door or a camera the table's limit is how long it may stay open, or away.
            RuleKind::Boolean if matches!(cells[2], "door_open" | "camera_offline") => {
                assert_eq!(limit.parse(), Ok(rule.hold_ms / 1000), "{id}");
            }
            RuleKind::Boolean => assert_eq!(hold_s.parse(), Ok(rule.hold_ms / 1000), "{id}"),
            RuleKind::NoData { .. } => {}
        }
    }
    let of_pictures = rules.iter().filter(|r| r.pack == "vision").count();
    assert_eq!(
        judged + 3 + of_pictures,
        rules.len(),
        "SYS-SOS-01, SYS-VIS-01 and SYS-CAM-01 are the only rules that the table lacks"
    );
}

#[test]
fn every_check_has_a_rule_as_severe_as_the_table_says() {
    let rules = pack::active(&["vision"]).unwrap();
    assert_eq!(rules.len(), CHECKS.len());
    for check in &CHECKS {
        let rule = rules.iter().find(|r| r.metric == Some(check.check.metric()));
        let rule = rule.expect(check.code);
        assert_eq!(
            (&rule.kind, rule.severity),
            (&RuleKind::Boolean, check.severity),
            "{}",
            check.code
        );
        assert_eq!((rule.hold_ms, rule.clear_hold_ms), (0, 0), "{}", check.code);
        assert!(
            rule.id.as_str().starts_with(&check.table_row.replace('V', "V-")),
            "{}",
            rule.id
        );
    }
}
