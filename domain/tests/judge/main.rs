//! Judgement: tables of what each kind of rule says, and properties that hold for any log.

mod kinds;
mod log_time;
mod memory;
mod properties;
mod stage;
