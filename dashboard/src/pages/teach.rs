//! `/cameras/{facility}/{camera}/teach/{check}`: people mark pictures of their own kitchen as yes or no, and the
//! check learns from them in seconds.

use std::sync::Arc;

use askama::Template;
use axum::{
    body::Body,
    extract::{Form, Path, State, rejection::FormRejection},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{Camera, Check, DeviceId, Permission};
use i18n_embed_fl::fl;
use store::records::{Crop, CropFilter, CropId};

use super::cameras::find;
use crate::{
    app::App,
    failure::{Failure, Kind},
    format::Locale,
    query::{self, Parameters},
    sight::{FitResult, TaughtCheck, TeachRefused},
    signed,
    view::{
        camera::{is_teachable, page_of},
        case::MAX_NAME,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// Pictures on one page, those that nobody has marked first.
const PER_PAGE: usize = 48;
/// The most pictures that one form marks.
const MAX_MARKS: usize = 400;
/// How many of each kind make a good beginning.
const WISH: usize = 10;

struct CropCard {
    id: i64,
    src: String,
    at: String,
    /// `yes`, `no`, or empty.
    mark: &'static str,
    by: String,
}

#[derive(Template)]
#[template(path = "teach.html")]
struct Teach {
    page: Page,
    href: String,
    zone: String,
    camera: String,
    camera_href: String,
    check: &'static str,
    crops: Vec<CropCard>,
    yes: usize,
    no: usize,
    unmarked: usize,
    wish: usize,
    result: Option<FitWords>,
    refused: Option<String>,
    /// When the head that is at work was fitted, and by whom.
    head: Option<(String, String)>,
    taken: Option<String>,
    max_name: usize,
}

/// What a fit says of itself.
struct FitWords {
    auc: String,
    percent: u32,
    n: usize,
    may_alert: bool,
    threshold: String,
}

/// What is taught, and where.
struct Lesson {
    camera: Camera,
    taught: TaughtCheck,
}

impl Lesson {
    async fn of(
        app: &App,
        visitor: &Visitor,
        (facility, camera, check): (String, String, String),
        uri: &Uri,
    ) -> Result<Lesson, Failure> {
        let camera = find(app, visitor, (facility, camera)).await?;
        let check = Check::parse(&check)
            .filter(|c| is_teachable(*c))
            .ok_or_else(|| Failure::not_found("check that can be taught"))?;
        let zone = Parameters::of(uri)?
            .get("zone")
            .map(|text| query::id("zone", text, DeviceId::new))
            .transpose()?;
        let taught = TaughtCheck {
            camera: camera.key.clone(),
            check,
            zone,
        };
        Ok(Lesson { camera, taught })
    }

    fn href(&self) -> String {
        let base = format!("{}/teach/{}", page_of(&self.camera.key), self.taught.check.code());
        match &self.taught.zone {
            Some(zone) => format!("{base}?zone={zone}"),
            None => base,
        }
    }
}

/// What there is to say beside the pictures.
#[derive(Default)]
struct News {
    fit: Option<Result<FitResult, TeachRefused>>,
    taken: Option<usize>,
}

type TeachPath = Path<(String, String, String)>;

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(path): TeachPath,
    uri: Uri,
) -> Result<Response, Failure> {
    let lesson = Lesson::of(&app, &visitor, path, &uri).await?;
    draw(&app, &visitor, &lesson, News::default()).await
}

async fn draw(app: &Arc<App>, visitor: &Visitor, lesson: &Lesson, news: News) -> Result<Response, Failure> {
    let (locale, records) = (visitor.locale(app), &app.stores.records);
    let TaughtCheck { camera, check, zone } = &lesson.taught;
    let mut crops = records
        .crops(&visitor.scope, camera, *check, CropFilter::All)
        .await?;
    crops.retain(|c| c.of.zone == *zone);
    let count = |label| crops.iter().filter(|c| c.label == label).count();
    let (yes, no, unmarked) = (count(Some(true)), count(Some(false)), count(None));
    // What is not marked yet comes first; each kind stays newest first.
    crops.sort_by_key(|c| c.label.is_some());
    let heads = records.heads(&visitor.scope, camera).await?;
    let head = heads
        .into_iter()
        .find(|h| h.of.check == *check && h.of.zone == *zone);
    let href = lesson.href();
    let title = fl!(locale.l, "teach-title", check = locale.check(*check));
    let (result, refused) = match news.fit {
        Some(Ok(fit)) => (Some(words(&fit)), None),
        Some(Err(refused)) => (None, Some(say(&locale, refused))),
        None => (None, None),
    };
    let view = Teach {
        page: Page::new(app, visitor, Nav::Cameras, title, &href),
        zone: zone.as_ref().map(ToString::to_string).unwrap_or_default(),
        camera: locale.camera(&lesson.camera),
        camera_href: page_of(camera),
        check: locale.check(*check),
        crops: crops.iter().take(PER_PAGE).map(|c| card(&locale, c)).collect(),
        yes,
        no,
        unmarked,
        wish: WISH,
        result,
        refused,
        head: head.map(|h| (locale.stamp(h.made_at).at(), h.made_by)),
        taken: news.taken.map(|n| n.to_string()),
        max_name: MAX_NAME,
        href,
    };
    view.page.answer(view.render())
}

fn card(locale: &Locale, crop: &Crop) -> CropCard {
    CropCard {
        id: crop.id.0,
        src: format!("/crops/{}.jpg", crop.id.0),
        at: locale.brief(crop.at),
        mark: match crop.label {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        },
        by: crop.labelled_by.clone().unwrap_or_default(),
    }
}

fn words(fit: &FitResult) -> FitWords {
    FitWords {
        auc: format!("{:.3}", fit.auc),
        percent: (fit.auc.clamp(0.0, 1.0) * 100.0).round() as u32,
        n: fit.positives + fit.negatives,
        may_alert: fit.may_alert,
        threshold: format!("{:.2}", fit.threshold),
    }
}

fn say(locale: &Locale, refused: TeachRefused) -> String {
    match refused {
        TeachRefused::TooFew { least } => fl!(locale.l, "teach-too-few", n = least),
        TeachRefused::NoModel => fl!(locale.l, "teach-no-model"),
        TeachRefused::NoPicture => fl!(locale.l, "teach-no-picture"),
        TeachRefused::Busy => fl!(locale.l, "teach-busy"),
        TeachRefused::Failed => fl!(locale.l, "teach-failed"),
    }
}

/// A crop, as it was cut out.
pub(crate) async fn crop(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let id = name.strip_suffix(".jpg").and_then(|n| n.parse().ok()).map(CropId);
    let id = id.ok_or_else(|| Failure::not_found("crop"))?;
    let jpeg = app.stores.records.crop_jpeg(&visitor.scope, id).await?;
    let mut response = Body::from(jpeg.ok_or_else(|| Failure::not_found("crop"))?).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=3600"),
    );
    Ok(response)
}

/// What was marked: `crop-12` is `yes`, `no` or `skip`.
fn marks(fields: &[(String, String)]) -> Result<Vec<(CropId, Option<bool>)>, Failure> {
    let mut marks = Vec::new();
    for (name, value) in fields {
        let Some(id) = name.strip_prefix("crop-") else {
            continue;
        };
        let id = id
            .parse()
            .map_err(|_not_a_number| Failure::bad_parameter("crop-…", "named by a crop's number"))?;
        let label = match value.as_str() {
            "yes" => Some(true),
            "no" => Some(false),
            "skip" => None,
            _ => return Err(Failure::bad_parameter("crop-…", "yes, no or skip")),
        };
        marks.push((CropId(id), label));
    }
    if marks.len() > MAX_MARKS {
        return Err(Failure::bad_parameter("crop-…", "at most 400 of"));
    }
    Ok(marks)
}

/// Takes in marks; then, as the button says, fits the check or cuts out more pictures.
pub(crate) async fn mark(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(path): TeachPath,
    uri: Uri,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let lesson = Lesson::of(&app, &visitor, path, &uri).await?;
    let Ok(Form(fields)) = form else {
        return Err(Failure::new(Kind::BadRequest, "the form cannot be read"));
    };
    let field = |name: &str| {
        fields
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, v)| v.trim())
    };
    let (by, todo) = (signed::name(&visitor, field("by"))?, field("do"));
    let TaughtCheck { camera, check, .. } = &lesson.taught;
    label(&app, &visitor, &lesson.taught, (marks(&fields)?, by)).await?;
    let sight = &app.stores.sight;
    match todo {
        "fit" => {
            let fit = (sight.fit)(lesson.taught.clone()).await;
            let object = format!("{camera}/{}", check.code());
            let told = match fit {
                Ok(fit) => format!("auc {:.3}", fit.auc),
                Err(refused) => refused.to_string(),
            };
            let line = (by, "check.fit", object.as_str(), told.as_str());
            app.stores.records.audit(line).await?;
            let news = News {
                fit: Some(fit),
                taken: None,
            };
            draw(&app, &visitor, &lesson, news).await
        }
        "capture" => {
            let news = match (sight.capture)(lesson.taught.clone()).await {
                Ok(taken) => News {
                    taken: Some(taken),
                    fit: None,
                },
                Err(refused) => News {
                    fit: Some(Err(refused)),
                    taken: None,
                },
            };
            draw(&app, &visitor, &lesson, news).await
        }
        _ => Ok((StatusCode::SEE_OTHER, [(header::LOCATION, lesson.href())]).into_response()),
    }
}

/// Writes marks down. What is marked as it was before writes nothing.
async fn label(
    app: &App,
    visitor: &Visitor,
    taught: &TaughtCheck,
    (marks, by): (Vec<(CropId, Option<bool>)>, &str),
) -> Result<(), Failure> {
    let records = &app.stores.records;
    let known = records
        .crops(&visitor.scope, &taught.camera, taught.check, CropFilter::All)
        .await?;
    for (id, label) in marks {
        if known.iter().any(|c| c.id == id && c.label != label) {
            records.label_crop(&visitor.scope, id, label, by).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_strictly() {
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let good = [
            pair("by", "x"),
            pair("crop-1", "yes"),
            pair("crop-2", "no"),
            pair("crop-3", "skip"),
        ];
        assert_eq!(
            marks(&good).unwrap(),
            [
                (CropId(1), Some(true)),
                (CropId(2), Some(false)),
                (CropId(3), None)
            ]
        );
        assert!(marks(&[pair("crop-x", "yes")]).is_err());
        assert!(marks(&[pair("crop-1", "maybe")]).is_err());
        assert!(marks(&vec![pair("crop-1", "yes"); 401]).is_err());
    }
}
