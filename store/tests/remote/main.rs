//! The other time-series servers: what is written to them, what is done when they refuse, and what they answer.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod forwarder;
#[cfg(test)]
mod influx;
#[cfg(test)]
mod influxd;
#[cfg(test)]
mod lines;
#[cfg(test)]
mod many;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod victoria;
