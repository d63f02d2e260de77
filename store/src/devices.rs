//! The live book of devices: last seen, last payload, what was rejected and why.
//!
//! It answers an integrator's first question, "did it arrive, and if not, why not?", from memory. After a
//! restart it fills again from the log as far as the log is read.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use domain::{
    Batch, DeviceId, FacilityId, Scope, UtcMillis,
    batch::Presence,
    status::{Reject, RejectReason, Sighting},
};

/// The most devices in the book. Devices beyond it are left out and counted by [`DeviceBook::left_out`].
pub const MAX_DEVICES: usize = 100_000;

/// The most rejects kept per device; the oldest go.
pub const REJECTS_PER_DEVICE: usize = 20;

/// The most rejects kept in all, about 20 MiB; the oldest go, whichever device they belong to.
const REJECTS_IN_ALL: usize = 20_000;

/// The most bytes of a topic or of a reject's words that are kept.
const MAX_TEXT_BYTES: usize = 512;

/// What is known of one device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceStatus {
    /// When the log took in its last message; `None` when only its presence is known.
    pub last_seen: Option<UtcMillis>,
    /// The topic of that message, cut to 512 bytes.
    pub last_topic: String,
    /// The beginning of that message, printable.
    pub last_payload: String,
    /// Messages since start.
    pub messages: u64,
    /// Readings since start.
    pub readings: u64,
    /// Readings since start whose time had to be replaced by the moment of receipt.
    pub doubtful_times: u64,
    /// Whether it is connected, as far as it said: a message after it was found off line means that it is
    /// back. `None` when it never said anything about it.
    pub online: Option<bool>,
    /// Newest last, at most [`REJECTS_PER_DEVICE`].
    pub rejects: Vec<Reject>,
    /// Rejects since start, by reason; reasons that did not occur are absent.
    pub reject_counts: Vec<(RejectReason, u64)>,
}

/// In memory, bounded by the number of devices; filled again from the log after a restart as far as the
/// log reaches. Cheap to clone; all clones are the same book.
#[derive(Clone, Default)]
pub struct DeviceBook(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    facilities: HashMap<FacilityId, HashMap<DeviceId, Entry>, foldhash::fast::RandomState>,
    devices: usize,
    left_out: u64,
    totals: BTreeMap<RejectReason, u64>,
    /// Every kept reject in the order of arrival, and the device that has it.
    kept: BTreeMap<u64, (FacilityId, DeviceId)>,
    next_reject: u64,
}

#[derive(Default)]
struct Entry {
    last_seen: Option<UtcMillis>,
    last_topic: String,
    last_payload: String,
    messages: u64,
    readings: u64,
    doubtful_times: u64,
    presence: Option<(bool, UtcMillis)>,
    rejects: VecDeque<(u64, Reject)>,
    reject_counts: BTreeMap<RejectReason, u64>,
}

impl DeviceBook {
    /// An empty book.
    #[must_use]
    pub fn new() -> DeviceBook {
        DeviceBook::default()
    }

    /// Notes what a batch says about devices.
    pub fn apply(&self, batch: &Batch) {
        let mut book = self.book();
        for sighting in &batch.sightings {
            book.see(sighting);
        }
        for presence in &batch.presence {
            book.note_presence(presence);
        }
        for reject in &batch.rejects {
            book.note_reject(reject);
        }
    }

    /// What is known of a device; `None` when it was not heard or `scope` does not show its facility.
    #[must_use]
    pub fn get(&self, scope: &Scope, facility: &FacilityId, device: &DeviceId) -> Option<DeviceStatus> {
        if !scope.allows(facility) {
            return None;
        }
        self.book()
            .facilities
            .get(facility)?
            .get(device)
            .map(Entry::status)
    }

    /// Readings since start of what stands behind a gateway (`<device>.<name>`), and how many of them had doubtful times.
    #[must_use]
    pub fn readings_behind(&self, scope: &Scope, facility: &FacilityId, device: &DeviceId) -> (u64, u64) {
        if !scope.allows(facility) {
            return (0, 0);
        }
        let is_behind = |name: &DeviceId| {
            let rest = name.as_str().strip_prefix(device.as_str());
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        let book = self.book();
        let devices = book.facilities.get(facility).into_iter().flatten();
        let behind = devices.filter(|(name, _)| is_behind(name));
        behind.fold((0, 0), |(readings, doubtful), (_, entry)| {
            (readings + entry.readings, doubtful + entry.doubtful_times)
        })
    }

    /// Rejects since start: every reason, in the order of [`RejectReason::ALL`].
    #[must_use]
    pub fn reject_totals(&self) -> Vec<(RejectReason, u64)> {
        let book = self.book();
        let count = |reason| book.totals.get(&reason).copied().unwrap_or_default();
        RejectReason::ALL
            .into_iter()
            .map(|reason| (reason, count(reason)))
            .collect()
    }

    /// How often something was not noted because the book holds [`MAX_DEVICES`] others.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.book().left_out
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().expect("nothing panics while it holds the book")
    }
}

