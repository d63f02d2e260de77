//! What is drawn over a picture: zones, masks, the counting line, and what was seen. SVG in units of a picture
//! of 1,600 by 900 that is stretched over the real one, so that shares of the picture stay where they are.

use std::fmt::Write as _;

use askama::Template;
use domain::{Camera, PictureBox, Polygon, Spot, camera::Zone, observation::LabelledBox};

use crate::format::Locale;

const WIDTH: f32 = 1600.0;
const HEIGHT: f32 = 900.0;

/// An area with its name.
pub(crate) struct Area {
    points: String,
    name: String,
    x: String,
    y: String,
}

/// Something that was seen.
pub(crate) struct Seen {
    x: String,
    y: String,
    width: String,
    height: String,
    label: String,
    label_y: String,
    /// Where the words begin.
    words: (f32, f32),
}

/// What is drawn over a picture.
#[derive(Template, Default)]
#[template(path = "scene.html")]
pub(crate) struct Scene {
    zones: Vec<Area>,
    masks: Vec<Area>,
    line: Option<(String, String, String, String)>,
    seen: Vec<Seen>,
}

impl Scene {
    /// The camera's areas.
    pub(crate) fn of(camera: &Camera) -> Scene {
        Scene {
            zones: camera.zones.iter().map(zone).collect(),
            masks: camera.masks.iter().map(|m| area(m, "")).collect(),
            line: camera
                .line
                .as_ref()
                .map(|l| (x(l.from.x), y(l.from.y), x(l.to.x), y(l.to.y))),
            seen: Vec::new(),
        }
    }

    /// One zone only: where a finding was made.
    pub(crate) fn of_zone(zone_drawn: Option<&Zone>) -> Scene {
        Scene {
            zones: zone_drawn.into_iter().map(zone).collect(),
            ..Scene::default()
        }
    }

    /// With what was seen drawn as well.
    pub(crate) fn with(mut self, locale: &Locale, boxes: &[LabelledBox]) -> Scene {
        for labelled in boxes {
            let drawn = seen(locale, labelled, &self.seen);
            self.seen.push(drawn);
        }
        self
    }
}

fn zone(zone: &Zone) -> Area {
    let name = match zone.name.is_empty() {
        true => zone.id.as_str(),
        false => &zone.name,
    };
    area(&zone.area, name)
}

fn area(polygon: &Polygon, name: &str) -> Area {
    let mut points = String::new();
    for Spot { x: sx, y: sy } in polygon.corners() {
        write!(points, "{},{} ", x(*sx), y(*sy)).expect("writing to a String succeeds");
    }
    let bounds = polygon.bounds();
    Area {
        points,
        name: name.to_owned(),
        x: format!("{:.0}", bounds.left * WIDTH + 14.0),
        y: format!("{:.0}", bounds.top * HEIGHT + 44.0),
    }
}

fn seen(locale: &Locale, labelled: &LabelledBox, before: &[Seen]) -> Seen {
    let PictureBox {
        left, top, bottom, ..
    } = labelled.area;
    // The words stand above the box; below it where others stand there already, or where there is no room.
    let above = top * HEIGHT - 12.0;
    let taken = |s: &Seen| (s.words.0 - left * WIDTH).abs() < 300.0 && (s.words.1 - above).abs() < 44.0;
    let line = match above < 34.0 || before.iter().any(taken) {
        true => (bottom * HEIGHT + 40.0).min(HEIGHT - 8.0),
        false => above,
    };
    Seen {
        x: x(left),
        y: y(top),
        width: x(labelled.area.width()),
        height: y(labelled.area.height()),
        label: format!("{} {:.2}", locale.thing(&labelled.label), labelled.score),
        label_y: format!("{line:.0}"),
        words: (left * WIDTH, line),
    }
}

fn x(share: f32) -> String {
    format!("{:.0}", share * WIDTH)
}

fn y(share: f32) -> String {
    format!("{:.0}", share * HEIGHT)
}
