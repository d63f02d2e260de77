//! `/live/{facility}/{camera}`: a camera's pictures as the camera encoded them, over a WebSocket.
//!
//! A text message says what comes: `{"mime":"video/mp4; codecs=\"avc1.4d401f\""}`. Then come, each as one binary
//! message, the initialisation segment, the fragments since the last key frame, and what follows; for
//! `image/jpeg` one picture each. `{"skipped":12}` says that so many pieces were left out for this viewer. The
//! socket closes with a code of its own and the reason's name: see [`End`].
//!
//! Every look is written to the audit trail before the first picture is sent.

mod queue;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, Uri},
    response::Response,
};
use domain::{CameraKey, Scope};
use futures::{
    SinkExt as _, StreamExt as _,
    stream::{BoxStream, SplitSink, SplitStream},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    app::App,
    failure::{Failure, Kind},
    query, security,
    sight::{LiveRefused, VideoFeed, VideoItem},
    visitor::Visitor,
    watcher::Watching,
};
use queue::Queue;

/// The most live viewers of all cameras together; how many may watch one camera is the camera's own limit.
const MAX_WATCHERS: usize = 256;
/// A viewer that takes in nothing for so long is let go.
const SEND_DEADLINE: Duration = Duration::from_secs(15);
/// The largest message that a viewer may send; none needs to.
const MAX_RECEIVED: usize = 1024;

/// What the live viewers share.
pub(crate) struct VideoShared {
    seats: Arc<Semaphore>,
    /// Moves when a camera on record has been changed here.
    changes: watch::Sender<u64>,
}

impl VideoShared {
    pub(crate) fn new() -> VideoShared {
        VideoShared {
            seats: Arc::new(Semaphore::new(MAX_WATCHERS)),
            changes: watch::Sender::new(0),
        }
    }

    /// Lets every viewer look whether its camera may still be watched.
    pub(crate) fn cameras_changed(&self) {
        self.changes.send_modify(|n| *n += 1);
    }
}

/// Why a socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It cannot be watched.
    Refused(LiveRefused),
    /// The camera was let go, or sends nothing more; a viewer may try again.
    Over,
    /// The viewer took in nothing for too long.
    Stuck,
    /// The viewer has gone.
    Gone,
    /// The server stops.
    Closing,
}

impl End {
    /// The close code and the reason's name; `None` when there is nobody to tell.
    fn said(self) -> Option<(u16, &'static str)> {
        match self {
            End::Refused(why) => Some((4001, why.code())),
            End::Over => Some((4002, "over")),
            End::Stuck => Some((4003, "stuck")),
            End::Closing => Some((1001, "closing")),
            End::Gone => None,
        }
    }
}

/// One viewer of one camera.
struct Viewing {
    app: Arc<App>,
    scope: Scope,
    key: CameraKey,
    _seat: OwnedSemaphorePermit,
}

pub(crate) async fn watch(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((facility, camera)): Path<(String, String)>,
    (uri, headers): (Uri, HeaderMap),
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    // A socket is opened by a GET, which pages of other sites may send too.
    if !security::from_own_site(&headers, &uri) {
        return Err(Failure::new(
            Kind::CrossSite,
            "the socket is not opened by a page of this server",
        ));
    }
    let (facility, camera) = query::device(&facility, &camera)?;
    let key = CameraKey { facility, camera };
    let upgrade = upgrade.map_err(|error| Failure::new(Kind::BadRequest, error.to_string()))?;
    let camera = app.camera(&visitor.scope, &key).await?;
    let watcher = Watching::of(&visitor, &headers).required()?;
    let seats = Arc::clone(&app.video.seats);
    let seat = seats
        .try_acquire_owned()
        .map_err(|_full| Failure::new(Kind::Busy, format!("{MAX_WATCHERS} people already watch cameras")))?;
    let feed = match camera.live && camera.enabled {
        true => (app.stores.sight.live)(&key),
        false => Err(LiveRefused::Off),
    };
    if feed.is_ok() {
        watcher.write_down(&app, "camera.live", &key.to_string()).await?;
    }
    let viewing = Viewing {
        app,
        scope: visitor.scope,
        key,
        _seat: seat,
    };
    let upgrade = upgrade
        .max_message_size(MAX_RECEIVED)
        .max_frame_size(MAX_RECEIVED);
    Ok(upgrade.on_upgrade(|socket| viewing.serve(socket, feed)))
}

