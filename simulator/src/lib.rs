//! A believable district of kitchens, as real MQTT clients.
//!
//! Owns: the made-up facilities and their equipment, how each measured value moves over a day, the
//! scripted incidents, and the devices that report all this over TCP under their own identities.
//!
//! Must not know: how any other part of the product works. It depends on `domain` for the words only,
//! and reaches the product the way a real device does: through the broker, or by HTTP where its make does so.
//!
//! A value is a pure function of the seed, the point and the moment. Nothing is integrated step by
//! step, so any span of any day can be asked for alone, publishing the same span again gives the same
//! rows, and the same seed gives the same bytes on every machine.

mod cameras;
mod connection;
mod district;
mod equipment;
mod history;
mod makes;
mod model;
mod names;
mod noise;
mod payload;
mod physics;
mod rhythm;
mod run;
mod schedule;
mod script;

pub use cameras::{CameraFarm, CameraScript, SimCamera, SimStove};
pub use district::{District, SimDevice, district};
pub use history::history;
pub use makes::SimMake;
pub use run::Simulator;
pub use schedule::{SimMessage, messages};
pub use script::{Incident, IncidentKind, Scenario, incidents};
