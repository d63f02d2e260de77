//! What an integrator sees of a device.

use askama::Template;
use domain::status::RejectReason;
use i18n_embed_fl::fl;
use store::DeviceStatus;

use super::onboard::Verdict;
use crate::{format::Locale, i18n::Loader};

/// A payload that was not understood.
pub(crate) struct RejectRow {
    pub(crate) at: String,
    pub(crate) topic: String,
    pub(crate) reason: String,
    pub(crate) remedy: String,
    pub(crate) detail: String,
    pub(crate) excerpt: String,
}

/// A client or message that the broker turned away.
pub(crate) struct RefusalRow {
    pub(crate) at: String,
    pub(crate) identity: String,
    pub(crate) reason: String,
    pub(crate) remedy: String,
    pub(crate) detail: String,
}

/// How a device fares, the part of its page that changes.
#[derive(Template)]
#[template(path = "device_status.html")]
pub(crate) struct DeviceCard {
    l: Loader,
    pub(crate) tone: &'static str,
    pub(crate) state: String,
    pub(crate) verdict: Verdict,
    pub(crate) heard: bool,
    pub(crate) ago: Option<String>,
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) messages: u64,
    pub(crate) readings: u64,
    pub(crate) doubtful: u64,
    pub(crate) counts: Vec<(String, u64)>,
    pub(crate) rejects: Vec<RejectRow>,
    pub(crate) refusals: Vec<RefusalRow>,
}

impl DeviceCard {
    /// `behind` are the readings of what it speaks for, and how many of them had doubtful times: a gateway works when
    /// those arrive.
    pub(crate) fn new(
        locale: &Locale,
        status: &DeviceStatus,
        behind: (u64, u64),
        refusals: Vec<RefusalRow>,
    ) -> DeviceCard {
        let (tone, state) = device_state(locale, status);
        let together = DeviceStatus {
            readings: status.readings + behind.0,
            doubtful_times: status.doubtful_times + behind.1,
            ..status.clone()
        };
        DeviceCard {
            l: locale.l,
            tone,
            state,
            verdict: Verdict::new(locale, &together, &refusals),
            heard: status.last_seen.is_some(),
            ago: status.last_seen.map(|at| locale.stamp(at).ago()),
            topic: status.last_topic.clone(),
            payload: status.last_payload.clone(),
            messages: status.messages,
            readings: status.readings,
            doubtful: status.doubtful_times,
            counts: status
                .reject_counts
                .iter()
                .map(|(r, n)| (reject_reason(locale, *r), *n))
                .collect(),
            rejects: status
                .rejects
                .iter()
                .rev()
                .map(|reject| RejectRow {
                    at: locale.stamp(reject.received).ago(),
                    topic: reject.topic.clone(),
                    reason: reject_reason(locale, reject.reason),
                    remedy: reject_remedy(locale, reject.reason),
                    detail: reject.detail.clone(),
                    excerpt: reject.excerpt.clone(),
                })
                .collect(),
            refusals,
        }
    }
}

/// The tone and the word for how a device fares.
pub(crate) fn device_state(locale: &Locale, status: &DeviceStatus) -> (&'static str, String) {
    match (status.last_seen, status.online) {
        (None, Some(true)) => ("calm", fl!(locale.l, "device-connected")),
        (None, _) => ("off", fl!(locale.l, "device-never")),
        (Some(_), Some(false)) => ("off", fl!(locale.l, "device-offline")),
        (Some(at), online) => {
            if locale.now.ms_since(at) > 600_000 {
                ("off", fl!(locale.l, "device-silent"))
            } else if online == Some(true) {
                ("ok", fl!(locale.l, "device-online"))
            } else {
                ("ok", fl!(locale.l, "device-heard"))
            }
        }
    }
}

