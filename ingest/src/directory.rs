//! What ingest asks about series and points: answered by the store in the product, by a map in tests.

use std::sync::Arc;

use domain::{Calibration, DeviceId, FacilityId, Profile, SeriesId, SeriesKey, Unit};

/// The store holds as many series as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store holds as many series as it may")]
pub struct TooManySeries;

/// Gives series their numbers and knows the points. Asked once per new topic or metric: the answers are
/// kept until [`SeriesDirectory::version`] changes.
pub trait SeriesDirectory {
    /// The series' number, giving it one if it is new.
    ///
    /// # Errors
    /// [`TooManySeries`] when there is no room for another one.
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries>;

    /// The unit that the point's device sends when its message names none; `None` for a series that is no
    /// registered point.
    fn unit(&self, key: &SeriesKey) -> Option<Unit>;

    /// How the device speaks; `None` for our own form.
    fn profile(&self, _facility: &FacilityId, _device: &DeviceId) -> Option<Arc<Profile>> {
        None
    }

    /// The name of the profile by which the device speaks; `None` for our own form. The log may say what that
    /// profile is; where it does not, [`SeriesDirectory::profile`] does.
    fn profile_name(&self, _facility: &FacilityId, _device: &DeviceId) -> Option<Arc<str>> {
        None
    }

    /// How far the sensor of this series is off; `None` when it is not known to be.
    fn calibration(&self, _key: &SeriesKey) -> Option<Calibration> {
        None
    }

    /// Whose topic this is that lies below no device's own root; `None` when it is nobody's.
    fn owner(&self, _topic: &str) -> Option<(FacilityId, DeviceId)> {
        None
    }

    /// A number that changes whenever any of these answers may. Asked once per batch.
    fn version(&self) -> u64;
}

impl<D: SeriesDirectory + ?Sized> SeriesDirectory for Arc<D> {
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries> {
        (**self).resolve(key)
    }

    fn unit(&self, key: &SeriesKey) -> Option<Unit> {
        (**self).unit(key)
    }

    fn profile(&self, facility: &FacilityId, device: &DeviceId) -> Option<Arc<Profile>> {
        (**self).profile(facility, device)
    }

    fn profile_name(&self, facility: &FacilityId, device: &DeviceId) -> Option<Arc<str>> {
        (**self).profile_name(facility, device)
    }

    fn calibration(&self, key: &SeriesKey) -> Option<Calibration> {
        (**self).calibration(key)
    }

    fn owner(&self, topic: &str) -> Option<(FacilityId, DeviceId)> {
        (**self).owner(topic)
    }

    fn version(&self) -> u64 {
        (**self).version()
    }
}
