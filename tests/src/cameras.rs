//! Simulated cameras for a [`TestApp`]: real RTSP on this machine.

use domain::{Camera, Clock, Credentials, FacilityId};
use simulator::{CameraFarm, CameraScript};
use store::Vault;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{FACILITY, SEED, TestApp, owned};

/// What a product must be told so that it may connect to them.
pub const ALLOW_LOOPBACK: &str = "[cameras]\nallowed_networks = [\"127.0.0.0/8\"]\n";

/// The simulated cameras of one test, served until it ends.
pub struct Farm {
    /// The cameras, with their URLs, and what signs in to them.
    pub cameras: Vec<(Camera, Credentials)>,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Farm {
    /// Serves the cameras with these scripts, as if they hung in the test's facility.
    ///
    /// # Errors
    /// When no address can be bound.
    pub async fn start(scripts: &[CameraScript]) -> anyhow::Result<Farm> {
        Farm::start_at(scripts, 0).await
    }

    /// As [`Farm::start`], with the scripts so many seconds on.
    ///
    /// # Errors
    /// When no address can be bound.
    pub async fn start_at(scripts: &[CameraScript], second: i64) -> anyhow::Result<Farm> {
        let mut cameras = simulator::district(SEED, 3).cameras;
        cameras.retain(|camera| scripts.contains(&camera.script));
        for camera in &mut cameras {
            camera.camera.key.facility = FacilityId::new(FACILITY)?;
        }
        let farm = CameraFarm::start("127.0.0.1:0".parse()?, cameras, Clock::system()).await?;
        let farm = farm.begun_earlier(second * 1_000);
        let stop = CancellationToken::new();
        Ok(Farm {
            cameras: farm.cameras(),
            running: owned(farm.run(stop.clone())),
            stop,
        })
    }

    /// Writes the cameras and their passwords into the records of a product.
    ///
    /// # Errors
    /// When the records cannot be written.
    pub async fn attach(&self, app: &TestApp) -> anyhow::Result<()> {
        let vault = Vault::open(app.data_dir())?;
        for (camera, credentials) in &self.cameras {
            app.records.put_camera(camera, "test").await?;
            app.records
                .put_camera_credentials(&camera.key, credentials, &vault, "test")
                .await?;
        }
        Ok(())
    }

    /// Stops serving.
    ///
    /// # Errors
    /// What the cameras ran into.
    pub async fn finish(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.await?
    }
}
