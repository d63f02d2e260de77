//! Cameras of the district: pictures drawn and encoded here, served over real RTSP.
//!
//! A picture is a pure function of the script and the time since its beginning: the room painted once, people
//! and the cat cut out of free pictures, flames, the clock that cameras write into their pictures, and noise.

mod attached;
mod canvas;
mod dialogue;
mod digest;
mod encoder;
mod farm;
mod figures;
mod picture;
mod pushed;
mod request;
mod rooms;
mod rtp;
mod scene;
mod script;
mod stamp;
mod stove;
mod studio;

pub use attached::SimCamera;
pub(crate) use attached::cameras;
pub use farm::CameraFarm;
pub(crate) use pushed::PushedCamera;
pub use script::CameraScript;
pub use stove::SimStove;
pub(crate) use stove::StovePlug;