impl Book {
    fn entry(&mut self, facility: &FacilityId, device: &DeviceId) -> Option<&mut Entry> {
        let known = self
            .facilities
            .get(facility)
            .is_some_and(|devices| devices.contains_key(device));
        if !known {
            if self.devices >= MAX_DEVICES {
                self.left_out += 1;
                return None;
            }
            self.devices += 1;
        }
        Some(
            self.facilities
                .entry(facility.clone())
                .or_default()
                .entry(device.clone())
                .or_default(),
        )
    }

    fn see(&mut self, sighting: &Sighting) {
        let Some(entry) = self.entry(&sighting.facility, &sighting.device) else {
            return;
        };
        entry.messages += u64::from(sighting.messages);
        entry.readings += u64::from(sighting.readings);
        entry.doubtful_times += u64::from(sighting.doubtful_times);
        if entry.last_seen.is_none_or(|seen| seen <= sighting.received) {
            entry.last_seen = Some(sighting.received);
            entry.last_topic = cut(&sighting.topic);
            entry.last_payload = cut(&sighting.payload);
        }
    }

    fn note_presence(&mut self, presence: &Presence) {
        let Some(entry) = self.entry(&presence.facility, &presence.device) else {
            return;
        };
        if entry.presence.is_none_or(|(_, at)| at <= presence.received) {
            entry.presence = Some((presence.online, presence.received));
        }
    }

    fn note_reject(&mut self, reject: &Reject) {
        *self.totals.entry(reject.reason).or_default() += 1;
        let number = self.next_reject;
        self.next_reject += 1;
        let Some(entry) = self.entry(&reject.facility, &reject.device) else {
            return;
        };
        *entry.reject_counts.entry(reject.reason).or_default() += 1;
        let bounded = Reject {
            topic: cut(&reject.topic),
            detail: cut(&reject.detail),
            excerpt: cut(&reject.excerpt),
            ..reject.clone()
        };
        entry.rejects.push_back((number, bounded));
        let surplus = (entry.rejects.len() > REJECTS_PER_DEVICE)
            .then(|| entry.rejects.pop_front())
            .flatten();
        if let Some((oldest, _)) = surplus {
            self.kept.remove(&oldest);
        }
        self.kept
            .insert(number, (reject.facility.clone(), reject.device.clone()));
        self.forget_oldest_reject();
    }

    fn forget_oldest_reject(&mut self) {
        if self.kept.len() <= REJECTS_IN_ALL {
            return;
        }
        let Some((_, (facility, device))) = self.kept.pop_first() else {
            return;
        };
        // A device's own oldest reject is the oldest of all that it has in `kept`.
        if let Some(entry) = self
            .facilities
            .get_mut(&facility)
            .and_then(|devices| devices.get_mut(&device))
        {
            entry.rejects.pop_front();
        }
    }
}

impl Entry {
    fn status(&self) -> DeviceStatus {
        let heard_after = |at| self.last_seen.is_some_and(|seen| seen > at);
        DeviceStatus {
            last_seen: self.last_seen,
            last_topic: self.last_topic.clone(),
            last_payload: self.last_payload.clone(),
            messages: self.messages,
            readings: self.readings,
            doubtful_times: self.doubtful_times,
            online: self.presence.map(|(online, at)| online || heard_after(at)),
            rejects: self.rejects.iter().map(|(_, reject)| reject.clone()).collect(),
            reject_counts: self
                .reject_counts
                .iter()
                .map(|(reason, count)| (*reason, *count))
                .collect(),
        }
    }
}

