//! A camera in words: on the wall, and on its own page.

use askama::Template;
use domain::{
    Camera, CameraKey, CameraSource, Check, Room,
    camera::{Decoding, Retention},
    check::{CheckKind, Hours},
    sight::CameraHealth,
};
use i18n_embed_fl::fl;

use crate::{
    cameras::{CameraNow, CameraState, Sore, is_smart},
    format::{Locale, dom_id},
    i18n::Loader,
    sight::Still,
};

/// How often an open page asks for a camera's newest still, in milliseconds.
const STILL_MS: i64 = 5_000;

impl Locale {
    /// Where a camera hangs, or what it is called if nobody said where.
    pub(crate) fn camera(&self, camera: &Camera) -> String {
        let place = self.pick(&camera.place_zh, &camera.place_en);
        match place.is_empty() {
            true => camera.key.camera.to_string(),
            false => place.to_owned(),
        }
    }

    pub(crate) fn camera_state(&self, state: CameraState) -> String {
        match state {
            CameraState::Offline => fl!(self.l, "cam-offline"),
            CameraState::Bad(Sore::Black) => fl!(self.l, "cam-black"),
            CameraState::Bad(Sore::White) => fl!(self.l, "cam-white"),
            CameraState::Bad(Sore::Frozen) => fl!(self.l, "cam-frozen"),
            CameraState::Bad(Sore::Blurred) => fl!(self.l, "cam-blurred"),
            CameraState::Bad(Sore::Covered) => fl!(self.l, "cam-covered"),
            CameraState::Bad(Sore::Moved) => fl!(self.l, "cam-moved"),
            CameraState::Unknown => fl!(self.l, "cam-unknown"),
            CameraState::Connecting => fl!(self.l, "cam-connecting"),
            CameraState::Disabled => fl!(self.l, "cam-disabled"),
            CameraState::Online => fl!(self.l, "cam-online"),
        }
    }

    /// Why the camera shows nothing of use and what helps; nothing when it does.
    fn camera_advice(&self, state: CameraState, health: Option<&CameraHealth>) -> Vec<String> {
        let mut advice = Vec::new();
        let remedy = match state {
            CameraState::Bad(Sore::Black) => Some(fl!(self.l, "cam-black-do")),
            CameraState::Bad(Sore::White) => Some(fl!(self.l, "cam-white-do")),
            CameraState::Bad(Sore::Frozen) => Some(fl!(self.l, "cam-frozen-do")),
            CameraState::Bad(Sore::Blurred) => Some(fl!(self.l, "cam-blurred-do")),
            CameraState::Bad(Sore::Covered) => Some(fl!(self.l, "cam-covered-do")),
            CameraState::Bad(Sore::Moved) => Some(fl!(self.l, "cam-moved-do")),
            CameraState::Unknown => Some(fl!(self.l, "cam-unknown-do")),
            CameraState::Connecting => Some(fl!(self.l, "cam-connecting-do")),
            CameraState::Disabled => Some(fl!(self.l, "cam-disabled-do")),
            CameraState::Offline | CameraState::Online => None,
        };
        advice.extend(remedy);
        let fault = health.and_then(|h| {
            let smart = is_smart(h).then_some(domain::CameraFault::SmartCodec);
            h.fault.or(smart)
        });
        advice.extend(fault.map(|f| self.fault(f).to_owned()));
        if state == CameraState::Offline && fault.is_none() {
            advice.push(fl!(self.l, "cam-offline-do"));
        }
        advice
    }

