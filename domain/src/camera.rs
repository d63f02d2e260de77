//! Cameras. A camera is a device: it has a facility and an identifier of its own there, speaks below its own
//! root, and its silence is judged like any other's.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    check::{CheckSetting, Schedule},
    geometry::Polygon,
    id::{DeviceId, FacilityId},
};

/// The longest camera URL, in bytes.
pub const MAX_URL_BYTES: usize = 512;

/// The most zones, and the most masks, of one camera.
pub const MAX_AREAS: usize = 16;

/// Which camera of which facility.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CameraKey {
    /// The facility.
    pub facility: FacilityId,
    /// The camera's device identifier there.
    pub camera: DeviceId,
}

impl fmt::Display for CameraKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.facility, self.camera)
    }
}

/// The room a camera looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Room {
    /// Where food is prepared and cooked (加工区).
    Kitchen,
    /// The special room (专间).
    SpecialRoom,
    /// The serving line (备餐、售餐).
    Serving,
    /// The dining room (就餐区).
    Dining,
    /// A store (库房).
    Store,
    /// An entrance (出入口).
    Entrance,
    /// A corridor or another common place (走廊、公共区域).
    Corridor,
    /// A resident's room (卧室): no camera may be attached.
    Bedroom,
    /// A bathroom, toilet or changing room (浴室、卫生间、更衣室): no camera may be attached.
    Bathroom,
}

impl Room {
    /// Every room.
    pub const ALL: [Room; 9] = [
        Room::Kitchen,
        Room::SpecialRoom,
        Room::Serving,
        Room::Dining,
        Room::Store,
        Room::Entrance,
        Room::Corridor,
        Room::Bedroom,
        Room::Bathroom,
    ];

    /// Whether people are private there, so that a camera is refused.
    #[must_use]
    pub const fn is_private(self) -> bool {
        matches!(self, Room::Bedroom | Room::Bathroom)
    }

    /// The name in the API and in configuration.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Room::Kitchen => "kitchen",
            Room::SpecialRoom => "special_room",
            Room::Serving => "serving",
            Room::Dining => "dining",
            Room::Store => "store",
            Room::Entrance => "entrance",
            Room::Corridor => "corridor",
            Room::Bedroom => "bedroom",
            Room::Bathroom => "bathroom",
        }
    }
}

/// Why a camera, or a part of its description, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CameraError {
    /// The room is private.
    #[error("no camera may look into a bedroom, bathroom, toilet or changing room; choose another room")]
    PrivateRoom,
    /// The URL is too long.
    #[error("the URL has {0} bytes; at most {MAX_URL_BYTES} are allowed")]
    UrlLength(usize),
    /// The URL's scheme is not one of a camera's.
    #[error("the URL must begin with rtsp://, http:// or https://")]
    UrlScheme,
    /// The URL names no host.
    #[error("the URL names no host")]
    UrlHost,
    /// The URL holds a control character or a space.
    #[error("the URL holds a space or a control character")]
    UrlCharacter,
    /// The URL holds a user name or password.
    #[error("the URL holds a user name or password; leave them out and give them in their own fields")]
    UrlCredentials,
    /// A GB/T 28181 identifier that is none.
    #[error(
        "a GB/T 28181 id has 20 digits, of which digits 11 to 13 say what it is (131 or 132 for a camera)"
    )]
    GbId,
    /// Too many zones or masks.
    #[error("there are {0} zones or masks; at most {MAX_AREAS} are allowed")]
    Areas(usize),
}

/// Where a camera is reached: `rtsp`, `http` or `https`, without user name and password, which are kept
/// elsewhere and never shown.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CameraUrl(String);

impl CameraUrl {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`CameraError`] names the first reason it is none. No text of the URL is in it.
    pub fn new(text: &str) -> Result<CameraUrl, CameraError> {
        if text.len() > MAX_URL_BYTES {
            return Err(CameraError::UrlLength(text.len()));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(CameraError::UrlCharacter);
        }
        let (scheme, rest) = text.split_once("://").ok_or(CameraError::UrlScheme)?;
        if !["rtsp", "http", "https"].contains(&scheme) {
            return Err(CameraError::UrlScheme);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') || names_a_secret(rest) {
            return Err(CameraError::UrlCredentials);
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err(CameraError::UrlHost);
        }
        Ok(CameraUrl(text.to_owned()))
    }

    /// The URL. It holds no secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `rtsp`, `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }
}

