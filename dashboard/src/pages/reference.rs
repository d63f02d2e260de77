//! `/rules` and `/help`: what is judged on which authority, and how a device is connected.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use domain::metric::METRICS;
use i18n_embed_fl::fl;

use crate::{
    app::App,
    failure::Failure,
    picture::Shown,
    view::{
        authority::Authority,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

struct RuleRow {
    id: String,
    title: String,
    action: String,
    metric: String,
    point_type: String,
    criterion: String,
    severity: String,
    severity_code: &'static str,
    tone: &'static str,
    clause: String,
    edition: String,
    source: String,
    confidence: String,
    verified: bool,
}

#[derive(Template)]
#[template(path = "rules.html")]
struct Rules {
    page: Page,
    rules: Vec<RuleRow>,
}

pub(crate) async fn rules(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    let locale = visitor.locale(&app);
    let active = app.stores.alerts.rules();
    let mut sorted: Vec<_> = active.values().collect();
    sorted.sort_by(|a, b| (a.severity, &a.id).cmp(&(b.severity, &b.id)));
    let row = |rule: &domain::Rule| {
        let authority = Authority::of(&locale, rule);
        RuleRow {
            id: rule.id.to_string(),
            title: locale.pick(&rule.title_zh, &rule.title_en).to_owned(),
            action: locale.pick(&rule.action_zh, &rule.action_en).to_owned(),
            metric: rule
                .metric
                .as_ref()
                .map_or_else(|| fl!(locale.l, "any"), |m| locale.metric(m)),
            point_type: rule.point_type.clone().unwrap_or_default(),
            criterion: locale.criterion(rule),
            severity: locale.severity(rule.severity),
            severity_code: rule.severity.code(),
            tone: Shown::Active(rule.severity).tone(),
            clause: authority.clause,
            edition: authority.edition,
            source: authority.source,
            confidence: locale.confidence(rule.confidence),
            verified: rule.confidence == domain::Confidence::Verified,
        }
    };
    let page = Page::new(&app, &visitor, Nav::Rules, fl!(locale.l, "rules-title"), "/rules");
    let view = Rules {
        page,
        rules: sorted.into_iter().map(row).collect(),
    };
    view.page.answer(view.render())
}

#[derive(Template)]
#[template(path = "help.html")]
struct Help {
    page: Page,
    mqtt_addr: String,
    command: String,
    metrics: Vec<(&'static str, String, &'static str)>,
}

pub(crate) async fn help(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    let locale = visitor.locale(&app);
    let page = Page::new(&app, &visitor, Nav::Help, fl!(locale.l, "help-title"), "/help");
    let mqtt_addr = app.site().mqtt_addr.clone();
    let (host, port) = mqtt_addr.rsplit_once(':').unwrap_or((mqtt_addr.as_str(), "1883"));
    let command = format!(
        "mosquitto_pub -h {host} -p {port} -u 'FACILITY/DEVICE' -P \"$SECRET\" -q 1 \
         -t 'sk/v1/FACILITY/DEVICE/up/temperature' -m '4.2'"
    );
    let metrics = METRICS
        .iter()
        .map(|m| (m.name, locale.pick(m.zh, m.en).to_owned(), m.unit.code()));
    let view = Help {
        page,
        metrics: metrics.collect(),
        command,
        mqtt_addr,
    };
    view.page.answer(view.render())
}
