//! A finding in words: what a camera's judgement says it saw, and what people say of that.

use std::collections::BTreeMap;

use domain::{Camera, CameraKey, EvidenceId, Rule, RuleId, Scope, observation::Origin};
use i18n_embed_fl::fl;
use store::records::{Finding, Reviewed, Verdict};

use super::{authority::Authority, camera::page_of, scene::Scene};
use crate::{directory::Directory, format::Locale, picture::Shown};

/// A finding in words.
pub(crate) struct FindingWords {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) tone: &'static str,
    pub(crate) severity: String,
    pub(crate) title: String,
    pub(crate) place: String,
    pub(crate) zone: Option<String>,
    pub(crate) facility: String,
    pub(crate) facility_href: String,
    pub(crate) camera_href: String,
    /// When it was found: HTML.
    pub(crate) at: String,
    /// The same, as briefly as can be: HTML.
    pub(crate) brief: String,
    /// How long it held, or holds: HTML.
    pub(crate) lasted: String,
    pub(crate) ongoing: bool,
    /// How sure the model was, against what threshold.
    pub(crate) score: Option<String>,
    /// How many pictures stand behind it.
    pub(crate) tally: Option<String>,
    pub(crate) model: Option<(String, String)>,
    pub(crate) origin: String,
    pub(crate) detail: String,
    pub(crate) clause: String,
    pub(crate) confidence: String,
    pub(crate) action: String,
    /// Where its picture is; `None` when none was kept.
    pub(crate) picture: Option<String>,
    pub(crate) scene: Scene,
    pub(crate) waiting: bool,
    pub(crate) verdict_tone: &'static str,
    pub(crate) verdict: String,
    pub(crate) by: String,
    pub(crate) comment: String,
    /// When it was reviewed: HTML.
    pub(crate) reviewed_at: String,
}

/// What turns findings into words.
pub(crate) struct FindingTeller<'a> {
    pub(crate) locale: &'a Locale,
    pub(crate) scope: &'a Scope,
    pub(crate) directory: &'a Directory,
    pub(crate) rules: &'a BTreeMap<RuleId, Rule>,
    pub(crate) cameras: &'a [Camera],
}

