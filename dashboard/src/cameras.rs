//! Cameras as the pages read them: what is written down about them, kept until the record store says that it
//! changed, and how they fare.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{
    Camera, CameraFault, CameraKey, Metric, Sample, Scope, SeriesKey,
    sight::{CameraHealth, LinkState, PictureState, SMART_CODEC_GAP_S},
};

use crate::{app::App, failure::Failure};

/// The cameras as last read, with the directory's version at that time.
#[derive(Debug, Default)]
pub(crate) struct CameraCache(Mutex<Option<(i64, Arc<[Camera]>)>>);

/// How a camera stands, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum CameraState {
    /// No picture comes.
    Offline,
    /// A picture comes, but it shows nothing of use.
    Bad(Sore),
    /// Nothing is known of it yet.
    Unknown,
    /// It is being connected.
    Connecting,
    /// It is switched off on purpose.
    Disabled,
    /// Pictures come.
    Online,
}

/// What is wrong with a picture, in the order of [`PictureState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sore {
    Black,
    White,
    Frozen,
    Blurred,
    Covered,
    Moved,
}

impl CameraState {
    pub(crate) fn of(camera: &Camera, health: Option<&CameraHealth>) -> CameraState {
        let Some(health) = health.filter(|_| camera.enabled) else {
            return match camera.enabled {
                true => CameraState::Unknown,
                false => CameraState::Disabled,
            };
        };
        match (health.link, health.picture) {
            (LinkState::Offline, _) => CameraState::Offline,
            (LinkState::Connecting, _) => CameraState::Connecting,
            (LinkState::Online, PictureState::Good) => CameraState::Online,
            (LinkState::Online, PictureState::Black) => CameraState::Bad(Sore::Black),
            (LinkState::Online, PictureState::White) => CameraState::Bad(Sore::White),
            (LinkState::Online, PictureState::Frozen) => CameraState::Bad(Sore::Frozen),
            (LinkState::Online, PictureState::Blurred) => CameraState::Bad(Sore::Blurred),
            (LinkState::Online, PictureState::Covered) => CameraState::Bad(Sore::Covered),
            (LinkState::Online, PictureState::Moved) => CameraState::Bad(Sore::Moved),
        }
    }

    /// The class that gives it its colour and its mark.
    pub(crate) const fn tone(self) -> &'static str {
        match self {
            CameraState::Offline => "crit",
            CameraState::Bad(_) => "warn",
            CameraState::Unknown => "off",
            CameraState::Connecting | CameraState::Disabled => "calm",
            CameraState::Online => "ok",
        }
    }

    /// The name in addresses and in the API.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            CameraState::Offline => "offline",
            CameraState::Bad(_) => "picture",
            CameraState::Unknown => "unknown",
            CameraState::Connecting => "connecting",
            CameraState::Disabled => "disabled",
            CameraState::Online => "online",
        }
    }
}

/// Whether the camera seems to leave key frames out.
pub(crate) fn is_smart(health: &CameraHealth) -> bool {
    health.fault == Some(CameraFault::SmartCodec)
        || health.key_frame_gap_s.is_some_and(|gap| gap > SMART_CODEC_GAP_S)
}

/// A camera as it stands now.
#[derive(Debug, Clone)]
pub(crate) struct CameraNow {
    pub(crate) camera: Camera,
    pub(crate) health: Option<CameraHealth>,
    pub(crate) state: CameraState,
    /// Findings that nobody has reviewed.
    pub(crate) waiting: u64,
    /// How many people are in the picture, as last measured.
    pub(crate) people: Option<Sample>,
}

impl App {
    /// Every camera, whatever the visitor may see: cut it to a scope before it is shown.
    pub(crate) async fn all_cameras(&self) -> Result<Arc<[Camera]>, Failure> {
        let records = &self.stores.records;
        let version = records.directory_version().await?;
        let cached = self
            .cameras
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((_, cameras)) = cached.filter(|(v, _)| *v == version) {
            return Ok(cameras);
        }
        let cameras = Arc::<[Camera]>::from(records.cameras(&Scope::everything(), None).await?);
        let fresh = Some((version, Arc::clone(&cameras)));
        *self.cameras.0.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(cameras)
    }

    /// One camera, as it is written down now.
    pub(crate) async fn camera(&self, scope: &Scope, key: &CameraKey) -> Result<Camera, Failure> {
        let camera = self.stores.records.camera(scope, key).await?;
        camera.ok_or_else(|| Failure::not_found("camera"))
    }

