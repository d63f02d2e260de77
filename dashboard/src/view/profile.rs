//! Words of profiles: what each key of one is for, its fields, and what a sample came to.

use domain::{Metric, Profile, profile::Tried};
use i18n_embed_fl::fl;

use crate::format::Locale;

/// A key of a profile, and what it is for.
pub(crate) struct KeyRow {
    pub(crate) key: &'static str,
    pub(crate) says: String,
}

/// A field of a device's messages.
pub(crate) struct FieldRow {
    pub(crate) field: String,
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) scale: String,
    pub(crate) range: String,
    pub(crate) point_type: String,
}

/// A value that a sample would become.
pub(crate) struct TriedRow {
    pub(crate) behind: String,
    pub(crate) metric: String,
    pub(crate) value: String,
    pub(crate) at: String,
}

/// The keys, in the order in which one fills them in.
const KEYS: [&str; 22] = [
    "profile",
    "title_zh",
    "title_en",
    "codec",
    "source",
    "report_interval_s",
    "heartbeat_s",
    "keep_others",
    "behind_tag",
    "json",
    "setup_zh",
    "setup_en",
    "snippet",
    "field",
    "metric",
    "unit",
    "scale",
    "invert",
    "words",
    "pass_other_words",
    "range",
    "point_type",
];

/// Every key with what it is for.
pub(crate) fn keys(locale: &Locale) -> Vec<KeyRow> {
    let row = |key| KeyRow {
        key,
        says: remedy(locale, key),
    };
    KEYS.into_iter().map(row).collect()
}

/// What belongs in a key.
pub(crate) fn remedy(locale: &Locale, key: &str) -> String {
    match key {
        "profile" => fl!(locale.l, "key-profile"),
        "title_zh" | "title_en" => fl!(locale.l, "key-title"),
        "codec" => fl!(locale.l, "key-codec"),
        "source" => fl!(locale.l, "key-source"),
        "report_interval_s" => fl!(locale.l, "key-interval"),
        "heartbeat_s" => fl!(locale.l, "key-heartbeat"),
        "keep_others" => fl!(locale.l, "key-keep-others"),
        "behind_tag" => fl!(locale.l, "key-behind-tag"),
        "json" | "device" | "time" | "values" => fl!(locale.l, "key-json"),
        "setup_zh" | "setup_en" => fl!(locale.l, "key-setup"),
        "snippet" => fl!(locale.l, "key-snippet"),
        "field" => fl!(locale.l, "key-field"),
        "metric" => fl!(locale.l, "key-metric"),
        "unit" => fl!(locale.l, "key-unit"),
        "scale" => fl!(locale.l, "key-scale"),
        "invert" => fl!(locale.l, "key-invert"),
        "words" => fl!(locale.l, "key-words"),
        "pass_other_words" => fl!(locale.l, "key-other-words"),
        "range" => fl!(locale.l, "key-range"),
        "point_type" => fl!(locale.l, "key-point-type"),
        _ => fl!(locale.l, "key-unknown"),
    }
}

/// The fields of a profile.
pub(crate) fn fields(locale: &Locale, profile: &Profile) -> Vec<FieldRow> {
    let row = |field: &domain::profile::Field| FieldRow {
        field: field.field.clone(),
        metric: locale.metric(&field.metric),
        unit: field.unit.map(|unit| unit.code().to_owned()).unwrap_or_default(),
        scale: if (field.scale - 1.0).abs() < f64::EPSILON {
            String::new()
        } else {
            format!("× {}", field.scale)
        },
        range: field
            .range
            .map(|(low, high)| format!("{low} … {high}"))
            .unwrap_or_default(),
        point_type: field.point_type.clone().unwrap_or_default(),
    };
    profile.fields.iter().map(row).collect()
}

/// What a sample came to.
pub(crate) fn tried_rows(locale: &Locale, tried: &Tried) -> Vec<TriedRow> {
    let reading = |r: &domain::profile::TriedReading| {
        let metric = Metric::new(&r.metric).ok();
        TriedRow {
            behind: r.behind.clone().unwrap_or_default(),
            metric: metric
                .as_ref()
                .map_or_else(|| r.metric.clone(), |m| locale.metric(m)),
            value: metric.map_or_else(|| r.value.to_string(), |m| locale.value(&m, r.value)),
            at: r.at.map(|at| locale.moment(at)).unwrap_or_default(),
        }
    };
    let present = |(behind, online): &(Option<String>, bool)| TriedRow {
        behind: behind.clone().unwrap_or_default(),
        metric: fl!(locale.l, "th-state"),
        value: if *online {
            fl!(locale.l, "device-online")
        } else {
            fl!(locale.l, "device-offline")
        },
        at: String::new(),
    };
    let readings = tried.readings.iter().map(reading);
    readings.chain(tried.presence.iter().map(present)).collect()
}
