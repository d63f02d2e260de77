//! What the kitchen-safety field talks about, and nothing else.
//!
//! Owns: identifiers, units, readings, the addresses devices speak under, identities and scopes,
//! facilities and points of measurement, profiles of devices, cameras and what is looked for in their pictures, rules and rule packs, the judgement that turns readings
//! into conditions, and cases.
//!
//! Must not know: tokio, files, sockets, wire formats, databases, or what time it is. Every function
//! here is a pure function of its arguments, so the same input gives the same verdict: live, in a
//! replay after a crash, and in a "what if this limit were lower?" run.
//!
//! The other crates meet in these types. Where two of them need the same word, the word lives here.

pub mod address;
pub mod batch;
pub mod camera;
pub mod case;
pub mod check;
pub mod duty;
pub mod facility;
pub mod geometry;
pub mod id;
pub mod identity;
pub mod judge;
pub mod message;
pub mod metric;
pub mod observation;
pub mod outbound;
pub mod pack;
pub mod person;
pub mod profile;
pub mod reading;
pub mod rule;
pub mod scope;
pub mod sight;
pub mod status;
pub mod time;
pub mod window;
pub mod zone;

pub use address::{DeviceTopic, Leaf, VendorRoot};
pub use batch::{Batch, LogEvent};
pub use camera::{Camera, CameraKey, CameraSource, CameraUrl, Credentials, Room};
pub use case::{Case, CaseChange, CaseState};
pub use check::{Check, CheckSetting, Schedule};
pub use facility::{Facility, FacilityKind, Point, Region, SizeClass};
pub use geometry::{PictureBox, Polygon, Spot};
pub use id::{CaseId, DeviceId, FacilityId, IdError, IdentityName, Metric, PersonId, RegionId, RuleId};
pub use identity::{Access, Identity, SecretHash};
pub use judge::{Board, ConditionState, Judge, Mute, MuteTarget, PointState, Transition};
pub use metric::{MetricInfo, Unit};
pub use observation::{EvidenceId, Observation, Sighted};
pub use person::{Permission, Person, Principal, Reach, Role};
pub use profile::{Calibration, Codec, Profile, ProfileError, Profiles};
pub use reading::{LogPosition, Quality, Reading, Sample, SeriesId, SeriesKey};
pub use rule::{Confidence, Rule, RuleKind, Severity};
pub use scope::Scope;
pub use sight::{CameraFault, CameraHealth, ProbeReport};
pub use time::{Clock, TimeRange, UtcMillis};
pub use window::{Shelf, When, Window, WindowKind};
pub use zone::Zone;
