//! What one camera's judge tells, frame by frame.

mod objects;
mod persons;
mod places;
mod properties;
mod stage;
