//! What the broker keeps on disk besides the journal: who subscribed to what, and the retained messages.
//!
//! Two files, each replaced as a whole. They may be older than the journal: the cursor [`CURSOR`] stands where both
//! are complete, and what lies behind it is read again at start. A damaged file is reported: clients then subscribe
//! anew, and messages retained since the oldest segment come back from the journal.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Buf, BufMut, Bytes};
use domain::UtcMillis;

use crate::{message::Message, subscriber::Subscription};

/// The journal cursor behind which everything is in the files.
pub(crate) const CURSOR: &str = "broker";
const MAGIC: &[u8; 8] = b"SKBROK01";

/// A session as it stands on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SavedSession {
    pub(crate) client_id: String,
    pub(crate) identity: String,
    pub(crate) expires_at: UtcMillis,
    /// Its client has everything before this position.
    pub(crate) resume: u64,
    pub(crate) subscriptions: Vec<Subscription>,
}

/// The broker's own directory.
#[derive(Debug, Clone)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    pub(crate) fn open(dir: &Path) -> io::Result<StateDir> {
        std::fs::create_dir_all(dir)?;
        Ok(StateDir(dir.to_owned()))
    }

    pub(crate) fn save_sessions(&self, sessions: &[SavedSession]) -> io::Result<()> {
        let mut out = Vec::new();
        for session in sessions {
            put_bytes(&mut out, session.client_id.as_bytes());
            put_bytes(&mut out, session.identity.as_bytes());
            out.put_i64(session.expires_at.0);
            out.put_u64(session.resume);
            out.put_u32(u32::try_from(session.subscriptions.len()).unwrap_or(0));
            for s in &session.subscriptions {
                put_bytes(&mut out, s.filter.as_bytes());
                out.put_u8(s.qos | u8::from(s.no_local) << 2 | u8::from(s.retain_as_published) << 3);
                out.put_u32(s.id.unwrap_or(0));
            }
        }
        self.replace("sessions", &out)
    }

    /// None when the file is damaged.
    pub(crate) fn load_sessions(&self) -> io::Result<Option<Vec<SavedSession>>> {
        self.load("sessions", |bytes| {
            let mut session = SavedSession {
                client_id: take_text(bytes)?,
                identity: take_text(bytes)?,
                expires_at: UtcMillis(bytes.try_get_i64().ok()?),
                resume: bytes.try_get_u64().ok()?,
                subscriptions: Vec::new(),
            };
            for _ in 0..bytes.try_get_u32().ok()? {
                let filter = take_text(bytes)?.into();
                let (options, id) = (bytes.try_get_u8().ok()?, bytes.try_get_u32().ok()?);
                session.subscriptions.push(Subscription {
                    filter,
                    qos: (options & 3).min(2),
                    no_local: options & 4 != 0,
                    retain_as_published: options & 8 != 0,
                    id: (id > 0).then_some(id),
                    since: session.resume,
                });
            }
            Some(session)
        })
    }

    pub(crate) fn save_retained(&self, messages: &[Arc<Message>]) -> io::Result<()> {
        let mut out = Vec::new();
        for m in messages {
            out.put_u64(m.position);
            out.put_i64(m.time_ms);
            out.put_u8(m.qos);
            out.put_u32(m.expiry_s);
            for part in [
                m.client_id.as_bytes(),
                m.topic.as_bytes(),
                &m.properties,
                &m.payload,
            ] {
                put_bytes(&mut out, part);
            }
        }
        self.replace("retained", &out)
    }

    /// None when the file is damaged.
    pub(crate) fn load_retained(&self) -> io::Result<Option<Vec<Message>>> {
        self.load("retained", |bytes| {
            let (position, time_ms) = (bytes.try_get_u64().ok()?, bytes.try_get_i64().ok()?);
            let (qos, expiry_s) = (bytes.try_get_u8().ok()?.min(2), bytes.try_get_u32().ok()?);
            Some(Message {
                position,
                time_ms,
                qos,
                retain: true,
                expiry_s,
                client_id: take_text(bytes)?.into(),
                topic: take_text(bytes)?.into(),
                properties: take_bytes(bytes)?,
                payload: take_bytes(bytes)?,
            })
        })
    }

    /// Replaces a file so that a crash leaves the old or the new one, never a part.
    fn replace(&self, name: &str, body: &[u8]) -> io::Result<()> {
        let (path, new) = (self.0.join(name), self.0.join(format!("{name}.new")));
        let mut file = File::create(&new)?;
        file.write_all(MAGIC)?;
        file.write_all(&crc32fast::hash(body).to_be_bytes())?;
        file.write_all(body)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(&self.0)?.sync_all()
    }

    fn load<T>(&self, name: &str, take: impl Fn(&mut Bytes) -> Option<T>) -> io::Result<Option<Vec<T>>> {
        let path = self.0.join(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
            Err(e) => return Err(e),
        };
        let items = open_body(bytes).and_then(|mut body| {
            let mut items = Vec::new();
            while body.has_remaining() {
                items.push(take(&mut body)?);
            }
            Some(items)
        });
        if items.is_none() {
            tracing::error!(path = %path.display(), "A file of the broker is damaged; it starts without it.");
        }
        Ok(items)
    }
}

