//! A facility at a glance.

use std::sync::Arc;

use askama::Template;
use i18n_embed_fl::fl;

use crate::{
    directory::PointEntry,
    format::{Locale, dom_id, is_switch},
    i18n::Loader,
    picture::{FacilityNow, Shown},
    spark::Spark,
};

/// A facility's tile.
#[derive(Template)]
#[template(path = "tile.html")]
pub(crate) struct Tile {
    l: Loader,
    pub(crate) dom: String,
    href: String,
    name: String,
    tone: &'static str,
    state: String,
    value: String,
    unit: &'static str,
    place: String,
    spark: Option<Arc<Spark>>,
    ago: Option<String>,
    reporting: usize,
    points: usize,
    cases: usize,
    /// What is over its limit, but not for long enough to need somebody; when nothing else is the matter.
    watching: Option<String>,
}

impl Tile {
    pub(crate) fn new(locale: &Locale, facility: &FacilityNow) -> Tile {
        let entry = &facility.entry;
        let headline = facility.headline();
        let latest = headline.and_then(|(e, n)| n.latest.map(|s| (&e.key.metric, s.value)));
        // A value that is long past is not shown as if it were one: silence has none.
        let silent = headline.is_none_or(|(_, n)| n.state == Shown::Unknown);
        let shown = latest.filter(|_| !silent);
        Tile {
            l: locale.l,
            dom: dom_id("f-", entry.facility.id.as_str()),
            href: format!("/facilities/{}", entry.facility.id),
            name: locale.facility(&entry.facility).to_owned(),
            tone: facility.worst.tone(),
            state: locale.state(facility.worst),
            value: shown.map_or_else(|| "—".to_owned(), |(m, v)| locale.number(m, v)),
            unit: shown
                .filter(|(m, _)| !is_switch(m))
                .map_or("", |(m, _)| m.unit().sign()),
            place: headline.map(|(e, _)| subject(locale, e)).unwrap_or_default(),
            spark: headline
                .and_then(|(_, n)| n.spark.clone())
                .filter(|s| !s.line.is_empty()),
            ago: facility.newest().map(|at| locale.stamp(at).ago()),
            reporting: facility.reporting(),
            points: facility.points.len(),
            cases: facility.open_cases,
            watching: watching(locale, facility),
        }
    }
}

/// What the value is about: where it is, but for an alarm what has gone off.
fn subject(locale: &Locale, entry: &PointEntry) -> String {
    let metric = &entry.key.metric;
    if is_switch(metric) && metric.as_str() != "door_open" {
        locale.metric(metric)
    } else {
        locale.place(&entry.point)
    }
}

fn watching(locale: &Locale, facility: &FacilityNow) -> Option<String> {
    if facility.worst != Shown::Pending {
        return None;
    }
    let index = facility.points.iter().position(|p| p.state == Shown::Pending)?;
    Some(locale.place(&facility.entry.points[index].point))
}
