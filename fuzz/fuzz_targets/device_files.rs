//! Any text as a profile and as a CSV file of devices: reading never panics, and what is wrong is named with a line
//! that is in the text.
#![no_main]

use std::sync::LazyLock;

use domain::{FacilityId, Profile, Profiles};
use libfuzzer_sys::fuzz_target;
use store::onboarding::{Known, plan};

/// Read once: reading them anew for every input took nearly all the time.
static PROFILES: LazyLock<Profiles> = LazyLock::new(Profiles::built_in);

fuzz_target!(|text: &str| {
    let lines = 1 + text.matches('\n').count();
    if let Err(refused) = Profile::parse(text) {
        assert!((1..=lines).contains(&refused.line), "{refused}");
        assert!(refused.to_string().len() < 1_000);
    }
    let mut known = Known::default();
    known.facilities.extend(FacilityId::new("f"));
    let with_header = format!("facility,device,profile,points\n{text}");
    for file in [text, &with_header] {
        let read = plan(file, &PROFILES, &known).expect("the system gives randomness");
        let lines = 1 + file.matches('\n').count();
        for error in &read.errors {
            assert!((1..=lines).contains(&error.line), "{error}");
        }
    }
});