/// At most [`MAX_TEXT_BYTES`] of `text`, whole characters.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facility(id: &str) -> FacilityId {
        FacilityId::new(id).unwrap()
    }

    fn device(id: &str) -> DeviceId {
        DeviceId::new(id).unwrap()
    }

    fn sighting(at: i64, payload: &str) -> Sighting {
        Sighting {
            facility: facility("f"),
            device: device("d"),
            received: UtcMillis(at),
            topic: "sk/v1/f/d/up".into(),
            payload: payload.into(),
            messages: 2,
            readings: 3,
            doubtful_times: 1,
        }
    }

    fn reject(of: &str, at: i64, reason: RejectReason) -> Reject {
        Reject {
            facility: facility("f"),
            device: device(of),
            received: UtcMillis(at),
            topic: "厨".repeat(MAX_TEXT_BYTES),
            reason,
            detail: "why".into(),
            excerpt: at.to_string(),
        }
    }

    fn presence(at: i64, online: bool) -> Presence {
        Presence {
            facility: facility("f"),
            device: device("d"),
            online,
            received: UtcMillis(at),
        }
    }

    fn get(book: &DeviceBook, of: &str) -> DeviceStatus {
        book.get(&Scope::everything(), &facility("f"), &device(of))
            .unwrap()
    }

    #[test]
    fn the_book_keeps_what_was_said_last_and_counts_the_rest() {
        let book = DeviceBook::new();
        for (at, payload) in [(5, "new"), (3, "old")] {
            book.apply(&Batch {
                sightings: vec![sighting(at, payload)],
                ..Batch::default()
            });
        }
        let status = get(&book, "d");
        assert_eq!(
            (status.last_seen, status.last_payload.as_str()),
            (Some(UtcMillis(5)), "new")
        );
        assert_eq!(
            (status.messages, status.readings, status.doubtful_times),
            (4, 6, 2)
        );
        assert_eq!(status.online, None);
    }

    #[test]
    fn a_device_is_shown_within_scope_only() {
        let book = DeviceBook::new();
        book.apply(&Batch {
            sightings: vec![sighting(1, "x")],
            ..Batch::default()
        });
        let other = Scope::facilities([facility("g")]);
        assert_eq!(book.get(&other, &facility("f"), &device("d")), None);
        assert!(
            book.get(&Scope::facilities([facility("f")]), &facility("f"), &device("d"))
                .is_some()
        );
        assert_eq!(book.get(&Scope::everything(), &facility("f"), &device("e")), None);
    }

    #[test]
    fn a_message_after_the_will_means_that_the_device_is_back() {
        // (presence, then the last message at, whether it counts as on line)
        let cases = [
            (presence(10, false), 9, Some(false)),
            (presence(10, false), 10, Some(false)),
            (presence(10, false), 11, Some(true)),
            (presence(10, true), 9, Some(true)),
        ];
        for (said, heard, want) in cases {
            let book = DeviceBook::new();
            book.apply(&Batch {
                presence: vec![said.clone()],
                sightings: vec![sighting(heard, "x")],
                ..Batch::default()
            });
            assert_eq!(get(&book, "d").online, want, "{said:?} heard {heard}");
        }
    }

    #[test]
    fn rejects_are_a_ring_per_device_and_counted_in_all() {
        let book = DeviceBook::new();
        let rejects = (0..25).map(|at| reject("d", at, RejectReason::Syntax));
        let more = [reject("e", 99, RejectReason::Unit)];
        book.apply(&Batch {
            rejects: rejects.chain(more).collect(),
            ..Batch::default()
        });
        let status = get(&book, "d");
        let kept: Vec<i64> = status.rejects.iter().map(|r| r.received.0).collect();
        assert_eq!(kept, (5..25).collect::<Vec<_>>());
        assert!(status.rejects[0].topic.len() <= MAX_TEXT_BYTES);
        assert_eq!(status.reject_counts, [(RejectReason::Syntax, 25)]);
        let totals: Vec<_> = book.reject_totals().into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(totals, [(RejectReason::Syntax, 25), (RejectReason::Unit, 1)]);
        assert_eq!(book.reject_totals().len(), RejectReason::ALL.len());
    }

    #[test]
    fn rejects_of_all_devices_together_are_bounded_and_the_oldest_go() {
        let book = DeviceBook::new();
        for n in 0..=REJECTS_IN_ALL {
            let of = if n == 0 {
                "first".to_owned()
            } else {
                format!("d{}", n % 2_000)
            };
            let rejects = vec![reject(&of, n as i64, RejectReason::Shape)];
            book.apply(&Batch {
                rejects,
                ..Batch::default()
            });
        }
        assert_eq!(book.book().kept.len(), REJECTS_IN_ALL);
        let first = get(&book, "first");
        assert!(first.rejects.is_empty());
        assert_eq!(first.reject_counts, [(RejectReason::Shape, 1)]);
    }

    #[test]
    fn a_full_book_leaves_new_devices_out_and_says_so() {
        let book = DeviceBook::new();
        book.apply(&Batch {
            sightings: vec![sighting(1, "x")],
            ..Batch::default()
        });
        book.book().devices = MAX_DEVICES;
        let rejects = vec![reject("new", 1, RejectReason::Syntax)];
        book.apply(&Batch {
            rejects,
            sightings: vec![sighting(2, "y")],
            ..Batch::default()
        });
        assert_eq!(get(&book, "d").last_payload, "y");
        assert_eq!(
            book.get(&Scope::everything(), &facility("f"), &device("new")),
            None
        );
        assert_eq!(book.left_out(), 1);
        assert_eq!(book.reject_totals()[1], (RejectReason::Syntax, 1));
    }
}
