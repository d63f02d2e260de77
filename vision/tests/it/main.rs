//! Models on both libraries, and the workers that run them.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

mod kinds;
mod libraries;
mod pipeline;
mod scenes;
mod seeing;
mod workers;
