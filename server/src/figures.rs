//! The figures of a running system, gathered when somebody asks.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use broker::BrokerHandle;
use domain::{Clock, LogPosition, UtcMillis, status::SystemStats};
use journal::Journal;
use store::{DeviceBook, SeriesStore};

use crate::{app::App, forward::ForwardFigures};

/// How far ingest has come; written by its thread, read by whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Everything before this log position is stored and queryable.
    pub(crate) stored_upto: AtomicU64,
    /// The time of the last record before it, in milliseconds since 1970.
    pub(crate) stored_time_ms: AtomicI64,
    /// Readings stored since start.
    pub(crate) readings: AtomicU64,
}

/// Gathers figures from every part. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Figures {
    progress: Arc<Progress>,
    journal: Journal,
    series: SeriesStore,
    devices: DeviceBook,
    broker: BrokerHandle,
    clock: Clock,
    data_dir: PathBuf,
    forward: Option<ForwardFigures>,
}

impl Figures {
    pub(crate) fn new(app: &App) -> Figures {
        let parts = app.parts();
        Figures {
            progress: Arc::default(),
            journal: parts.journal.clone(),
            series: parts.series.clone(),
            devices: parts.devices.clone(),
            broker: parts.broker.handle(),
            clock: parts.clock.clone(),
            data_dir: parts.data_dir.to_owned(),
            forward: None,
        }
    }

    /// The same, with those of forwarding.
    pub(crate) fn with_forwarding(mut self, forward: ForwardFigures) -> Figures {
        self.forward = Some(forward);
        self
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    pub(crate) fn gather(&self) -> SystemStats {
        let series = self.series.stats();
        let log = self.journal.stats();
        let broker = self.broker.stats();
        let stored = self.progress.stored_upto.load(Ordering::Acquire);
        let lag_bytes = log.durable.0.saturating_sub(stored);
        let stored_time = UtcMillis(self.progress.stored_time_ms.load(Ordering::Acquire));
        let behind = lag_bytes > 0 && stored_time > UtcMillis(0);
        SystemStats {
            records_accepted: log.appended_records,
            readings_stored: self.progress.readings.load(Ordering::Acquire),
            rejects: self
                .devices
                .reject_totals()
                .into_iter()
                .map(|(r, n)| (r.code(), n))
                .collect(),
            refusals: broker.refusals,
            lag_bytes,
            lag_ms: if behind {
                self.clock.now().ms_since(stored_time).max(0)
            } else {
                0
            },
            connections: broker.connections,
            series: series.series,
            series_fault: series.fault,
            series_files_aside: series.files_aside,
            journal_bytes: log.disk_bytes,
            journal_capacity_bytes: log.capacity_bytes,
            journal_syncs: log.syncs,
            disk_free_ratio: disk_free_ratio(&self.data_dir),
            journal_fault: log.fault.or_else(|| {
                log.full
                    .then(|| "the journal is full: free disk space, or raise journal.capacity_mib".to_owned())
            }),
            forward: self
                .forward
                .as_ref()
                .map(|forward| forward.gather(LogPosition(log.durable.0))),
        }
    }
}

/// The share of the disk that is free to us; 1 when the system does not tell.
fn disk_free_ratio(dir: &std::path::Path) -> f64 {
    match rustix::fs::statvfs(dir) {
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits")]
        Ok(disk) if disk.f_blocks > 0 => disk.f_bavail as f64 / disk.f_blocks as f64,
        _ => 1.0,
    }
}
