//! The form by which a camera is attached or changed, as the texts that its fields hold: from a camera, and back.

use std::collections::BTreeMap;

use domain::{
    Camera, CameraKey, CameraSource, CameraUrl, Check, CheckSetting, Credentials, DeviceId, FacilityId, Room,
    Schedule,
    camera::{CameraError, Decoding, GbId, Retention, RtpTransport},
    check::{CHECKS, DaySpan, Hours, Vote},
};

use super::areas::{self, LineError};

/// The longest text for where a camera hangs, in characters.
pub(crate) const MAX_PLACE: usize = 60;
/// The most fields that are read of one form: 17 checks of eight fields, and room for more rows.
const MAX_FIELDS: usize = 600;
/// The most rows of checks.
const MAX_ROWS: usize = 48;

/// Why a field cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It must be filled in.
    Missing,
    /// It is not an identifier.
    Id,
    /// It is longer than so many characters.
    TooLong(usize),
    /// It is not a number in this range.
    Number(u32, u32),
    /// It is none of the choices.
    Choice,
    /// What the domain says of cameras.
    Camera(CameraError),
    /// It must begin with so-and-so.
    Scheme(&'static str),
    /// A line of areas is wrong.
    Line(LineError),
    /// It names a zone that is not drawn.
    Zone,
    /// It is not `HH:MM-HH:MM`, with commas between.
    Spans,
    /// It is not `needed/of`.
    Vote,
    /// A camera of this name is attached already.
    Taken,
    /// A folder of this machine is attached with the command line.
    Folder,
}

/// Problems by field.
pub(crate) type Problems = BTreeMap<String, Problem>;

/// What a form holds. Credentials are taken out of it when it is read, so that nothing can show them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(BTreeMap<String, String>);

/// A row of the table of checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its number: fields are called `c3-zone`.
    pub(crate) index: usize,
    /// The check.
    pub(crate) check: Check,
}

impl Fields {
    /// Takes in what was sent, and apart from it the credentials, if both or either was filled in.
    pub(crate) fn received(pairs: Vec<(String, String)>) -> (Fields, Option<Credentials>) {
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in pairs.into_iter().take(MAX_FIELDS) {
            fields.insert(name, value.replace("\r\n", "\n"));
        }
        let user = fields.remove("user").unwrap_or_default();
        let password = fields.remove("password").unwrap_or_default();
        let filled = !user.is_empty() || !password.is_empty();
        (Fields(fields), filled.then_some(Credentials { user, password }))
    }

    /// A form for a new camera.
    pub(crate) fn blank() -> Fields {
        let mut fields = Fields::default();
        fields.set("room", Room::Kitchen.code());
        fields.set("kind", "rtsp");
        fields.set("transport", "tcp");
        fields.set("decoding", "key_frames");
        fields.set("interval_ms", "1000");
        fields.set("retention", &Retention::default().days().to_string());
        fields.set("enabled", "yes");
        fields.set("live", "yes");
        fields.set_schedule(&Schedule::default());
        fields.set_checks(&[]);
        // What the models that come with the product can tell without being taught.
        for row in fields.rows() {
            let ready = [
                Check::NoMask,
                Check::AnimalInKitchen,
                Check::CameraTampered,
                Check::OffHoursPresence,
            ];
            if ready.contains(&row.check) {
                fields.set(&format!("c{}-on", row.index), "yes");
            }
        }
        fields
    }

    /// The form as this camera fills it in.
    pub(crate) fn of(camera: &Camera) -> Fields {
        let mut fields = Fields::default();
        fields.set("facility", camera.key.facility.as_str());
        fields.set("camera", camera.key.camera.as_str());
        fields.set("place_zh", &camera.place_zh);
        fields.set("place_en", &camera.place_en);
        fields.set("room", camera.room.code());
        fields.set_source(&camera.source);
        fields.set("decoding", decoding_code(camera.decoding));
        fields.set("masks", &areas::print_masks(&camera.masks));
        fields.set("zones", &areas::print_zones(&camera.zones));
        fields.set("line", &areas::print_line(camera.line.as_ref()));
        let capacity = camera.capacity.map(|n| n.to_string());
        fields.set("capacity", &capacity.unwrap_or_default());
        fields.set_schedule(&camera.schedule);
        fields.set_checks(&camera.checks);
        fields.set("gb_id", camera.gb_id.as_ref().map_or("", GbId::as_str));
        fields.set("retention", &camera.retention.days().to_string());
        for (name, on) in [("live", camera.live), ("enabled", camera.enabled)] {
            if on {
                fields.set(name, "yes");
            }
        }
        fields
    }

