//! From what was seen to evidence that holds up: pictures and figures are on disk before the observation that points
//! to them is in the log, and the clip follows when what came after has been seen too.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Context;
use domain::{
    Camera, Clock, DeviceId, EvidenceId, RuleId, Scope, SeriesKey, Sighted, TimeRange, UtcMillis, pack,
};
use store::{
    Archive, Records, SeriesStore,
    evidence::{About, NewItem, RuleStamp, SensorReading},
};

/// How far back sensor readings are taken along, before the finding began.
const READINGS_BEFORE_MS: i64 = 300_000;

/// The most readings that one package holds, and of one series: the archive takes 256.
const MAX_READINGS: usize = 240;
const MAX_PER_SERIES: usize = 12;

/// Puts findings into the archive. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keeper {
    archive: Archive,
    series: SeriesStore,
    records: Records,
    clock: Clock,
    rules: Arc<[domain::Rule]>,
}

impl Keeper {
    pub(crate) fn new(archive: Archive, series: SeriesStore, records: Records, clock: Clock) -> Keeper {
        let rules = pack::active(&["vision"]).expect("the pack is built in");
        Keeper {
            archive,
            series,
            records,
            clock,
            rules: rules.into(),
        }
    }

    /// Keeps what is known of a finding as it begins. Durable when it returns.
    pub(crate) async fn keep(
        &self,
        camera: &Arc<Camera>,
        said: &Sighted,
        items: Vec<NewItem>,
    ) -> anyhow::Result<EvidenceId> {
        let (keeper, camera, said) = (self.clone(), Arc::clone(camera), said.clone());
        let id = blocking(move || {
            let about = keeper.about(&camera, &said);
            Ok(keeper.archive.put(&about, &items)?)
        });
        id.await.context("evidence cannot be kept")
    }

    /// Adds what came later, the clip for one, and ties it to the finding.
    pub(crate) async fn add(
        &self,
        camera: &Arc<Camera>,
        said: &Sighted,
        base: EvidenceId,
        items: Vec<NewItem>,
    ) -> anyhow::Result<()> {
        let (keeper, kept, began) = (self.clone(), Arc::clone(camera), said.clone());
        let id = blocking(move || {
            let about = keeper.about(&kept, &began);
            Ok(keeper.archive.amend(&base, &about, &items)?)
        });
        let id = id.await.context("later evidence cannot be kept")?;
        let point = SeriesKey {
            facility: camera.key.facility.clone(),
            device: camera.key.camera.clone(),
            metric: said.check.metric(),
        };
        let finding = self
            .records
            .finding_of_case(&Scope::everything(), &point, said.at)
            .await?;
        if let Some(finding) = finding {
            self.records.add_finding_evidence(finding.id, id).await?;
        }
        Ok(())
    }

    /// Throws away what its retention no longer keeps.
    pub(crate) async fn sweep(&self) -> anyhow::Result<()> {
        let archive = self.archive.clone();
        let swept = blocking(move || Ok(archive.sweep()?)).await?;
        tracing::debug!(?swept, "Evidence whose time is over was removed.");
        Ok(())
    }

    fn about(&self, camera: &Camera, said: &Sighted) -> About {
        let metric = said.check.metric();
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.metric.as_ref() == Some(&metric));
        About {
            camera: camera.key.clone(),
            gb_id: camera.gb_id.clone(),
            check: said.check,
            zone: said.zone.clone(),
            rule: rule.map(|rule| RuleStamp {
                id: RuleId::clone(&rule.id),
                pack_version: rule.pack_version.clone(),
            }),
            since: said.since(),
            at: said.at,
            received: self.clock.now(),
            clock_offset_ms: None,
            model: said.model.clone(),
            score: said.score,
            threshold: said.threshold,
            tally: said.tally,
            detections: said.boxes.clone(),
            readings: self.readings(camera, said.since(), said.at),
            retention: camera.retention,
        }
    }

    /// What the kitchen's sensors said around the finding: the newest readings of every series that is no camera's.
    fn readings(&self, camera: &Camera, since: UtcMillis, at: UtcMillis) -> Vec<SensorReading> {
        let everything = Scope::everything();
        let window = TimeRange {
            from: since - READINGS_BEFORE_MS,
            to: at + 1,
        };
        let all = self.series.series_of(&everything, &camera.key.facility);
        // What cameras say of themselves is no sensor's reading.
        let cameras: BTreeSet<DeviceId> = all
            .iter()
            .filter(|(key, _)| key.metric.as_str() == "camera_offline")
            .map(|(key, _)| key.device.clone())
            .collect();
        let mut readings = Vec::new();
        for (point, series) in all {
            if cameras.contains(&point.device) || point.device == camera.key.camera {
                continue;
            }
            let scanned = self.series.scan(&everything, series, window, MAX_PER_SERIES * 10);
            let samples = match scanned {
                Ok(samples) => samples,
                Err(why) => {
                    tracing::warn!(series = %point, "A finding is kept without the readings of one series: {why}");
                    continue;
                }
            };
            let newest = samples.len().saturating_sub(MAX_PER_SERIES);
            readings.extend(samples[newest..].iter().map(|sample| SensorReading {
                point: point.clone(),
                at: sample.at,
                value: sample.value,
            }));
            if readings.len() >= MAX_READINGS {
                readings.truncate(MAX_READINGS);
                break;
            }
        }
        readings
    }
}

/// Runs work that touches the disk where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("it panicked")?
}
