//! The date and time that a camera writes into its picture.

use jiff::{Timestamp, tz};

use crate::cameras::{canvas::WIDTH, picture::Picture};

/// Five columns of seven dots each, the lowest bit uppermost.
const GLYPHS: [(char, [u8; 5]); 12] = [
    ('0', [0x3e, 0x51, 0x49, 0x45, 0x3e]),
    ('1', [0x00, 0x42, 0x7f, 0x40, 0x00]),
    ('2', [0x42, 0x61, 0x51, 0x49, 0x46]),
    ('3', [0x21, 0x41, 0x45, 0x4b, 0x31]),
    ('4', [0x18, 0x14, 0x12, 0x7f, 0x10]),
    ('5', [0x27, 0x45, 0x45, 0x45, 0x39]),
    ('6', [0x3c, 0x4a, 0x49, 0x49, 0x30]),
    ('7', [0x01, 0x71, 0x09, 0x05, 0x03]),
    ('8', [0x36, 0x49, 0x49, 0x49, 0x36]),
    ('9', [0x06, 0x49, 0x49, 0x29, 0x1e]),
    ('-', [0x08, 0x08, 0x08, 0x08, 0x08]),
    (':', [0x00, 0x36, 0x36, 0x00, 0x00]),
];

/// How many pixels wide and high a dot is.
const DOT: usize = 2;

/// Writes the moment `at_ms` (milliseconds since 1970) into the upper left corner, in the time of China. A
/// moment that no calendar has is left out.
pub(crate) fn stamp(picture: &mut Picture, at_ms: i64) {
    let Ok(moment) = Timestamp::from_millisecond(at_ms) else {
        return;
    };
    let china = tz::TimeZone::fixed(tz::offset(8));
    let text = moment.to_zoned(china).strftime("%Y-%m-%d %H:%M:%S").to_string();
    for (place, character) in text.chars().enumerate() {
        if let Some((_, columns)) = GLYPHS.iter().find(|(glyph, _)| *glyph == character) {
            write(picture, columns, (10 + place * 6 * DOT, 26));
        }
    }
}

/// White dots, each with a dark one below it to the right, so that they can be read on any ground.
fn write(picture: &mut Picture, columns: &[u8; 5], (left, top): (usize, usize)) {
    for (luma, shift) in [(24, 1), (232, 0)] {
        for (column, dots) in columns.iter().enumerate() {
            for row in (0..7).filter(|row| dots >> row & 1 == 1) {
                for pixel in 0..DOT * DOT {
                    let x = left + column * DOT + pixel % DOT + shift;
                    let y = top + row * DOT + pixel / DOT + shift;
                    picture.y[y * WIDTH + x] = luma;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_looks_different() {
        let written = |at_ms| {
            let mut picture = Picture::plain(100);
            stamp(&mut picture, at_ms);
            picture
        };
        let first = written(1_795_250_000_000);
        assert_eq!(first, written(1_795_250_000_999));
        assert_ne!(first, written(1_795_250_001_000));
        assert!(first.y.iter().filter(|luma| **luma == 232).count() > 500);
        assert_eq!(written(i64::MAX), Picture::plain(100));
    }
}
