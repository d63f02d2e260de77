//! The server about itself: what it offers, how it fares, and its figures for Prometheus.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use alerts::ChannelFigures;
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::status::{ForwardState, ForwardStats, SystemStats};
use serde::Serialize;
use store::records::OutboxState;

use super::{forwarding::ForwardBody, json};
use crate::{app::App, sight::VisionBackend};

pub(super) async fn index() -> impl IntoResponse {
    Json(serde_json::json!({
        "name": "Sunshine Kitchen API",
        "version": "1",
        "times": "RFC 3339 in UTC; parameters also take milliseconds since 1970",
        "errors": "application/problem+json (RFC 9457) with detail and remedy",
        "addresses": {
            "/api/v1/facilities": "facilities with their points: state, latest value, limits (facility, limit, after)",
            "/api/v1/devices": "devices: last seen, last payload, rejects with reasons (facility, limit, after)",
            "/api/v1/profiles": "how devices of which make speak",
            "/api/v1/profiles/{id}": "one profile with its text and versions; PUT {\"text\", \"version\", \"by\", \"why\"} keeps one of your own",
            "/api/v1/profiles/try": "POST {\"profile\" or \"text\", \"topic\", \"payload\"}: what a message would come to",
            "/api/v1/points/{facility}/{device}/{metric}/latest": "the newest reading",
            "/api/v1/points/{facility}/{device}/{metric}/window":
                "min, max, avg, count and last per bucket, and which level answered (from, to, buckets: 1 to 2000, \
                 quantiles: 0.5,0.95,0.99; at most 400 days)",
            "/api/v1/share": "for which share of the known time values were beyond a limit, the worst first (metric, above or \
                 below, from, to, by: series, facility or region, facility, type, limit, after)",
            "/api/v1/cases": "cases, newest first (state, facility, limit, before)",
            "/api/v1/cases/{case}": "one case with everything that was done to it",
            "/api/v1/cases/{case}/acts": "POST {\"act\", \"by\", \"comment\", \"version\", …}: what people do to a case",
            "/api/v1/cases/{case}/pictures": "POST a JPEG: kept without its metadata; answers with its name",
            "/api/v1/shelves": "what is set aside (facility); POST {\"target\", \"until\", \"why\", \"by\"}; /{id}/end takes it up",
            "/api/v1/windows": "maintenance, defrost, cleaning, service hours (facility); POST {\"kind\", \"target\", …}; /{id}/end",
            "/api/v1/overrides": "facilities' own numbers (rule, facility); POST {\"rule\", \"facility\", …}; /{id}/end",
            "/api/v1/trials": "what other numbers would have meant (rule, limit, hold_s, days, facility), also by POST",
            "/api/v1/messages": "what people were told, newest first (state, facility, case, limit, before)",
            "/api/v1/cameras": "cameras: settings, state, health (facility, limit, after)",
            "/api/v1/cameras/{facility}/{camera}": "one camera; PUT {\"by\", \"camera\"} attaches or changes it",
            "/api/v1/cameras/{facility}/{camera}/credentials": "PUT {\"user\", \"password\"}: kept, never shown",
            "/api/v1/cameras/probe": "POST {\"source\", \"sub\", \"credentials\"}: what a camera sends, or the cause and its remedy",
            "/api/v1/findings": "what cameras say they saw, newest first (state, facility, camera, check, limit, before)",
            "/api/v1/findings/{finding}/review": "POST {\"by\", \"verdict\", \"comment\", \"version\"}",
            "/api/v1/forwarding": "readings on their way to another time-series server, and the lines it refuses (limit)",
            "/api/v1/forwarding/resend": "POST: send the refused lines once more",
            "/api/v1/forwarding/discard": "POST: give the refused lines up",
            "/api/v1/stats": "figures of the running server",
            "/livez": "the process answers",
            "/readyz": "it can do its work; 503 with reasons when not",
            "/metrics": "Prometheus text format",
        },
    }))
}