fn open_body(mut bytes: Bytes) -> Option<Bytes> {
    if bytes.len() < MAGIC.len() + 4 || bytes.split_to(MAGIC.len()) != MAGIC[..] {
        return None;
    }
    let crc = bytes.get_u32();
    (crc32fast::hash(&bytes) == crc).then_some(bytes)
}

fn put_bytes(out: &mut Vec<u8>, part: &[u8]) {
    // Everything that is kept came in one MQTT packet, which is shorter than 256 MiB.
    out.put_u32(u32::try_from(part.len()).unwrap_or(0));
    out.put_slice(part);
}

fn take_bytes(bytes: &mut Bytes) -> Option<Bytes> {
    let n = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    (bytes.len() >= n).then(|| bytes.split_to(n))
}

fn take_text(bytes: &mut Bytes) -> Option<String> {
    String::from_utf8(take_bytes(bytes)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_and_retained_messages_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("b")).unwrap();
        assert_eq!(
            (
                state.load_sessions().unwrap().unwrap().len(),
                state.load_retained().unwrap().unwrap().len()
            ),
            (0, 0)
        );
        let subscription = |filter: &str, qos, id| Subscription {
            filter: filter.into(),
            qos,
            no_local: qos == 1,
            retain_as_published: qos == 2,
            id,
            since: 9,
        };
        let session = SavedSession {
            client_id: "厨".into(),
            identity: "kitchen/d1".into(),
            expires_at: UtcMillis(-4),
            resume: 9,
            subscriptions: vec![
                subscription("$share/g/a/#", 1, Some(7)),
                subscription("b", 2, None),
            ],
        };
        state.save_sessions(&[session.clone(), session.clone()]).unwrap();
        assert_eq!(
            state.load_sessions().unwrap().unwrap(),
            [session.clone(), session]
        );
        let message = |payload: &'static [u8]| Message {
            position: 3,
            time_ms: 4,
            qos: 1,
            retain: true,
            client_id: "c".into(),
            topic: "t".into(),
            expiry_s: 5,
            properties: Bytes::from_static(&[1, 2]),
            payload: payload.into(),
        };
        state
            .save_retained(&[Arc::new(message(b"x")), Arc::new(message(b""))])
            .unwrap();
        assert_eq!(
            state.load_retained().unwrap().unwrap(),
            [message(b"x"), message(b"")]
        );
        let path = dir.path().join("b/retained");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(
            state.load_retained().unwrap(),
            None,
            "a damaged file is not an empty one"
        );
        std::fs::write(&path, b"x").unwrap();
        assert_eq!(state.load_retained().unwrap(), None);
    }
}
