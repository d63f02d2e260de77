//! Cameras that send JPEGs in one HTTP answer without end.

use std::convert::Infallible;

use domain::{
    camera::{CameraUrl, Credentials},
    sight::CameraFault,
};
use reqwest::header::CONTENT_TYPE;
use tokio::time::{Instant, timeout_at};

use super::{
    CameraFailure, End, MAX_PICTURE_BYTES, SourceContext,
    http::{self, HttpCamera},
    multipart::{Multipart, MultipartError},
    outlet::Outlet,
};

pub(super) async fn read(
    url: &CameraUrl,
    credentials: Option<&Credentials>,
    context: &SourceContext,
    outlet: &mut Outlet,
) -> Result<Infallible, End> {
    let mut response = HttpCamera::new(url, credentials, context)?.get().await?;
    if let Some(offset_ms) = http::clock_offset(&response, outlet.now()) {
        outlet.clock_offset(offset_ms).await?;
    }
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let mut parts = Multipart::new(kind.unwrap_or_default(), MAX_PICTURE_BYTES).map_err(failure_of)?;
    // Only whole pictures put the deadline off: bytes may trickle for ever.
    let mut deadline = Instant::now() + context.timing.stall;
    loop {
        let piece = match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => return Err(stopped("the camera ended the stream").into()),
            Ok(Err(e)) => return Err(http::failure_of(&e).into()),
            Err(_) => return Err(stopped("no picture came for too long").into()),
        };
        parts.add(&piece);
        while let Some(picture) = parts.next_part().map_err(failure_of)? {
            outlet.jpeg(picture).await?;
            deadline = Instant::now() + context.timing.stall;
        }
    }
}

fn stopped(what: &str) -> CameraFailure {
    CameraFailure::new(CameraFault::Timeout, what)
}

fn failure_of(error: MultipartError) -> CameraFailure {
    let fault = match error {
        MultipartError::TooLarge => CameraFault::TooLarge,
        MultipartError::NotMultipart | MultipartError::NoBoundary | MultipartError::Header => {
            CameraFault::Protocol
        }
    };
    CameraFailure::new(fault, error.to_string())
}
