//! Bits of a parameter set, most significant first.

/// A unit's payload without the bytes that keep start codes out of it.
pub(super) fn without_escapes(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Reads bits; `None` once there are none left.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, position: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// `count` bits as a number; at most 32.
    pub(super) fn number(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |number: u32, _| Some(number << 1 | u32::from(self.bit()?)))
    }

    /// An unsigned Exp-Golomb code.
    pub(super) fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.number(zeros)?;
        (1u32 << zeros).checked_sub(1)?.checked_add(rest)
    }

    /// A signed Exp-Golomb code.
    pub(super) fn signed(&mut self) -> Option<i32> {
        let code = i64::from(self.unsigned()?);
        let magnitude = (code + 1) / 2;
        i32::try_from(if code % 2 == 1 { magnitude } else { -magnitude }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_and_the_end_is_noticed() {
        // 1 | 010 | 011 | 00100 | 1..
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_1000]);
        assert_eq!(
            [bits.unsigned(), bits.unsigned(), bits.unsigned(), bits.unsigned()],
            [Some(0), Some(1), Some(2), Some(3)]
        );
        assert_eq!(bits.number(3), Some(0b100));
        assert_eq!(bits.number(4), None);
        let mut bits = Bits::new(&[0b0100_1100]);
        assert_eq!((bits.signed(), bits.signed()), (Some(1), Some(-1)));
        assert_eq!(Bits::new(&[0; 8]).unsigned(), None);
    }

    #[test]
    fn escapes_are_taken_out() {
        assert_eq!(without_escapes(&[1, 0, 0, 3, 1, 0, 0, 3]), [1, 0, 0, 1, 0, 0]);
        assert_eq!(without_escapes(&[0, 3, 0, 0, 0]), [0, 3, 0, 0, 0]);
    }
}
