//! The other time-series servers: what is written to them, what is done when they refuse, and what they answer.

mod conformance;
mod engines;
mod forwarder;
mod influx;
mod influxd;
mod lines;
mod rig;
