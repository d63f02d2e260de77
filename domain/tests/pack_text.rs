//! Any text as a rule pack.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use sunshine_domain::pack::{MAX_BYTES, Pack, PackError, check};

const PACKS: [&str; 3] = [
    include_str!("../packs/fire-gas.toml"),
    include_str!("../packs/system.toml"),
    include_str!("../packs/vision.toml"),
];

/// Whatever a hand or an editor may leave in a line of a pack.
fn debris() -> impl Strategy<Value = String> {
    let words = [
        "[[rule]]",
        "[rule",
        "id = \"X-1\"",
        "id = \"x y\"",
        "metric = \"temperature\"",
        "metric = \"gravity\"",
        "unit = \"degF\"",
        "judge = { kind = \"threshold\" }",
        "judge = { kind = \"range\", low = nan, high = inf, clear_low = 1.0, clear_high = 2.0 }",
        "judge = { kind = \"count\", op = \">\", limit = 1.0, at_least = 255, within_s = 0 }",
        "judge = { kind = \"stage\", from = -1e308, steps = [] }",
        "judge = { kind = \"missing\", op = \"<\", limit = 1.0, by = [\"24:00\"], within_s = 1 }",
        "judge = { kind = \"magic\" }",
        "hold_s = -1",
        "hold_s = 99999999999999999999",
        "clear_hold_s = 604801",
        "latched = \"yes\"",
        "severity = \"P9\"",
        "clause = \"\"",
        "confidence = \"hearsay\"",
        "\"\"\"",
        "= 3",
        "\u{feff}",
        "标题 = \"热\"",
    ];
    prop_oneof![
        proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        any::<String>(),
        Just(String::new()),
    ]
}

/// A built-in pack of which some lines were lost, doubled, cut off or replaced.
fn damaged() -> impl Strategy<Value = String> {
    let harm = (any::<proptest::sample::Index>(), 0_u8..5, debris());
    let harms = proptest::collection::vec(harm, 0..6);
    (proptest::sample::select(PACKS.to_vec()), harms).prop_map(|(pack, harms)| {
        let mut lines: Vec<String> = pack.lines().map(str::to_owned).collect();
        for (at, what, text) in harms {
            let at = at.index(lines.len());
            match what {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[at].clone()),
                2 => lines[at] = text,
                3 => lines.insert(at, text),
                _ => lines[at] = lines[at].chars().take(7).collect(),
            }
        }
        lines.join("\n")
    })
}

/// What holds whatever the text: a pack that makes sense, or a line that is in the text and what to do about it.
fn check_text(text: &str) -> Result<(), proptest::test_runner::TestCaseError> {
    let lines = 1 + text.matches('\n').count();
    match Pack::parse(text) {
        Ok(pack) => {
            for rule in &pack.rules {
                prop_assert_eq!(check::numbers(rule), Ok(()), "{}", &rule.id);
                prop_assert!(!rule.clause.trim().is_empty() && !rule.action_zh.trim().is_empty());
            }
        }
        Err(refused) => {
            let said = refused.to_string();
            prop_assert!(said.len() < 1_500 && !said.contains('\n'), "{said}");
            match &refused {
                PackError::Syntax { line, reason } => {
                    prop_assert!((1..=lines).contains(line) && !reason.is_empty(), "{said}");
                    prop_assert!(said.contains("correct that line"), "{said}");
                }
                PackError::Rule { line, rule, reason } => {
                    prop_assert!((1..=lines).contains(line), "{said}");
                    prop_assert!(said.contains(rule.as_str()) && reason.len() > 10, "{said}");
                }
                PackError::TooLong(_) | PackError::TooMany(_) | PackError::Unknown { .. } => {
                    prop_assert!(said.contains("at most"), "{said}");
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_a_pack_or_is_refused_with_a_line_and_a_remedy(text in any::<String>()) {
        check_text(&text)?;
    }

    #[test]
    fn a_damaged_pack_is_refused_with_a_line_and_a_remedy_or_still_makes_sense(text in damaged()) {
        check_text(&text)?;
    }
}

#[test]
fn a_pack_that_is_too_long_is_not_even_read() {
    let refused = Pack::parse(&"#".repeat(MAX_BYTES + 1)).unwrap_err();
    assert_eq!(refused, PackError::TooLong(MAX_BYTES + 1));
    assert!(refused.to_string().contains("divide"), "{refused}");
}
