//! What the chain adds up to: which packages are kept, which of them amend which, what is on hold. A pure
//! function of its lines; opening and verification share it.

use std::collections::{BTreeMap, BTreeSet};

use domain::{CameraKey, Check, EvidenceId, UtcMillis, camera::Retention};

use super::chain::{Entry, Event};

/// A package that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// The line that put it in.
    pub(super) seq: u64,
    /// The first package of its family: itself, unless it amends another.
    pub(super) root: EvidenceId,
    pub(super) amends: Option<EvidenceId>,
    pub(super) camera: CameraKey,
    pub(super) check: Check,
    pub(super) seen_at: UtcMillis,
    pub(super) created_at: UtcMillis,
    pub(super) retention: Retention,
    pub(super) bytes: u64,
}

impl Kept {
    /// Whether its time is over.
    pub(super) fn is_expired(&self, now: UtcMillis) -> bool {
        let kept_for = i64::try_from(self.retention.duration().as_millis()).unwrap_or(i64::MAX);
        self.created_at.plus_ms(kept_for) <= now
    }
}

/// The state after some lines.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    kept: BTreeMap<EvidenceId, Kept>,
    /// The kept packages in the order in which they were put in.
    order: BTreeMap<u64, EvidenceId>,
    /// The first package of every family that is on hold.
    held: BTreeSet<EvidenceId>,
    lines: u64,
    removed: u64,
    mended: u64,
}

impl Ledger {
    /// Takes the next line.
    ///
    /// # Errors
    /// In words, when it cannot follow from what was before; it is not taken then.
    pub(super) fn apply(&mut self, entry: &Entry) -> Result<(), &'static str> {
        match &entry.event {
            Event::Opened { .. } if entry.seq != 1 => return Err("the archive is made a second time"),
            Event::Opened { .. } | Event::Cut { .. } => {}
            Event::Put { .. } => self.put(entry)?,
            Event::Removed { id, .. } => self.remove(id)?,
            Event::Held { id, .. } => {
                let root = self.root(id).ok_or("what is not kept is put on hold")?;
                self.held.insert(root);
            }
            Event::Released { id, .. } => {
                let root = self.root(id).ok_or("what is not kept is released")?;
                if !self.held.remove(&root) {
                    return Err("what is not on hold is released");
                }
            }
            Event::Viewed { id, .. } => {
                self.root(id).ok_or("what is not kept is looked at")?;
            }
            Event::Mended { .. } => self.mended += 1,
        }
        self.lines += 1;
        Ok(())
    }

    fn put(&mut self, entry: &Entry) -> Result<(), &'static str> {
        let Event::Put {
            id,
            amends,
            camera,
            check,
            seen_at,
            retention,
            bytes,
        } = &entry.event
        else {
            return Ok(());
        };
        if self.kept.contains_key(id) {
            return Err("the same package is put in twice");
        }
        let root = match amends {
            None => *id,
            Some(base) => self.root(base).ok_or("what is not kept is amended")?,
        };
        let kept = Kept {
            seq: entry.seq,
            root,
            amends: *amends,
            camera: camera.clone(),
            check: *check,
            seen_at: *seen_at,
            created_at: entry.at,
            retention: *retention,
            bytes: *bytes,
        };
        self.order.insert(entry.seq, *id);
        self.kept.insert(*id, kept);
        Ok(())
    }

    fn remove(&mut self, id: &EvidenceId) -> Result<(), &'static str> {
        let kept = self.kept.get(id).ok_or("what is not kept is removed")?;
        if self.held.contains(&kept.root) {
            return Err("what is on hold is removed");
        }
        self.order.remove(&kept.seq);
        self.kept.remove(id);
        self.removed += 1;
        Ok(())
    }

    fn root(&self, id: &EvidenceId) -> Option<EvidenceId> {
        self.kept.get(id).map(|kept| kept.root)
    }

    pub(super) fn get(&self, id: &EvidenceId) -> Option<&Kept> {
        self.kept.get(id)
    }

    pub(super) fn is_held(&self, kept: &Kept) -> bool {
        self.held.contains(&kept.root)
    }

    /// The kept packages, oldest first.
    pub(super) fn packages(&self) -> impl DoubleEndedIterator<Item = (&EvidenceId, &Kept)> {
        self.order.values().filter_map(|id| self.kept.get_key_value(id))
    }

    /// The kept packages of one family, oldest first.
    pub(super) fn family(&self, root: EvidenceId) -> impl Iterator<Item = (&EvidenceId, &Kept)> {
        self.packages().filter(move |(_, kept)| kept.root == root)
    }

    pub(super) fn held(&self) -> usize {
        self.packages().filter(|(_, kept)| self.is_held(kept)).count()
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    pub(super) fn removed(&self) -> u64 {
        self.removed
    }

    /// How often something was mended that a crash does not break.
    pub(super) fn mended(&self) -> u64 {
        self.mended
    }
}