impl FindingTeller<'_> {
    pub(crate) fn tell(&self, finding: &Finding) -> FindingWords {
        let (locale, said) = (self.locale, &finding.said);
        let info = said.check.info();
        let camera = self.camera(&finding.camera);
        let zone = said.zone.as_ref().map(|id| (id, camera.and_then(|c| c.zone(id))));
        let rule = self.rule(finding);
        let authority = rule.map(|r| Authority::of(locale, r));
        let reviewed = finding.review.as_ref();
        FindingWords {
            id: finding.id.0,
            version: finding.version,
            tone: Shown::Active(info.severity).tone(),
            severity: locale.severity(info.severity),
            title: locale.check(said.check).to_owned(),
            place: camera.map_or_else(|| finding.camera.camera.to_string(), |c| locale.camera(c)),
            zone: zone.map(|(id, zone)| match zone {
                Some(zone) if !zone.name.is_empty() => zone.name.clone(),
                _ => id.to_string(),
            }),
            facility: self.facility(&finding.camera),
            facility_href: format!("/facilities/{}", finding.camera.facility),
            camera_href: page_of(&finding.camera),
            at: locale.stamp(said.at).at(),
            brief: locale.brief(said.at),
            lasted: match finding.ended_at {
                Some(end) => locale.duration(end.ms_since(said.since())),
                None => locale.counting(said.since()),
            },
            ongoing: finding.ended_at.is_none(),
            score: self.score(finding),
            tally: self.tally(finding),
            model: said.model.as_ref().map(|m| (m.name.clone(), m.sha256.clone())),
            origin: origin(locale, &said.origin),
            detail: said.detail.clone(),
            clause: authority.map(|a| a.clause).unwrap_or_default(),
            confidence: rule.map(|r| locale.confidence(r.confidence)).unwrap_or_default(),
            action: rule
                .map(|r| locale.pick(&r.action_zh, &r.action_en).to_owned())
                .unwrap_or_default(),
            picture: finding.evidence.first().map(picture_of),
            scene: Scene::of_zone(zone.and_then(|(_, z)| z)).with(locale, &said.boxes),
            waiting: reviewed.is_none(),
            verdict_tone: verdict_tone(reviewed),
            verdict: verdict(locale, reviewed),
            by: reviewed.map(|r| r.note.by.clone()).unwrap_or_default(),
            comment: reviewed.map(|r| r.note.comment.clone()).unwrap_or_default(),
            reviewed_at: reviewed.map_or_else(String::new, |r| locale.stamp(r.note.at).at()),
        }
    }

    fn camera(&self, key: &CameraKey) -> Option<&Camera> {
        self.cameras.iter().find(|c| c.key == *key)
    }

    pub(crate) fn facility(&self, key: &CameraKey) -> String {
        let entry = self.directory.facility(self.scope, &key.facility);
        entry.map_or_else(
            || key.facility.to_string(),
            |e| self.locale.facility(&e.facility).to_owned(),
        )
    }

    /// The rule that judges the check's metric.
    fn rule(&self, finding: &Finding) -> Option<&Rule> {
        let metric = finding.said.check.metric();
        self.rules.values().find(|r| r.metric.as_ref() == Some(&metric))
    }

    fn score(&self, finding: &Finding) -> Option<String> {
        let score = format!("{:.2}", finding.said.score?);
        Some(match finding.said.threshold {
            Some(limit) => fl!(
                self.locale.l,
                "finding-score-of",
                score = score,
                limit = format!("{limit:.2}")
            ),
            None => fl!(self.locale.l, "finding-score", score = score),
        })
    }

    fn tally(&self, finding: &Finding) -> Option<String> {
        let tally = finding.said.tally;
        (tally.judged + tally.unjudged > 0).then(|| {
            fl!(
                self.locale.l,
                "finding-tally",
                positive = tally.positive,
                judged = tally.judged,
                unjudged = tally.unjudged
            )
        })
    }
}

/// The picture of the moment of a finding, faces made unrecognisable.
fn picture_of(evidence: &EvidenceId) -> String {
    format!("/evidence/{evidence}/at.jpg")
}

fn origin(locale: &Locale, origin: &Origin) -> String {
    match origin {
        Origin::Own => fl!(locale.l, "origin-own"),
        Origin::Frigate => "Frigate".to_owned(),
        Origin::External => fl!(locale.l, "origin-external"),
    }
}

fn verdict(locale: &Locale, reviewed: Option<&Reviewed>) -> String {
    match reviewed.map(|r| r.verdict) {
        None => fl!(locale.l, "review-waiting"),
        Some(Verdict::Confirmed) => fl!(locale.l, "review-confirmed"),
        Some(Verdict::Rejected) => fl!(locale.l, "review-rejected"),
    }
}

fn verdict_tone(reviewed: Option<&Reviewed>) -> &'static str {
    match reviewed.map(|r| r.verdict) {
        None => "calm",
        Some(Verdict::Confirmed) => "crit",
        Some(Verdict::Rejected) => "ok",
    }
}

/// A row of the table of precision.
pub(crate) struct PrecisionRow {
    pub(crate) camera: String,
    pub(crate) camera_href: String,
    pub(crate) facility: String,
    pub(crate) check: &'static str,
    pub(crate) confirmed: u64,
    pub(crate) rejected: u64,
    pub(crate) waiting: u64,
    /// In per cent; `None` before anything was reviewed.
    pub(crate) percent: Option<u64>,
}

impl FindingTeller<'_> {
    pub(crate) fn precision(&self, row: &store::records::CheckPrecision) -> PrecisionRow {
        PrecisionRow {
            camera: self
                .camera(&row.camera)
                .map_or_else(|| row.camera.camera.to_string(), |c| self.locale.camera(c)),
            camera_href: page_of(&row.camera),
            facility: self.facility(&row.camera),
            check: self.locale.check(row.check),
            confirmed: row.confirmed,
            rejected: row.rejected,
            waiting: row.waiting,
            percent: row.share().map(|s| (s * 100.0).round() as u64),
        }
    }
}
