//! Copies of what is not blurred, marked before they leave.

use std::sync::Arc;

use bytes::Bytes;
use camera::watermark;
use dashboard::{NotMarked, ToMark};
use tokio::sync::Semaphore;
use tracing::error;

/// Copies that are marked at the same time; a clip takes a core for some seconds. More wait for their turn.
const AT_ONCE: usize = 1;

/// Marks copies, one after the other.
#[derive(Clone)]
pub(super) struct Marks(Arc<Semaphore>);

impl Marks {
    pub(super) fn new() -> Marks {
        Marks(Arc::new(Semaphore::new(AT_ONCE)))
    }

    pub(super) async fn mark(&self, copy: ToMark) -> Result<Bytes, NotMarked> {
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let turn = turn.map_err(|_closed| NotMarked)?;
        let marked = tokio::task::spawn_blocking(move || {
            // Held until the work is done, also when the visitor has gone meanwhile.
            let _turn = turn;
            match copy.media_type.as_str() {
                "video/mp4" => watermark::clip(&copy.bytes, &copy.mark),
                _ => watermark::still(&copy.bytes, &copy.mark),
            }
        });
        match marked.await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(why)) => {
                error!("A copy of evidence cannot be marked, and is not given out: {why}");
                Err(NotMarked)
            }
            Err(panicked) => {
                error!("Marking a copy of evidence panicked: {panicked}");
                Err(NotMarked)
            }
        }
    }
}
