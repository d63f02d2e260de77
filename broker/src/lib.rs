//! MQTT 3.1.1 and 5 for devices and services, on one TCP port.
//!
//! Owns: sockets, protocol, identities at sign-in, rights per topic, sessions, retained messages, wills, shared
//! subscriptions, and the limits that keep one client from using up what all need.
//!
//! Must not know: what a message means, or where readings are stored. A message that was accepted is a record of the
//! journal; a PUBACK or PUBREC is sent only after that record is durable. What must see every message reads the
//! journal; MQTT subscribers are served from it as well, through a bounded mailbox each.
//!
//! rumqttd's router deals messages to subscribers in process. Its listener, its sessions, its retained messages and
//! its shared subscriptions are not used, and it never sees a client's topic: each of those has a defect that ends
//! the process or loses messages.

mod access;
mod codec;
mod connection;
mod fanout;
mod feed_key;
mod hub;
mod identities;
mod keeper;
mod limits;
mod listener;
mod mailbox;
mod message;
mod probe;
mod properties;
mod refusals;
mod registry;
mod retained;
mod session;
mod state;
mod subscriber;

use std::{net::SocketAddr, path::PathBuf};

use domain::IdentityName;

pub use identities::IdentityDirectory;
pub use limits::Limits;
pub use listener::{Broker, BrokerHandle, BrokerStats};
#[doc(hidden)]
pub use probe::probe;

/// The journal source of messages that the system itself publishes (commands to devices).
pub const INTERNAL_SOURCE: &str = "sunshine";

/// Where and how to serve.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What clients may use up.
    pub limits: Limits,
    /// On loopback only: clients without a user name act as this identity. Off by default.
    pub anonymous_as: Option<IdentityName>,
    /// Where retained messages and persistent sessions are kept across restarts.
    pub dir: PathBuf,
}

/// Why the broker could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address is taken or not ours.
    #[error("cannot listen on {listen}: {source}; choose another address or end what uses it")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Anonymous clients would be let in from the network.
    #[error(
        "anonymous clients are only allowed on a loopback address, not on {0}; give every client an identity"
    )]
    AnonymousOnNetwork(SocketAddr),
    /// The identity for anonymous clients is not in the directory.
    #[error("the identity {0} for anonymous clients does not exist; create it or refuse anonymous clients")]
    AnonymousUnknown(IdentityName),
    /// A limit is outside its range.
    #[error("the limit {name} is {value}, outside {range}")]
    Limit {
        /// The limit's name.
        name: &'static str,
        /// What was given.
        value: u64,
        /// What is allowed.
        range: &'static str,
    },
    /// A topic to publish to is empty, too long, or holds a wildcard.
    #[error("{0:?} is not a topic that can be published to")]
    Topic(String),
    /// The router's thread has ended. Nothing acknowledged is lost: restart.
    #[error("the router has stopped: {0}; restart, the journal holds every acknowledged message")]
    Router(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The router's thread hangs, or it lost messages. Nothing acknowledged is lost: restart.
    #[error("the router takes no messages any more; restart, the journal holds every acknowledged message")]
    RouterStuck,
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// Starting was cut short.
    #[error("the broker could not start: {0}")]
    Start(#[source] tokio::task::JoinError),
    /// The broker's thread ended by a defect.
    #[error("the fan-out thread panicked; restart, the journal holds every acknowledged message")]
    Panicked,
    /// The broker's own directory cannot be read or written.
    #[error("cannot keep the broker's state in {dir}: {source}; make the directory writable")]
    State {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The journal was closed, or has failed, under a running broker.
    #[error("the journal has ended while the broker was running; see its fault, then restart")]
    JournalEnded,
    /// The journal cannot be read.
    #[error("cannot read the journal: {0}")]
    Journal(#[from] journal::JournalError),
    /// The journal takes nothing in.
    #[error("cannot store the message: {0}")]
    Append(#[from] journal::AppendError),
}

impl BrokerError {
    fn router(source: rumqttd::local::LinkError) -> BrokerError {
        BrokerError::Router(Box::new(source))
    }
}
