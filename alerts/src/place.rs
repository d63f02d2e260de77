//! What judgement must know of the place it is at: its clocks, and which packs its regions have chosen.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{Facility, FacilityId, Region, RegionId, Rule, Zone};

/// Regions that a region may lie within, one in the other. A chain that is longer ends there.
const MAX_DEPTH: usize = 32;

/// A district, or several.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Its clocks; China's by default.
    pub zone: Zone,
    /// The packs of a facility whose region has chosen none.
    pub packs: Vec<String>,
    /// The packs that regions have chosen, for themselves and for the regions within them. None: every rule judges
    /// everywhere, whatever `packs` says.
    pub regions: BTreeMap<RegionId, Vec<String>>,
}

impl Place {
    /// The rules, each for the facilities whose region has chosen its pack.
    #[must_use]
    pub fn rules(&self, given: &[Rule], facilities: &[Facility], regions: &[Region]) -> Vec<Rule> {
        if self.regions.is_empty() {
            return given.to_vec();
        }
        let parents: BTreeMap<&RegionId, Option<&RegionId>> =
            regions.iter().map(|r| (&r.id, r.parent.as_ref())).collect();
        let mut judged: BTreeMap<&str, BTreeSet<FacilityId>> = BTreeMap::new();
        for facility in facilities {
            for pack in self.packs_of(&facility.region, &parents) {
                judged.entry(pack).or_default().insert(facility.id.clone());
            }
        }
        let judged: BTreeMap<&str, Arc<BTreeSet<FacilityId>>> = judged
            .into_iter()
            .map(|(pack, only)| (pack, Arc::new(only)))
            .collect();
        let limited = |rule: &Rule| Rule {
            only: Some(judged.get(rule.pack.as_str()).cloned().unwrap_or_default()),
            ..rule.clone()
        };
        given.iter().map(limited).collect()
    }

    /// The choice of the region itself, or of the nearest one around it that has made one.
    fn packs_of(&self, region: &RegionId, parents: &BTreeMap<&RegionId, Option<&RegionId>>) -> &[String] {
        let mut region = Some(region);
        for _ in 0..MAX_DEPTH {
            let Some(here) = region else { break };
            if let Some(packs) = self.regions.get(here) {
                return packs;
            }
            region = parents.get(here).copied().flatten();
        }
        &self.packs
    }
}
