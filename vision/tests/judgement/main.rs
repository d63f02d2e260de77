//! What one camera's judge tells, frame by frame.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

mod objects;
mod persons;
mod places;
mod properties;
mod stage;
