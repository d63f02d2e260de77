//! The words of the form by which a camera is attached.

use domain::{
    CameraFault, ProbeReport, Room,
    camera::{CameraError, MAX_AREAS, MAX_URL_BYTES, Retention},
    geometry::{MAX_CORNERS, MIN_CORNERS, PolygonError},
    sight::StreamProfile,
};
use i18n_embed_fl::fl;

use super::camera::{codec, is_teachable};
use crate::{
    attach::{
        areas::{AreaError, MAX_ZONE_NAME},
        fields::{Fields, Problem, Problems, Row},
    },
    directory::Directory,
    format::Locale,
    sight::ProbeFailure,
    visitor::Visitor,
};

/// One of several to choose from.
pub(crate) struct Choice {
    pub(crate) value: String,
    pub(crate) label: String,
    pub(crate) current: bool,
}

/// What the form's lists offer.
pub(crate) struct Choices {
    pub(crate) facilities: Vec<Choice>,
    pub(crate) rooms: Vec<Choice>,
    pub(crate) kinds: Vec<Choice>,
    pub(crate) decodings: Vec<Choice>,
    pub(crate) retentions: Vec<Choice>,
}

impl Choices {
    pub(crate) fn of(locale: &Locale, visitor: &Visitor, directory: &Directory, fields: &Fields) -> Choices {
        let l = locale.l;
        let choice = |field: &str, value: &str, label: String| Choice {
            current: fields.get(field) == value,
            value: value.to_owned(),
            label,
        };
        Choices {
            facilities: directory
                .facilities(&visitor.scope)
                .map(|e| {
                    let name = locale.facility(&e.facility).to_owned();
                    choice("facility", e.facility.id.as_str(), name)
                })
                .collect(),
            // Private rooms are listed: who looks for one is told why it is refused.
            rooms: Room::ALL
                .into_iter()
                .map(|r| choice("room", r.code(), locale.room(r)))
                .collect(),
            kinds: vec![
                choice("kind", "rtsp", fl!(l, "source-rtsp")),
                choice("kind", "mjpeg", fl!(l, "source-mjpeg")),
                choice("kind", "snapshot", fl!(l, "source-snapshot")),
                choice("kind", "pushed", fl!(l, "source-pushed")),
                choice("kind", "external", fl!(l, "source-external")),
            ],
            decodings: vec![
                choice("decoding", "key_frames", fl!(l, "decode-key")),
                choice("decoding", "all_frames", fl!(l, "decode-all")),
                choice("decoding", "ffmpeg", fl!(l, "decode-ffmpeg")),
            ],
            retentions: Retention::ALL
                .into_iter()
                .map(|r| choice("retention", &r.days().to_string(), locale.retention(r)))
                .collect(),
        }
    }
}

/// A stream that the device offers.
pub(crate) struct StreamRow {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) what: String,
    pub(crate) main: bool,
    pub(crate) sub: bool,
}

impl StreamRow {
    pub(crate) fn of(locale: &Locale, profile: &StreamProfile, fields: &Fields) -> StreamRow {
        let url = profile.url.as_str();
        let rate = fl!(locale.l, "per-second", n = format!("{:.0}", profile.fps));
        StreamRow {
            name: profile.name.clone(),
            what: format!(
                "{} · {} × {} · {rate}",
                profile.codec, profile.width, profile.height
            ),
            main: fields.get("main") == url,
            sub: fields.get("sub") == url,
            url: url.to_owned(),
        }
    }
}

/// What a test said.
pub(crate) struct ProbeWords {
    pub(crate) good: bool,
    pub(crate) facts: Vec<(String, String)>,
    /// Causes with their remedies: what failed, or what works but is better changed.
    pub(crate) advice: Vec<&'static str>,
    pub(crate) code: &'static str,
}

impl ProbeWords {
    pub(crate) fn of(locale: &Locale, tested: &Result<ProbeReport, ProbeFailure>) -> ProbeWords {
        match tested {
            Ok(report) => ProbeWords {
                good: true,
                facts: report_facts(locale, report),
                advice: report.warnings.iter().map(|w| locale.fault(*w)).collect(),
                code: report.warnings.first().copied().map_or("", CameraFault::code),
            },
            Err(failure) => ProbeWords {
                good: false,
                facts: Vec::new(),
                advice: vec![locale.fault(failure.fault)],
                code: failure.fault.code(),
            },
        }
    }
}

fn report_facts(locale: &Locale, report: &ProbeReport) -> Vec<(String, String)> {
    let l = locale.l;
    let rate = fl!(l, "per-second", n = format!("{:.1}", report.fps));
    let mut facts = vec![
        (
            fl!(l, "health-picture"),
            format!("{} × {} · {}", report.width, report.height, codec(&report.codec)),
        ),
        (fl!(l, "health-fps"), rate),
        (
            fl!(l, "health-bitrate"),
            format!("{:.0} kbit/s", report.bitrate_kbps),
        ),
    ];
    if let Some(gap) = report.key_frame_gap_s {
        facts.push((fl!(l, "health-gap"), format!("{gap:.1} s")));
    }
    if let Some(offset) = report.clock_offset_ms {
        let seconds = format!("{:+.1} s", offset as f64 / 1000.0);
        facts.push((fl!(l, "fact-clock"), seconds));
    }
    facts
}

