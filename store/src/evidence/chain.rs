//! The lines of the chain and its heads: what stands in them, and how they are hashed and signed.
//!
//! Every text is written in one way only. Whoever reads one writes it again and compares: an edit that means
//! the same is an edit.

use domain::{CameraKey, Check, EvidenceId, UtcMillis, camera::Retention};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    day::Day,
    keys::{Hash256, PublicKey, Seal, Signed, Signer},
};

/// The longest line in bytes: names and reasons are bounded, so no line of ours comes near it.
pub(super) const MAX_LINE: usize = 16 * 1024;

/// The hash before the first line.
pub(super) const GENESIS: Hash256 = Hash256([0; 32]);

/// Why evidence was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// Its time was over.
    Expired,
    /// The archive was full.
    Cap,
}

/// What was mended at opening, that a healthy disk does not break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Broken {
    /// The signed head was missing or not what was written.
    Head,
    /// The chain ended before its signed head, or otherwise.
    Lines,
    /// There was evidence, but no chain.
    Chain,
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Event {
    /// The archive was made.
    Opened { format: u32 },
    /// A package was put in.
    Put {
        id: EvidenceId,
        amends: Option<EvidenceId>,
        camera: CameraKey,
        check: Check,
        seen_at: UtcMillis,
        retention: Retention,
        /// Of its files and its manifest together.
        bytes: u64,
    },
    /// A package was removed: this line stays for it.
    Removed { id: EvidenceId, why: Why },
    /// A family of packages was put on hold.
    Held {
        id: EvidenceId,
        by: String,
        reason: String,
    },
    /// A hold was released.
    Released {
        id: EvidenceId,
        by: String,
        reason: String,
    },
    /// Somebody looked at what not everybody may see.
    Viewed {
        id: EvidenceId,
        by: String,
        purpose: String,
    },
    /// A line that a crash had left unfinished was cut off at opening.
    Cut { bytes: u64 },
    /// Something was mended that a crash does not break.
    Mended { what: Broken },
}

/// A line's contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// 1, 2, 3, …, over all days.
    pub(super) seq: u64,
    /// The day whose file it stands in. Never goes back, even when the clock does.
    pub(super) day: Day,
    pub(super) at: UtcMillis,
    /// The hash of the line before.
    pub(super) prev: Hash256,
    pub(super) event: Event,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) entry: Entry,
    pub(super) hash: Hash256,
    seal: Seal,
}

impl Line {
    pub(super) fn new(entry: Entry, signer: &Signer) -> Line {
        let hash = hash_of(&entry);
        let seal = signer.sign(Signed::Line, &hash.0);
        Line { entry, hash, seal }
    }

    /// The line as it stands in its file, without the line end.
    pub(super) fn encode(&self) -> Vec<u8> {
        canonical(self)
    }

    /// Reads a line; `None` when it is not exactly what [`Line::encode`] writes, or has another hash.
    pub(super) fn decode(bytes: &[u8]) -> Option<Line> {
        let line: Line = exactly(bytes)?;
        (hash_of(&line.entry) == line.hash).then_some(line)
    }

    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.accepts(Signed::Line, &self.hash.0, &self.seal)
    }
}

fn hash_of(entry: &Entry) -> Hash256 {
    Hash256::of(&canonical(entry))
}

/// The newest line, kept aside so that lines cut off the end are missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) hash: Hash256,
    pub(super) day: Day,
    pub(super) at: UtcMillis,
}

/// What a day's file holds, once the day is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DayHead {
    pub(super) day: Day,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) last_hash: Hash256,
}

/// A statement with its signature.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement<T> {
    states: T,
    seal: Seal,
}

/// `states`, signed, as it stands in its file.
pub(super) fn sign<T: Serialize>(states: T, what: Signed, signer: &Signer) -> Vec<u8> {
    let seal = signer.sign(what, &canonical(&states));
    let mut text = canonical(&Statement { states, seal });
    text.push(b'\n');
    text
}

/// Reads a statement; `None` when it is not exactly what [`sign`] writes or `key` did not sign it. Without a
/// key the signature is not looked at.
pub(super) fn signed<T>(bytes: &[u8], what: Signed, key: Option<&PublicKey>) -> Option<T>
where
    T: Serialize + DeserializeOwned,
{
    let statement: Statement<T> = exactly(bytes.strip_suffix(b"\n")?)?;
    let message = canonical(&statement.states);
    key.is_none_or(|key| key.accepts(what, &message, &statement.seal))
        .then_some(statement.states)
}

