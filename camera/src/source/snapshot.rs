//! Cameras that answer with one JPEG, asked again and again.

use std::{convert::Infallible, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    End, MAX_PICTURE_BYTES,
    http::{self, HttpCamera},
    outlet::Outlet,
};

pub(super) async fn read(
    mut camera: HttpCamera<'_>,
    every: Duration,
    outlet: &mut Outlet,
) -> Result<Infallible, End> {
    let stall = camera.context().timing.stall;
    let mut turns = interval(every);
    // A camera that took too long is not asked twice at once.
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut offset_told = false;
    loop {
        turns.tick().await;
        let asking = async {
            let response = camera.get().await?;
            let offset_ms = http::clock_offset(&response, outlet.now());
            Ok::<_, End>((http::body(response, MAX_PICTURE_BYTES).await?, offset_ms))
        };
        let (picture, offset_ms) = timeout(stall, asking).await.or(Err(http::slow()))??;
        if let Some(offset_ms) = offset_ms.filter(|_| !offset_told) {
            offset_told = true;
            outlet.clock_offset(offset_ms).await?;
        }
        outlet.jpeg(picture).await?;
    }
}
