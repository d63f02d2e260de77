//! Rule packs: what is accepted, what is refused and on which line, and what the built-in ones hold.

use std::collections::BTreeSet;

use sunshine_domain::{
    Confidence, Metric, Rule, RuleKind, Severity,
    check::CHECKS,
    pack::{self, DEFAULT_PACKS, Pack, PackError},
    rule::{StageStep, Weigh},
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
        (judge, "{ kind = \"boolean\" }", 6, "true or false"),
        (judge, "{ kind = \"no_data\", intervals = 1 }", 6, "2 to 100"),
        (judge, "{ kind = \"no_data\", intervals = 3 }", 6, "silence"),
    ];
    for (old, new, line, word) in rows {
        check_refused(old, new, line, word);
    }
}

#[test]
fn a_rule_whose_kind_makes_no_sense_is_refused() {
    let judge = "{ kind = \"threshold\", op = \">\", limit = 8.0, clear_op = \"<=\", clear_limit = 7.0 }";
    let rows = [
        (judge, "{ kind = \"dosis\" }", 11, "dosis"),
        (judge, "{ kind = \"dose\" }", 11, "weigh"),
        (
            judge,
            "{ kind = \"dose\", weigh = \"time\", limit = 1.0, reset = \"above\", reset_s = 1 }",
            6,
            "hold_s",
        ),
        (
            judge,
            "{ kind = \"range\", low = 8.0, high = 0.0, clear_low = 1.0, clear_high = 7.0 }",
            6,
            "must hold",
        ),
        (
            judge,
            "{ kind = \"count\", op = \">\", limit = 1.0, at_least = 1, within_s = 60 }",
            6,
            "2 to 32",
        ),
        (
            judge,
            "{ kind = \"missing\", op = \">\", limit = 1.0, by = [\"24:00\"], within_s = 60 }",
            11,
            "HH:MM",
        ),
        (
            judge,
            "{ kind = \"correlation\", op = \">\", limit = 1.0, with = [], window_s = 0, near = \"place\" }",
            6,
            "1 to 3",
        ),
        (
            judge,
            "{ kind = \"correlation\", op = \">\", limit = 1.0, with = [{ metric = \"warmth\", op = \">\", limit = 1.0 }], \
             window_s = 0, near = \"place\" }",
            6,
            "does not know",
        ),
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
    assert_eq!(counts, [36, 17, 8, 17, 12, 6, 5]);
    let ids: BTreeSet<_> = pack::built_in().into_iter().map(|r| r.id).collect();
    assert_eq!(ids.len(), 101);
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
                | "gas_alarm"
                | "co"
                | "co_alarm"
                | "smoke_alarm"
                | "sos"
                | "rodent"
                | "visual_fire"
                | "stove_unattended"
                | "person_down"
        );
        // One measurement is over at once: without a latch nobody would ever see its case.
        let is_event = matches!(rule.kind, RuleKind::Event { .. });
        assert_eq!(
            rule.latched,
            danger && !silence || is_event || rule.id.as_str() == "FG-HEAT-01",
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
    assert_eq!(rules.len(), 90);
    assert!(rules.iter().all(|r| DEFAULT_PACKS.contains(&r.pack.as_str())));
    let error = pack::active(&["cn-canteen", "mars"]).unwrap_err();
    assert!(error.to_string().contains("uk-eu"), "{error}");
}

/// Rules that stand in no row of their own.
const NOT_IN_THE_TABLE: [&str; 17] = [
    "FG-GAS-07",
    "FG-CO-04",
    "CN-UV-04",
    "SYS-07",
    "SYS-GW-01",
    "SYS-PWR-01",
    "SYS-CAL-01",
    "SYS-SOS-01",
    "SYS-VIS-01",
    "SYS-CAM-01",
    "CN-LIC-02",
    "CN-LIC-03",
    "CN-GOV-02",
    "CN-GOV-03",
    "CN-TMP-05",
    "FG-GAS-06",
    "EN-PEST-02",
];

/// Columns of the table up to the severity hold no quoted commas.
const TABLE: &str = include_str!("../packs/rules.csv");

/// Whether a rule's numbers are those of its row.
#[track_caller]
fn check_numbers(rule: &Rule, cells: &[&str], limit: &str) {
    let (id, hold_s) = (cells[0], cells[7]);
    match rule.kind {
        RuleKind::Threshold {
            limit: got,
            clear_limit,
            ..
        } => {
            assert_eq!(limit.parse(), Ok(got), "{id}");
            // Without one of its own, it clears where it is no breach any more.
            assert_eq!(cells[9].parse().unwrap_or(got), clear_limit, "{id}");
            assert_eq!(hold_s.parse(), Ok(rule.hold_ms / 1000), "{id}");
        }
        // For a door or a camera the table's limit is how long it may stay open, or away.
        RuleKind::Boolean if matches!(cells[2], "door_open" | "camera_offline") => {
            assert_eq!(limit.parse(), Ok(rule.hold_ms / 1000), "{id}");
        }
        RuleKind::Boolean => assert_eq!(hold_s.parse(), Ok(rule.hold_ms / 1000), "{id}"),
        // 50 ppm for an hour, as a sum.
        RuleKind::Dose {
            limit: got,
            weigh: Weigh::Value,
            ..
        } => {
            let ppm: f64 = limit.parse().expect("a number of ppm");
            let held_s: f64 = hold_s.parse().expect("a number of seconds");
            assert_eq!(ppm * held_s / 60.0, got, "{id}");
        }
        RuleKind::Stage { ref steps, .. } => {
            // Minutes, for each step that is judged: `120`, or `120 then 240`.
            let minutes = |s: &StageStep| s.within_s.map(|s| (s / 60).to_string());
            let written: Vec<String> = steps.iter().filter_map(minutes).collect();
            assert_eq!(written.join(" then "), limit, "{id}");
        }
        RuleKind::Cycle {
            limit: got, for_s, ..
        } => {
            // `100 for 10 min`, `85 for 40 s`, or the limit alone; a lamp's row says minutes.
            let number = |n: usize| limit.split(' ').nth(n).and_then(|n| n.parse::<f64>().ok());
            let kept_s = number(2).map(|n| if limit.ends_with(" s") { n } else { n * 60.0 });
            let want = match (id, number(0)) {
                ("CN-UV-01", Some(minutes)) => (1.0, minutes * 60.0),
                (_, Some(limit)) => (limit, kept_s.unwrap_or(0.0)),
                (_, None) => panic!("{id}: {limit}"),
            };
            assert_eq!((got, f64::from(for_s)), want, "{id}");
        }
        RuleKind::Event { limit: got, .. } | RuleKind::Dose { limit: got, .. } => {
            assert_eq!(limit.parse(), Ok(got), "{id}");
        }
        RuleKind::RateOfChange { limit: got, .. } => {
            assert_eq!(limit.parse(), Ok(got), "{id}");
            assert_eq!(hold_s.parse(), Ok(rule.hold_ms / 1000), "{id}");
        }
        RuleKind::Stuck { for_s, .. } => assert_eq!(limit.parse(), Ok(for_s / 3600), "{id}: hours"),
        RuleKind::ClockSkew { limit_s, clear_s, .. } => {
            assert_eq!(
                (limit.parse(), cells[9].parse()),
                (Ok(limit_s), Ok(clear_s)),
                "{id}"
            );
        }
        // The table gives no number, or one in words: a meal, a day, a person under the lamp.
        RuleKind::Correlation { .. } | RuleKind::Missing { .. } | RuleKind::NoData { .. } => {}
        RuleKind::Range { .. } | RuleKind::Count { .. } => panic!("{id}: no row of the table is one"),
    }
}

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
        let (id, pack) = (cells[0], cells[1]);
        // A licence has three rows in one: the other two rules are among those that the table lacks.
        let first = |cell| str::split(cell, '/').next().unwrap_or(cell);
        let (limit, severity) = (first(cells[6]), first(cells[11]));
        let left_out = format!("#   {id}  ");
        let mentioned = texts.iter().any(|t| t.lines().any(|l| l.starts_with(&left_out)));
        assert!(!NOT_IN_THE_TABLE.contains(&id), "{id} stands in the table");
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
        check_numbers(rule, &cells, limit);
    }
    let of_pictures = rules.iter().filter(|r| r.pack == "vision").count();
    assert_eq!(
        judged + NOT_IN_THE_TABLE.len() + of_pictures,
        rules.len(),
        "these are the only rules that the table lacks"
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

/// Metrics that a built-in profile can send and that no rule of their own judges, each with the reason.
const NO_ALARM: [(&str, &str); 8] = [
    (
        "gas_concentration",
        "parts per million of an unnamed gas: its detector's own gas_alarm is judged",
    ),
    (
        "input_on",
        "a bare contact: what hangs on it is known to the site alone",
    ),
    (
        "link_quality",
        "a figure of the radio: a lost link shows as silence",
    ),
    ("occupancy", "somebody is there: no breach by itself"),
    ("power", "what an appliance draws: no breach by itself"),
    ("signal", "a figure of the radio: a lost link shows as silence"),
    ("switched_on", "a state of an appliance: no breach by itself"),
    (
        "valve_open",
        "a valve may be open: gas_valve_open of a gas valve is judged together with people",
    ),
];

/// What says that something is wrong whatever the site is like, so that the point's type must not matter.
const DANGER: [&str; 12] = [
    "battery",
    "battery_low",
    "calibration_days_left",
    "co",
    "co_alarm",
    "combustible_gas",
    "gas_alarm",
    "gateway_offline",
    "mains_lost",
    "smoke_alarm",
    "sos",
    "vision_fault",
];

#[test]
fn every_metric_of_a_built_in_profile_is_judged_by_a_default_rule_or_says_why_not() {
    let rules = pack::active(&DEFAULT_PACKS).unwrap();
    let judged: BTreeSet<&str> = rules
        .iter()
        .filter_map(|r| r.metric.as_ref().map(Metric::as_str))
        .collect();
    let profiles = sunshine_domain::Profiles::built_in();
    let mut sent = BTreeSet::new();
    for profile in profiles.iter() {
        sent.extend(profile.fields.iter().map(|f| f.metric.as_str().to_owned()));
    }
    assert!(sent.len() > 15, "{sent:?}");
    for metric in &sent {
        let excused = NO_ALARM.iter().any(|(name, _)| name == metric);
        assert_ne!(
            judged.contains(metric.as_str()),
            excused,
            "{metric}: judged, or excused with a reason, and not both"
        );
    }
    for (metric, reason) in NO_ALARM {
        assert!(sent.contains(metric) && reason.len() > 20, "{metric}: {reason}");
    }
}

/// A detector whose point was given an unusual type rings all the same.
#[test]
fn what_signals_danger_is_judged_at_a_point_of_any_type() {
    let rules = pack::active(&DEFAULT_PACKS).unwrap();
    for metric in DANGER {
        let anywhere = rules.iter().filter(|r| {
            r.metric.as_ref().is_some_and(|m| m.as_str() == metric)
                && r.point_type.is_none()
                && !matches!(r.kind, RuleKind::NoData { .. })
        });
        assert!(anywhere.count() > 0, "{metric}");
    }
    for rule in rules {
        let life = rule.metric.as_ref().is_some_and(|m| {
            let life = [
                "smoke_alarm",
                "gas_alarm",
                "combustible_gas",
                "co",
                "co_alarm",
                "sos",
            ];
            life.contains(&m.as_str())
        });
        let silence = matches!(rule.kind, RuleKind::NoData { .. });
        if life && !silence {
            assert!(rule.point_type.is_none() && !rule.can_be_shelved(), "{}", rule.id);
        }
    }
}
