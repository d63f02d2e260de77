//! Areas of a picture as text, one a line: what the drawing on the page writes, and what people type where it
//! cannot run. Zones read `id name: x,y x,y x,y`, masks `x,y x,y x,y`, the counting line `x,y x,y`; all
//! numbers are shares of the picture's width and height, 0 to 1.

use domain::{
    DeviceId, Polygon, Spot,
    camera::{CountLine, MAX_AREAS, Zone},
    geometry::PolygonError,
};

/// The longest name of a zone, in characters.
pub(crate) const MAX_ZONE_NAME: usize = 40;

/// Why a line is no area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AreaError {
    /// There are more than fit.
    TooMany,
    /// No identifier at the beginning, or the same one twice.
    Id,
    /// The name is too long.
    Name,
    /// Something that is not `x,y`.
    Spot,
    /// The corners are no polygon.
    Polygon(PolygonError),
}

/// Which line is wrong, from 1, and why.
pub(crate) type LineError = (usize, AreaError);

pub(crate) fn print_zones(zones: &[Zone]) -> String {
    let line = |zone: &Zone| {
        format!(
            "{} {}: {}\n",
            zone.id,
            zone.name,
            print_spots(zone.area.corners())
        )
    };
    zones.iter().map(line).collect()
}

pub(crate) fn print_masks(masks: &[Polygon]) -> String {
    masks.iter().map(|m| print_spots(m.corners()) + "\n").collect()
}

pub(crate) fn print_line(line: Option<&CountLine>) -> String {
    line.map_or_else(String::new, |l| print_spots(&[l.from, l.to]))
}

fn print_spots(spots: &[Spot]) -> String {
    let spot = |s: &Spot| format!("{},{}", s.x, s.y);
    spots.iter().map(spot).collect::<Vec<_>>().join(" ")
}

pub(crate) fn parse_zones(text: &str) -> Result<Vec<Zone>, LineError> {
    let mut zones: Vec<Zone> = Vec::new();
    for (number, line) in filled(text)? {
        let wrong = |why| (number, why);
        let (head, corners) = line.rsplit_once([':', '：']).ok_or(wrong(AreaError::Spot))?;
        let (id, name) = head
            .trim()
            .split_once(char::is_whitespace)
            .unwrap_or((head.trim(), ""));
        let id = DeviceId::new(id).map_err(|_not_one| wrong(AreaError::Id))?;
        if zones.iter().any(|z| z.id == id) {
            return Err(wrong(AreaError::Id));
        }
        let name = name.trim();
        if name.chars().count() > MAX_ZONE_NAME || name.chars().any(char::is_control) {
            return Err(wrong(AreaError::Name));
        }
        let area = polygon(corners).map_err(wrong)?;
        zones.push(Zone {
            id,
            name: name.to_owned(),
            area,
        });
    }
    Ok(zones)
}

pub(crate) fn parse_masks(text: &str) -> Result<Vec<Polygon>, LineError> {
    filled(text)?
        .into_iter()
        .map(|(number, line)| polygon(line).map_err(|why| (number, why)))
        .collect()
}

pub(crate) fn parse_line(text: &str) -> Result<Option<CountLine>, LineError> {
    let spots = spots(text).map_err(|why| (1, why))?;
    match spots.as_slice() {
        [] => Ok(None),
        [from, to] if from != to && [from, to].into_iter().all(is_inside) => {
            Ok(Some(CountLine { from: *from, to: *to }))
        }
        _ => Err((1, AreaError::Spot)),
    }
}

/// The lines that hold something, with their numbers.
fn filled(text: &str) -> Result<Vec<(usize, &str)>, LineError> {
    let lines = text.lines().map(str::trim).enumerate();
    let filled: Vec<_> = lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(i, line)| (i + 1, line))
        .collect();
    match filled.get(MAX_AREAS) {
        Some((number, _)) => Err((*number, AreaError::TooMany)),
        None => Ok(filled),
    }
}

