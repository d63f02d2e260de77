//! What waits to be sent to one viewer. It is bounded: a viewer that is slower than its camera skips to the next
//! key frame and is told how much was left out, so that what it sees is never more than about two key frames old.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::sight::VideoItem;

/// The most pieces that wait.
pub(super) const MAX_PIECES: usize = 128;
/// The most bytes that wait.
pub(super) const MAX_BYTES: usize = 12 * 1024 * 1024;

/// Pieces that wait for one viewer, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pieces: VecDeque<VideoItem>,
    bytes: usize,
    /// Whether nothing can be shown before the next key frame.
    wants_key: bool,
    skipped: u64,
}

impl Queue {
    /// Takes in what the camera sent. What has to give way to it is counted.
    pub(super) fn push(&mut self, item: VideoItem) {
        match &item {
            VideoItem::Init { .. } => self.drop_pictures(),
            VideoItem::Jpeg(_) => self.drop_pictures(),
            VideoItem::Fragment { key: true, .. } => {
                // A key frame that is still waiting means that the viewer is a whole one behind.
                if self.holds_key() || self.is_full(&item) {
                    self.drop_pictures();
                }
                self.wants_key = false;
            }
            VideoItem::Fragment { key: false, .. } => {
                if !self.wants_key && self.is_full(&item) {
                    self.drop_pictures();
                    self.wants_key = true;
                }
                if self.wants_key {
                    self.skipped += 1;
                    return;
                }
            }
        }
        self.bytes += length(&item);
        self.pieces.push_back(item);
    }

    /// What to send next.
    pub(super) fn pop(&mut self) -> Option<VideoItem> {
        let item = self.pieces.pop_front()?;
        self.bytes -= length(&item);
        Some(item)
    }

    /// Pieces left out since this was asked last.
    pub(super) fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    fn holds_key(&self) -> bool {
        let is_key = |p: &VideoItem| matches!(p, VideoItem::Fragment { key: true, .. });
        self.pieces.iter().any(is_key)
    }

    fn is_full(&self, next: &VideoItem) -> bool {
        self.pieces.len() >= MAX_PIECES || self.bytes + length(next) > MAX_BYTES
    }

    /// Lets go of every picture, but not of the initialisation segment that the next ones need.
    fn drop_pictures(&mut self) {
        let before = self.pieces.len();
        self.pieces.retain(|p| matches!(p, VideoItem::Init { .. }));
        while self.pieces.len() > 1 {
            self.pieces.pop_front();
        }
        self.skipped += (before - self.pieces.len()) as u64;
        self.bytes = self.pieces.iter().map(length).sum();
    }
}

fn length(item: &VideoItem) -> usize {
    let data: &Bytes = match item {
        VideoItem::Init { init, .. } => init,
        VideoItem::Fragment { data, .. } | VideoItem::Jpeg(data) => data,
    };
    data.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(key: bool, name: u8, size: usize) -> VideoItem {
        VideoItem::Fragment {
            key,
            data: vec![name; size].into(),
        }
    }

    fn init() -> VideoItem {
        VideoItem::Init {
            mime: "video/mp4".into(),
            init: Bytes::from_static(b"init"),
        }
    }

    fn names(queue: &mut Queue) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop())
            .map(|p| match p {
                VideoItem::Init { .. } => b'I',
                VideoItem::Fragment { data, .. } | VideoItem::Jpeg(data) => data[0],
            })
            .collect()
    }

    #[test]
    fn a_viewer_that_keeps_up_gets_everything_in_order() {
        let mut queue = Queue::default();
        queue.push(init());
        queue.push(fragment(true, b'a', 10));
        queue.push(fragment(false, b'b', 10));
        assert_eq!(names(&mut queue), b"Iab");
        queue.push(fragment(true, b'c', 10));
        assert_eq!((names(&mut queue), queue.take_skipped()), (b"c".to_vec(), 0));
    }

    #[test]
    fn a_viewer_that_is_a_key_frame_behind_skips_to_the_next_one() {
        let mut queue = Queue::default();
        queue.push(init());
        for (key, name) in [(true, b'a'), (false, b'b'), (true, b'c'), (false, b'd')] {
            queue.push(fragment(key, name, 10));
        }
        assert_eq!(names(&mut queue), b"Icd");
        assert_eq!(queue.take_skipped(), 2, "a and b");
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded_in_pieces_and_bytes() {
        let mut queue = Queue::default();
        queue.push(fragment(true, b'a', 10));
        for _ in 0..10_000 {
            queue.push(fragment(false, b'b', 10));
            assert!(queue.pieces.len() <= MAX_PIECES);
        }
        assert_eq!(
            queue.pieces.len(),
            0,
            "nothing can be shown before the next key frame"
        );
        assert_eq!(queue.take_skipped(), 10_001);
        queue.push(fragment(true, b'k', MAX_BYTES));
        queue.push(fragment(false, b'l', 1));
        assert_eq!((names(&mut queue), queue.take_skipped()), (Vec::new(), 2));
    }

    #[test]
    fn of_single_pictures_only_the_newest_waits() {
        let mut queue = Queue::default();
        for name in *b"abc" {
            queue.push(VideoItem::Jpeg(vec![name].into()));
        }
        assert_eq!((names(&mut queue), queue.take_skipped()), (b"c".to_vec(), 2));
    }

    #[test]
    fn a_stream_that_changes_drops_what_belongs_to_the_old_one() {
        let mut queue = Queue::default();
        queue.push(init());
        queue.push(fragment(true, b'a', 10));
        queue.push(init());
        queue.push(fragment(true, b'b', 10));
        let skipped = queue.take_skipped();
        assert_eq!((names(&mut queue), skipped), (b"IIb".to_vec(), 1));
    }
}
