//! Which client identifiers are taken, by whom, and which sessions wait for their client.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{IdentityName, UtcMillis, status::RefusalReason};
use tokio::sync::{mpsc, oneshot};

use crate::{
    identities::Member,
    session::{Session, Will},
    state::SavedSession,
    subscriber::Subscriber,
};

/// Why a connection is told to end.
#[derive(Debug)]
pub(crate) enum Kick {
    /// The same client came on another connection, which wants the session.
    Takeover(oneshot::Sender<Option<Box<Session>>>),
    /// The identity may no longer be here.
    Revoked,
    /// The broker stops.
    Shutdown,
}

struct Live {
    serial: u64,
    member: Arc<Member>,
    kick: mpsc::Sender<Kick>,
    /// The session, once it is there, if it is to outlive the connection, and for how many milliseconds.
    keeps: Option<(Arc<Subscriber>, i64)>,
}

/// A session whose client is away.
pub(crate) struct Parked {
    pub(crate) session: Box<Session>,
    pub(crate) expires_at: UtcMillis,
    /// The will and when it is due.
    pub(crate) will: Option<(Will, UtcMillis)>,
}

enum Slot {
    Live(Live),
    Parked(Parked),
}

/// What a client identifier stood for before it was claimed.
pub(crate) enum Previous {
    Nothing,
    Live(mpsc::Sender<Kick>),
    Parked(Parked),
}

#[derive(Default)]
struct State {
    slots: HashMap<String, Slot>,
    /// Live connections per identity.
    seats: HashMap<IdentityName, usize>,
}

pub(crate) struct Registry {
    state: Mutex<State>,
    max_per_identity: usize,
    max_parked: usize,
}

/// What did not stay when a claim ended.
#[derive(Default)]
pub(crate) struct Released {
    /// The session that was to be parked: another connection holds the identifier, and asks for it.
    pub(crate) claimed: Option<Parked>,
    /// A session that had to make room.
    pub(crate) evicted: Option<Parked>,
}

/// What the sweep found to do.
#[derive(Default)]
pub(crate) struct Due {
    pub(crate) wills: Vec<(Arc<Member>, String, Will)>,
    pub(crate) ended: Vec<Parked>,
    /// Identities whose time is over, once per live connection.
    pub(crate) barred: Vec<(IdentityName, RefusalReason)>,
}