fn polygon(text: &str) -> Result<Polygon, AreaError> {
    Polygon::new(spots(text)?).map_err(AreaError::Polygon)
}

fn spots(text: &str) -> Result<Vec<Spot>, AreaError> {
    let spot = |pair: &str| {
        let (x, y) = pair.split_once([',', '，'])?;
        Some(Spot {
            x: x.parse().ok()?,
            y: y.parse().ok()?,
        })
    };
    text.split_whitespace()
        .map(|pair| spot(pair).ok_or(AreaError::Spot))
        .collect()
}

fn is_inside(spot: &Spot) -> bool {
    (0.0..=1.0).contains(&spot.x) && (0.0..=1.0).contains(&spot.y)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn zones_are_read_as_people_type_them() {
        let zones = parse_zones("stove 热菜灶台: 0.1,0.1 0.9,0.1 0.9,0.9\n\n sink：0,0 1,0 1，1\n").unwrap();
        let named: Vec<_> = zones.iter().map(|z| (z.id.as_str(), z.name.as_str())).collect();
        assert_eq!(named, [("stove", "热菜灶台"), ("sink", "")]);
        assert_eq!(parse_zones(&print_zones(&zones)), Ok(zones));
        let line = parse_line("0.1,0.5 0.9,0.5").unwrap().unwrap();
        assert_eq!(parse_line(&print_line(Some(&line))), Ok(Some(line)));
        assert_eq!(parse_line(""), Ok(None));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let corners = "0,0 1,0 1,1";
        let cases = [
            ("no corners".to_owned(), (1, AreaError::Spot)),
            (format!("a: {corners}\na b: {corners}"), (2, AreaError::Id)),
            (format!("\na/b: {corners}"), (2, AreaError::Id)),
            (format!("a {}: {corners}", "长".repeat(41)), (1, AreaError::Name)),
            ("a: 0,0 1,0 1".into(), (1, AreaError::Spot)),
            ("a: 0,0 1,0 1;1".into(), (1, AreaError::Spot)),
            (
                "a: 0,0 1,0 1,2".into(),
                (1, AreaError::Polygon(PolygonError::Outside)),
            ),
            (
                "a: 0,0 1,0".into(),
                (1, AreaError::Polygon(PolygonError::Corners(2))),
            ),
            (
                (0..17).map(|i| format!("a{i}: {corners}\n")).collect(),
                (17, AreaError::TooMany),
            ),
        ];
        for (text, want) in cases {
            assert_eq!(parse_zones(&text), Err(want), "{text}");
        }
        for bad in ["0,0", "0,0 0,0", "0,0 1,2", "0,0 1,1 1,0", "NaN,0 1,1"] {
            assert_eq!(parse_line(bad), Err((1, AreaError::Spot)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn areas_survive_being_written_down(
            corners in prop::collection::vec((0.0f32..=1.0, 0.0f32..=1.0), 3..=8),
        ) {
            let spots = corners.into_iter().map(|(x, y)| Spot { x, y }).collect();
            if let Ok(area) = Polygon::new(spots) {
                let masks = vec![area.clone()];
                prop_assert_eq!(parse_masks(&print_masks(&masks)), Ok(masks));
                let zones = vec![Zone { id: DeviceId::new("z").unwrap(), name: "灶台: 2".into(), area }];
                prop_assert_eq!(parse_zones(&print_zones(&zones)), Ok(zones));
            }
        }

        #[test]
        fn no_text_is_too_strange_to_be_refused(text in any::<String>()) {
            // Neither may panic; what is taken as areas is written and read alike.
            if let Ok(zones) = parse_zones(&text) {
                prop_assert_eq!(parse_zones(&print_zones(&zones)), Ok(zones));
            }
            if let Ok(masks) = parse_masks(&text) {
                prop_assert_eq!(parse_masks(&print_masks(&masks)), Ok(masks));
            }
        }
    }
}