    /// Cause and remedy of a fault.
    pub(crate) fn fault(&self, fault: domain::CameraFault) -> &'static str {
        let (zh, en) = fault.advice();
        self.pick(zh, en)
    }

    pub(crate) fn room(&self, room: Room) -> String {
        match room {
            Room::Kitchen => fl!(self.l, "room-kitchen"),
            Room::SpecialRoom => fl!(self.l, "room-special"),
            Room::Serving => fl!(self.l, "room-serving"),
            Room::Dining => fl!(self.l, "room-dining"),
            Room::Store => fl!(self.l, "room-store"),
            Room::Entrance => fl!(self.l, "room-entrance"),
            Room::Corridor => fl!(self.l, "room-corridor"),
            Room::Bedroom => fl!(self.l, "room-bedroom"),
            Room::Bathroom => fl!(self.l, "room-bathroom"),
        }
    }

    pub(crate) fn check(&self, check: Check) -> &'static str {
        let info = check.info();
        self.pick(info.zh, info.en)
    }

    pub(crate) fn hours(&self, hours: Hours) -> String {
        match hours {
            Hours::Always => fl!(self.l, "hours-always"),
            Hours::Working => fl!(self.l, "hours-working"),
            Hours::Closed => fl!(self.l, "hours-closed"),
            Hours::Meals => fl!(self.l, "hours-meals"),
        }
    }

    pub(crate) fn decoding(&self, decoding: Decoding) -> String {
        match decoding {
            Decoding::KeyFrames => fl!(self.l, "decode-key"),
            Decoding::AllFrames => fl!(self.l, "decode-all"),
            Decoding::Ffmpeg => fl!(self.l, "decode-ffmpeg"),
        }
    }

    pub(crate) fn source(&self, source: &CameraSource) -> String {
        match source {
            CameraSource::Rtsp { .. } => fl!(self.l, "source-rtsp"),
            CameraSource::Mjpeg { .. } => fl!(self.l, "source-mjpeg"),
            CameraSource::Snapshot { .. } => fl!(self.l, "source-snapshot"),
            CameraSource::Pushed => fl!(self.l, "source-pushed"),
            CameraSource::External => fl!(self.l, "source-external"),
            CameraSource::Folder { .. } => fl!(self.l, "source-folder"),
        }
    }

    pub(crate) fn retention(&self, retention: Retention) -> String {
        fl!(self.l, "days", n = retention.days())
    }

    /// What a model calls a thing, in words where the word is known.
    pub(crate) fn thing(&self, label: &str) -> String {
        match label {
            "person" => fl!(self.l, "thing-person"),
            "face" => fl!(self.l, "thing-face"),
            "cat" => fl!(self.l, "thing-cat"),
            "dog" => fl!(self.l, "thing-dog"),
            "bird" => fl!(self.l, "thing-bird"),
            "cell phone" => fl!(self.l, "thing-phone"),
            other => other.to_owned(),
        }
    }
}

/// Whether people can teach a check by marking pictures.
pub(crate) fn is_teachable(check: Check) -> bool {
    matches!(check.info().kind, CheckKind::Region)
        || matches!(
            check,
            Check::NoHeadCover | Check::NoWorkClothes | Check::NoGloves | Check::BareUpperBody
        )
        || check == Check::StoveUnattended
}

/// The page of a camera.
pub(crate) fn page_of(key: &CameraKey) -> String {
    format!("/cameras/{}/{}", key.facility, key.camera)
}

/// Where a still is; it changes with the picture, but not more often than is worth fetching.
pub(crate) fn still_href(key: &CameraKey, still: &Still) -> String {
    format!("{}/still.jpg?at={}", page_of(key), still.at.0 / STILL_MS)
}

/// A camera on the wall.
#[derive(Template)]
#[template(path = "camera_tile.html")]
pub(crate) struct CameraTile {
    l: Loader,
    pub(crate) dom: String,
    href: String,
    place: String,
    facility: String,
    tone: &'static str,
    state: String,
    still: Option<String>,
    /// Whether the picture is an old one.
    stale: bool,
    ago: Option<String>,
    people: Option<String>,
    waiting: u64,
    smart: bool,
}

