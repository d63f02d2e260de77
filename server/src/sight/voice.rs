//! What the cameras of this process say into the log: the same topics and payloads that a camera or a box on the
//! network would use, so that judgement knows no difference.

use domain::{CameraKey, Metric, Sighted, UtcMillis, address};
use journal::{AppendError, Envelope, Journal, Kind};

/// Who speaks, in the log.
const SOURCE: &str = "sunshine";

/// Writes messages of cameras into the log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Voice {
    journal: Journal,
}

impl Voice {
    pub(crate) fn new(journal: Journal) -> Voice {
        Voice { journal }
    }

    /// Values of a camera's series at one moment, each in its metric's unit. Durable when it returns. Nothing to
    /// say is said by nothing.
    pub(crate) async fn readings(
        &self,
        camera: &CameraKey,
        at: UtcMillis,
        values: &[(Metric, f64)],
    ) -> Result<(), AppendError> {
        let finite = values.iter().filter(|(_, value)| value.is_finite());
        let values: serde_json::Map<String, serde_json::Value> = finite
            .map(|(metric, value)| (metric.as_str().to_owned(), (*value).into()))
            .collect();
        if values.is_empty() {
            return Ok(());
        }
        let body = serde_json::json!({ "ts": at, "values": values });
        self.say(camera, "up", body.to_string().as_bytes()).await
    }

    /// An observation. Durable when it returns.
    pub(crate) async fn observation(&self, camera: &CameraKey, said: &Sighted) -> Result<(), AppendError> {
        let body = serde_json::to_vec(said).expect("an observation has no map with keys that are no text");
        self.say(camera, "vision", &body).await
    }

    async fn say(&self, camera: &CameraKey, leaf: &str, body: &[u8]) -> Result<(), AppendError> {
        let topic = address::device_root(&camera.facility, &camera.camera) + leaf;
        let envelope = Envelope {
            kind: Kind::MESSAGE,
            flags: 0,
            source: SOURCE,
            subject: &topic,
            attributes: &[],
            body,
        };
        self.journal.append_durable(&envelope).await.map(|_position| ())
    }
}
