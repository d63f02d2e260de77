//! What templates are made of: finished words and numbers, nothing left to decide.

pub(crate) mod attach;
pub(crate) mod authority;
pub(crate) mod camera;
pub(crate) mod case;
pub(crate) mod chart;
pub(crate) mod device;
pub(crate) mod facility;
pub(crate) mod finding;
pub(crate) mod kpis;
pub(crate) mod onboard;
pub(crate) mod page;
pub(crate) mod point;
pub(crate) mod profile;
pub(crate) mod scene;
pub(crate) mod tile;
