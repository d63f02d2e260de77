//! The facilities and their points, read once and kept until the record store says they changed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{Facility, FacilityId, Point, Scope, SeriesKey};
use store::RecordError;

use crate::app::App;

/// A point of measurement with its series' key.
#[derive(Debug)]
pub(crate) struct PointEntry {
    pub(crate) point: Point,
    pub(crate) key: SeriesKey,
}

/// A facility with its points, in the order of their devices.
#[derive(Debug)]
pub(crate) struct FacilityEntry {
    pub(crate) facility: Facility,
    pub(crate) points: Vec<PointEntry>,
}

/// Every facility, whatever the visitor may see: ask with a scope.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) version: i64,
    entries: Vec<Arc<FacilityEntry>>,
    by_id: HashMap<FacilityId, usize>,
}

impl Directory {
    pub(crate) fn facilities<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = &'a Arc<FacilityEntry>> + 'a {
        self.entries.iter().filter(|e| scope.allows(&e.facility.id))
    }

    pub(crate) fn facility(&self, scope: &Scope, id: &FacilityId) -> Option<&Arc<FacilityEntry>> {
        if !scope.allows(id) {
            return None;
        }
        self.by_id.get(id).map(|i| &self.entries[*i])
    }

    pub(crate) fn point(&self, scope: &Scope, key: &SeriesKey) -> Option<&PointEntry> {
        self.facility(scope, &key.facility)?.points.iter().find(|p| p.key == *key)
    }

    fn new(version: i64, facilities: Vec<Facility>, points: Vec<Point>) -> Directory {
        let mut of: HashMap<FacilityId, Vec<PointEntry>> = HashMap::new();
        for point in points {
            let key = point.key();
            of.entry(point.facility.clone()).or_default().push(PointEntry { point, key });
        }
        let mut entries: Vec<Arc<FacilityEntry>> = Vec::with_capacity(facilities.len());
        for facility in facilities {
            let mut points = of.remove(&facility.id).unwrap_or_default();
            points.sort_by(|a, b| a.key.cmp(&b.key));
            entries.push(Arc::new(FacilityEntry { facility, points }));
        }
        entries.sort_by(|a, b| a.facility.id.cmp(&b.facility.id));
        let by_id = entries.iter().enumerate().map(|(i, e)| (e.facility.id.clone(), i)).collect();
        Directory { version, entries, by_id }
    }
}

/// The directory as last read.
#[derive(Debug, Default)]
pub(crate) struct DirectoryCache(Mutex<Option<Arc<Directory>>>);

impl App {
    /// The facilities and points as they are now.
    pub(crate) async fn directory(&self) -> Result<Arc<Directory>, RecordError> {
        let records = &self.stores.records;
        let version = records.directory_version().await?;
        let cached = self.directory.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(directory) = cached.filter(|d| d.version == version) {
            return Ok(directory);
        }
        // The product's own cache holds everything; what leaves it is cut to the visitor's scope.
        let everything = Scope::everything();
        let facilities = records.facilities(&everything).await?;
        let points = records.points(&everything, None).await?;
        let directory = Arc::new(Directory::new(version, facilities, points));
        *self.directory.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&directory));
        Ok(directory)
    }
}
