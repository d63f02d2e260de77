//! A broker of its own for each test: directory, journal, identities, port.

use std::{sync::Arc, time::Duration};

use domain::{Access, Clock, DeviceId, FacilityId, Identity, IdentityName, SecretHash, UtcMillis};
use journal::Journal;
use sunshine_broker::{Broker, BrokerError, BrokerHandle, BrokerOptions, IdentityDirectory, Limits};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Connect};

pub(crate) const START: UtcMillis = UtcMillis(1_790_000_000_000);

pub(crate) fn device(facility: &str, device: &str) -> Identity {
    let (facility, device) = (FacilityId::new(facility).unwrap(), DeviceId::new(device).unwrap());
    let name = Identity::device_name(&facility, &device).unwrap();
    let access = Access::Device {
        facility,
        device,
        profile: "standard".into(),
        root: None,
    };
    Identity {
        name,
        access,
        secret: SecretHash::of(b"secret", [3; 16]),
        expires_at: None,
        revoked_at: None,
    }
}

pub(crate) fn service(name: &str, publish: &[&str], subscribe: &[&str]) -> Identity {
    let own = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect();
    Identity {
        name: IdentityName::new(name).unwrap(),
        access: Access::Service {
            publish: own(publish),
            subscribe: own(subscribe),
        },
        secret: SecretHash::of(b"secret", [4; 16]),
        expires_at: None,
        revoked_at: None,
    }
}

pub(crate) fn identities() -> Vec<Identity> {
    vec![
        device("kitchen", "d1"),
        device("kitchen", "d2"),
        device("厨房", "d1"),
        service("all", &["#"], &["#"]),
        service("other", &["#"], &["#"]),
        service("wall", &[], &["sk/v1/kitchen/#"]),
    ]
}

pub(crate) struct Rig {
    pub(crate) directory: IdentityDirectory,
    pub(crate) journal: Journal,
    pub(crate) handle: BrokerHandle,
    pub(crate) clock: Clock,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) stop: CancellationToken,
    running: JoinSet<Result<(), BrokerError>>,
    dir: Arc<tempfile::TempDir>,
    limits: Limits,
}

impl Rig {
    pub(crate) async fn start() -> Rig {
        Rig::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Rig {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Rig::open(dir, limits, Clock::simulated(START)).await
    }

    pub(crate) fn open_journal(dir: &std::path::Path, clock: &Clock) -> Journal {
        let mut options = journal::Options::new(dir.join("journal"));
        options.segment_bytes = 4 << 20;
        options.capacity_bytes = 64 << 20;
        let clock = clock.clone();
        Journal::open(options, Arc::new(move || clock.now().0)).unwrap()
    }

    async fn open(dir: Arc<tempfile::TempDir>, limits: Limits, clock: Clock) -> Rig {
        let journal = Rig::open_journal(dir.path(), &clock);
        let directory = IdentityDirectory::new(identities());
        let options = BrokerOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            limits: limits.clone(),
            anonymous_as: None,
            dir: dir.path().join("broker"),
        };
        let broker = Broker::bind(options, directory.clone(), journal.clone(), clock.clone())
            .await
            .unwrap();
        let (address, handle, stop) = (broker.local_addr(), broker.handle(), CancellationToken::new());
        let mut running = JoinSet::new();
        running.spawn(broker.run(stop.clone()));
        Rig {
            directory,
            journal,
            handle,
            clock,
            address,
            stop,
            running,
            dir,
            limits,
        }
    }

    /// Stops the broker and closes the journal.
    pub(crate) async fn stop(&mut self) -> Result<(), BrokerError> {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(15), self.running.join_next())
            .await
            .unwrap();
        self.journal.close();
        ended.unwrap().unwrap()
    }

    /// What the broker's `run` returned, once it has by itself.
    pub(crate) async fn ended(&mut self) -> Result<(), BrokerError> {
        tokio::time::timeout(Duration::from_secs(15), self.running.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    /// Stops, and starts again on the same directory.
    pub(crate) async fn restart(self) -> Rig {
        self.restart_after(|_| {}).await
    }

    /// Stops, does something to the broker's own directory, and starts again.
    pub(crate) async fn restart_after(mut self, meddle: impl FnOnce(&std::path::Path)) -> Rig {
        self.stop().await.unwrap();
        let (dir, limits, clock) = (self.dir.clone(), self.limits.clone(), self.clock.clone());
        // The journal is free once its last user is gone.
        drop(self);
        meddle(&dir.path().join("broker"));
        Rig::open(dir, limits, clock).await
    }

    /// A broker on a copy of this one's directory as it stands now: what a crash at this moment would leave.
    pub(crate) async fn crashed(&self) -> Rig {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        copy(self.dir.path(), dir.path());
        Rig::open(dir, self.limits.clone(), self.clock.clone()).await
    }

    /// A signed-in client; `id` is its client identifier.
    pub(crate) async fn client(&self, v5: bool, id: &str, user: &str) -> Client {
        let (client, _) = Client::open(self.address, Connect::new(v5, id, user))
            .await
            .unwrap();
        client
    }

    pub(crate) fn refused(&self, code: &str) -> u64 {
        self.handle
            .stats()
            .refusals
            .iter()
            .find(|(c, _)| *c == code)
            .map_or(0, |(_, n)| *n)
    }

    /// Every record of the journal: source, topic, body.
    pub(crate) fn records(&self) -> Vec<(String, String, Vec<u8>)> {
        let mut reader = self.journal.reader(self.journal.start()).unwrap();
        let (mut chunk, mut all) = (journal::Chunk::default(), Vec::new());
        loop {
            reader.read(&mut chunk, 1 << 20).unwrap();
            if chunk.is_empty() {
                return all;
            }
            all.extend(
                chunk
                    .records()
                    .filter(|r| r.envelope.kind == journal::Kind::MESSAGE)
                    .map(|r| {
                        (
                            r.envelope.source.to_owned(),
                            r.envelope.subject.to_owned(),
                            r.envelope.body.to_vec(),
                        )
                    }),
            );
        }
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Waits until `done` holds, for at most ten seconds.
pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A record of somebody else's.
pub(crate) fn filler(body: &[u8]) -> journal::Envelope<'_> {
    journal::Envelope {
        kind: journal::Kind(200),
        flags: 0,
        source: "",
        subject: "",
        attributes: b"",
        body,
    }
}

/// Fills the journal up to its capacity. A cursor must hold it.
pub(crate) async fn fill(journal: &Journal) {
    let (body, mut writer) = (vec![0; 1 << 20], journal.writer());
    for bytes in [1 << 20, 1 << 12, 0] {
        loop {
            match writer.append(&filler(&body[..bytes])) {
                Ok(_) => {}
                Err(journal::AppendError::Full) => break,
                Err(journal::AppendError::Busy) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
