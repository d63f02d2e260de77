//! What all connections of one broker share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{Clock, status::RefusalReason};
use journal::{AppendError, Envelope, Journal, Kind, Receipt, Writer};
use tokio::time::Instant;

use crate::{
    BrokerError, BrokerOptions, IdentityDirectory,
    fanout::Fanout,
    identities::Member,
    keeper::{self, Keeper},
    message::{Attributes, flags},
    refusals::Refusals,
    registry::{Due, Registry},
    retained::{Applied, Retained},
    session::Will,
    state::{CURSOR, StateDir},
};

/// How long a will or a command waits for a journal that is busy before it is given up.
const APPEND_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Hub {
    pub(crate) options: BrokerOptions,
    pub(crate) identities: IdentityDirectory,
    pub(crate) journal: Journal,
    pub(crate) clock: Clock,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) keeper: Keeper,
    pub(crate) registry: Registry,
    pub(crate) refusals: Refusals,
    pub(crate) serial: AtomicU64,
    /// Sockets that are open, signed in or not.
    pub(crate) sockets: AtomicUsize,
    pub(crate) publishes: AtomicU64,
    /// Messages that a full mailbox had no room for.
    pub(crate) dropped: Arc<AtomicU64>,
}

impl Hub {
    /// The state of the last run is taken from the options' directory.
    pub(crate) fn open(
        options: BrokerOptions,
        identities: IdentityDirectory,
        journal: Journal,
        clock: Clock,
    ) -> Result<Hub, BrokerError> {
        let limits = &options.limits;
        let failed = |source| BrokerError::State {
            dir: options.dir.clone(),
            source,
        };
        let dir = StateDir::open(&options.dir).map_err(failed)?;
        let mut retained = Retained::new(limits.retained_messages, limits.retained_bytes);
        let kept = dir.load_retained().map_err(failed)?;
        let damaged = kept.is_none();
        for message in kept.unwrap_or_default() {
            if retained.apply(message) == Applied::NoRoom {
                tracing::warn!("A retained message of the last run is forgotten: the limits are lower now.");
            }
        }
        let sessions = dir.load_sessions().map_err(failed)?.unwrap_or_default();
        let cursor = journal.cursor(CURSOR)?;
        let position = if damaged { journal.start() } else { cursor }.0;
        let hub = Hub {
            fanout: Arc::new(Fanout::new(retained, position, journal.durable().0)),
            keeper: Keeper::new(dir, position, damaged),
            registry: Registry::new(limits.connections_per_identity, limits.parked_sessions),
            refusals: Refusals::new(clock.clone()),
            serial: AtomicU64::new(1),
            sockets: AtomicUsize::new(0),
            publishes: AtomicU64::new(0),
            dropped: Arc::default(),
            options,
            identities,
            journal,
            clock,
        };
        keeper::restore(&hub, sessions);
        Ok(hub)
    }

    pub(crate) fn refuse(&self, member: Option<&Member>, reason: RefusalReason, detail: &str) {
        self.refusals
            .record(member.map(|m| &m.identity.name), reason, detail);
    }

    /// Appends a message that does not come from a connection. A busy journal is asked again for a while.
    async fn append(
        &self,
        writer: &mut Writer,
        source: &str,
        client_id: &str,
        will: &Will,
    ) -> Result<Receipt, AppendError> {
        let mut attributes = Vec::new();
        Attributes {
            client_id,
            expiry_s: will.expiry_s,
            properties: &will.properties,
        }
        .encode(&mut attributes);
        let envelope = Envelope {
            kind: Kind::MESSAGE,
            flags: flags(will.qos, will.retain),
            source,
            subject: &will.topic,
            attributes: &attributes,
            body: &will.payload,
        };
        let give_up = Instant::now() + APPEND_PATIENCE;
        loop {
            match self.fanout.append(writer, &envelope, will.retain) {
                Err(AppendError::Busy | AppendError::Full) if Instant::now() < give_up => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Publishes from inside, and waits until the message is durable.
    pub(crate) async fn publish(&self, source: &str, message: &Will) -> Result<(), AppendError> {
        let mut writer = self.journal.writer();
        let receipt = self.append(&mut writer, source, "", message).await?;
        while !writer.is_durable(receipt)? {
            writer.progress().await;
        }
        self.publishes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Publishes the will of a client that disappeared, if its identity may still say that.
    pub(crate) async fn publish_will(&self, member: &Member, client_id: &str, will: &Will) {
        if !member.grant.may_publish(&will.topic) {
            self.refuse(Some(member), RefusalReason::WillDenied, &will.topic);
            return;
        }
        self.publishes.fetch_add(1, Ordering::Relaxed);
        let mut writer = self.journal.writer();
        if let Err(e) = self
            .append(&mut writer, member.identity.name.as_str(), client_id, will)
            .await
        {
            tracing::warn!(error = %e, identity.name = %member.identity.name, "A will could not be stored.");
        }
    }

    /// One round of what time brings: expired sessions, identities whose time is over. Returns the wills that are due.
    pub(crate) fn sweep(&self) -> Vec<(Arc<Member>, String, Will)> {
        let now = self.clock.now();
        let Due { wills, ended, barred } = self.registry.sweep(now);
        for (name, reason) in barred {
            self.refusals
                .record(Some(&name), reason, "the live session was ended");
        }
        if !ended.is_empty() {
            self.keeper.touch();
        }
        drop(ended);
        wills
    }

    /// Publishes wills, one after the other: each may wait for the journal.
    pub(crate) async fn publish_wills(self: Arc<Self>, wills: Vec<(Arc<Member>, String, Will)>) {
        for (member, client_id, will) in wills {
            if member.barred(self.clock.now()).is_none() {
                self.publish_will(&member, &client_id, &will).await;
            }
        }
    }
}
