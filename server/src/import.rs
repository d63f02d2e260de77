//! Facilities and points from a TOML file: how an installation gets its inventory.

use std::path::Path;

use anyhow::Context;
use domain::{
    DeviceId, Facility, FacilityId, FacilityKind, Metric, Point, Region, RegionId, SizeClass, Unit,
};
use serde::Deserialize;
use store::Records;

/// Report interval of a point that names none, in seconds.
const REPORT_INTERVAL_S: u32 = 60;

/// What a file brings.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) regions: Vec<Region>,
    pub(crate) facilities: Vec<Facility>,
    pub(crate) points: Vec<Point>,
}

impl Inventory {
    /// Writes everything into the record store, what others refer to first.
    pub(crate) async fn write(&self, records: &Records) -> anyhow::Result<()> {
        for region in &self.regions {
            records
                .put_region(region)
                .await
                .with_context(|| format!("region {}", region.id))?;
        }
        for facility in &self.facilities {
            records
                .put_facility(facility)
                .await
                .with_context(|| format!("facility {}", facility.id))?;
        }
        records.put_points(&self.points).await.context("the points")
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    region: Vec<RegionRow>,
    #[serde(default)]
    facility: Vec<FacilityRow>,
    #[serde(default)]
    point: Vec<PointRow>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionRow {
    id: RegionId,
    parent: Option<RegionId>,
    name_zh: String,
    name_en: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FacilityRow {
    id: FacilityId,
    region: Option<RegionId>,
    name_zh: String,
    name_en: String,
    kind: FacilityKind,
    #[serde(default)]
    beds: u32,
    people_served: u32,
    #[serde(default)]
    address: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PointRow {
    facility: FacilityId,
    device: DeviceId,
    metric: Metric,
    unit: Option<Unit>,
    point_type: String,
    place_zh: String,
    place_en: String,
    report_interval_s: Option<u32>,
}

/// Reads an inventory file.
///
/// # Errors
/// Names the file, the line and what is wrong there.
pub(crate) fn read(path: &Path, region: &RegionId) -> anyhow::Result<Inventory> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text, region).with_context(|| path.display().to_string())
}

fn parse(text: &str, region: &RegionId) -> anyhow::Result<Inventory> {
    let file: File = toml::from_str(text)?;
    let mut inventory = Inventory::default();
    for row in file.region {
        let RegionRow {
            id,
            parent,
            name_zh,
            name_en,
        } = row;
        inventory.regions.push(Region {
            id,
            parent,
            name_zh,
            name_en,
        });
    }
    for row in file.facility {
        inventory.facilities.push(Facility {
            id: row.id,
            region: row.region.unwrap_or_else(|| region.clone()),
            name_zh: row.name_zh,
            name_en: row.name_en,
            kind: row.kind,
            size: size_of(row.beds),
            beds: row.beds,
            people_served: row.people_served,
            address: row.address,
        });
    }
    for row in file.point {
        let report_interval_s = row.report_interval_s.unwrap_or(REPORT_INTERVAL_S);
        anyhow::ensure!(
            (1..=86_400).contains(&report_interval_s),
            "point {}/{}/{}: report_interval_s is {report_interval_s}, not between 1 and 86400",
            row.facility,
            row.device,
            row.metric
        );
        inventory.points.push(Point {
            unit: row.unit.unwrap_or_else(|| row.metric.unit()),
            facility: row.facility,
            device: row.device,
            metric: row.metric,
            point_type: row.point_type,
            place_zh: row.place_zh,
            place_en: row.place_en,
            report_interval_s,
        });
    }
    Ok(inventory)
}

/// The size class by beds, as [`SizeClass`] defines it.
fn size_of(beds: u32) -> SizeClass {
    match beds {
        0..100 => SizeClass::Small,
        100..300 => SizeClass::Medium,
        _ => SizeClass::Large,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[facility]]
id = "binhe"
name_zh = "滨河颐养院"
name_en = "Binhe Care Home"
kind = "care_home"
beds = 120
people_served = 118

[[point]]
facility = "binhe"
device = "fridge-1"
metric = "temperature"
point_type = "fridge_air"
place_zh = "1 号冷藏柜"
place_en = "Fridge 1"
"#;

    #[test]
    fn an_inventory_is_read_with_its_defaults() {
        let region = RegionId::new("district").unwrap();
        let inventory = parse(GOOD, &region).unwrap();
        assert_eq!(inventory.facilities[0].size, SizeClass::Medium);
        assert_eq!(inventory.facilities[0].region, region);
        assert_eq!(inventory.points[0].unit, Unit::Celsius);
        assert_eq!(inventory.points[0].report_interval_s, 60);
    }

    #[test]
    fn a_bad_row_is_refused_with_its_line() {
        let region = RegionId::new("district").unwrap();
        let cases = [
            (GOOD.replace("people_served", "people_eating"), "line"),
            (GOOD.replace("\"binhe\"", "\"bin/he\""), "'/'"),
            (format!("{GOOD}report_interval_s = 0\n"), "between 1 and 86400"),
        ];
        for (text, want) in cases {
            let refused = format!("{:#}", parse(&text, &region).unwrap_err());
            assert!(refused.contains(want), "{refused}");
        }
    }
}
