//! Writes the boxes of which MP4 files are made, one into another.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::Mp4Error;

/// Boxes being written. A number that does not fit is noted and reported at the end.
pub(super) struct Boxes {
    out: BytesMut,
    overflowed: bool,
}

impl Boxes {
    pub(super) fn with_capacity(bytes: usize) -> Boxes {
        Boxes {
            out: BytesMut::with_capacity(bytes),
            overflowed: false,
        }
    }

    /// A box whose content `write` writes.
    pub(super) fn plain(&mut self, name: &[u8; 4], write: impl FnOnce(&mut Boxes)) {
        let start = self.out.len();
        self.out.put_u32(0);
        self.out.put_slice(name);
        write(self);
        self.patch(start, self.out.len() - start);
    }

    /// A box with a version and flags (24 bits).
    pub(super) fn full(&mut self, name: &[u8; 4], version: u8, flags: u32, write: impl FnOnce(&mut Boxes)) {
        self.plain(name, |out| {
            out.u32(u32::from(version) << 24 | flags);
            write(out);
        });
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.out.put_u32(number);
    }

    pub(super) fn u32s(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.out.put_u32(*number);
        }
    }

    pub(super) fn u64(&mut self, number: u64) {
        self.out.put_u64(number);
    }

    /// A length or a count.
    pub(super) fn length(&mut self, length: usize) {
        let number = self.fit(length);
        self.out.put_u32(number);
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Writes a length over the four bytes at `at`.
    pub(super) fn patch(&mut self, at: usize, length: usize) {
        let number = self.fit(length);
        self.out[at..at + 4].copy_from_slice(&number.to_be_bytes());
    }

    fn fit(&mut self, length: usize) -> u32 {
        u32::try_from(length).unwrap_or_else(|_| {
            self.overflowed = true;
            u32::MAX
        })
    }

    pub(super) fn finish(self) -> Result<Bytes, Mp4Error> {
        if self.overflowed {
            return Err(Mp4Error::TooLarge);
        }
        Ok(self.out.freeze())
    }
}
