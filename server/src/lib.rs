//! Configuration, wiring and the command line.
//!
//! Owns: what is read from the environment and the configuration file, which part is handed what, which
//! threads and tasks run, and the order in which they stop.
//!
//! Must not know: business rules. It carries `domain` types from one part to another and looks into none
//! of them.
//!
//! The life of a process is [`Config::load`] → [`App::build`] (opens stores, binds every listener) →
//! [`App::addrs`] → [`App::run`] (until told to stop).

mod app;
mod backup;
mod births;
pub mod cli;
mod commands;
mod config;
mod demo;
mod directory;
mod figures;
mod findings;
mod forward;
mod import;
mod intake;
mod messages;
mod pipeline;
mod secret_file;
mod shutdown;
mod sight;

pub use app::{Addresses, App, BuildError};
pub use config::{Config, ConfigError, Environment, process_environment};