impl CameraTile {
    pub(crate) fn new(locale: &Locale, now: &CameraNow, still: Option<&Still>, facility: &str) -> CameraTile {
        let key = &now.camera.key;
        let newest = now.health.as_ref().and_then(|h| h.last_frame);
        CameraTile {
            l: locale.l,
            dom: dom_id("k-", &key.to_string()),
            href: page_of(key),
            place: locale.camera(&now.camera),
            facility: facility.to_owned(),
            tone: now.state.tone(),
            state: locale.camera_state(now.state),
            still: still.map(|s| still_href(key, s)),
            stale: !matches!(now.state, CameraState::Online | CameraState::Bad(_)),
            ago: newest.or(still.map(|s| s.at)).map(|at| locale.stamp(at).ago()),
            people: now
                .people
                .filter(|_| now.state == CameraState::Online)
                .map(|s| format!("{:.0}", s.value.max(0.0))),
            waiting: now.waiting,
            smart: now.health.as_ref().is_some_and(is_smart),
        }
    }
}

/// How a camera fares: the part of its page that changes.
#[derive(Template)]
#[template(path = "camera_health.html")]
pub(crate) struct CameraCard {
    l: Loader,
    tone: &'static str,
    state: String,
    code: &'static str,
    advice: Vec<String>,
    facts: Vec<(String, String)>,
    /// Figures that move all the time, apart from the others.
    ago: Option<String>,
    people: Option<String>,
}

impl CameraCard {
    pub(crate) fn new(locale: &Locale, now: &CameraNow) -> CameraCard {
        let health = now.health.as_ref();
        CameraCard {
            l: locale.l,
            tone: now.state.tone(),
            state: locale.camera_state(now.state),
            code: now.state.code(),
            advice: locale.camera_advice(now.state, health),
            facts: health.map(|h| facts(locale, h)).unwrap_or_default(),
            ago: health.and_then(|h| h.last_frame).map(|at| locale.stamp(at).ago()),
            people: now
                .people
                .filter(|_| now.state == CameraState::Online)
                .map(|s| format!("{:.0}", s.value.max(0.0))),
        }
    }
}

fn facts(locale: &Locale, health: &CameraHealth) -> Vec<(String, String)> {
    let l = locale.l;
    let mut facts = Vec::new();
    if health.width > 0 {
        let size = format!("{} × {} · {}", health.width, health.height, codec(&health.codec));
        facts.push((fl!(l, "health-picture"), size));
    }
    let rate = format!("{:.1}", health.fps);
    facts.push((fl!(l, "health-fps"), fl!(l, "per-second", n = rate)));
    facts.push((
        fl!(l, "health-bitrate"),
        format!("{:.0} kbit/s", health.bitrate_kbps),
    ));
    if let Some(gap) = health.key_frame_gap_s {
        facts.push((fl!(l, "health-gap"), format!("{gap:.1} s")));
    }
    facts.push((fl!(l, "health-loss"), format!("{:.1} %", health.loss_percent)));
    facts.push((fl!(l, "health-reconnects"), health.reconnects.to_string()));
    facts.push((fl!(l, "health-skipped"), health.skipped.to_string()));
    facts.push((
        fl!(l, "health-judged"),
        fl!(
            l,
            "health-judged-of",
            judged = health.judged.to_string(),
            looked = health.looked.to_string()
        ),
    ));
    facts.push((fl!(l, "health-viewers"), health.viewers.to_string()));
    facts
}

/// A codec's everyday name beside its exact one.
pub(crate) fn codec(mime: &str) -> String {
    let family = match mime.split('.').next().unwrap_or_default() {
        "avc1" | "avc3" => "H.264",
        "hvc1" | "hev1" => "H.265",
        "jpeg" => return "JPEG".to_owned(),
        _ => return mime.to_owned(),
    };
    format!("{family} ({mime})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_have_everyday_names() {
        for (mime, want) in [
            ("avc1.4d401f", "H.264 (avc1.4d401f)"),
            ("hvc1.1.6.L93", "H.265 (hvc1.1.6.L93)"),
            ("jpeg", "JPEG"),
            ("vp9", "vp9"),
        ] {
            assert_eq!(codec(mime), want);
        }
    }

    #[test]
    fn what_a_detector_sees_is_not_taught() {
        assert!(is_teachable(Check::NoHeadCover) && is_teachable(Check::BinOpen));
        assert!(!is_teachable(Check::AnimalInKitchen) && !is_teachable(Check::OverCapacity));
    }
}
