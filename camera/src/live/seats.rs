//! Who watches, and how many may.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire},
};

use super::{LiveKind, LiveRefused};

/// Live views of all cameras together.
#[derive(Debug)]
pub struct LiveSeats {
    taken: AtomicU32,
    total: u32,
}

impl LiveSeats {
    /// Seats for `total` viewers at once.
    #[must_use]
    pub fn new(total: u32) -> Arc<LiveSeats> {
        Arc::new(LiveSeats {
            taken: AtomicU32::new(0),
            total,
        })
    }

    /// How many are taken now.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Acquire)
    }
}

/// Takes one of `limit`; whether there was one.
fn take(taken: &AtomicU32, limit: u32) -> bool {
    let next = |taken| (taken < limit).then_some(taken + 1);
    taken.fetch_update(AcqRel, Acquire, next).is_ok()
}

/// The viewers of one camera.
#[derive(Debug)]
pub(super) struct Audience {
    all: AtomicU32,
    video: AtomicU32,
    limit: u32,
    seats: Arc<LiveSeats>,
}

impl Audience {
    pub(super) fn new(limit: u32, seats: Arc<LiveSeats>) -> Audience {
        Audience {
            all: AtomicU32::new(0),
            video: AtomicU32::new(0),
            limit,
            seats,
        }
    }

    pub(super) fn all(&self) -> u32 {
        self.all.load(Acquire)
    }

    pub(super) fn video(&self) -> u32 {
        self.video.load(Acquire)
    }

    pub(super) fn pictures(&self) -> u32 {
        self.all().saturating_sub(self.video())
    }

    pub(super) fn sit(self: &Arc<Audience>, kind: LiveKind) -> Result<Seat, LiveRefused> {
        if !take(&self.all, self.limit) {
            return Err(LiveRefused::CameraFull { limit: self.limit });
        }
        if !take(&self.seats.taken, self.seats.total) {
            self.all.fetch_sub(1, AcqRel);
            return Err(LiveRefused::SiteFull {
                limit: self.seats.total,
            });
        }
        let video = kind == LiveKind::Video;
        if video {
            self.video.fetch_add(1, AcqRel);
        }
        Ok(Seat {
            audience: self.clone(),
            video,
        })
    }
}

/// One viewer's seat, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    audience: Arc<Audience>,
    video: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.video {
            self.audience.video.fetch_sub(1, AcqRel);
        }
        self.audience.all.fetch_sub(1, AcqRel);
        self.audience.seats.taken.fetch_sub(1, AcqRel);
    }
}