    /// What the field holds; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |v| v.trim())
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name) == "yes"
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// The rows of the table of checks that are filled in so far.
    pub(crate) fn rows(&self) -> Vec<Row> {
        (0..MAX_ROWS)
            .filter_map(|index| {
                let check = Check::parse(self.get(&format!("c{index}-check")))?;
                Some(Row { index, check })
            })
            .collect()
    }

    fn set_source(&mut self, source: &CameraSource) {
        let url = |u: &CameraUrl| u.as_str().to_owned();
        self.set("interval_ms", "1000");
        self.set("transport", "tcp");
        match source {
            CameraSource::Rtsp { main, sub, transport } => {
                self.set("kind", "rtsp");
                self.set("main", main.as_str());
                self.set("sub", &sub.as_ref().map(url).unwrap_or_default());
                if *transport == RtpTransport::Udp {
                    self.set("transport", "udp");
                }
            }
            CameraSource::Mjpeg { url } => {
                self.set("kind", "mjpeg");
                self.set("url", url.as_str());
            }
            CameraSource::Snapshot { url, interval_ms } => {
                self.set("kind", "snapshot");
                self.set("url", url.as_str());
                self.set("interval_ms", &interval_ms.to_string());
            }
            CameraSource::Pushed => self.set("kind", "pushed"),
            CameraSource::External => self.set("kind", "external"),
            CameraSource::Folder { .. } => self.set("kind", "folder"),
        }
    }

    fn set_schedule(&mut self, schedule: &Schedule) {
        self.set("working", &print_spans(&schedule.working));
        self.set("meals", &print_spans(&schedule.meals));
    }

    /// A row for every setting, then one for every check that has none.
    fn set_checks(&mut self, settings: &[CheckSetting]) {
        let rest = CHECKS
            .iter()
            .filter(|info| !settings.iter().any(|s| s.check == info.check))
            .map(|info| CheckSetting::of(info.check));
        for (index, setting) in settings.iter().cloned().chain(rest).take(MAX_ROWS).enumerate() {
            let mut set = |name: &str, value: &str| self.set(&format!("c{index}-{name}"), value);
            set("check", setting.check.code());
            if index < settings.len() {
                set("on", "yes");
            }
            set("zone", setting.zone.as_ref().map_or("", DeviceId::as_str));
            set("hours", hours_code(setting.hours));
            let sensitivity = setting.sensitivity.map(|s| s.to_string());
            set("sensitivity", &sensitivity.unwrap_or_default());
            set("duration", &setting.min_duration_s.to_string());
            set("vote", &format!("{}/{}", setting.vote.needed, setting.vote.of));
            set("again", &setting.re_alarm_s.to_string());
        }
    }
}

/// Reads a form into a camera, keeping every problem it meets, so that all are shown at once.
pub(crate) struct Reading<'a> {
    fields: &'a Fields,
    pub(crate) problems: Problems,
}

