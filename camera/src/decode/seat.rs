//! One camera at the pool: what waits, and the decoder that moves with it from thread to thread.

use std::{
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{Polygon, camera::Decoding};

use super::{
    DecodeCounts, DecodeError, DecodeOptions, MAX_WAITING,
    codec::{VideoDecoder, decoder_for},
};
use crate::{
    mask,
    stream::{Codec, EncodedFrame, Frame, StreamInfo},
};

type OnFrame = Box<dyn Fn(Arc<Frame>) + Send + Sync>;

pub(super) struct Seat {
    decoding: Decoding,
    masks: Vec<Polygon>,
    on_frame: OnFrame,
    inbox: Mutex<Inbox>,
    bench: Mutex<Bench>,
    counts: Mutex<DecodeCounts>,
}

/// What waits.
#[derive(Default)]
struct Inbox {
    waiting: VecDeque<(Arc<StreamInfo>, EncodedFrame)>,
    /// Whether the camera stands in the pool's queue or is on a thread.
    at_work: bool,
    /// Whether frames are let go until the next key frame.
    need_key: bool,
    closed: bool,
}

/// What decodes.
#[derive(Default)]
struct Bench {
    decoder: Option<Box<dyn VideoDecoder>>,
    info: Option<Arc<StreamInfo>>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat")
            .field("decoding", &self.decoding)
            .finish_non_exhaustive()
    }
}

/// A panic while one of these was held left nothing half done that the next turn would trip over: what decodes
/// is thrown away after a panic, and the rest is counters and a queue.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seat {
    pub(super) fn new(decoding: Decoding, masks: Vec<Polygon>, on_frame: OnFrame) -> Seat {
        Seat {
            decoding,
            masks,
            on_frame,
            inbox: Mutex::default(),
            bench: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    pub(super) fn counts(&self) -> DecodeCounts {
        lock(&self.counts).clone()
    }

    #[cfg(test)]
    pub(super) fn is_at_work(&self) -> bool {
        lock(&self.inbox).at_work
    }

    pub(super) fn close(&self) {
        let mut inbox = lock(&self.inbox);
        inbox.closed = true;
        inbox.waiting.clear();
    }

    /// Takes a frame; whether the camera must now enter the pool's queue.
    pub(super) fn offer(&self, info: &Arc<StreamInfo>, frame: &EncodedFrame) -> bool {
        let every_frame = info.codec != Codec::Jpeg && self.decoding != Decoding::KeyFrames;
        if !every_frame && !frame.key {
            return false;
        }
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            return false;
        }
        let skipped = if every_frame {
            inbox.take_in_order(info, frame)
        } else {
            inbox.take_newest(info, frame)
        };
        lock(&self.counts).skipped += skipped;
        let enters = !inbox.at_work && !inbox.waiting.is_empty();
        inbox.at_work |= enters;
        enters
    }

    /// Decodes the frame that waits longest; whether another one waits.
    pub(super) fn turn(&self, options: &DecodeOptions) -> bool {
        let next = lock(&self.inbox).waiting.pop_front();
        if let Some((info, frame)) = next {
            self.decode(&info, &frame, options);
        }
        let mut inbox = lock(&self.inbox);
        inbox.at_work = !inbox.waiting.is_empty();
        inbox.at_work
    }

    fn decode(&self, info: &Arc<StreamInfo>, frame: &EncodedFrame, options: &DecodeOptions) {
        let mut bench = lock(&self.bench);
        if !bench.info.as_ref().is_some_and(|known| Arc::ptr_eq(known, info)) {
            bench.decoder = None;
        }
        if bench.decoder.is_none() && !frame.key {
            lock(&self.counts).skipped += 1;
            return;
        }
        // The decoder is out of its place meanwhile: after a panic it is gone.
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| self.run(&mut bench, info, frame, options)));
        match outcome.unwrap_or(Err(DecodeError::Panicked(info.codec))) {
            Ok(()) => {}
            Err(error) => self.failed(error),
        }
    }

    fn run(
        &self,
        bench: &mut Bench,
        info: &Arc<StreamInfo>,
        frame: &EncodedFrame,
        options: &DecodeOptions,
    ) -> Result<(), DecodeError> {
        options.limits.check_bytes(frame.data.len())?;
        let mut decoder = match bench.decoder.take() {
            Some(decoder) => decoder,
            None => decoder_for(info, self.decoding, options)?,
        };
        decoder.decode(frame, &mut |mut picture| {
            mask::hide(&mut picture, &self.masks);
            lock(&self.counts).decoded += 1;
            (self.on_frame)(Arc::new(picture));
        })?;
        bench.decoder = Some(decoder);
        bench.info = Some(info.clone());
        Ok(())
    }

    fn failed(&self, error: DecodeError) {
        tracing::debug!(error = %error, "A picture could not be decoded; decoding goes on at the next key frame");
        let mut counts = lock(&self.counts);
        counts.failed += 1;
        counts.last_error = Some(error);
    }
}

impl Inbox {
    /// The newest frame replaces the one that waits; how many were let go.
    fn take_newest(&mut self, info: &Arc<StreamInfo>, frame: &EncodedFrame) -> u64 {
        let replaced = self.waiting.len();
        self.waiting.clear();
        self.waiting.push_back((info.clone(), frame.clone()));
        replaced as u64
    }

    /// Every frame, in order, since each needs the one before it; how many were let go.
    fn take_in_order(&mut self, info: &Arc<StreamInfo>, frame: &EncodedFrame) -> u64 {
        let mut let_go = 0;
        if frame.key {
            self.need_key = false;
        } else if frame.lost > 0 {
            self.need_key = true;
        }
        if self.waiting.len() >= MAX_WAITING {
            let_go += self.waiting.len() as u64;
            self.waiting.clear();
            self.need_key = !frame.key;
        }
        if self.need_key {
            return let_go + 1;
        }
        self.waiting.push_back((info.clone(), frame.clone()));
        let_go
    }
}
