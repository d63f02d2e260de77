//! Regions and facilities that records hang on.

use std::path::Path;

use domain::{Clock, Facility, FacilityId, FacilityKind, Region, RegionId, SizeClass, UtcMillis};
use sunshine_store::Records;

/// When clocks of these tests begin.
pub(crate) const NOW: UtcMillis = UtcMillis(1_795_000_000_000);

pub(crate) fn region(id: &str, parent: Option<&str>) -> Region {
    Region {
        id: RegionId::new(id).unwrap(),
        parent: parent.map(|p| RegionId::new(p).unwrap()),
        name_zh: "滨河区".into(),
        name_en: "Binhe".into(),
    }
}

/// A care home of that region.
pub(crate) fn facility(id: &str, region: &str) -> Facility {
    Facility {
        id: FacilityId::new(id).unwrap(),
        region: RegionId::new(region).unwrap(),
        name_zh: "滨河养老院".into(),
        name_en: "Binhe Care Home".into(),
        kind: FacilityKind::CareHome,
        size: SizeClass::Medium,
        beds: 180,
        people_served: 170,
        address: "滨河路 1 号\n后院".into(),
    }
}

pub(crate) async fn open(path: &Path) -> Records {
    Records::open(path, Clock::simulated(NOW)).await.unwrap()
}

/// A store with the region `binhe` and the facilities `a` and `b`.
pub(crate) async fn furnished(path: &Path) -> Records {
    furnished_by(path, &Clock::simulated(NOW)).await
}

/// The same by a clock of the test's own.
pub(crate) async fn furnished_by(path: &Path, clock: &Clock) -> Records {
    let records = Records::open(path, clock.clone()).await.unwrap();
    records.put_region(&region("binhe", None)).await.unwrap();
    for id in ["a", "b"] {
        records.put_facility(&facility(id, "binhe")).await.unwrap();
    }
    records
}
