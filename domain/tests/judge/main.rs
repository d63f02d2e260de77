//! Judgement: tables of what each kind of rule says, and properties that hold for any log.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

mod days;
mod kinds;
mod lamp;
mod log_time;
mod memory;
mod mutes;
mod pasts;
mod properties;
mod stage;
mod wide;
