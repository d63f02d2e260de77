//! Cameras of the district: pictures drawn and encoded here, served over real RTSP.

mod canvas;
mod figures;
mod picture;
mod rooms;
mod scene;
pub(crate) mod script;
mod stamp;