    /// How every camera in `scope` stands, worst first.
    pub(crate) async fn cameras_now(&self, scope: &Scope) -> Result<Vec<CameraNow>, Failure> {
        let cameras = self.all_cameras().await?;
        let waiting = self.waiting_findings(scope).await?;
        let visible = cameras.iter().filter(|c| scope.allows(&c.key.facility));
        let mut all: Vec<CameraNow> = visible
            .map(|c| self.camera_now(scope, c, waiting.get(&c.key).copied().unwrap_or(0)))
            .collect();
        all.sort_by(|a, b| (a.state, &a.camera.key).cmp(&(b.state, &b.camera.key)));
        Ok(all)
    }

    pub(crate) fn camera_now(&self, scope: &Scope, camera: &Camera, waiting: u64) -> CameraNow {
        let health = (self.stores.sight.health)(&camera.key);
        let store = &self.stores.series;
        let people = store.find(scope, &series_key(&camera.key, "person_count"));
        CameraNow {
            state: CameraState::of(camera, health.as_ref()),
            camera: camera.clone(),
            health,
            waiting,
            people: people.and_then(|series| store.latest(scope, series)),
        }
    }

    /// Findings that nobody has reviewed, by camera.
    pub(crate) async fn waiting_findings(&self, scope: &Scope) -> Result<HashMap<CameraKey, u64>, Failure> {
        let mut waiting = HashMap::new();
        for row in self.stores.records.precision(scope).await? {
            *waiting.entry(row.camera).or_insert(0) += row.waiting;
        }
        Ok(waiting)
    }

    /// Says everywhere that a camera on record has changed.
    pub(crate) fn cameras_changed(&self) {
        (self.stores.sight.changed)();
        self.video.cameras_changed();
    }
}

/// The series of one of a camera's metrics.
///
/// # Panics
/// Never with the names that the domain lists.
pub(crate) fn series_key(camera: &CameraKey, metric: &'static str) -> SeriesKey {
    SeriesKey {
        facility: camera.facility.clone(),
        device: camera.camera.clone(),
        metric: Metric::new(metric).expect("the names of metrics are identifiers"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{CameraSource, DeviceId, FacilityId, Room, Schedule};

    fn camera(enabled: bool) -> Camera {
        Camera {
            key: CameraKey {
                facility: FacilityId::new("a").unwrap(),
                camera: DeviceId::new("b").unwrap(),
            },
            room: Room::Kitchen,
            place_zh: String::new(),
            place_en: String::new(),
            source: CameraSource::Pushed,
            decoding: Default::default(),
            masks: Vec::new(),
            zones: Vec::new(),
            line: None,
            capacity: None,
            checks: Vec::new(),
            schedule: Schedule::default(),
            gb_id: None,
            live: true,
            retention: Default::default(),
            enabled,
        }
    }

    #[test]
    fn silence_is_unknown_and_never_online() {
        let health = |link, picture| {
            Some(CameraHealth {
                link,
                picture,
                ..CameraHealth::default()
            })
        };
        let cases = [
            (true, None, CameraState::Unknown),
            (false, None, CameraState::Disabled),
            (
                false,
                health(LinkState::Online, PictureState::Good),
                CameraState::Disabled,
            ),
            (
                true,
                health(LinkState::Connecting, PictureState::Good),
                CameraState::Connecting,
            ),
            (
                true,
                health(LinkState::Offline, PictureState::Covered),
                CameraState::Offline,
            ),
            (
                true,
                health(LinkState::Online, PictureState::Covered),
                CameraState::Bad(Sore::Covered),
            ),
            (
                true,
                health(LinkState::Online, PictureState::Good),
                CameraState::Online,
            ),
        ];
        for (enabled, health, want) in cases {
            assert_eq!(CameraState::of(&camera(enabled), health.as_ref()), want);
        }
        let mut states = [CameraState::Online, CameraState::Unknown, CameraState::Offline];
        states.sort_unstable();
        assert_eq!(states[0], CameraState::Offline, "worst first");
    }

    #[test]
    fn a_camera_that_leaves_key_frames_out_is_named() {
        let gap = |gap| CameraHealth {
            key_frame_gap_s: gap,
            ..CameraHealth::default()
        };
        assert!(is_smart(&gap(Some(8.0))) && !is_smart(&gap(Some(2.0))) && !is_smart(&gap(None)));
    }
}