/// Whether a query has a parameter by which cameras take passwords.
fn names_a_secret(rest: &str) -> bool {
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    query.split(['&', ';']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
        [
            "password", "passwd", "pwd", "pass", "user", "username", "usr", "token",
        ]
        .contains(&name.as_str())
    })
}

impl std::str::FromStr for CameraUrl {
    type Err = CameraError;
    fn from_str(text: &str) -> Result<Self, CameraError> {
        CameraUrl::new(text)
    }
}

impl fmt::Display for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CameraUrl {
    type Error = CameraError;
    fn try_from(text: String) -> Result<Self, CameraError> {
        CameraUrl::new(&text)
    }
}

impl From<CameraUrl> for String {
    fn from(url: CameraUrl) -> String {
        url.0
    }
}

/// How RTP comes with RTSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RtpTransport {
    /// Inside the RTSP connection: nothing is lost, and it passes firewalls.
    #[default]
    Tcp,
    /// In datagrams of its own.
    Udp,
}

/// Where a camera's pictures come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CameraSource {
    /// An RTSP camera or recorder.
    Rtsp {
        /// The full stream: evidence.
        main: CameraUrl,
        /// The small stream: what is judged, and what live viewers see. The full one when there is none.
        sub: Option<CameraUrl>,
        /// How RTP comes.
        #[serde(default)]
        transport: RtpTransport,
    },
    /// An HTTP stream of JPEGs (`multipart/x-mixed-replace`).
    Mjpeg {
        /// Where.
        url: CameraUrl,
    },
    /// A URL that answers with one JPEG, asked again and again.
    Snapshot {
        /// Where.
        url: CameraUrl,
        /// How often, in milliseconds: 200 to 60,000.
        interval_ms: u32,
    },
    /// JPEGs that the camera publishes over MQTT below its own root (`image`), ESP32-CAM style.
    Pushed,
    /// Another maker's box judges its pictures and sends only what it finds (`vision`, Frigate's `events`).
    External,
    /// JPEG or PNG files of a folder, in the order of their names, again and again. For tests and evaluation.
    Folder {
        /// The folder or file on this machine.
        path: String,
        /// How long one picture stays, in milliseconds: 40 to 60,000.
        interval_ms: u32,
    },
}

/// Which pictures are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoding {
    /// Key frames only: 20 to 60 times less work. A judged picture every 1 to 4 s.
    #[default]
    KeyFrames,
    /// Every frame, for line crossing and for cameras whose key frames lie far apart.
    AllFrames,
    /// By an `ffmpeg` process, for what the built-in decoders cannot read.
    Ffmpeg,
}

/// An area of a camera's picture with a meaning (区域划定).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its identifier within the camera.
    pub id: DeviceId,
    /// Its name for people, in whatever language they use.
    pub name: String,
    /// The area.
    pub area: Polygon,
}

/// A line that people cross (出入计数线). Whoever goes from its left to its right, seen from `from` to `to`,
/// goes in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountLine {
    /// One end.
    pub from: crate::geometry::Spot,
    /// The other end.
    pub to: crate::geometry::Spot,
}

/// The identifier that GB/T 28181 gives a camera: 20 digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GbId(String);

impl GbId {
    /// Checks `text`: centre (8 digits), industry (2), type (3), network (1), number (6). The type is 131
    /// (camera) or 132 (network camera); as other implementations have it, the standard itself was not read.
    ///
    /// # Errors
    /// [`CameraError::GbId`].
    pub fn new(text: &str) -> Result<GbId, CameraError> {
        let digits = text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
        if digits && matches!(&text[10..13], "131" | "132") {
            Ok(GbId(text.to_owned()))
        } else {
            Err(CameraError::GbId)
        }
    }

    /// The 20 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for GbId {
    type Error = CameraError;
    fn try_from(text: String) -> Result<Self, CameraError> {
        GbId::new(&text)
    }
}

impl From<GbId> for String {
    fn from(id: GbId) -> String {
        id.0
    }
}

/// How long evidence is kept: the presets that rules in China ask for (known from secondary sources).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Retention {
    /// A week.
    #[serde(rename = "7d")]
    Days7,
    /// Half a month.
    #[serde(rename = "15d")]
    Days15,
    /// A month.
    #[default]
    #[serde(rename = "30d")]
    Days30,
    /// Three months.
    #[serde(rename = "90d")]
    Days90,
}

impl Retention {
    /// Every preset, shortest first.
    pub const ALL: [Retention; 4] = [
        Retention::Days7,
        Retention::Days15,
        Retention::Days30,
        Retention::Days90,
    ];

