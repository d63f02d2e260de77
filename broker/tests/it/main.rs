//! The broker over real sockets, with a real journal.

mod access;
mod client;
mod durability;
mod killers;
mod limits;
mod messages;
mod protocol;
mod rig;
mod sessions;