/// A row of the table of checks.
pub(crate) struct CheckFields {
    /// `c3`: its fields are called `c3-zone`.
    pub(crate) name: String,
    pub(crate) code: &'static str,
    pub(crate) label: &'static str,
    pub(crate) on: bool,
    pub(crate) teachable: bool,
    pub(crate) zone: String,
    pub(crate) hours: Vec<Choice>,
    pub(crate) sensitivity: String,
    pub(crate) duration: String,
    pub(crate) vote: String,
    pub(crate) again: String,
    pub(crate) wrong: String,
}

pub(crate) fn checks(
    locale: &Locale,
    fields: &Fields,
    rows: &[Row],
    problems: &Problems,
) -> Vec<CheckFields> {
    use domain::check::Hours;
    let hours = [
        ("always", Hours::Always),
        ("working", Hours::Working),
        ("closed", Hours::Closed),
        ("meals", Hours::Meals),
    ];
    let row = |row: &Row| {
        let name = format!("c{}", row.index);
        let of = |part: &str| fields.get(&format!("{name}-{part}")).to_owned();
        let chosen = of("hours");
        let wrong = problems
            .iter()
            .filter(|(field, _)| {
                field
                    .strip_prefix(&name)
                    .is_some_and(|rest| rest.starts_with('-'))
            })
            .map(|(_, problem)| explain(locale, problem));
        CheckFields {
            code: row.check.code(),
            label: locale.check(row.check),
            on: of("on") == "yes",
            teachable: is_teachable(row.check),
            zone: of("zone"),
            hours: hours
                .into_iter()
                .map(|(code, h)| Choice {
                    current: code == chosen,
                    value: code.to_owned(),
                    label: locale.hours(h),
                })
                .collect(),
            sensitivity: of("sensitivity"),
            duration: of("duration"),
            vote: of("vote"),
            again: of("again"),
            wrong: wrong.collect::<Vec<_>>().join(" "),
            name,
        }
    };
    rows.iter().map(row).collect()
}

/// What is wrong with a field, and what is allowed.
pub(crate) fn explain(locale: &Locale, problem: &Problem) -> String {
    let l = locale.l;
    match problem {
        Problem::Missing => fl!(l, "wrong-missing"),
        Problem::Id => fl!(l, "wrong-id"),
        Problem::TooLong(most) => {
            let most = *most;
            fl!(l, "wrong-long", n = most)
        }
        Problem::Number(low, high) => {
            let (low, high) = (*low, *high);
            fl!(l, "wrong-number", low = low, high = high)
        }
        Problem::Choice => fl!(l, "wrong-choice"),
        Problem::Camera(error) => camera(locale, error),
        Problem::Scheme(scheme) => {
            let scheme = *scheme;
            fl!(l, "wrong-scheme", scheme = scheme)
        }
        Problem::Line((number, error)) => {
            let (number, why) = (*number, area(locale, error));
            fl!(l, "wrong-line", n = number, why = why)
        }
        Problem::Zone => fl!(l, "wrong-zone"),
        Problem::Spans => fl!(l, "wrong-spans"),
        Problem::Vote => fl!(l, "wrong-vote"),
        Problem::Taken => fl!(l, "wrong-taken"),
        Problem::Folder => fl!(l, "wrong-folder"),
    }
}

fn camera(locale: &Locale, error: &CameraError) -> String {
    let l = locale.l;
    match error {
        CameraError::PrivateRoom => fl!(l, "wrong-private"),
        CameraError::UrlLength(_) => fl!(l, "wrong-long", n = MAX_URL_BYTES),
        CameraError::UrlScheme => fl!(l, "wrong-scheme", scheme = "rtsp"),
        CameraError::UrlHost => fl!(l, "wrong-host"),
        CameraError::UrlCharacter => fl!(l, "wrong-character"),
        CameraError::UrlCredentials => fl!(l, "wrong-credentials"),
        CameraError::GbId => fl!(l, "wrong-gb"),
        CameraError::Areas(_) => fl!(l, "wrong-areas", n = MAX_AREAS),
    }
}

fn area(locale: &Locale, error: &AreaError) -> String {
    let l = locale.l;
    match error {
        AreaError::TooMany => fl!(l, "wrong-areas", n = MAX_AREAS),
        AreaError::Id => fl!(l, "wrong-id"),
        AreaError::Name => fl!(l, "wrong-long", n = MAX_ZONE_NAME),
        AreaError::Spot => fl!(l, "wrong-spot"),
        AreaError::Polygon(PolygonError::Corners(_)) => {
            fl!(l, "wrong-corners", low = MIN_CORNERS, high = MAX_CORNERS)
        }
        AreaError::Polygon(PolygonError::Outside) => fl!(l, "wrong-outside"),
        AreaError::Polygon(PolygonError::Empty) => fl!(l, "wrong-empty"),
    }
}
