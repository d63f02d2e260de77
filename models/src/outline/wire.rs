//! The wire format of protocol buffers, as far as a reader of ONNX needs it.

use super::OutlineError;

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Its number.
    pub(super) tag: u32,
    /// What it holds.
    pub(super) value: Value<'a>,
    /// Where it begins in the file.
    pub(super) at: usize,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number.
    Number(u64),
    /// A text, bytes or a message.
    Bytes(Message<'a>),
    /// Four or eight bytes, which no field that matters here has.
    Fixed,
}

/// The bytes of a message, and where in the file they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Message<'a> {
    /// Its fields, in order. Ends behind the first error.
    pub(super) fn fields(self) -> Fields<'a> {
        Fields { rest: self }
    }

    fn take(&mut self, count: usize) -> Option<Message<'a>> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        let taken = Message {
            bytes: taken,
            at: self.at,
        };
        self.bytes = rest;
        self.at += count;
        Some(taken)
    }

    /// The varint that it begins with: 7 bits a byte, the lowest first, 64 in all.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for (n, shift) in (0..64).step_by(7).enumerate() {
            let byte = *self.bytes.get(n)?;
            // The tenth byte has room for the last bit only.
            if shift == 63 && byte > 1 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                self.take(n + 1)?;
                return Some(number);
            }
        }
        None
    }
}

/// The fields of a message.
pub(super) struct Fields<'a> {
    rest: Message<'a>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, OutlineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.bytes.is_empty() {
            return None;
        }
        let at = self.rest.at;
        let field = self.field().ok_or(OutlineError::Broken {
            what: "a field is cut off or of no known form",
            at,
        });
        if field.is_err() {
            self.rest.bytes = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<Field<'a>> {
        let at = self.rest.at;
        let key = self.rest.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.rest.varint()?),
            1 => self.rest.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.rest.varint()?).ok()?;
                Value::Bytes(self.rest.take(length)?)
            }
            5 => self.rest.take(4).map(|_| Value::Fixed)?,
            // Groups are long out of use, and ONNX never had any.
            _ => return None,
        };
        let tag = u32::try_from(key).ok()? >> 3;
        (tag != 0).then_some(Field { tag, value, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Vec<Option<(u32, usize)>> {
        let fields = Message { bytes, at: 0 }.fields();
        fields.map(|field| field.ok().map(|f| (f.tag, f.at))).collect()
    }

    #[test]
    fn fields_of_every_form_are_read() {
        let bytes = [
            0x08, 0x96, 0x01, 0x12, 2, b'a', b'b', 0x1d, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(
            fields(&bytes),
            [Some((1, 0)), Some((2, 3)), Some((3, 7)), Some((4, 12))]
        );
        let first = Message { bytes: &bytes, at: 0 }.fields().next().unwrap().unwrap();
        assert_eq!(first.value, Value::Number(150));
    }

    #[test]
    fn what_is_cut_off_or_unknown_ends_the_message() {
        for bytes in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x12, 3, b'a', b'b'],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[0x88, 0x80, 0x80, 0x80, 0x10, 0x00],
            &[0x0b, 0x0c],
            &[0x0e],
            &[0x1d, 0, 0, 0],
            &[0x21, 0, 0, 0, 0, 0, 0, 0],
            &[0x00, 0x01],
        ] {
            assert_eq!(fields(bytes), [None], "{bytes:x?}");
        }
        assert_eq!(fields(&[]), []);
    }

    #[test]
    fn a_varint_has_64_bits() {
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Message { bytes: &most, at: 0 }.varint(), Some(u64::MAX));
    }
}
