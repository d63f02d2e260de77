//! Words and pictures of adding devices.

use domain::{DeviceId, FacilityId, Profile, profile::SnippetWords};
use i18n_embed_fl::fl;
use qrcode::{QrCode, render::svg};
use store::{DeviceStatus, onboarding::RowProblem};

use super::device::{RefusalRow, reject_reason, reject_remedy};
use crate::{SiteInfo, format::Locale};

/// What stands for a secret that is not known any more.
const UNKNOWN_SECRET: &str = "$SECRET";

/// What to copy into a device of this profile.
pub(crate) fn snippet(
    site: &SiteInfo,
    profile: &Profile,
    (facility, device): (&FacilityId, &DeviceId),
    secret: &str,
) -> String {
    let (host, port) = site
        .mqtt_addr
        .rsplit_once(':')
        .unwrap_or((&site.mqtt_addr, "1883"));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let words = SnippetWords {
        host,
        port,
        http: site.intake_addr.as_deref().unwrap_or("HOST:8086"),
        secret: if secret.is_empty() { UNKNOWN_SECRET } else { secret },
        facility,
        device,
    };
    profile.filled_snippet(&words).trim().to_owned()
}

/// A link as a picture that a phone reads; empty when there is no link.
pub(crate) fn qr_svg(link: &str) -> String {
    if link.is_empty() {
        return String::new();
    }
    // A link of this length always fits: the largest code holds 2,953 bytes.
    QrCode::new(link.as_bytes()).map_or_else(
        |_too_long| String::new(),
        |code| {
            let drawn = code
                .render::<svg::Color<'_>>()
                .min_dimensions(200, 200)
                .dark_color(svg::Color("#000"))
                .light_color(svg::Color("#fff"))
                .build();
            // Inside a page there is no prologue.
            drawn
                .find("<svg")
                .map_or_else(String::new, |at| drawn[at..].to_owned())
        },
    )
}

/// What is wrong with a row, in words.
pub(crate) fn row_problem(locale: &Locale, problem: &RowProblem) -> String {
    match problem {
        RowProblem::TooMany => fl!(locale.l, "row-too-many"),
        RowProblem::NoColumn(column) => fl!(locale.l, "row-no-column", column = (*column).to_owned()),
        RowProblem::UnknownColumn(column) => fl!(locale.l, "row-unknown-column", column = column.clone()),
        RowProblem::Quotes => fl!(locale.l, "row-quotes"),
        RowProblem::Cells(found, wanted) => {
            let (found, wanted): (usize, usize) = (*found, *wanted);
            fl!(locale.l, "row-cells", found = found, wanted = wanted)
        }
        RowProblem::Text => fl!(locale.l, "row-text"),
        RowProblem::Id(_) => fl!(locale.l, "row-id"),
        RowProblem::NoFacility => fl!(locale.l, "row-no-facility"),
        RowProblem::NoProfile => fl!(locale.l, "row-no-profile"),
        RowProblem::RootNeeded => fl!(locale.l, "row-root-needed"),
        RowProblem::BadRoot => fl!(locale.l, "row-bad-root"),
        RowProblem::BadPoint => fl!(locale.l, "row-bad-point"),
        RowProblem::BadInterval => fl!(locale.l, "row-bad-interval"),
        RowProblem::UnknownGateway => fl!(locale.l, "row-unknown-gateway"),
        RowProblem::GatewayInName => fl!(locale.l, "row-gateway-in-name"),
        RowProblem::NoGateway => fl!(locale.l, "row-no-gateway"),
        RowProblem::NoPoints => fl!(locale.l, "row-no-points"),
        RowProblem::Twice => fl!(locale.l, "row-twice"),
        RowProblem::Exists => fl!(locale.l, "row-exists"),
        RowProblem::RootTaken => fl!(locale.l, "row-root-taken"),
        other => other.to_string(),
    }
}

/// Whether a device works, in one sentence, and what to do if it does not.
pub(crate) struct Verdict {
    /// `ok`, `warn`, or `calm` while nothing is known.
    pub(crate) tone: &'static str,
    /// What is known.
    pub(crate) says: String,
    /// What to do; empty when there is nothing to be done.
    pub(crate) remedy: String,
}

impl Verdict {
    pub(crate) fn new(locale: &Locale, status: &DeviceStatus, refusals: &[RefusalRow]) -> Verdict {
        let verdict = |tone, says, remedy| Verdict { tone, says, remedy };
        if status.readings > 0 {
            return if status.doubtful_times == status.readings {
                verdict(
                    "warn",
                    fl!(locale.l, "verdict-clock"),
                    fl!(locale.l, "verdict-clock-do"),
                )
            } else {
                verdict("ok", fl!(locale.l, "verdict-works"), String::new())
            };
        }
        if let Some(reject) = status.rejects.last() {
            let why = reject_reason(locale, reject.reason);
            let says = fl!(locale.l, "verdict-rejected", why = why);
            return verdict("warn", says, reject_remedy(locale, reject.reason));
        }
        if let Some(refusal) = refusals.first() {
            let says = fl!(locale.l, "verdict-refused", why = refusal.reason.clone());
            return verdict("warn", says, refusal.remedy.clone());
        }
        match (status.last_seen, status.online) {
            (Some(_), _) => verdict(
                "calm",
                fl!(locale.l, "verdict-no-values"),
                fl!(locale.l, "verdict-no-values-do"),
            ),
            (None, Some(true)) => verdict("calm", fl!(locale.l, "verdict-connected"), String::new()),
            (None, _) => verdict(
                "calm",
                fl!(locale.l, "verdict-waiting"),
                fl!(locale.l, "verdict-waiting-do"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_becomes_a_picture_without_a_prologue() {
        let drawn = qr_svg("http://localhost:8080/claim/0123-4567-89AB-CDEF");
        assert!(drawn.starts_with("<svg") && drawn.ends_with("</svg>"), "{drawn}");
        assert!(
            !drawn.contains("style="),
            "the page's policy allows no styles inside"
        );
        assert_eq!(qr_svg(""), "");
    }
}
