//! The engine with a real record store and a real time-series store.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

mod calibration;
mod failures;
mod kitchen;
mod people;
mod restart;
mod run;
mod shelving;
mod whatif;