#[derive(Serialize)]
struct Stats {
    records_accepted: u64,
    readings_stored: u64,
    rejects_total: u64,
    rejects: BTreeMap<&'static str, u64>,
    refusals_total: u64,
    refusals: BTreeMap<&'static str, u64>,
    lag_bytes: u64,
    lag_ms: i64,
    connections: u64,
    series: u64,
    journal_bytes: u64,
    journal_capacity_bytes: u64,
    journal_syncs: u64,
    disk_free_ratio: f64,
    journal_fault: Option<String>,
    /// `null` where nothing is forwarded to another time-series server.
    forward: Option<ForwardBody>,
    series_fault: Option<String>,
    viewers: usize,
    /// With what pictures are judged; `null` when they are not.
    vision: Option<Vision>,
}

#[derive(Serialize)]
struct Vision {
    backend: String,
    slow: bool,
    restarts: u64,
    models: Vec<BTreeMap<&'static str, String>>,
}

fn vision(backend: VisionBackend) -> Option<Vision> {
    (!backend.name.is_empty()).then(|| Vision {
        slow: backend.slow,
        restarts: backend.restarts,
        models: backend
            .models
            .into_iter()
            .map(|m| {
                let facts = [
                    ("name", m.name),
                    ("kind", m.kind),
                    ("sha256", m.sha256),
                    ("licence", m.licence),
                ];
                facts.into()
            })
            .collect(),
        backend: backend.name,
    })
}

pub(super) async fn stats(State(app): State<Arc<App>>) -> impl IntoResponse {
    let s = (app.stores.stats)();
    json(Stats {
        records_accepted: s.records_accepted,
        readings_stored: s.readings_stored,
        rejects_total: s.rejects.iter().map(|(_, n)| n).sum(),
        rejects: s.rejects.into_iter().collect(),
        refusals_total: s.refusals.iter().map(|(_, n)| n).sum(),
        refusals: s.refusals.into_iter().collect(),
        lag_bytes: s.lag_bytes,
        lag_ms: s.lag_ms,
        connections: s.connections,
        series: s.series,
        journal_bytes: s.journal_bytes,
        journal_capacity_bytes: s.journal_capacity_bytes,
        journal_syncs: s.journal_syncs,
        disk_free_ratio: s.disk_free_ratio,
        journal_fault: s.journal_fault,
        forward: s.forward.map(ForwardBody::from),
        series_fault: s.series_fault,
        viewers: app.live.viewers(),
        vision: vision((app.stores.sight.backend)()),
    })
}

pub(super) async fn livez() -> impl IntoResponse {
    json(serde_json::json!({ "status": "live" }))
}

pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let reasons = app.unready().await;
    if reasons.is_empty() {
        return json(serde_json::json!({ "status": "ready" })).into_response();
    }
    let list: Vec<_> = reasons
        .iter()
        .map(|r| serde_json::json!({ "code": r.trouble.code(), "detail": r.detail }))
        .collect();
    let body = serde_json::json!({
        "type": "urn:sunshine:problem:not-ready",
        "title": "The server cannot do its work",
        "status": 503,
        "detail": reasons.iter().map(|r| r.detail.as_str()).collect::<Vec<_>>().join("; "),
        "remedy": "Remove the named reasons; the server becomes ready again by itself.",
        "reasons": list,
    });
    let headers = [
        (header::CONTENT_TYPE, "application/problem+json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, body.to_string()).into_response()
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let mut text = exposition(&(app.stores.stats)(), app.live.viewers());
    // A store that does not answer is said by /readyz; the other figures are worth having then.
    if let Ok(state) = app.stores.records.outbox_state().await {
        let now = app.stores.clock.now();
        let age_ms = state.oldest.map_or(0, |at| now.ms_since(at).max(0));
        outbox(&mut text, (&state, age_ms), &app.stores.messages.figures());
    }
    let headers = [
        (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, text)
}

/// The figures in Prometheus' text format.
fn exposition(stats: &SystemStats, viewers: usize) -> String {
    let mut out = String::with_capacity(4_096);
    for (name, help, value) in counters(stats) {
        family(&mut out, name, "counter", help);
        line(&mut out, name, "", value as f64);
    }
    for (name, help, values) in [
        (
            "rejects_total",
            "Payloads that were not understood.",
            &stats.rejects,
        ),
        (
            "refusals_total",
            "Clients and messages the broker turned away.",
            &stats.refusals,
        ),
    ] {
        family(&mut out, name, "counter", help);
        for (reason, value) in values {
            line(&mut out, name, &format!("{{reason=\"{reason}\"}}"), *value as f64);
        }
    }
    for (name, help, value) in gauges(stats, viewers) {
        family(&mut out, name, "gauge", help);
        line(&mut out, name, "", value);
    }
    if let Some(forward) = &stats.forward {
        forwarding(&mut out, forward);
    }
    out
}

fn outbox(out: &mut String, (state, age_ms): (&OutboxState, i64), kinds: &[ChannelFigures]) {
    for (name, help, value) in [
        (
            "outbox_waiting",
            "Messages that are to be sent, now or later.",
            state.waiting as f64,
        ),
        (
            "outbox_oldest_seconds",
            "Age of the oldest message that should have gone out; 0 when there is none.",
            age_ms as f64 / 1_000.0,
        ),
        ("outbox_dead", "Messages that were given up.", state.dead as f64),
    ] {
        family(out, name, "gauge", help);
        line(out, name, "", value);
    }
    let one = |of: fn(&ChannelFigures) -> u64| {
        move |figures: &ChannelFigures| (figures.kind.code(), of(figures) as f64)
    };
    for (name, kind, help, of) in [
        (
            "messages_sent_total",
            "counter",
            "Notices that channels took.",
            one(|figures| figures.sent),
        ),
        (
            "messages_failed_total",
            "counter",
            "Attempts to send that failed.",
            one(|figures| figures.failed),
        ),
        (
            "channels_resting",
            "gauge",
            "Channels that rest because they do not take messages.",
            one(|figures| figures.resting),
        ),
    ] {
        family(out, name, kind, help);
        for (code, value) in kinds.iter().map(of) {
            line(out, name, &format!("{{channel=\"{code}\"}}"), value);
        }
    }
}

fn forwarding(out: &mut String, forward: &ForwardStats) {
    for (name, help, value) in [
        (
            "forward_lines_total",
            "Lines that the time-series server took.",
            forward.lines,
        ),
        (
            "forward_retries_total",
            "Requests to the time-series server that were tried again.",
            forward.retries,
        ),
        (
            "forward_letters_dropped_total",
            "Dead letters that were dropped.",
            forward.letters_dropped,
        ),
    ] {
        family(out, name, "counter", help);
        line(out, name, "", value as f64);
    }
    for (name, help, value) in [
        (
            "forward_lag_bytes",
            "Bytes of the log that the time-series server has not.",
            forward.lag_bytes,
        ),
        (
            "forward_held_bytes_max",
            "The most bytes of the log held for it.",
            forward.held_bytes_max,
        ),
        ("forward_letters", "Dead letters now.", forward.letters),
        (
            "forward_owed_readings",
            "Readings passed over and not sent yet.",
            forward.owed_readings,
        ),
    ] {
        family(out, name, "gauge", help);
        line(out, name, "", value as f64);
    }
    let name = "forward_state";
    family(out, name, "gauge", "1 for the state that forwarding is in.");
    for state in ForwardState::ALL {
        let is = u8::from(state == forward.condition.state);
        line(
            out,
            name,
            &format!("{{state=\"{}\"}}", state.code()),
            f64::from(is),
        );
    }
}

fn counters(stats: &SystemStats) -> [(&'static str, &'static str, u64); 3] {
    [
        (
            "records_accepted_total",
            "Records the log has accepted.",
            stats.records_accepted,
        ),
        (
            "readings_stored_total",
            "Readings stored and queryable.",
            stats.readings_stored,
        ),
        (
            "journal_syncs_total",
            "Times the log was synced to disk.",
            stats.journal_syncs,
        ),
    ]
}

fn gauges(stats: &SystemStats, viewers: usize) -> [(&'static str, &'static str, f64); 11] {
    let fault = |fault: &Option<String>| if fault.is_some() { 1.0 } else { 0.0 };
    let capacity = stats.journal_capacity_bytes as f64;
    [
        (
            "lag_bytes",
            "Bytes in the log that are not yet read.",
            stats.lag_bytes as f64,
        ),
        (
            "lag_seconds",
            "Age of the oldest record that is not yet read.",
            stats.lag_ms as f64 / 1000.0,
        ),
        ("mqtt_connections", "MQTT connections.", stats.connections as f64),
        ("series", "Series known.", stats.series as f64),
        (
            "journal_bytes",
            "Bytes the log occupies.",
            stats.journal_bytes as f64,
        ),
        (
            "journal_capacity_bytes",
            "The most bytes the log may occupy.",
            capacity,
        ),
        (
            "disk_free_ratio",
            "Free share of the data disk.",
            stats.disk_free_ratio,
        ),
        (
            "journal_fault",
            "1 while the log takes nothing in.",
            fault(&stats.journal_fault),
        ),
        (
            "series_fault",
            "1 while readings cannot be written to disk.",
            fault(&stats.series_fault),
        ),
        (
            "series_files_aside",
            "Damaged files of minutes or hours that were set aside.",
            stats.series_files_aside as f64,
        ),
        (
            "live_viewers",
            "Pages that follow the live stream.",
            viewers as f64,
        ),
    ]
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(
        out,
        "# HELP sunshine_{name} {help}\n# TYPE sunshine_{name} {kind}"
    )
    .expect("writing to a String succeeds");
}

fn line(out: &mut String, name: &str, labels: &str, value: f64) {
    writeln!(out, "sunshine_{name}{labels} {value}").expect("writing to a String succeeds");
}

#[cfg(test)]
mod tests {
    use domain::message::ChannelKind;

    use super::*;

    #[test]
    fn every_metric_is_announced_before_it_is_given() {
        let stats = SystemStats {
            records_accepted: 7,
            rejects: vec![("syntax", 3), ("unit", 1)],
            lag_ms: 1_500,
            forward: Some(ForwardStats {
                lines: 5,
                ..ForwardStats::default()
            }),
            ..SystemStats::default()
        };
        let mut text = exposition(&stats, 2);
        let figures = ChannelKind::ALL.map(|kind| ChannelFigures {
            kind,
            sent: 4,
            failed: 2,
            resting: 1,
        });
        let state = OutboxState {
            waiting: 3,
            ..OutboxState::default()
        };
        outbox(&mut text, (&state, 2_500), &figures);
        assert!(text.contains("sunshine_outbox_waiting 3\n"));
        assert!(text.contains("sunshine_outbox_oldest_seconds 2.5\n"));
        assert!(text.contains("sunshine_messages_sent_total{channel=\"email\"} 4\n"));
        assert!(text.contains("sunshine_channels_resting{channel=\"push\"} 1\n"));
        assert!(text.contains("sunshine_records_accepted_total 7\n"));
        assert!(text.contains("sunshine_rejects_total{reason=\"syntax\"} 3\n"));
        assert!(text.contains("sunshine_lag_seconds 1.5\n"));
        assert!(text.contains("sunshine_forward_lines_total 5\n"));
        assert!(text.contains("sunshine_forward_state{state=\"starting\"} 1\n"));
        let mut announced = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                announced = rest.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert_eq!(name, announced, "{line}");
            }
        }
    }
}
