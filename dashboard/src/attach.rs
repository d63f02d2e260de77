//! Attaching a camera: the form that describes it, and what is found on the way.

pub(crate) mod areas;
pub(crate) mod drafts;
pub(crate) mod fields;
