//! The points of a facility, as rows.

use std::sync::Arc;

use askama::Template;
use i18n_embed_fl::fl;

use crate::{
    format::{Locale, comparison_sign, dom_id},
    i18n::Loader,
    picture::{FacilityNow, Shown},
    spark::Spark,
};

/// One point.
pub(crate) struct PointRow {
    pub(crate) dom: String,
    pub(crate) href: String,
    pub(crate) place: String,
    pub(crate) metric: String,
    pub(crate) device: String,
    pub(crate) tone: &'static str,
    pub(crate) state: String,
    pub(crate) lasted: Option<String>,
    pub(crate) value: String,
    pub(crate) limit: String,
    pub(crate) ago: Option<String>,
    pub(crate) spark: Option<Arc<Spark>>,
}

/// The points of a facility, worst first.
#[derive(Template)]
#[template(path = "points.html")]
pub(crate) struct Points {
    l: Loader,
    pub(crate) rows: Vec<PointRow>,
}

impl Points {
    pub(crate) fn new(locale: &Locale, facility: &FacilityNow) -> Points {
        let mut order: Vec<usize> = (0..facility.points.len()).collect();
        order.sort_by_key(|i| (facility.points[*i].state, *i));
        Points {
            l: locale.l,
            rows: order.into_iter().map(|i| row(locale, facility, i)).collect(),
        }
    }
}

fn row(locale: &Locale, facility: &FacilityNow, index: usize) -> PointRow {
    let (entry, now) = (&facility.entry.points[index], &facility.points[index]);
    let key = &entry.key;
    let is_old = now.state == Shown::Unknown;
    let lasted = (now.state.is_breach() || now.state == Shown::Pending || is_old)
        .then(|| now.since.map(|since| locale.duration(locale.now.ms_since(since))))
        .flatten();
    PointRow {
        dom: dom_id("p-", &format!("{}/{}", key.device, key.metric)),
        href: format!("?device={}&metric={}#chart-card", key.device, key.metric),
        place: locale.place(&entry.point),
        metric: locale.metric(&key.metric),
        device: key.device.to_string(),
        tone: now.state.tone(),
        state: locale.state(now.state),
        lasted,
        value: match now.latest {
            Some(sample) if !is_old => locale.value(&key.metric, sample.value),
            Some(sample) => fl!(
                locale.l,
                "last-value",
                value = locale.value(&key.metric, sample.value)
            ),
            None => "—".to_owned(),
        },
        limit: now.limits.first().map_or_else(String::new, |l| {
            format!("{} {}", comparison_sign(l.op), locale.value(&key.metric, l.value))
        }),
        ago: now.latest.map(|s| locale.stamp(s.at).ago()),
        spark: now.spark.clone().filter(|s| !s.line.is_empty()),
    }
}