    /// How many days.
    #[must_use]
    pub const fn days(self) -> u32 {
        match self {
            Retention::Days7 => 7,
            Retention::Days15 => 15,
            Retention::Days30 => 30,
            Retention::Days90 => 90,
        }
    }

    /// How long.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.days() as u64 * 24 * 3600)
    }
}

/// An attached camera: everything but its credentials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Which.
    pub key: CameraKey,
    /// The room it looks into; never a private one.
    pub room: Room,
    /// Where it hangs, in Chinese: `热菜间灶台`.
    pub place_zh: String,
    /// Where it hangs, in English.
    pub place_en: String,
    /// Where its pictures come from.
    pub source: CameraSource,
    /// Which pictures are decoded.
    #[serde(default)]
    pub decoding: Decoding,
    /// What is made unrecognisable before anything is judged or stored.
    #[serde(default)]
    pub masks: Vec<Polygon>,
    /// Areas with a meaning.
    #[serde(default)]
    pub zones: Vec<Zone>,
    /// Where people are counted in and out.
    #[serde(default)]
    pub line: Option<CountLine>,
    /// People who may be in the picture at once; `None` when nobody counts.
    #[serde(default)]
    pub capacity: Option<u32>,
    /// What is looked for.
    #[serde(default)]
    pub checks: Vec<CheckSetting>,
    /// When the kitchen works and serves.
    #[serde(default)]
    pub schedule: Schedule,
    /// Its GB/T 28181 identifier.
    #[serde(default)]
    pub gb_id: Option<GbId>,
    /// Whether it may be watched live.
    pub live: bool,
    /// How long its evidence is kept.
    #[serde(default)]
    pub retention: Retention,
    /// Whether it is watched at all.
    pub enabled: bool,
}

impl Camera {
    /// Checks what no single field can: the room and the number of areas.
    ///
    /// # Errors
    /// [`CameraError::PrivateRoom`], [`CameraError::Areas`].
    pub fn check(&self) -> Result<(), CameraError> {
        if self.room.is_private() {
            return Err(CameraError::PrivateRoom);
        }
        let areas = self.zones.len().max(self.masks.len());
        if areas > MAX_AREAS {
            return Err(CameraError::Areas(areas));
        }
        Ok(())
    }

    /// The zone of this identifier.
    #[must_use]
    pub fn zone(&self, id: &DeviceId) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.id == *id)
    }
}

/// A user name and a password, for one camera. Never shown, logged or sent back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_and_hold_no_secret() {
        for good in [
            "rtsp://192.168.1.64:554/Streaming/Channels/102",
            "http://cam.local/video?channel=1",
            "https://[fe80::1]/snap.jpg",
        ] {
            assert_eq!(CameraUrl::new(good).unwrap().as_str(), good);
        }
        let cases = [
            ("rtsp://admin:pw@192.168.1.64/", CameraError::UrlCredentials),
            ("http://c/snap?user=admin&pwd=x", CameraError::UrlCredentials),
            ("http://c/snap?x=1&Password=x", CameraError::UrlCredentials),
            ("ftp://c/", CameraError::UrlScheme),
            ("file:///etc/passwd", CameraError::UrlScheme),
            ("c/video", CameraError::UrlScheme),
            ("rtsp:///x", CameraError::UrlHost),
            ("http://:80/", CameraError::UrlHost),
            ("http://c/a b", CameraError::UrlCharacter),
            ("http://c/\r\nX: y", CameraError::UrlCharacter),
        ];
        for (bad, why) in cases {
            assert_eq!(CameraUrl::new(bad), Err(why), "{bad}");
        }
        let long = format!("http://c/{}", "x".repeat(600));
        assert_eq!(CameraUrl::new(&long), Err(CameraError::UrlLength(609)));
    }

    #[test]
    fn gb_ids_are_those_of_cameras() {
        assert!(GbId::new("34020000001320000001").is_ok());
        assert!(GbId::new("34020000001310000001").is_ok());
        for bad in [
            "",
            "3402000000132000000",
            "34020000001180000001",
            "3402000000132000000x",
        ] {
            assert_eq!(GbId::new(bad), Err(CameraError::GbId), "{bad}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let secret = Credentials {
            user: "admin".into(),
            password: "hunter2".into(),
        };
        assert_eq!(format!("{secret:?}"), "Credentials(..)");
    }

    #[test]
    fn private_rooms_refuse_cameras() {
        let private: Vec<&str> = Room::ALL
            .into_iter()
            .filter(|r| r.is_private())
            .map(Room::code)
            .collect();
        assert_eq!(private, ["bedroom", "bathroom"]);
    }
}
