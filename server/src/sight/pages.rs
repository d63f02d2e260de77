//! What the pages ask of cameras at work, answered.

use std::{sync::Arc, time::Duration};

use camera::{
    jpeg,
    live::{LiveFeed, LiveItem, LiveKind, LiveRefused},
    onvif,
    probe::{ProbeTarget, probe},
    source::CameraFailure,
};
use dashboard::{
    self as page, Discovered, FitResult, ModelAtWork, NotKept, ProbeFailure, ProbeRequest, TaughtCheck,
    TeachRefused, VideoFeed, VideoItem, VisionBackend,
};
use domain::{CameraKey, CameraUrl, Credentials, PictureBox, Scope, check::CheckKind, sight::StreamProfile};
use futures::{FutureExt as _, StreamExt as _, stream};
use store::records::{HeadKey, NewCrop};
use vision::{
    infer::InferError,
    kit::Kit,
    pipeline::taught_part,
    seen::Detection,
    teach::{Lesson, MIN_PER_CLASS, TeachError, fit as draw},
};

use super::{Inner, Sight, eye::Eye, marks::Marks};

/// The name under which the product itself acts.
const ACTOR: &str = "pages";

/// How long an ONVIF discovery listens.
const DISCOVERY: Duration = Duration::from_secs(4);

/// How long a capture of crops may take.
const CAPTURE_WITHIN: Duration = Duration::from_secs(20);

/// What the detector calls people.
const PERSON: &str = "person";

/// The widest crop that is kept, in pixels: the embedder looks at 224.
const CROP_WIDTH: u32 = 256;

impl Sight {
    /// The functions that the pages are handed.
    pub(crate) fn for_pages(&self) -> page::Sight {
        let inner = || Arc::clone(&self.0);
        let (health, still, live, changed, backend) = (inner(), inner(), inner(), inner(), inner());
        let marks = Marks::new();
        let (probing, finding, listing) = (inner(), inner(), inner());
        let (keeping, fitting, capturing) = (inner(), inner(), inner());
        page::Sight {
            health: Arc::new(move |key| health.eye(key).map(|eye| eye.health())),
            still: Arc::new(move |key| still.still(key)),
            live: Arc::new(move |key| live.live(key)),
            probe: Arc::new(move |request| {
                let inner = Arc::clone(&probing);
                async move { inner.probe(request).await }.boxed()
            }),
            discover: Arc::new(move || {
                let inner = Arc::clone(&finding);
                async move { inner.discover().await }.boxed()
            }),
            profiles: Arc::new(move |address, credentials| {
                let inner = Arc::clone(&listing);
                async move { inner.profiles(&address, credentials.as_ref()).await }.boxed()
            }),
            keep_credentials: Arc::new(move |key, credentials| {
                let inner = Arc::clone(&keeping);
                async move { inner.keep_credentials(&key, &credentials).await }.boxed()
            }),
            changed: Arc::new(move || changed.changed.notify_one()),
            fit: Arc::new(move |taught| {
                let inner = Arc::clone(&fitting);
                async move { inner.fit(taught).await }.boxed()
            }),
            capture: Arc::new(move |taught| {
                let inner = Arc::clone(&capturing);
                async move { inner.capture(taught).await }.boxed()
            }),
            watermark: Arc::new(move |copy| {
                let marks = marks.clone();
                async move { marks.mark(copy).await }.boxed()
            }),
            backend: Arc::new(move || backend.backend()),
        }
    }

    /// The archive, for pages that show evidence.
    pub(crate) fn archive(&self) -> store::Archive {
        self.0.archive.clone()
    }
}

impl Inner {
    fn still(&self, key: &CameraKey) -> Option<page::Still> {
        let eye = self.eye(key)?;
        eye.ask_still(self.clock.now());
        eye.still.load_full().map(|still| page::Still::clone(&still))
    }

    fn live(&self, key: &CameraKey) -> Result<VideoFeed, page::LiveRefused> {
        let eye = self.eye(key).ok_or(page::LiveRefused::NoPicture)?;
        if !eye.camera.live {
            return Err(page::LiveRefused::Off);
        }
        let feed = eye.handle.live(LiveKind::Best).map_err(|refused| match refused {
            LiveRefused::CameraFull { .. } | LiveRefused::SiteFull { .. } => page::LiveRefused::ViewerLimit,
            LiveRefused::Codec => page::LiveRefused::Codec,
            LiveRefused::NoPicture | LiveRefused::Closed => page::LiveRefused::NoPicture,
        })?;
        Ok(video(feed))
    }