pub(crate) fn reject_reason(locale: &Locale, reason: RejectReason) -> String {
    match reason {
        RejectReason::Topic => fl!(locale.l, "reject-topic"),
        RejectReason::Syntax => fl!(locale.l, "reject-syntax"),
        RejectReason::Shape => fl!(locale.l, "reject-shape"),
        RejectReason::Value => fl!(locale.l, "reject-value"),
        RejectReason::Time => fl!(locale.l, "reject-time"),
        RejectReason::Unit => fl!(locale.l, "reject-unit"),
        RejectReason::Metric => fl!(locale.l, "reject-metric"),
        RejectReason::Size => fl!(locale.l, "reject-size"),
        RejectReason::TooManySeries => fl!(locale.l, "reject-series"),
        RejectReason::Range => fl!(locale.l, "reject-range"),
        RejectReason::Missing => fl!(locale.l, "reject-missing"),
    }
}

pub(crate) fn reject_remedy(locale: &Locale, reason: RejectReason) -> String {
    match reason {
        RejectReason::Topic => fl!(locale.l, "remedy-topic"),
        RejectReason::Syntax => fl!(locale.l, "remedy-syntax"),
        RejectReason::Shape => fl!(locale.l, "remedy-shape"),
        RejectReason::Value => fl!(locale.l, "remedy-value"),
        RejectReason::Time => fl!(locale.l, "remedy-time"),
        RejectReason::Unit => fl!(locale.l, "remedy-unit"),
        RejectReason::Metric => fl!(locale.l, "remedy-metric"),
        RejectReason::Size => fl!(locale.l, "remedy-size"),
        RejectReason::TooManySeries => fl!(locale.l, "remedy-series"),
        RejectReason::Range => fl!(locale.l, "remedy-range"),
        RejectReason::Missing => fl!(locale.l, "remedy-missing"),
    }
}

/// The broker's reasons, in words.
pub(crate) fn refusal_reason(locale: &Locale, reason: domain::status::RefusalReason) -> String {
    use domain::status::RefusalReason as R;
    match reason {
        R::BadCredentials => fl!(locale.l, "refusal-bad-credentials"),
        R::Expired => fl!(locale.l, "refusal-expired"),
        R::Revoked => fl!(locale.l, "refusal-revoked"),
        R::Anonymous => fl!(locale.l, "refusal-anonymous"),
        R::PublishDenied => fl!(locale.l, "refusal-publish-denied"),
        R::SubscribeDenied => fl!(locale.l, "refusal-subscribe-denied"),
        R::WillDenied => fl!(locale.l, "refusal-will-denied"),
        R::ClientIdTaken => fl!(locale.l, "refusal-client-id"),
        R::TooManyConnections => fl!(locale.l, "refusal-connections"),
        R::TooFast => fl!(locale.l, "refusal-too-fast"),
        R::PacketTooLarge => fl!(locale.l, "refusal-too-large"),
        R::Protocol => fl!(locale.l, "refusal-protocol"),
        R::Timeout => fl!(locale.l, "refusal-timeout"),
        R::BadBody => fl!(locale.l, "refusal-bad-body"),
        R::ClockWrong => fl!(locale.l, "refusal-clock"),
    }
}

/// What to do about a refusal.
pub(crate) fn refusal_remedy(locale: &Locale, reason: domain::status::RefusalReason) -> String {
    use domain::status::RefusalReason as R;
    match reason {
        R::BadCredentials => fl!(locale.l, "refusal-do-bad-credentials"),
        R::Expired | R::Revoked => fl!(locale.l, "refusal-do-barred"),
        R::Anonymous => fl!(locale.l, "refusal-do-anonymous"),
        R::PublishDenied | R::WillDenied => fl!(locale.l, "refusal-do-publish-denied"),
        R::SubscribeDenied => fl!(locale.l, "refusal-do-subscribe-denied"),
        R::ClientIdTaken | R::TooManyConnections => fl!(locale.l, "refusal-do-connections"),
        R::TooFast | R::PacketTooLarge => fl!(locale.l, "refusal-do-less"),
        R::Protocol | R::Timeout => fl!(locale.l, "refusal-do-protocol"),
        R::BadBody => fl!(locale.l, "refusal-do-bad-body"),
        R::ClockWrong => fl!(locale.l, "refusal-do-clock"),
    }
}
