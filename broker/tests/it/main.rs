//! The broker over real sockets, with a real journal.

mod access;
#[cfg(test)]
mod client;
mod durability;
mod killers;
mod limits;
mod messages;
mod protocol;
#[cfg(test)]
mod rig;
mod sessions;
