//! Messages end to end: what waits in the outbox reaches local servers that check it as the vendors document it.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

mod browsers;
mod channels;
mod mail;
mod outage;
mod post;
mod sink;
