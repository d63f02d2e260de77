//! `/live`: one stream of server-sent events per open page.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::Uri,
    response::sse::{Event, KeepAlive, Sse},
};
use domain::Scope;
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{Frame, Seat, Topic, render};
use crate::{
    app::App,
    failure::Failure,
    i18n::Lang,
    pages::overview::{MAX_SPARKS, MAX_TILES},
    picture::count_cases,
    query::{Parameters, device, id},
    view::kpis::Figures,
    visitor::Visitor,
};

/// The page takes the stream for lost when it hears nothing for three of these.
const BEAT_FRAMES: u64 = 3;

pub(crate) async fn stream(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let topic = topic(&Parameters::of(&uri)?)?;
    let closing = app.live.closing.clone();
    let frames = app.live.frames.subscribe();
    let seat = Seat::take(&app, topic, visitor.scope)?;
    let viewer = Viewer {
        seat,
        frames,
        lang: visitor.lang,
        behind: true,
    };
    let events = stream::unfold(viewer, |mut viewer| async move {
        let events = viewer.next().await?;
        Some((stream::iter(events.into_iter().map(Ok)), viewer))
    });
    let events = events.flatten().take_until(closing.cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

fn topic(parameters: &Parameters) -> Result<Topic, Failure> {
    let of = |name: &str| parameters.get(name).unwrap_or_default();
    match of("page") {
        "overview" => Ok(Topic::Overview),
        "facilities" => Ok(Topic::Facilities),
        "facility" => Ok(Topic::Facility(id(
            "facility",
            of("facility"),
            domain::FacilityId::new,
        )?)),
        "device" => {
            let (facility, device) = device(of("facility"), of("device"))?;
            Ok(Topic::Device(facility, device))
        }
        "cameras" => Ok(Topic::Cameras),
        "camera" => {
            let (facility, camera) = device(of("facility"), of("camera"))?;
            Ok(Topic::Camera(facility, camera))
        }
        "findings" => Ok(Topic::Findings),
        "plain" => Ok(Topic::Plain),
        _ => Err(Failure::bad_parameter(
            "page",
            "overview, facilities, facility, device, cameras, camera, findings or plain",
        )),
    }
}

/// One open page.
struct Viewer {
    seat: Seat,
    frames: Receiver<Arc<Frame>>,
    lang: Lang,
    /// Whether it has to be told everything first: it has just come, or it was too slow.
    behind: bool,
}

impl Viewer {
    /// What to tell next; `None` when there will be nothing more.
    async fn next(&mut self) -> Option<Vec<Event>> {
        if self.behind {
            self.behind = false;
            return Some(self.everything().await);
        }
        match self.frames.recv().await {
            Ok(frame) => Some(self.tell(&frame)),
            Err(RecvError::Lagged(_)) => {
                self.behind = true;
                Some(Vec::new())
            }
            Err(RecvError::Closed) => None,
        }
    }

    /// The events of one frame that this page is about.
    fn tell(&self, frame: &Frame) -> Vec<Event> {
        let (i, scope) = (self.lang.index(), &self.seat.scope);
        let sees_all = *scope == Scope::everything();
        let mut html = String::new();
        if matches!(self.seat.topic, Topic::Overview | Topic::Facilities) {
            match &frame.all_tiles {
                Some(said) if sees_all => html.push_str(&said[i]),
                _ => {
                    for (_, said) in frame.tiles.iter().filter(|(id, _)| scope.allows(id)) {
                        html.push_str(&said[i]);
                    }
                }
            }
        }
        let mut events = Vec::new();
        if self.seat.topic == Topic::Overview && sees_all {
            html.extend(frame.kpis.as_ref().map(|said| &*said[i]));
            events.extend(
                frame
                    .queue
                    .as_ref()
                    .map(|said| Event::default().event("queue").data(&*said[i])),
            );
        }
        if self.seat.topic == Topic::Cameras {
            let visible = frame.cameras.iter().filter(|(id, _)| scope.allows(id));
            html.extend(visible.map(|(_, said)| &*said[i]));
        }
        if self.seat.topic == Topic::Findings && sees_all {
            events.extend(frame.findings.map(findings));
        }
        if self.may_see_topic() {
            html.extend(frame.parts.get(&self.seat.topic).map(|said| &*said[i]));
        }
        if !html.is_empty() {
            events.push(Event::default().data(html));
        }
        let visible = frame.cases.iter().filter(|(id, _)| scope.allows(id));
        events.extend(visible.map(|(_, data)| Event::default().event("case").data(&**data)));
        if frame.directory_changed {
            events.push(Event::default().event("directory").data("changed"));
        }
        if frame.number.is_multiple_of(BEAT_FRAMES) {
            events.push(beat(frame.at_ms));
        }
        events
    }

    fn may_see_topic(&self) -> bool {
        match &self.seat.topic {
            Topic::Facility(id) | Topic::Device(id, _) | Topic::Camera(id, _) => self.seat.scope.allows(id),
            Topic::Overview | Topic::Facilities | Topic::Cameras | Topic::Findings | Topic::Plain => true,
        }
    }

    /// Everything the page shows, as it is now.
    async fn everything(&self) -> Vec<Event> {
        let mut events = vec![beat(self.seat.app.stores.clock.now().0)];
        match self.snapshot().await {
            Ok(snapshot) => events.extend(snapshot),
            Err(failure) => tracing::warn!(cause = failure.cause, "a viewer got no snapshot"),
        }
        events
    }

    async fn snapshot(&self) -> Result<Vec<Event>, Failure> {
        let (app, scope, i) = (&self.seat.app, &self.seat.scope, self.lang.index());
        let directory = app.directory().await?;
        match self.seat.topic {
            Topic::Cameras => {
                let all = app.cameras_now(scope).await?;
                let tiles = all.iter().filter_map(|c| render::camera_tile(app, &directory, c));
                let html: String = tiles.map(|said| said[i].to_string()).collect();
                return Ok((!html.is_empty())
                    .then(|| Event::default().data(html))
                    .into_iter()
                    .collect());
            }
            Topic::Findings => {
                let waiting = app.waiting_findings(scope).await?.values().sum();
                return Ok(vec![findings(waiting)]);
            }
            Topic::Camera(..) => {
                let part = render::camera(app, scope, &self.seat.topic).await?;
                return Ok(part
                    .map(|said| Event::default().data(&*said[i]))
                    .into_iter()
                    .collect());
            }
            _ => {}
        }
        if !matches!(self.seat.topic, Topic::Overview | Topic::Facilities) {
            let part =
                render::part(app, scope, &directory, &self.seat.topic).filter(|_| self.may_see_topic());
            return Ok(part
                .map(|said| Event::default().data(&*said[i]))
                .into_iter()
                .collect());
        }
        let mut all = app.facilities_now(scope, &directory);
        let cases = app.open_cases(scope).await?;
        count_cases(&mut all, &cases);
        app.draw_headlines(&mut all, MAX_SPARKS).await;
        let tiles = all.iter().take(MAX_TILES).filter_map(|f| render::tile(app, f));
        let mut html: String = tiles.map(|said| said[i].to_string()).collect();
        let mut events = Vec::new();
        if self.seat.topic == Topic::Overview {
            html.extend(
                render::kpis(app, &Figures::new(&all, &cases, app.live.rate())).map(|s| s[i].to_string()),
            );
            let queue = render::queue(app, &directory, &cases);
            events.extend(queue.map(|said| Event::default().event("queue").data(&*said[i])));
        }
        events.push(Event::default().data(html));
        Ok(events)
    }
}

/// How many findings wait for review.
fn findings(waiting: u64) -> Event {
    Event::default().event("findings").data(waiting.to_string())
}

/// A sign of life that carries the server's time, against which pages count ages.
fn beat(at_ms: i64) -> Event {
    Event::default().event("beat").data(at_ms.to_string())
}
