//! From what waits in the outbox to what people read and programs parse.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use domain::{
    Facility, Point, Rule, Scope, SeriesKey, UtcMillis,
    message::{Language, Names, Said, Text, text},
};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use store::{RecordError, Records};

use crate::AlertHandle;

/// Writes a moment.
type Written = Arc<dyn Fn(UtcMillis) -> String + Send + Sync>;

/// How moments are written.
#[derive(Clone)]
pub struct Moments {
    /// For people, in the facilities' zone.
    pub local: Written,
    /// For programs: RFC 3339.
    pub iso: Written,
}

impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moments").finish_non_exhaustive()
    }
}

/// Finds the picture that shows what a camera's case is about: the point and the beginning in, a JPEG with faces blurred
/// out, or nothing while there is none.
pub type PictureSource = Arc<dyn Fn(SeriesKey, UtcMillis) -> BoxFuture<'static, Option<Bytes>> + Send + Sync>;

/// What finds words.
#[derive(Clone)]
pub(crate) struct Wording {
    pub(crate) records: Records,
    pub(crate) alerts: AlertHandle,
    pub(crate) moments: Moments,
    /// Where the pages are, without a slash at the end.
    pub(crate) link: String,
}

/// A notice with everything that its words are made of.
pub(crate) struct Told {
    rule: Option<Rule>,
    facility: Option<Facility>,
    point: Option<Point>,
}

impl Wording {
    /// Looks up what a notice speaks of.
    pub(crate) async fn look_up(&self, said: &Said) -> Result<Told, RecordError> {
        let all = Scope::everything();
        let facility = self.records.facility(&all, &said.point.facility).await?;
        let points = self.records.points(&all, Some(&said.point.facility)).await?;
        Ok(Told {
            rule: self.alerts.rules().get(&said.rule).cloned(),
            facility,
            point: points.into_iter().find(|point| point.key() == said.point),
        })
    }

    /// The notice in words.
    pub(crate) fn text(&self, said: &Said, told: &Told, language: Language) -> Text {
        let pick = |zh: &str, en: &str| match language {
            Language::Zh => zh.to_owned(),
            Language::En => en.to_owned(),
        };
        let (rule, facility, point) = (told.rule.as_ref(), told.facility.as_ref(), told.point.as_ref());
        let names = Names {
            title: rule.map_or_else(|| said.rule.to_string(), |r| pick(&r.title_zh, &r.title_en)),
            action: rule.map(|r| pick(&r.action_zh, &r.action_en)).unwrap_or_default(),
            facility: facility.map_or_else(
                || said.point.facility.to_string(),
                |f| pick(&f.name_zh, &f.name_en),
            ),
            place: point.map_or_else(
                || said.point.device.to_string(),
                |p| pick(&p.place_zh, &p.place_en),
            ),
            since: (self.moments.local)(said.since),
            due: said.due_at.map(|at| (self.moments.local)(at)).unwrap_or_default(),
            link: self.case_link(said),
        };
        text(said, &names, language)
    }

    /// The notice for programs.
    pub(crate) fn event(&self, said: &Said, told: &Told, at: UtcMillis) -> Value {
        let iso = |at: UtcMillis| (self.moments.iso)(at);
        let (rule, facility) = (told.rule.as_ref(), told.facility.as_ref());
        json!({
            "type": format!("case.{}", said.kind.code()),
            "timestamp": iso(at),
            "data": {
                "case": said.case.0,
                "version": said.version,
                "severity": said.severity.code(),
                "state": said.state.code(),
                "rule": said.rule.as_str(),
                "title_zh": rule.map(|r| r.title_zh.as_str()),
                "title_en": rule.map(|r| r.title_en.as_str()),
                "facility": said.point.facility.as_str(),
                "facility_zh": facility.map(|f| f.name_zh.as_str()),
                "facility_en": facility.map(|f| f.name_en.as_str()),
                "device": said.point.device.as_str(),
                "metric": said.point.metric.as_str(),
                "unit": said.point.metric.unit().code(),
                "value": said.value,
                "limit": said.limit,
                "since": iso(said.since),
                "raised_at": iso(said.raised_at),
                "due_at": said.due_at.map(iso),
                "level": said.level,
                "card": said.card.code(),
                "by": said.by,
                "words": said.words,
                "link": self.case_link(said),
            },
        })
    }

    /// Where several notices are read at once.
    pub(crate) fn cases_link(&self) -> String {
        format!("{}/cases", self.link)
    }

    fn case_link(&self, said: &Said) -> String {
        format!("{}/cases/{}", self.link, said.case)
    }
}
