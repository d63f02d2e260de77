//! A small camera that publishes a JPEG over MQTT every few seconds, as an ESP32-CAM does.

use domain::{CameraKey, UtcMillis};
use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};
use tokio::task::spawn_blocking;

use crate::{
    cameras::{
        attached::SimCamera,
        canvas::{HEIGHT, WIDTH},
        scene::Scene,
        script::CameraScript,
    },
    rhythm::SECOND,
};

/// How often it publishes.
const EVERY_MS: i64 = 5 * SECOND;
/// Of 100.
const QUALITY: u8 = 70;

/// A camera that publishes.
#[derive(Debug)]
pub(crate) struct PushedCamera {
    key: CameraKey,
    script: CameraScript,
    start: UtcMillis,
    next_at: UtcMillis,
    /// `None` until the first picture and while one is drawn.
    scene: Option<Scene>,
}

impl PushedCamera {
    /// Its script counts from `start`; the first picture is due at `from`.
    pub(crate) fn new(camera: &SimCamera, start: UtcMillis, from: UtcMillis) -> PushedCamera {
        PushedCamera {
            key: camera.camera.key.clone(),
            script: camera.script,
            start,
            next_at: from,
            scene: None,
        }
    }

    /// The topic that `leaf` has below the camera's root.
    pub(crate) fn topic(&self, leaf: &str) -> String {
        format!("sk/v1/{}/{leaf}", self.key)
    }

    /// When the next picture is due.
    pub(crate) fn next_at(&self) -> UtcMillis {
        self.next_at
    }

    /// The picture of the moment `now` as a JPEG; the next one is due a while later, however late this one is.
    /// `None` when the runtime ends meanwhile.
    pub(crate) async fn shoot(&mut self, now: UtcMillis) -> Option<Vec<u8>> {
        self.next_at = now + EVERY_MS;
        let (script, start, scene) = (self.script, self.start, self.scene.take());
        let work = spawn_blocking(move || {
            let mut scene = scene.unwrap_or_else(|| Scene::new(script, start));
            let file = jpeg(&scene.picture(now).rgb());
            (scene, file)
        });
        let (scene, file) = work.await.ok()?;
        self.scene = Some(scene);
        Some(file)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "640 and 360")]
fn jpeg(rgb: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, QUALITY)
        .encode(rgb, WIDTH as u32, HEIGHT as u32, ExtendedColorType::Rgb8)
        .expect("a picture of this size fits a JPEG, and memory takes it");
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::district;

    #[tokio::test]
    async fn it_shows_the_scripted_moment() {
        let start = UtcMillis(1_795_250_000_000);
        let cameras = district(1, 3).cameras;
        let camera = cameras
            .iter()
            .find(|c| c.script == CameraScript::Serving)
            .unwrap();
        let mut pushed = PushedCamera::new(camera, start, start);
        assert_eq!(pushed.topic("image"), "sk/v1/chaoyang/cam-serving/image");
        let file = pushed.shoot(start + 90 * SECOND).await.unwrap();
        assert_eq!(pushed.next_at(), start + 95 * SECOND);
        assert!((10_000..100_000).contains(&file.len()), "{} bytes", file.len());
        let seen = image::load_from_memory(&file).unwrap().into_rgb8();
        let drawn = Scene::new(CameraScript::Serving, start)
            .picture(start + 90 * SECOND)
            .rgb();
        let off: u64 = seen
            .iter()
            .zip(&drawn)
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum();
        assert!(off < 6 * drawn.len() as u64, "{off} off in all");
    }
}
