//! Cameras that publish their pictures themselves.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use domain::sight::CameraFault;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{
    CameraFailure, End, SourceContext,
    outlet::{Outlet, size_of_jpeg},
};

/// Where the pictures of a camera that publishes them are offered. It holds one picture: a newer one takes the
/// place of one that nobody has taken yet, which is counted. Clones are the same camera.
#[derive(Debug, Clone, Default)]
pub struct PushedCamera(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    newest: Mutex<Option<Bytes>>,
    came: Notify,
    replaced: AtomicU64,
}

impl PushedCamera {
    /// A camera that has sent nothing yet.
    #[must_use]
    pub fn new() -> PushedCamera {
        PushedCamera::default()
    }

    /// Offers a JPEG file. Never blocks.
    ///
    /// # Errors
    /// [`CameraFault::TooLarge`] beyond the bounds of a picture, [`CameraFault::BadPicture`] when it is no JPEG.
    pub fn offer(&self, picture: Bytes) -> Result<(), CameraFailure> {
        size_of_jpeg(&picture)?;
        let before = self.newest().replace(picture);
        if before.is_some() {
            self.0.replaced.fetch_add(1, Ordering::Relaxed);
        }
        self.0.came.notify_one();
        Ok(())
    }

    /// How many pictures were replaced before anybody took them, since start.
    #[must_use]
    pub fn replaced(&self) -> u64 {
        self.0.replaced.load(Ordering::Relaxed)
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, Option<Bytes>> {
        // What is held is whole at every moment, whoever panicked.
        self.0.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn read(&self, context: &SourceContext, outlet: &mut Outlet) -> Result<Infallible, End> {
        loop {
            let taken = self.newest().take();
            if let Some(picture) = taken {
                outlet.jpeg(picture).await?;
            } else if timeout(context.timing.pushed_silence, self.0.came.notified())
                .await
                .is_err()
            {
                return Err(CameraFailure::new(
                    CameraFault::Timeout,
                    "it has published no picture for too long",
                )
                .into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MAX_PICTURE_BYTES;

    #[test]
    fn the_newest_picture_wins_and_the_other_is_counted() {
        let camera = PushedCamera::new();
        let picture = |side: u32| {
            let mut file = Vec::new();
            let pixels = image::RgbImage::new(side, side);
            image::codecs::jpeg::JpegEncoder::new(&mut file)
                .encode_image(&pixels)
                .unwrap();
            Bytes::from(file)
        };
        camera.offer(picture(8)).unwrap();
        let same = camera.clone();
        same.offer(picture(16)).unwrap();
        assert_eq!(camera.newest().take(), Some(picture(16)));
        assert_eq!(camera.replaced(), 1);
        let bad = camera.offer(Bytes::from_static(b"hello")).unwrap_err();
        assert_eq!(bad.fault, CameraFault::BadPicture);
        let large = camera
            .offer(Bytes::from(vec![0; MAX_PICTURE_BYTES + 1]))
            .unwrap_err();
        assert_eq!(large.fault, CameraFault::TooLarge);
        assert_eq!(camera.newest().take(), None);
    }
}