impl Viewing {
    async fn serve(self, socket: WebSocket, feed: Result<VideoFeed, LiveRefused>) {
        let (mut sink, source) = socket.split();
        let end = match feed {
            Ok(feed) => self.show(&mut sink, source, feed).await,
            Err(refused) => End::Refused(refused),
        };
        let Some((code, reason)) = end.said() else { return };
        let close = Message::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        }));
        match tokio::time::timeout(SEND_DEADLINE, sink.send(close)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a live viewer had gone before it was told why"),
            Err(_late) => tracing::debug!("a live viewer was let go without a word"),
        }
    }

    /// Shows the feed until something ends it.
    async fn show(
        &self,
        sink: &mut SplitSink<WebSocket, Message>,
        source: SplitStream<WebSocket>,
        feed: VideoFeed,
    ) -> End {
        let pending = Pending::default();
        let next = pending.begin(feed);
        tokio::select! {
            end = fill(&pending, next) => end,
            end = drain(&pending, sink) => end,
            end = listen(source) => end,
            end = self.until_switched_off() => end,
            () = self.app.live_ends() => End::Closing,
        }
    }

    /// Waits until the camera may no longer be watched.
    async fn until_switched_off(&self) -> End {
        let mut changes = self.app.video.changes.subscribe();
        // What was changed between the first look and now is looked at once more.
        changes.mark_changed();
        while changes.changed().await.is_ok() {
            match self.app.camera(&self.scope, &self.key).await {
                Ok(camera) if camera.live && camera.enabled => {}
                Ok(_) => return End::Refused(LiveRefused::Off),
                Err(failure) if failure.kind == Kind::NotFound => return End::Refused(LiveRefused::Off),
                Err(failure) => {
                    tracing::warn!(
                        cause = failure.cause,
                        "a live viewer's camera could not be looked up"
                    );
                }
            }
        }
        End::Closing
    }
}

/// What waits for the viewer, and a bell for the one who sends it.
#[derive(Default)]
struct Pending {
    queue: Mutex<Queue>,
    bell: Notify,
}

impl Pending {
    fn push(&self, item: VideoItem) {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(item);
        self.bell.notify_one();
    }

    /// Puts the beginning of the feed in line and gives back the rest.
    fn begin(&self, feed: VideoFeed) -> BoxStream<'static, VideoItem> {
        let moving = !feed.init.is_empty();
        self.push(VideoItem::Init {
            mime: feed.mime,
            init: feed.init,
        });
        for (index, data) in feed.gop.into_iter().enumerate() {
            self.push(match moving {
                true => VideoItem::Fragment {
                    key: index == 0,
                    data,
                },
                false => VideoItem::Jpeg(data),
            });
        }
        feed.next
    }

    /// The messages that are due.
    fn take(&self) -> Vec<Message> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut messages = Vec::new();
        let skipped = queue.take_skipped();
        if skipped > 0 {
            messages.push(text(&serde_json::json!({ "skipped": skipped })));
        }
        match queue.pop() {
            Some(VideoItem::Init { mime, init }) => {
                messages.push(text(&serde_json::json!({ "mime": mime })));
                if !init.is_empty() {
                    messages.push(Message::Binary(init));
                }
            }
            Some(VideoItem::Fragment { data, .. } | VideoItem::Jpeg(data)) => messages.push(binary(data)),
            None => {}
        }
        messages
    }
}

fn text(value: &serde_json::Value) -> Message {
    Message::Text(value.to_string().into())
}

fn binary(data: Bytes) -> Message {
    Message::Binary(data)
}

async fn fill(pending: &Pending, mut next: BoxStream<'static, VideoItem>) -> End {
    while let Some(item) = next.next().await {
        pending.push(item);
    }
    End::Over
}

async fn drain(pending: &Pending, sink: &mut SplitSink<WebSocket, Message>) -> End {
    loop {
        let messages = pending.take();
        if messages.is_empty() {
            pending.bell.notified().await;
        }
        for message in messages {
            match tokio::time::timeout(SEND_DEADLINE, sink.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_gone)) => return End::Gone,
                Err(_late) => return End::Stuck,
            }
        }
    }
}

/// Viewers have nothing to say but that they go.
async fn listen(mut source: SplitStream<WebSocket>) -> End {
    while let Some(Ok(message)) = source.next().await {
        if matches!(message, Message::Close(_)) {
            break;
        }
    }
    End::Gone
}
