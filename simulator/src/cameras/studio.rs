//! One camera at work: draws and encodes while somebody watches, and rests while nobody does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use domain::{Clock, UtcMillis};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast},
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::cameras::{
    encoder::{AccessUnit, Coder, EncodeError, FRAMES_PER_SECOND},
    rtp::Taken,
    scene::Scene,
    script::CameraScript,
};

/// The most clients of one camera, as cameras have it. A further one is refused.
pub(crate) const MAX_CLIENTS: usize = 8;

/// Pictures kept for a client that is slow: two seconds. A slower one is dropped.
const KEPT: usize = 2 * FRAMES_PER_SECOND as usize;

/// A picture on its way to the clients.
#[derive(Debug)]
pub(crate) struct Shot {
    pub(crate) picture: AccessUnit,
    pub(crate) taken: Taken,
}

/// Where clients get one camera's pictures.
#[derive(Debug, Clone)]
pub(crate) struct Gallery {
    seats: Arc<Semaphore>,
    /// Somebody came.
    came: Arc<Notify>,
    /// Somebody came for whom no key frame was made yet.
    newcomer: Arc<AtomicBool>,
    shots: broadcast::Sender<Arc<Shot>>,
}

/// One client's place; it ends with its owner.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) shots: broadcast::Receiver<Arc<Shot>>,
    _permit: OwnedSemaphorePermit,
}

impl Gallery {
    pub(crate) fn new() -> Gallery {
        Gallery {
            seats: Arc::new(Semaphore::new(MAX_CLIENTS)),
            came: Arc::new(Notify::new()),
            newcomer: Arc::new(AtomicBool::new(false)),
            shots: broadcast::channel(KEPT).0,
        }
    }

    /// A place for one client, who gets a key frame next; `None` when there are [`MAX_CLIENTS`].
    pub(crate) fn sit_down(&self) -> Option<Seat> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        let shots = self.shots.subscribe();
        self.newcomer.store(true, Ordering::Release);
        self.came.notify_one();
        Some(Seat {
            shots,
            _permit: permit,
        })
    }

    /// Shows a picture to everybody.
    pub(crate) fn show(&self, shot: Arc<Shot>) {
        if self.shots.send(shot).is_err() {
            tracing::trace!("The last client of a simulated camera left while its picture was drawn.");
        }
    }

    fn is_empty(&self) -> bool {
        self.seats.available_permits() == MAX_CLIENTS
    }
}

/// One camera.
#[derive(Debug)]
pub(crate) struct Studio {
    pub(crate) script: CameraScript,
    /// When the script began.
    pub(crate) start: UtcMillis,
    pub(crate) clock: Clock,
    pub(crate) gallery: Gallery,
}

/// What takes the pictures.
struct Equipment {
    scene: Scene,
    coder: Coder,
}

impl Equipment {
    fn shoot(&mut self, now: UtcMillis, wants_key: bool) -> Result<AccessUnit, EncodeError> {
        if wants_key {
            self.coder.request_key_frame();
        }
        self.coder.encode(self.scene.picture(now))
    }
}

impl Studio {
    /// Takes pictures until `stop`. Drawing and encoding happen on the runtime's threads for blocking work, one
    /// picture at a time.
    ///
    /// # Errors
    /// When a picture cannot be encoded, or drawing panics: defects of the simulator.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut equipment = None;
        let begun = Instant::now();
        let mut pace = interval(Duration::from_secs(1) / FRAMES_PER_SECOND);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wait = async {
                while self.gallery.is_empty() {
                    self.gallery.came.notified().await;
                }
                pace.tick().await;
            };
            if stop.run_until_cancelled(wait).await.is_none() {
                return Ok(());
            }
            let (script, start, now) = (self.script, self.start, self.clock.now());
            let rtp = stream_time(begun.elapsed());
            let wants_key = self.gallery.newcomer.swap(false, Ordering::AcqRel);
            let used: Option<Equipment> = equipment.take();
            let work = spawn_blocking(move || -> Result<_, EncodeError> {
                let mut equipment = match used {
                    Some(equipment) => equipment,
                    None => Equipment {
                        scene: Scene::new(script, start),
                        coder: Coder::new()?,
                    },
                };
                let picture = equipment.shoot(now, wants_key)?;
                Ok((equipment, picture))
            });
            let (used, picture) = work.await.context("a simulated camera could not draw")??;
            equipment = Some(used);
            let taken = Taken { at: now, rtp };
            self.gallery.show(Arc::new(Shot { picture, taken }));
        }
    }
}

/// 90,000ths of a second, coming round after 13 hours.
fn stream_time(elapsed: Duration) -> u32 {
    u32::try_from(elapsed.as_millis() * 90 % (1 << 32)).unwrap_or(0)
}