fn canonical(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what the chain is made of is JSON")
}

/// Reads `bytes` when they are exactly what the value is written as.
fn exactly<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    (canonical(&value) == bytes).then_some(value)
}

#[cfg(test)]
mod tests {
    use domain::{DeviceId, FacilityId};
    use proptest::{
        prelude::{any, prop_oneof, proptest},
        strategy::{Just, Strategy},
    };

    use super::*;

    fn key() -> CameraKey {
        CameraKey {
            facility: FacilityId::new("滨河-01").unwrap(),
            camera: DeviceId::new("cam-1").unwrap(),
        }
    }

    fn events() -> impl Strategy<Value = Event> {
        let id = || any::<[u8; 32]>().prop_map(EvidenceId);
        let put = (id(), any::<Option<[u8; 32]>>(), any::<i64>(), any::<u64>());
        prop_oneof![
            Just(Event::Opened { format: 1 }),
            put.prop_map(|(id, amends, at, bytes)| Event::Put {
                id,
                amends: amends.map(EvidenceId),
                camera: key(),
                check: Check::NoMask,
                seen_at: UtcMillis(at),
                retention: Retention::Days15,
                bytes,
            }),
            id().prop_map(|id| Event::Removed { id, why: Why::Cap }),
            (id(), any::<String>(), any::<String>()).prop_map(|(id, by, purpose)| Event::Viewed {
                id,
                by,
                purpose
            }),
        ]
    }

    fn line(seq: u64, event: Event) -> Line {
        let entry = Entry {
            seq,
            day: Day::of(UtcMillis(1_795_000_000_000)),
            at: UtcMillis(1_795_000_000_000),
            prev: GENESIS,
            event,
        };
        Line::new(entry, &Signer::new(&[7; 32]))
    }

    proptest! {
        #[test]
        fn a_line_is_read_as_it_was_written(seq in any::<u64>(), event in events()) {
            let line = line(seq, event);
            let bytes = line.encode();
            assert!(!bytes.contains(&b'\n'));
            assert_eq!(Line::decode(&bytes), Some(line.clone()));
            assert!(line.is_signed_by(&Signer::new(&[7; 32]).public()));
            assert!(!line.is_signed_by(&Signer::new(&[8; 32]).public()));
        }

        #[test]
        fn a_line_with_one_other_byte_is_none(event in events(), at in any::<usize>(), other in 1_u8..=255) {
            let mut bytes = line(9, event).encode();
            let at = at % bytes.len();
            bytes[at] ^= other;
            let key = Signer::new(&[7; 32]).public();
            // A byte of the signature leaves a line that nobody signed.
            assert!(Line::decode(&bytes).is_none_or(|line| !line.is_signed_by(&key)));
        }

        #[test]
        fn bytes_that_are_no_line_are_refused(bytes in any::<Vec<u8>>()) {
            assert_eq!(Line::decode(&bytes), None);
            assert!(signed::<Head>(&bytes, Signed::Head, None).is_none());
        }
    }

    #[test]
    fn a_line_that_means_the_same_but_is_written_otherwise_is_none() {
        let text = String::from_utf8(line(1, Event::Opened { format: 1 }).encode()).unwrap();
        for other in [
            text.replace("\"seq\":1", "\"seq\": 1"),
            text.replace("\"format\":1", "\"format\":1,\"more\":2"),
            text.to_uppercase(),
            format!("{text} "),
        ] {
            assert_eq!(Line::decode(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_statement_holds_for_its_own_purpose() {
        let signer = Signer::new(&[7; 32]);
        let head = Head {
            seq: 7,
            hash: GENESIS,
            day: Day::of(UtcMillis(0)),
            at: UtcMillis(5),
        };
        let text = sign(head, Signed::Head, &signer);
        let key = signer.public();
        assert_eq!(signed(&text, Signed::Head, Some(&key)), Some(head));
        assert_eq!(signed::<Head>(&text, Signed::Day, Some(&key)), None);
        assert_eq!(
            signed::<Head>(&text[..text.len() - 1], Signed::Head, Some(&key)),
            None
        );
        let stranger = Signer::new(&[8; 32]).public();
        assert_eq!(signed::<Head>(&text, Signed::Head, Some(&stranger)), None);
    }
}
