//! `/findings`: the review queue. What cameras say they saw waits here until somebody confirms or rejects it;
//! only what is confirmed may touch a score.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Form, Path, State, rejection::FormRejection},
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{CameraKey, Check, Permission};
use i18n_embed_fl::fl;
use serde::Deserialize;
use store::records::{Finding, FindingFilter, FindingId, Review, ReviewState, Verdict};

use crate::{
    app::App,
    failure::{Failure, Kind},
    format::Locale,
    query::{self, Parameters},
    signed,
    view::{
        case::{MAX_COMMENT, MAX_NAME},
        finding::{FindingTeller, FindingWords, PrecisionRow},
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// Findings on one page: each is a picture.
const PER_PAGE: u32 = 24;

/// The names of the states that can be asked for.
const STATES: [(&str, Option<ReviewState>); 4] = [
    ("waiting", Some(ReviewState::Waiting)),
    ("confirmed", Some(ReviewState::Confirmed)),
    ("rejected", Some(ReviewState::Rejected)),
    ("all", None),
];

struct Choice {
    value: String,
    label: String,
    href: String,
    current: bool,
}

#[derive(Template)]
#[template(path = "findings.html")]
struct Findings {
    page: Page,
    findings: Vec<FindingWords>,
    state: &'static str,
    camera: String,
    states: Vec<Choice>,
    checks: Vec<Choice>,
    facilities: Vec<Choice>,
    next: Option<String>,
    precision: Vec<PrecisionRow>,
    waiting: u64,
    max_name: usize,
    max_comment: usize,
}

impl Findings {
    /// Whether what waits for review is shown.
    fn is_queue(&self) -> bool {
        self.state == "waiting"
    }
}

/// Which findings are asked for.
struct Wanted {
    state: &'static str,
    filter: FindingFilter,
}

impl Wanted {
    fn of(parameters: &Parameters) -> Result<Wanted, Failure> {
        let asked = parameters.get("state").unwrap_or("waiting");
        let Some((state, review)) = STATES.into_iter().find(|(name, _)| *name == asked) else {
            return Err(Failure::bad_parameter(
                "state",
                "waiting, confirmed, rejected or all",
            ));
        };
        let check = match parameters.get("check").map(Check::parse) {
            None => None,
            Some(None) => return Err(Failure::bad_parameter("check", "the name of a check")),
            Some(check) => check,
        };
        Ok(Wanted {
            state,
            filter: FindingFilter {
                facility: parameters.facility()?,
                camera: camera(parameters)?,
                check,
                review,
                before: before(parameters)?,
                limit: PER_PAGE + 1,
            },
        })
    }

    /// This list's address with another state, or the same one.
    fn href(&self, state: &str) -> String {
        let mut href = format!("/findings?state={state}");
        if let Some(facility) = &self.filter.facility {
            href.push_str(&format!("&facility={facility}"));
        }
        if let Some(camera) = &self.filter.camera {
            href.push_str(&format!("&camera={camera}"));
        }
        if let Some(check) = self.filter.check {
            href.push_str(&format!("&check={}", check.code()));
        }
        href
    }
}

/// `camera=facility/camera`.
pub(crate) fn camera(parameters: &Parameters) -> Result<Option<CameraKey>, Failure> {
    let Some(text) = parameters.get("camera") else {
        return Ok(None);
    };
    let (facility, camera) = text
        .split_once('/')
        .ok_or_else(|| Failure::bad_parameter("camera", "facility/camera"))?;
    let (facility, camera) = query::device(facility, camera)?;
    Ok(Some(CameraKey { facility, camera }))
}

/// `before=` a finding's number.
pub(crate) fn before(parameters: &Parameters) -> Result<Option<FindingId>, Failure> {
    match parameters.get("before").map(str::parse::<i64>) {
        None => Ok(None),
        Some(Ok(n)) if n > 0 => Ok(Some(FindingId(n))),
        Some(_) => Err(Failure::bad_parameter("before", "a finding's number")),
    }
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    let wanted = Wanted::of(&Parameters::of(&uri)?)?;
    let locale = visitor.locale(&app);
    let records = &app.stores.records;
    let mut found = records.findings(&visitor.scope, &wanted.filter).await?;
    let more = found.len() > PER_PAGE as usize;
    found.truncate(PER_PAGE as usize);
    let precision = records.precision(&visitor.scope).await?;
    let directory = app.directory().await?;
    let cameras = app.all_cameras().await?;
    let rules = app.stores.alerts.rules();
    let teller = FindingTeller {
        locale: &locale,
        scope: &visitor.scope,
        directory: &directory,
        rules: &rules,
        cameras: &cameras,
    };
    let here = wanted.href(wanted.state);
    let title = fl!(locale.l, "findings-title");
    let page = Page::new(&app, &visitor, Nav::Findings, title, &here).following("page=findings");
    let view = Findings {
        page,
        findings: found.iter().map(|f| teller.tell(f)).collect(),
        state: wanted.state,
        camera: wanted
            .filter
            .camera
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        states: states(&locale, &wanted),
        checks: checks(&locale, &wanted),
        facilities: facilities(&teller, &wanted),
        next: found
            .last()
            .filter(|_| more)
            .map(|f| format!("{here}&before={}", f.id.0)),
        waiting: precision.iter().map(|p| p.waiting).sum(),
        precision: precision.iter().map(|p| teller.precision(p)).collect(),
        max_name: MAX_NAME,
        max_comment: MAX_COMMENT,
    };
    view.page.answer(view.render())
}

fn states(locale: &Locale, wanted: &Wanted) -> Vec<Choice> {
    let label = |state: &str| match state {
        "waiting" => fl!(locale.l, "review-waiting"),
        "confirmed" => fl!(locale.l, "review-confirmed"),
        "rejected" => fl!(locale.l, "review-rejected"),
        _ => fl!(locale.l, "filter-all"),
    };
    let choice = |(state, _): (&'static str, _)| Choice {
        value: state.to_owned(),
        label: label(state),
        href: wanted.href(state),
        current: state == wanted.state,
    };
    STATES.into_iter().map(choice).collect()
}

fn checks(locale: &Locale, wanted: &Wanted) -> Vec<Choice> {
    domain::check::CHECKS
        .iter()
        .map(|info| Choice {
            value: info.code.to_owned(),
            label: locale.check(info.check).to_owned(),
            href: String::new(),
            current: wanted.filter.check == Some(info.check),
        })
        .collect()
}

fn facilities(teller: &FindingTeller<'_>, wanted: &Wanted) -> Vec<Choice> {
    let has_camera = |id: &domain::FacilityId| teller.cameras.iter().any(|c| c.key.facility == *id);
    teller
        .directory
        .facilities(teller.scope)
        .filter(|e| has_camera(&e.facility.id))
        .map(|e| Choice {
            value: e.facility.id.to_string(),
            label: teller.locale.facility(&e.facility).to_owned(),
            href: String::new(),
            current: wanted.filter.facility.as_ref() == Some(&e.facility.id),
        })
        .collect()
}

/// The finding of a path.
pub(crate) fn finding_id(text: &str) -> Result<FindingId, Failure> {
    match text.parse::<i64>() {
        Ok(n) if n > 0 => Ok(FindingId(n)),
        _ => Err(Failure::new(
            Kind::BadRequest,
            "the finding is not a number of ours: they are 1 and above",
        )),
    }
}

/// What a person says of a finding.
#[derive(Debug, Deserialize)]
pub(crate) struct ReviewForm {
    #[serde(default)]
    by: String,
    #[serde(default)]
    comment: String,
    verdict: String,
    version: i64,
    /// Whether a review that is there already is to be replaced.
    #[serde(default)]
    again: String,
    /// The page to go back to: `queue`, or the finding's own.
    #[serde(default)]
    back: String,
}

impl ReviewForm {
    /// The version that the decision rests on, and whether it replaces one.
    pub(crate) fn how(&self) -> (i64, bool) {
        (self.version, self.again == "yes")
    }

    /// Checks the form and takes it as a review.
    pub(crate) fn review(&self, visitor: &Visitor) -> Result<Review, Failure> {
        visitor.check(Permission::Review)?;
        let verdict = match self.verdict.as_str() {
            "confirmed" => Verdict::Confirmed,
            "rejected" => Verdict::Rejected,
            _ => return Err(Failure::bad_parameter("verdict", "confirmed or rejected")),
        };
        let (by, comment) = (signed::name(visitor, &self.by)?, signed::comment(&self.comment)?);
        Ok(Review {
            verdict,
            by: by.to_owned(),
            comment,
        })
    }
}

impl App {
    /// Writes down what somebody says of a finding.
    pub(crate) async fn review(
        &self,
        visitor: &Visitor,
        id: FindingId,
        (version, again): (i64, bool),
        review: Review,
    ) -> Result<Finding, Failure> {
        let records = &self.stores.records;
        let rejected = review.verdict == Verdict::Rejected;
        let done = match again {
            true => records.change_review(&visitor.scope, id, version, review).await,
            false => records.review_finding(&visitor.scope, id, version, review).await,
        }?;
        // The case that the finding opened is closed with it: whoever looks at that one is told.
        if rejected && let Some(case) = records.case_of_finding(&visitor.scope, &done).await? {
            self.stores.alerts.tell(case);
        }
        Ok(done)
    }
}

#[derive(Template)]
#[template(path = "finding_conflict.html")]
struct ConflictPage {
    page: Page,
    finding: FindingWords,
    comment: String,
}

pub(crate) async fn review(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(finding): Path<String>,
    form: Result<Form<ReviewForm>, FormRejection>,
) -> Result<Response, Failure> {
    let id = finding_id(&finding)?;
    let form = match form {
        Ok(Form(form)) => form,
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(Failure::new(Kind::TooLarge, "the form is over the limit"));
        }
        Err(_) => {
            return Err(Failure::new(
                Kind::BadRequest,
                "the form must have the fields by, comment, verdict and version",
            ));
        }
    };
    match app.review(&visitor, id, form.how(), form.review(&visitor)?).await {
        Ok(_) => {
            let target = match form.back.as_str() {
                "queue" => "/findings".to_owned(),
                _ => format!("/findings/{}", id.0),
            };
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response())
        }
        Err(failure) if failure.kind == Kind::Conflict => conflict(&app, &visitor, &form, id).await,
        Err(failure) => Err(failure),
    }
}

/// Says who was faster.
async fn conflict(
    app: &Arc<App>,
    visitor: &Visitor,
    form: &ReviewForm,
    id: FindingId,
) -> Result<Response, Failure> {
    let found = app.stores.records.finding(&visitor.scope, id).await?;
    let found = found.ok_or_else(|| Failure::not_found("finding"))?;
    let locale = visitor.locale(app);
    let (directory, cameras) = (app.directory().await?, app.all_cameras().await?);
    let rules = app.stores.alerts.rules();
    let teller = FindingTeller {
        locale: &locale,
        scope: &visitor.scope,
        directory: &directory,
        rules: &rules,
        cameras: &cameras,
    };
    let view = ConflictPage {
        page: Page::new(
            app,
            visitor,
            Nav::Findings,
            fl!(locale.l, "err-conflict"),
            &format!("/findings/{}", id.0),
        ),
        finding: teller.tell(&found),
        comment: form.comment.chars().take(MAX_COMMENT).collect(),
    };
    let mut response = view.page.answer(view.render())?;
    *response.status_mut() = StatusCode::CONFLICT;
    Ok(response)
}
