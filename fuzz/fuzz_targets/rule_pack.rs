//! Any text as a rule pack: reading never panics, what is wrong is named with a line that is in the text, and what is
//! taken has numbers that make sense together.
#![no_main]

use domain::pack::{MAX_RULES, Pack, PackError, check};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lines = 1 + text.matches('\n').count();
    match Pack::parse(text) {
        Ok(pack) => {
            assert!(pack.rules.len() <= MAX_RULES);
            for rule in &pack.rules {
                assert_eq!(check::numbers(rule), Ok(()), "{}", rule.id);
            }
        }
        Err(refused) => {
            assert!(refused.to_string().len() < 1_500, "{refused}");
            if let PackError::Syntax { line, .. } | PackError::Rule { line, .. } = refused {
                assert!((1..=lines).contains(&line));
            }
        }
    }
});
