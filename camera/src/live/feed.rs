//! What one viewer gets.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{Init, seats::Seat};

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveItem {
    /// The stream changed: what a browser needs before the fragments that follow.
    Init {
        /// As in [`LiveFeed::mime`].
        mime: String,
        /// As in [`LiveFeed::init`].
        init: Bytes,
    },
    /// One frame of video.
    Fragment {
        /// Whether it can be shown without those before it.
        key: bool,
        /// The fragment.
        data: Bytes,
    },
    /// One picture.
    Jpeg(Bytes),
}

/// A fragment on its way to all viewers, with what must have gone before it.
#[derive(Debug, Clone)]
pub(super) struct Cast {
    pub(super) init: Arc<Init>,
    pub(super) key: bool,
    pub(super) data: Bytes,
}

#[derive(Debug)]
pub(super) enum Source {
    Video(Receiver<Cast>),
    Pictures(Receiver<Bytes>),
}

/// What one viewer gets: first `init` and `gop`, then one [`next`](LiveFeed::next) after another. Dropping it
/// gives the seat back.
#[derive(Debug)]
pub struct LiveFeed {
    /// `video/mp4; codecs="…"`, or `image/jpeg`.
    pub mime: String,
    /// What a browser needs before the first fragment; empty for pictures.
    pub init: Bytes,
    /// Fragments from the last key frame on, so that a picture shows at once; empty for pictures.
    pub gop: Vec<Bytes>,
    source: Source,
    known: Option<Arc<Init>>,
    /// Whether fragments are left out until the next key frame.
    need_key: bool,
    /// A fragment that waits for its beginning to be taken.
    pending: Option<LiveItem>,
    skipped: u64,
    _seat: Seat,
}

impl LiveFeed {
    pub(super) fn of_video(source: Source, seat: Seat, init: Arc<Init>, gop: Vec<Bytes>) -> LiveFeed {
        LiveFeed {
            mime: init.mime.clone(),
            init: init.segment.clone(),
            need_key: gop.is_empty(),
            gop,
            source,
            known: Some(init),
            pending: None,
            skipped: 0,
            _seat: seat,
        }
    }

    pub(super) fn of_pictures(source: Source, seat: Seat) -> LiveFeed {
        LiveFeed {
            mime: "image/jpeg".to_owned(),
            init: Bytes::new(),
            gop: Vec::new(),
            source,
            known: None,
            need_key: false,
            pending: None,
            skipped: 0,
            _seat: seat,
        }
    }

    /// What comes next; `None` when there is nothing more to watch. A viewer who was too slow goes on at the next
    /// key frame, or with the newest picture. May be cancelled at any time without losing anything.
    pub async fn next(&mut self) -> Option<LiveItem> {
        if let Some(item) = self.pending.take() {
            return Some(item);
        }
        loop {
            let received = match &mut self.source {
                Source::Video(casts) => casts.recv().await.map(Received::Cast),
                Source::Pictures(pictures) => pictures.recv().await.map(Received::Picture),
            };
            match received {
                Ok(Received::Picture(jpeg)) => return Some(LiveItem::Jpeg(jpeg)),
                Ok(Received::Cast(cast)) if self.need_key && !cast.key => self.skipped += 1,
                Ok(Received::Cast(cast)) => return Some(self.take(cast)),
                Err(RecvError::Lagged(missed)) => {
                    self.skipped += missed;
                    self.need_key = true;
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn take(&mut self, cast: Cast) -> LiveItem {
        self.need_key = false;
        let fragment = LiveItem::Fragment {
            key: cast.key,
            data: cast.data,
        };
        if self
            .known
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &cast.init))
        {
            return fragment;
        }
        self.pending = Some(fragment);
        let beginning = LiveItem::Init {
            mime: cast.init.mime.clone(),
            init: cast.init.segment.clone(),
        };
        self.known = Some(cast.init);
        beginning
    }

    /// Fragments or pictures that this viewer was too slow for.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

enum Received {
    Cast(Cast),
    Picture(Bytes),
}