    async fn probe(&self, request: ProbeRequest) -> Result<domain::ProbeReport, ProbeFailure> {
        let credentials = match (request.credentials, request.camera) {
            (Some(credentials), _) => Some(credentials),
            (None, Some(key)) => self.kept_for(&key, &request.source).await,
            (None, None) => None,
        };
        let target = ProbeTarget {
            source: request.source,
            sub: request.sub,
            credentials,
        };
        probe(target, &self.guard, &self.clock).await.map_err(told)
    }

    /// The password on record, for the place it was given for and for no other: whoever may type an address must not
    /// have the password sent there.
    async fn kept_for(&self, key: &CameraKey, source: &domain::CameraSource) -> Option<Credentials> {
        let on_record = self.records.camera(&Scope::everything(), key).await.ok()??;
        if on_record.source != *source {
            return None;
        }
        self.records.camera_credentials(key, &self.vault).await.ok()?
    }

    async fn discover(&self) -> Vec<Discovered> {
        let found = onvif::discover(DISCOVERY, &self.guard).await;
        let device = |found: onvif::Discovered| Discovered {
            address: found.address,
            name: found.name,
            location: found.location,
        };
        found.into_iter().map(device).collect()
    }

    async fn profiles(
        &self,
        address: &CameraUrl,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<StreamProfile>, ProbeFailure> {
        let camera = onvif::profiles(address, credentials, &self.guard, &self.clock).await;
        camera.map(|camera| camera.profiles).map_err(told)
    }

    async fn keep_credentials(&self, key: &CameraKey, credentials: &Credentials) -> Result<(), NotKept> {
        let kept = self
            .records
            .put_camera_credentials(key, credentials, &self.vault, ACTOR)
            .await;
        kept.map_err(|why| {
            tracing::error!(camera = %key, "The password of a camera was not kept: {why}");
            NotKept
        })?;
        self.changed.notify_one();
        Ok(())
    }

    async fn fit(&self, taught: TaughtCheck) -> Result<FitResult, TeachRefused> {
        let embedder = self.embedder().ok_or(TeachRefused::NoModel)?;
        let key = head_key(taught);
        let failed = |why: store::RecordError| {
            tracing::error!("A taught check was not fitted: {why}");
            TeachRefused::Failed
        };
        let everything = Scope::everything();
        let samples = self
            .records
            .labelled(&everything, &key, &embedder)
            .await
            .map_err(failed)?;
        let lesson = Lesson {
            check: key.check,
            camera: Some(key.camera.clone()),
            embedder_sha256: embedder,
        };
        let fitted = tokio::task::spawn_blocking(move || draw(&lesson, &samples)).await;
        let head = match fitted {
            Ok(Ok(head)) => head,
            Ok(Err(TeachError::TooFew { .. })) => return Err(TeachRefused::TooFew { least: MIN_PER_CLASS }),
            Ok(Err(_)) | Err(_) => return Err(TeachRefused::Failed),
        };
        let json = serde_json::to_string(&head).map_err(|_unwritable| TeachRefused::Failed)?;
        self.records
            .put_head(&everything, &key, &json, ACTOR)
            .await
            .map_err(failed)?;
        self.changed.notify_one();
        Ok(FitResult {
            auc: head.auc,
            positives: head.positives as usize,
            negatives: head.negatives as usize,
            may_alert: head.may_alert(),
            threshold: head.threshold,
        })
    }

    async fn capture(&self, taught: TaughtCheck) -> Result<usize, TeachRefused> {
        let engine = self.models.engine().ok_or(TeachRefused::NoModel)?;
        let eye = self.eye(&taught.camera).ok_or(TeachRefused::NoPicture)?;
        let frame = eye.handle.still().ok_or(TeachRefused::NoPicture)?;
        let key = head_key(taught);
        let (answer, heard) = tokio::sync::oneshot::channel();
        let (looking, of) = (Arc::clone(&eye), key.clone());
        let job = move |kit: &mut Kit| {
            let crops = crops(kit, &looking, &frame, &of);
            let (sent, outcome) = match crops {
                Ok(crops) => (Ok(crops), Ok(())),
                Err(why) => (Err(TeachRefused::Failed), Err(why)),
            };
            // Whoever asked may have gone away.
            drop(answer.send(sent));
            outcome
        };
        engine.workers.submit(&eye.camera.key, Box::new(job));
        let crops = tokio::time::timeout(CAPTURE_WITHIN, heard).await;
        let crops = match crops {
            Ok(Ok(crops)) => crops?,
            // A newer picture took its place, or the model is slow: to be tried again.
            Ok(Err(_)) | Err(_) => return Err(TeachRefused::Busy),
        };
        let mut kept = 0;
        for crop in &crops {
            match self.records.add_crop(crop).await {
                Ok(added) => kept += usize::from(added.is_some()),
                Err(why) => {
                    tracing::error!("A crop was not kept: {why}");
                    return Err(TeachRefused::Failed);
                }
            }
        }
        Ok(kept)
    }

    fn embedder(&self) -> Option<String> {
        let engine = self.models.engine()?;
        let precision = if engine.slow {
            models::Precision::F32
        } else {
            models::Precision::Int8
        };
        let card = self.models.catalog.find(models::Role::Embedder, precision)?;
        Some(card.sha256.to_string())
    }

    fn backend(&self) -> VisionBackend {
        let Some(engine) = self.models.engine() else {
            return VisionBackend::default();
        };
        let model = |card: &models::ModelCard| ModelAtWork {
            name: card.name.clone(),
            kind: card.kind.code().to_owned(),
            sha256: card.sha256.to_string(),
            licence: card.provenance.licence.clone(),
        };
        VisionBackend {
            name: engine.name.clone(),
            slow: engine.slow,
            models: self.models.catalog.models().iter().map(model).collect(),
            restarts: engine.workers.counts().reloads,
        }
    }
}

fn head_key(taught: TaughtCheck) -> HeadKey {
    HeadKey {
        camera: taught.camera,
        check: taught.check,
        zone: taught.zone,
    }
}

/// The crops of a picture that a taught check looks at; faces of people in them are seen by nobody but whoever
/// teaches this camera's own check.
fn crops(kit: &mut Kit, eye: &Eye, frame: &camera::Frame, of: &HeadKey) -> Result<Vec<NewCrop>, InferError> {
    let zone = of
        .zone
        .as_ref()
        .and_then(|zone| eye.camera.zone(zone))
        .map(|zone| &zone.area);
    let parts: Vec<PictureBox> = match (of.check.info().kind, zone) {
        (CheckKind::Person, zone) => {
            let people = kit.detect(frame)?;
            let there =
                |d: &&Detection| &*d.label == PERSON && zone.is_none_or(|area| area.contains(d.area.foot()));
            people
                .iter()
                .filter(there)
                .map(|d| taught_part(of.check, frame, &d.area))
                .collect()
        }
        (_, Some(area)) => vec![area.bounds()],
        (_, None) => Vec::new(),
    };
    let embedder = kit
        .embedder
        .as_mut()
        .ok_or(InferError::NoModel("describing crops"))?;
    let embedder_sha256 = embedder.stamp().sha256.clone();
    let mut crops = Vec::new();
    for part in parts {
        let Some(picture) = frame.cropped(&part) else {
            continue;
        };
        let picture = jpeg::scaled(&picture, CROP_WIDTH);
        crops.push(NewCrop {
            of: of.clone(),
            at: frame.at,
            jpeg: jpeg::encode(&picture, jpeg::JpegQuality::default()).to_vec(),
            embedding: embedder.embed(frame, &part)?,
            embedder_sha256: embedder_sha256.clone(),
        });
    }
    Ok(crops)
}

fn told(failure: CameraFailure) -> ProbeFailure {
    ProbeFailure {
        fault: failure.fault,
        detail: failure.detail,
    }
}

fn video(mut feed: LiveFeed) -> VideoFeed {
    let (mime, init, gop) = (
        feed.mime.clone(),
        feed.init.clone(),
        std::mem::take(&mut feed.gop),
    );
    let next = stream::unfold(feed, |mut feed| async move {
        let item = match feed.next().await? {
            LiveItem::Init { mime, init } => VideoItem::Init { mime, init },
            LiveItem::Fragment { key, data } => VideoItem::Fragment { key, data },
            LiveItem::Jpeg(jpeg) => VideoItem::Jpeg(jpeg),
        };
        Some((item, feed))
    });
    VideoFeed {
        mime,
        init,
        gop,
        next: next.boxed(),
    }
}
