//! All attached cameras.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Camera, CameraKey, Credentials, camera::CameraError};
use tokio::time::Instant;

use super::{CameraHandle, CameraWatch, Shared};
use crate::decode::DecodePool;

/// The most cameras of one server.
pub const MAX_CAMERAS: usize = 512;

/// How long a camera that is replaced or removed may take to end.
const LEAVE: Duration = Duration::from_secs(3);

/// Why a camera is not attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// Its description is not allowed.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// It is switched off.
    #[error("the camera is switched off; switch it on first")]
    Disabled,
    /// There are as many as may be.
    #[error("{MAX_CAMERAS} cameras are attached, which is the most; remove one, or use a further server")]
    Full,
    /// Everything is being stopped.
    #[error("the cameras are being stopped")]
    Stopping,
}

/// All attached cameras, at most [`MAX_CAMERAS`], with the decoder that they share.
#[derive(Debug)]
pub struct CameraSet {
    shared: Shared,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// `None` once everything has been stopped.
    pool: Option<DecodePool>,
    cameras: HashMap<CameraKey, CameraWatch>,
}

impl CameraSet {
    /// No cameras yet.
    #[must_use]
    pub fn new(shared: Shared, pool: DecodePool) -> CameraSet {
        CameraSet {
            shared,
            held: Mutex::new(Held {
                pool: Some(pool),
                cameras: HashMap::new(),
            }),
        }
    }

    /// Attaches `camera`, or replaces it when its description or credentials differ from those at work; else it
    /// stays as it is. One that is switched off, or that may not be attached, is removed.
    ///
    /// # Errors
    /// [`AttachError`]: it is not attached.
    pub async fn put(
        &self,
        camera: Camera,
        credentials: Option<Credentials>,
    ) -> Result<CameraHandle, AttachError> {
        let refusal = match camera.check() {
            Err(error) => Some(error.into()),
            Ok(()) if !camera.enabled => Some(AttachError::Disabled),
            Ok(()) => None,
        };
        if let Some(refusal) = refusal {
            self.remove(&camera.key).await;
            return Err(refusal);
        }
        let known = self
            .held()
            .cameras
            .get(&camera.key)
            .map(|watch| (watch.is(&camera, credentials.as_ref()), watch.handle()));
        match known {
            Some((true, handle)) => return Ok(handle),
            // Cameras have few sessions to give: the old one ends before the new one begins.
            Some((false, _)) => {
                self.remove(&camera.key).await;
            }
            None => {}
        }
        let mut held = self.held();
        let Held { pool, cameras } = &mut *held;
        let pool = pool.as_ref().ok_or(AttachError::Stopping)?;
        if cameras.len() >= MAX_CAMERAS && !cameras.contains_key(&camera.key) {
            return Err(AttachError::Full);
        }
        let key = camera.key.clone();
        let watch = CameraWatch::start(camera, credentials, &self.shared, pool);
        let handle = watch.handle();
        // Had somebody else put it meanwhile, theirs ends when it is dropped.
        drop(cameras.insert(key, watch));
        Ok(handle)
    }

    /// Removes a camera; whether there was one.
    pub async fn remove(&self, key: &CameraKey) -> bool {
        let removed = self.held().cameras.remove(key);
        let Some(watch) = removed else { return false };
        if !watch.stop(Instant::now() + LEAVE).await {
            tracing::warn!(camera.key = %key, "A camera did not end in time and was broken off.");
        }
        true
    }

    /// The camera, if it is attached.
    #[must_use]
    pub fn get(&self, key: &CameraKey) -> Option<CameraHandle> {
        self.held().cameras.get(key).map(CameraWatch::handle)
    }

    /// All cameras, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<CameraHandle> {
        self.held().cameras.values().map(CameraWatch::handle).collect()
    }

    /// Stops all cameras, then the decoder, within `deadline`; how many cameras and decoding threads did not end
    /// in time. No camera can be attached afterwards.
    pub async fn stop(&self, deadline: Duration) -> usize {
        let until = Instant::now() + deadline;
        let (pool, cameras) = {
            let mut held = self.held();
            (held.pool.take(), std::mem::take(&mut held.cameras))
        };
        for watch in cameras.values() {
            watch.begin_stop();
        }
        let mut late = 0;
        for (key, watch) in cameras {
            if !watch.stop(until).await {
                tracing::warn!(camera.key = %key, "A camera did not end in time and was broken off.");
                late += 1;
            }
        }
        let Some(pool) = pool else { return late };
        let left = until.saturating_duration_since(Instant::now());
        let threads = tokio::task::spawn_blocking(move || pool.stop(left)).await;
        late + threads.unwrap_or(1)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A panic elsewhere must not take all cameras along; the map is whole at every moment.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
