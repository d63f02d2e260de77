//! The forms of the answers.

use std::collections::BTreeMap;

use domain::{Case, Confidence, Facility, Rule, RuleId, Sample, case::Note};
use serde::Serialize;
use store::records::CaseAct;

use crate::{
    directory::PointEntry,
    format::{comparison_sign, iso},
    picture::PointNow,
};

/// A value and its moment.
#[derive(Serialize)]
pub(crate) struct SampleBody {
    at: String,
    at_ms: i64,
    value: f64,
}

impl From<Sample> for SampleBody {
    fn from(sample: Sample) -> SampleBody {
        SampleBody {
            at: iso(sample.at),
            at_ms: sample.at.0,
            value: sample.value,
        }
    }
}

#[derive(Serialize)]
struct LimitBody {
    op: &'static str,
    value: f64,
    severity: &'static str,
    rule: String,
}

/// A point as it stands now.
#[derive(Serialize)]
pub(crate) struct PointBody {
    facility: String,
    device: String,
    metric: String,
    unit: &'static str,
    point_type: String,
    place_zh: String,
    place_en: String,
    report_interval_s: u32,
    state: &'static str,
    severity: Option<&'static str>,
    since: Option<String>,
    rule: Option<String>,
    latest: Option<SampleBody>,
    limits: Vec<LimitBody>,
}

impl PointBody {
    pub(crate) fn new(entry: &PointEntry, now: &PointNow) -> PointBody {
        let point = &entry.point;
        PointBody {
            facility: point.facility.to_string(),
            device: point.device.to_string(),
            metric: point.metric.to_string(),
            unit: point.metric.unit().code(),
            point_type: point.point_type.clone(),
            place_zh: point.place_zh.clone(),
            place_en: point.place_en.clone(),
            report_interval_s: point.report_interval_s,
            state: now.state.code(),
            severity: match now.state {
                crate::picture::Shown::Active(severity) => Some(severity.code()),
                _ => None,
            },
            since: now.since.map(iso),
            rule: now.rule.as_ref().map(ToString::to_string),
            latest: now.latest.map(SampleBody::from),
            limits: now
                .limits
                .iter()
                .map(|l| LimitBody {
                    op: comparison_sign(l.op),
                    value: l.value,
                    severity: l.severity.code(),
                    rule: l.rule.to_string(),
                })
                .collect(),
        }
    }
}

/// A facility and its points.
#[derive(Serialize)]
pub(crate) struct FacilityBody {
    id: String,
    region: String,
    name_zh: String,
    name_en: String,
    kind: domain::FacilityKind,
    size: domain::SizeClass,
    beds: u32,
    people_served: u32,
    address: String,
    state: &'static str,
    points: Vec<PointBody>,
}

impl FacilityBody {
    pub(crate) fn new(facility: &Facility, state: &'static str, points: Vec<PointBody>) -> FacilityBody {
        FacilityBody {
            id: facility.id.to_string(),
            region: facility.region.to_string(),
            name_zh: facility.name_zh.clone(),
            name_en: facility.name_en.clone(),
            kind: facility.kind,
            size: facility.size,
            beds: facility.beds,
            people_served: facility.people_served,
            address: facility.address.clone(),
            state,
            points,
        }
    }
}

#[derive(Serialize)]
struct NoteBody {
    by: String,
    at: String,
    comment: String,
}

impl From<&Note> for NoteBody {
    fn from(note: &Note) -> NoteBody {
        NoteBody {
            by: note.by.clone(),
            at: iso(note.at),
            comment: note.comment.clone(),
        }
    }
}

/// A case.
#[derive(Serialize)]
pub(crate) struct CaseBody {
    id: i64,
    version: i64,
    state: &'static str,
    severity: &'static str,
    rule: String,
    rule_version: String,
    title_zh: Option<String>,
    title_en: Option<String>,
    /// What the rule rests on; absent when the rule is no longer active.
    clause: Option<String>,
    edition: Option<String>,
    source: Option<String>,
    confidence: Option<Confidence>,
    facility: String,
    device: String,
    metric: String,
    since: String,
    raised_at: String,
    cleared_at: Option<String>,
    value: Option<f64>,
    limit: Option<f64>,
    acknowledged: Option<NoteBody>,
    closed: Option<NoteBody>,
    /// By when the next act is due.
    due_at: Option<String>,
    /// How long an emergency call waited for its answer, in milliseconds.
    answered_ms: Option<i64>,
    /// The last step of the ladder that was told: 0 the facility's duty, 3 the district.
    level: u8,
    card: &'static str,
    /// How often it was sent back.
    round: u32,
    measure: String,
    responsible: String,
    before: Option<String>,
    after: Option<String>,
    /// An earlier case of the same rule and point.
    recurs: Option<i64>,
    /// The case whose trouble this one is a part of.
    folded_into: Option<i64>,
    /// How many cases are a part of this one's trouble.
    folded: u32,
}

impl CaseBody {
    pub(crate) fn new(case: &Case, rules: &BTreeMap<RuleId, Rule>) -> CaseBody {
        let rule = rules.get(&case.rule);
        CaseBody {
            id: case.id.0,
            version: case.version,
            state: case.state.code(),
            severity: case.severity.code(),
            rule: case.rule.to_string(),
            rule_version: case.rule_version.clone(),
            title_zh: rule.map(|r| r.title_zh.clone()),
            title_en: rule.map(|r| r.title_en.clone()),
            clause: rule.map(|r| r.clause.clone()),
            edition: rule.map(|r| r.edition.clone()),
            source: rule.map(|r| r.source.clone()),
            confidence: rule.map(|r| r.confidence),
            facility: case.point.facility.to_string(),
            device: case.point.device.to_string(),
            metric: case.point.metric.to_string(),
            since: iso(case.since),
            raised_at: iso(case.raised_at),
            cleared_at: case.cleared_at.map(iso),
            value: case.value,
            limit: case.limit,
            acknowledged: case.acknowledged.as_ref().map(NoteBody::from),
            closed: case.closed.as_ref().map(NoteBody::from),
            due_at: case.handling.due_at.map(iso),
            answered_ms: case.handling.answered_ms,
            level: case.handling.level,
            card: case.handling.card.code(),
            round: case.handling.round,
            measure: case.handling.measure.clone(),
            responsible: case.handling.responsible.clone(),
            before: case.handling.before.map(|id| id.to_string()),
            after: case.handling.after.map(|id| id.to_string()),
            recurs: case.handling.recurs.map(|id| id.0),
            folded_into: case.handling.folded_into.map(|id| id.0),
            folded: case.handling.folded,
        }
    }
}

/// Something that somebody did to a case.
#[derive(Serialize)]
pub(crate) struct ActBody {
    version: i64,
    act: String,
    by: String,
    at: String,
    comment: String,
    state: &'static str,
    round: u32,
    picture: Option<String>,
}

impl From<&CaseAct> for ActBody {
    fn from(act: &CaseAct) -> ActBody {
        ActBody {
            version: act.version,
            act: act.act.clone(),
            by: act.note.by.clone(),
            at: iso(act.note.at),
            comment: act.note.comment.clone(),
            state: act.state.code(),
            round: act.round,
            picture: act.picture.map(|id| id.to_string()),
        }
    }
}
