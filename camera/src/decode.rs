//! From encoded frames to pictures, on a bounded number of threads.
//!
//! Each camera has a short queue of its own and is on one thread at a time. Where nobody has time for a frame it
//! is replaced by the newest one and counted. A decoder that fails or panics is thrown away; the next one begins
//! at the next key frame.

mod codec;
mod error;
mod ffmpeg;
mod picture;
mod seat;

pub(crate) use codec::{FullDecoder, FullPicture};
pub use error::DecodeError;
pub(crate) use picture::{fitting, resize_rgb};

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use domain::{Polygon, camera::Decoding};

use crate::stream::{EncodedFrame, Frame, StreamInfo};
use seat::Seat;

/// How pictures are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Threads, at least 1. Default: the machine's cores less one.
    pub threads: usize,
    /// The widest picture that comes out, in pixels. Wider ones are scaled down, narrower ones stay. Default 640.
    pub max_width: u32,
    /// What is taken at all.
    pub limits: PictureLimits,
    /// The `ffmpeg` program, for cameras that are decoded by it. Default: `ffmpeg` on the path.
    pub ffmpeg: PathBuf,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        DecodeOptions {
            threads: cores.saturating_sub(1).max(1),
            max_width: 640,
            limits: PictureLimits::default(),
            ffmpeg: PathBuf::from("ffmpeg"),
        }
    }
}

/// What is taken at all. A picture beyond it is refused before memory is given to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureLimits {
    /// Bytes of one encoded picture. Default 8 MiB.
    pub max_bytes: usize,
    /// Pixels of width, and of height. Default 4,096.
    pub max_side: u32,
}

impl Default for PictureLimits {
    fn default() -> Self {
        PictureLimits {
            max_bytes: 8 << 20,
            max_side: 4_096,
        }
    }
}

impl PictureLimits {
    pub(crate) fn check_bytes(&self, bytes: usize) -> Result<(), DecodeError> {
        if bytes > self.max_bytes {
            return Err(DecodeError::TooHeavy {
                bytes,
                limit: self.max_bytes,
            });
        }
        Ok(())
    }

    pub(crate) fn check_size(&self, width: u32, height: u32) -> Result<(), DecodeError> {
        if width.max(height) > self.max_side {
            return Err(DecodeError::TooLarge {
                width,
                height,
                limit: self.max_side,
            });
        }
        Ok(())
    }
}

/// What became of a camera's frames, since it was attached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecodeCounts {
    /// Pictures handed on.
    pub decoded: u64,
    /// Frames that nobody had time for, or that could not be decoded for want of one before them. Frames that
    /// key-frame decoding never looks at are not among them.
    pub skipped: u64,
    /// Frames at which a decoder failed.
    pub failed: u64,
    /// Why the last of them failed.
    pub last_error: Option<DecodeError>,
}

/// Threads that decode for all cameras. Dropping it ends them without waiting.
#[derive(Debug)]
pub struct DecodePool {
    shared: Arc<Shared>,
    /// Behind a lock only so that the pool can be shared.
    ended: Mutex<mpsc::Receiver<()>>,
    threads: usize,
}

#[derive(Debug)]
struct Shared {
    options: DecodeOptions,
    ready: Mutex<Ready>,
    wake: Condvar,
}

/// Cameras with work, each at most once: as long as there are cameras.
#[derive(Debug, Default)]
struct Ready {
    seats: VecDeque<Arc<Seat>>,
    stopping: bool,
}

impl Shared {
    fn enter(&self, seat: Arc<Seat>) {
        self.lock().seats.push_back(seat);
        self.wake.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next camera with work; waits for one. `None` when the pool stops.
    fn next(&self) -> Option<Arc<Seat>> {
        let mut ready = self.lock();
        loop {
            if ready.stopping {
                return None;
            }
            if let Some(seat) = ready.seats.pop_front() {
                return Some(seat);
            }
            ready = self.wake.wait(ready).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn stop(&self) {
        let mut ready = self.lock();
        ready.stopping = true;
        ready.seats.clear();
        self.wake.notify_all();
    }
}

impl DecodePool {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`DecodeError::Threads`] when the system gives none.
    pub fn start(options: DecodeOptions) -> Result<DecodePool, DecodeError> {
        let threads = options.threads.max(1);
        let shared = Arc::new(Shared {
            options,
            ready: Mutex::default(),
            wake: Condvar::new(),
        });
        let (tell_end, ended) = mpsc::sync_channel(threads);
        let pool = DecodePool {
            shared,
            ended: Mutex::new(ended),
            threads,
        };
        for index in 0..threads {
            let (shared, tell_end) = (pool.shared.clone(), tell_end.clone());
            thread::Builder::new()
                .name(format!("decode-{index}"))
                .spawn(move || {
                    work(&shared);
                    // Nobody listens once the pool is dropped without being stopped.
                    tell_end.send(()).ok();
                })
                .map_err(|error| DecodeError::Threads(error.kind()))?;
        }
        Ok(pool)
    }

    /// Takes on a camera. `on_frame` gets each picture, with `masks` already painted over; it runs on a decoding
    /// thread and holds up other cameras while it does. It may run once more just after the handle is dropped.
    pub fn attach(
        &self,
        decoding: Decoding,
        masks: Vec<Polygon>,
        on_frame: impl Fn(Arc<Frame>) + Send + Sync + 'static,
    ) -> DecodeHandle {
        DecodeHandle {
            shared: self.shared.clone(),
            seat: Arc::new(Seat::new(decoding, masks, Box::new(on_frame))),
        }
    }

    /// Stops: frames that wait are left undecoded, those being decoded are finished. Blocks for at most
    /// `deadline`; returns how many threads had not ended by then.
    pub fn stop(self, deadline: Duration) -> usize {
        self.shared.stop();
        let until = Instant::now() + deadline;
        let told = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = (0..self.threads).take_while(|_| {
            let left = until.saturating_duration_since(Instant::now());
            told.recv_timeout(left).is_ok()
        });
        self.threads - ended.count()
    }
}

impl Drop for DecodePool {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// One decoding thread: a frame of one camera, then of the next.
fn work(shared: &Shared) {
    while let Some(seat) = shared.next() {
        if seat.turn(&shared.options) {
            shared.enter(seat);
        }
    }
}

/// A camera at the pool. Dropping it lets the camera go.
#[derive(Debug)]
pub struct DecodeHandle {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
}

impl DecodeHandle {
    /// Offers a frame of the stream that `info` describes. Never blocks. With key frames only, and for JPEG, the
    /// newest frame replaces one that still waits; with all frames up to [`MAX_WAITING`] wait, and beyond that
    /// all of them are let go and decoding goes on at the next key frame.
    pub fn push(&self, info: &Arc<StreamInfo>, frame: &EncodedFrame) {
        if self.seat.offer(info, frame) {
            self.shared.enter(self.seat.clone());
        }
    }

    /// What became of the frames so far.
    #[must_use]
    pub fn counts(&self) -> DecodeCounts {
        self.seat.counts()
    }
}

impl Drop for DecodeHandle {
    fn drop(&mut self) {
        self.seat.close();
    }
}

/// The most frames of one camera that wait to be decoded when all frames are: half a second's worth.
pub const MAX_WAITING: usize = 8;

#[cfg(test)]
mod tests;