impl<'a> Reading<'a> {
    pub(crate) fn of(fields: &'a Fields) -> Reading<'a> {
        Reading {
            fields,
            problems: Problems::new(),
        }
    }

    /// The camera; `None` when [`Reading::problems`] says why not. `before` is the camera that is changed.
    pub(crate) fn camera(&mut self, before: Option<&Camera>) -> Option<Camera> {
        let key = match before {
            Some(camera) => Some(camera.key.clone()),
            None => self.key(),
        };
        let room = self.room();
        let source = self.source(before);
        let zones = self.take("zones", |text| areas::parse_zones(text).map_err(Problem::Line));
        let masks = self.take("masks", |text| areas::parse_masks(text).map_err(Problem::Line));
        let line = self.take("line", |text| areas::parse_line(text).map_err(Problem::Line));
        let checks = self.checks(zones.as_deref().unwrap_or_default());
        let (place_zh, place_en) = (self.place("place_zh"), self.place("place_en"));
        let capacity = self.optional("capacity", |text| number(text, 1, 10_000));
        let gb_id = self.optional("gb_id", |text| GbId::new(text).map_err(Problem::Camera));
        let retention = self.take("retention", |text| {
            let preset = Retention::ALL.into_iter().find(|r| r.days().to_string() == text);
            preset.ok_or(Problem::Choice)
        });
        let decoding = self.take("decoding", |text| decoding(text).ok_or(Problem::Choice));
        let working = self.take("working", parse_spans);
        let meals = self.take("meals", parse_spans);
        let camera = Camera {
            key: key?,
            room: room?,
            place_zh: place_zh?,
            place_en: place_en?,
            source: source?,
            decoding: decoding?,
            masks: masks?,
            zones: zones?,
            line: line?,
            capacity: capacity?,
            checks: checks?,
            schedule: Schedule {
                working: working?,
                meals: meals?,
            },
            gb_id: gb_id?,
            live: self.fields.is_on("live"),
            retention: retention?,
            enabled: self.fields.is_on("enabled"),
        };
        if let Err(error) = camera.check() {
            self.problems.insert("zones".into(), Problem::Camera(error));
        }
        self.problems.is_empty().then_some(camera)
    }

    /// Where the pictures come from. A folder of this machine stays what it is: no form can name another.
    pub(crate) fn source(&mut self, before: Option<&Camera>) -> Option<CameraSource> {
        match self.fields.get("kind") {
            "rtsp" => {
                let main = self.url("main", &["rtsp"]);
                let sub = match self.fields.get("sub") {
                    "" => Some(None),
                    _ => self.url("sub", &["rtsp"]).map(Some),
                };
                let transport = match self.fields.get("transport") {
                    "udp" => RtpTransport::Udp,
                    _ => RtpTransport::Tcp,
                };
                Some(CameraSource::Rtsp {
                    main: main?,
                    sub: sub?,
                    transport,
                })
            }
            "mjpeg" => Some(CameraSource::Mjpeg {
                url: self.url("url", &["http", "https"])?,
            }),
            "snapshot" => {
                let interval_ms = self.take("interval_ms", |text| number(text, 200, 60_000));
                Some(CameraSource::Snapshot {
                    url: self.url("url", &["http", "https"])?,
                    interval_ms: interval_ms?,
                })
            }
            "pushed" => Some(CameraSource::Pushed),
            "external" => Some(CameraSource::External),
            "folder" => match before.map(|c| &c.source) {
                Some(folder @ CameraSource::Folder { .. }) => Some(folder.clone()),
                _ => self.wrong("kind", Problem::Folder),
            },
            _ => self.wrong("kind", Problem::Choice),
        }
    }

    pub(crate) fn key(&mut self) -> Option<CameraKey> {
        let facility = self.take("facility", |text| {
            FacilityId::new(text).map_err(|_not_one| Problem::Id)
        });
        let camera = self.take("camera", |text| match text {
            "" => Err(Problem::Missing),
            _ => DeviceId::new(text).map_err(|_not_one| Problem::Id),
        });
        Some(CameraKey {
            facility: facility?,
            camera: camera?,
        })
    }

    fn room(&mut self) -> Option<Room> {
        self.take("room", |text| {
            let room = Room::ALL.into_iter().find(|r| r.code() == text);
            match room {
                Some(room) if room.is_private() => Err(Problem::Camera(CameraError::PrivateRoom)),
                Some(room) => Ok(room),
                None => Err(Problem::Choice),
            }
        })
    }

    fn place(&mut self, name: &str) -> Option<String> {
        self.take(name, |text| {
            if text.is_empty() {
                Err(Problem::Missing)
            } else if text.chars().count() > MAX_PLACE || text.chars().any(char::is_control) {
                Err(Problem::TooLong(MAX_PLACE))
            } else {
                Ok(text.to_owned())
            }
        })
    }

    fn url(&mut self, name: &str, schemes: &[&'static str]) -> Option<CameraUrl> {
        self.take(name, |text| {
            if text.is_empty() {
                return Err(Problem::Missing);
            }
            let url = CameraUrl::new(text).map_err(Problem::Camera)?;
            if schemes.contains(&url.scheme()) {
                Ok(url)
            } else {
                Err(Problem::Scheme(schemes[0]))
            }
        })
    }

    fn checks(&mut self, zones: &[domain::camera::Zone]) -> Option<Vec<CheckSetting>> {
        let rows = self.fields.rows();
        let on = |row: &&Row| self.fields.is_on(&format!("c{}-on", row.index));
        let wanted: Vec<Row> = rows.iter().filter(on).cloned().collect();
        let settings = wanted.iter().map(|row| self.setting(row, zones));
        let settings: Vec<Option<CheckSetting>> = settings.collect();
        settings.into_iter().collect()
    }

    fn setting(&mut self, row: &Row, zones: &[domain::camera::Zone]) -> Option<CheckSetting> {
        let name = |part: &str| format!("c{}-{part}", row.index);
        let zone = self.optional(&name("zone"), |text| {
            let zone = zones.iter().find(|z| z.id.as_str() == text);
            zone.map(|z| z.id.clone()).ok_or(Problem::Zone)
        });
        let hours = self.take(&name("hours"), |text| hours(text).ok_or(Problem::Choice));
        let sensitivity = self.optional(&name("sensitivity"), |text| match text.parse::<f32>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
            _ => Err(Problem::Number(0, 1)),
        });
        let duration = self.take(&name("duration"), |text| number(text, 1, 3_600));
        let vote = self.take(&name("vote"), |text| vote(text).ok_or(Problem::Vote));
        let again = self.take(&name("again"), |text| number(text, 1, 36_000));
        Some(CheckSetting {
            check: row.check,
            zone: zone?,
            hours: hours?,
            sensitivity: sensitivity?,
            min_duration_s: duration?,
            vote: vote?,
            re_alarm_s: again?,
        })
    }

    fn take<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, Problem>) -> Option<T> {
        match read(self.fields.get(name)) {
            Ok(value) => Some(value),
            Err(problem) => self.wrong(name, problem),
        }
    }

