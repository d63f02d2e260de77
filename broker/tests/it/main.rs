//! The broker over real sockets, with a real journal.

#[cfg(test)]
mod access;
#[cfg(test)]
mod client;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod killers;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod sessions;