impl Registry {
    pub(crate) fn new(max_per_identity: usize, max_parked: usize) -> Registry {
        Registry {
            state: Mutex::default(),
            max_per_identity,
            max_parked,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims `client_id` for the connection `serial`. A claim must be ended by [`Registry::release`].
    pub(crate) fn claim(
        &self,
        client_id: &str,
        serial: u64,
        member: &Arc<Member>,
        kick: mpsc::Sender<Kick>,
    ) -> Result<Previous, RefusalReason> {
        let mut state = self.lock();
        let name = &member.identity.name;
        let replaces = match state.slots.get(client_id) {
            Some(Slot::Live(Live { member: holder, .. })) if holder.identity.name == *name => true,
            Some(Slot::Parked(parked)) if parked.session.member.identity.name == *name => false,
            None => false,
            Some(_) => return Err(RefusalReason::ClientIdTaken),
        };
        let seats = state.seats.entry(name.clone()).or_default();
        // A client that reconnects before its old connection is seen to be dead must not lock itself out.
        if *seats >= self.max_per_identity + usize::from(replaces) {
            return Err(RefusalReason::TooManyConnections);
        }
        *seats += 1;
        let live = Slot::Live(Live {
            serial,
            member: member.clone(),
            kick,
            keeps: None,
        });
        Ok(match state.slots.insert(client_id.to_owned(), live) {
            None => Previous::Nothing,
            Some(Slot::Live(old)) => Previous::Live(old.kick),
            Some(Slot::Parked(parked)) => Previous::Parked(parked),
        })
    }

    /// Ends a claim: parks the session, or frees the identifier. Nothing but the seat is given up when another
    /// connection has taken the identifier over in the meantime. The session is returned then.
    pub(crate) fn release(
        &self,
        client_id: &str,
        serial: u64,
        name: &IdentityName,
        park: Option<Parked>,
    ) -> Released {
        let mut state = self.lock();
        if let Entry::Occupied(mut seats) = state.seats.entry(name.clone()) {
            *seats.get_mut() -= 1;
            if *seats.get() == 0 {
                seats.remove();
            }
        }
        let mut released = Released::default();
        let mine = matches!(state.slots.get(client_id), Some(Slot::Live(live)) if live.serial == serial);
        match (mine, park) {
            (true, Some(parked)) => {
                state.slots.insert(client_id.to_owned(), Slot::Parked(parked));
                released.evicted = evict(&mut state.slots, self.max_parked);
            }
            (true, None) => {
                state.slots.remove(client_id);
            }
            (false, parked) => released.claimed = parked,
        }
        released
    }

    /// Puts back a session from disk.
    pub(crate) fn restore(&self, client_id: String, parked: Parked) {
        self.lock().slots.insert(client_id, Slot::Parked(parked));
    }

    /// Ends every connection of `name` and drops its parked sessions, which are returned.
    pub(crate) fn revoke(&self, name: &IdentityName) -> Vec<Parked> {
        let mut state = self.lock();
        let mut gone = Vec::new();
        let of_name = |slot: &Slot| match slot {
            Slot::Live(live) => live.member.identity.name == *name,
            Slot::Parked(parked) => parked.session.member.identity.name == *name,
        };
        let ids: Vec<String> = state
            .slots
            .iter()
            .filter(|(_, s)| of_name(s))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            if let Some(Slot::Live(live)) = state.slots.get(&id) {
                tell(&live.kick, Kick::Revoked);
            } else if let Some(Slot::Parked(parked)) = state.slots.remove(&id) {
                gone.push(parked);
            }
        }
        gone
    }

    /// Tells every connection that the broker stops.
    pub(crate) fn shut_down(&self) {
        for slot in self.lock().slots.values() {
            if let Slot::Live(live) = slot {
                tell(&live.kick, Kick::Shutdown);
            }
        }
    }

    /// Finds wills that are due, sessions that have expired, and live identities whose time is over.
    pub(crate) fn sweep(&self, now: UtcMillis) -> Due {
        let mut state = self.lock();
        let mut due = Due::default();
        let mut expired = Vec::new();
        for (id, slot) in &mut state.slots {
            match slot {
                Slot::Live(live) => {
                    if let Some(reason) = live.member.barred(now) {
                        tell(&live.kick, Kick::Revoked);
                        due.barred.push((live.member.identity.name.clone(), reason));
                    }
                }
                Slot::Parked(parked) => {
                    let over = parked.expires_at <= now;
                    if let Some((will, _)) = parked.will.take_if(|(_, at)| over || *at <= now) {
                        due.wills.push((parked.session.member.clone(), id.clone(), will));
                    }
                    if over || parked.session.member.barred(now).is_some() {
                        expired.push(id.clone());
                    }
                }
            }
        }
        for id in expired {
            if let Some(Slot::Parked(parked)) = state.slots.remove(&id) {
                due.ended.push(parked);
            }
        }
        due
    }

    /// Notes that the session of the connection `serial` is to outlive it by `expiry_ms`.
    pub(crate) fn attach(&self, client_id: &str, serial: u64, subscriber: &Arc<Subscriber>, expiry_ms: i64) {
        if let Some(Slot::Live(live)) = self.lock().slots.get_mut(client_id)
            && live.serial == serial
        {
            live.keeps = Some((subscriber.clone(), expiry_ms));
        }
    }

    /// Every session that outlives its connection, as it is to stand on disk. `delivered` is where one goes on that
    /// misses nothing.
    pub(crate) fn saved(&self, delivered: u64, now: UtcMillis) -> Vec<SavedSession> {
        let state = self.lock();
        let save = |(client_id, slot): (&String, &Slot)| {
            let (subscriber, member, expires_at) = match slot {
                Slot::Live(live) => {
                    let (subscriber, expiry_ms) = live.keeps.as_ref()?;
                    (subscriber, &live.member, now.plus_ms(*expiry_ms))
                }
                Slot::Parked(parked) => (
                    &parked.session.subscriber,
                    &parked.session.member,
                    parked.expires_at,
                ),
            };
            Some(SavedSession {
                client_id: client_id.clone(),
                identity: member.identity.name.as_str().to_owned(),
                expires_at,
                resume: subscriber.oldest().unwrap_or(delivered).min(delivered),
                subscriptions: subscriber.subscriptions(),
            })
        };
        state.slots.iter().filter_map(save).collect()
    }

    /// Live connections and all sessions.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (
            state
                .slots
                .values()
                .filter(|s| matches!(s, Slot::Live(_)))
                .count(),
            state.slots.len(),
        )
    }
}

/// A full channel already holds a reason to end.
pub(crate) fn tell(kick: &mpsc::Sender<Kick>, why: Kick) {
    if let Err(e) = kick.try_send(why) {
        tracing::debug!(error = %e, "A connection was already ending.");
    }
}

/// Removes the parked session that expires first while there are too many.
fn evict(slots: &mut HashMap<String, Slot>, max_parked: usize) -> Option<Parked> {
    if slots.len() <= max_parked {
        return None;
    }
    let parked = slots.iter().filter_map(|(id, s)| match s {
        Slot::Parked(p) => Some((p.expires_at, id)),
        Slot::Live(_) => None,
    });
    let (count, first) = parked.fold(
        (0, None),
        |(n, first): (usize, Option<(UtcMillis, &String)>), next| {
            (n + 1, Some(first.map_or(next, |f| f.min(next))))
        },
    );
    let id = first.filter(|_| count > max_parked)?.1.clone();
    match slots.remove(&id) {
        Some(Slot::Parked(parked)) => Some(parked),
        _ => None,
    }
}