    /// Like [`Reading::take`], but an empty field is `Some(None)`.
    fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<Option<T>> {
        match self.fields.get(name) {
            "" => Some(None),
            _ => self.take(name, read).map(Some),
        }
    }

    pub(crate) fn wrong<T>(&mut self, name: &str, problem: Problem) -> Option<T> {
        self.problems.insert(name.to_owned(), problem);
        None
    }
}

fn number<T: TryFrom<u32>>(text: &str, low: u32, high: u32) -> Result<T, Problem> {
    let wrong = Problem::Number(low, high);
    let number = text.parse::<u32>().ok().filter(|n| (low..=high).contains(n));
    number.and_then(|n| T::try_from(n).ok()).ok_or(wrong)
}

fn vote(text: &str) -> Option<Vote> {
    let (needed, of) = text.split_once('/')?;
    let vote = Vote {
        needed: needed.trim().parse().ok()?,
        of: of.trim().parse().ok()?,
    };
    vote.is_valid().then_some(vote)
}

const HOURS: [(&str, Hours); 4] = [
    ("always", Hours::Always),
    ("working", Hours::Working),
    ("closed", Hours::Closed),
    ("meals", Hours::Meals),
];

fn hours(text: &str) -> Option<Hours> {
    HOURS.into_iter().find(|(code, _)| *code == text).map(|(_, h)| h)
}

fn hours_code(hours: Hours) -> &'static str {
    HOURS
        .into_iter()
        .find(|(_, h)| *h == hours)
        .map_or("", |(c, _)| c)
}

const DECODINGS: [(&str, Decoding); 3] = [
    ("key_frames", Decoding::KeyFrames),
    ("all_frames", Decoding::AllFrames),
    ("ffmpeg", Decoding::Ffmpeg),
];

fn decoding(text: &str) -> Option<Decoding> {
    DECODINGS.into_iter().find(|(c, _)| *c == text).map(|(_, d)| d)
}

fn decoding_code(decoding: Decoding) -> &'static str {
    DECODINGS
        .into_iter()
        .find(|(_, d)| *d == decoding)
        .map_or("", |(c, _)| c)
}

fn print_spans(spans: &[DaySpan]) -> String {
    let clock = |min: u16| format!("{:02}:{:02}", min / 60, min % 60);
    let span = |s: &DaySpan| format!("{}-{}", clock(s.from_min), clock(s.until_min));
    spans.iter().map(span).collect::<Vec<_>>().join(", ")
}

fn parse_spans(text: &str) -> Result<Vec<DaySpan>, Problem> {
    let clock = |text: &str, last: u16| {
        let (hour, minute) = text.trim().split_once([':', '：'])?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        let min = hour.checked_mul(60)?.checked_add(minute)?;
        (minute < 60 && min <= last).then_some(min)
    };
    let span = |text: &str| {
        let (from, until) = text.split_once(['-', '–', '~'])?;
        Some(DaySpan {
            from_min: clock(from, 1_439)?,
            until_min: clock(until, 1_440)?,
        })
    };
    let spans = text
        .split([',', '，', '、'])
        .map(str::trim)
        .filter(|t| !t.is_empty());
    let spans: Option<Vec<DaySpan>> = spans.map(span).collect();
    spans.filter(|s| s.len() <= 8).ok_or(Problem::Spans)
}

#[cfg(test)]
mod tests;
