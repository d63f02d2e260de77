//! `/help`: how a device is connected.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use domain::metric::METRICS;
use i18n_embed_fl::fl;

use crate::{
    app::App,
    failure::Failure,
    view::page::{Nav, Page},
    visitor::Visitor,
};

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
