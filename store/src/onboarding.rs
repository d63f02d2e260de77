//! Many devices at once: a CSV file, read row by row. A row that is wrong costs the others nothing and is named with
//! its line and its column.
//!
//! | column | holds |
//! |---|---|
//! | `facility` | the facility's identifier |
//! | `device` | the device's identifier; `<gateway>.<name>` for one behind a gateway |
//! | `profile` | how it speaks; empty for one behind a gateway |
//! | `place_zh`, `place_en` | where it is; one of them is enough |
//! | `points` | `temperature=fridge_air;humidity=dry_store`; empty for what the profile proposes |
//! | `root` | the vendor's root, where the profile needs one |
//! | `gateway` | the gateway or router that a device with a secret of its own hangs on; empty for none |
//! | `report_interval_s` | how often a reading is due; empty for what the profile says |
//!
//! The first line names the columns, in any order. Only `facility` and `device` must be there.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    DeviceId, FacilityId, IdError, Identity, Metric, Point, Profile, Profiles, VendorRoot, profile::STANDARD,
};

use crate::{
    RecordError,
    records::{MAX_ONBOARD, NewDevice, fresh_secret},
};

/// The most bytes of a file.
pub const MAX_CSV_BYTES: usize = 1024 * 1024;

/// The most characters of one cell.
const MAX_CELL: usize = 400;

/// The columns there are.
pub const COLUMNS: [&str; 9] = [
    "facility",
    "device",
    "profile",
    "place_zh",
    "place_en",
    "points",
    "root",
    "gateway",
    "report_interval_s",
];

/// What is wrong with a row, or with the whole file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowProblem {
    /// The file is too large.
    #[error("the file has more than {MAX_ONBOARD} devices or {MAX_CSV_BYTES} bytes; split it")]
    TooMany,
    /// The first line lacks a column that must be there.
    #[error("the first line must name the columns, {0:?} among them")]
    NoColumn(&'static str),
    /// The first line names a column that does not exist.
    #[error(
        "there is no column {0:?}; there are facility, device, profile, place_zh, place_en, points, root and report_interval_s"
    )]
    UnknownColumn(String),
    /// A quote that is never closed, or text behind a closing one.
    #[error("a quoted cell is not closed, or something stands behind its closing quote")]
    Quotes,
    /// More or fewer cells than the first line.
    #[error("the row has {0} cells; the first line has {1}")]
    Cells(usize, usize),
    /// A cell that is too long or holds control characters.
    #[error(
        "the cell is too long or holds a character that cannot be printed; at most {MAX_CELL} characters"
    )]
    Text,
    /// Something that is no identifier.
    #[error("it is no identifier: {0}")]
    Id(#[from] IdError),
    /// The facility is not registered.
    #[error("there is no such facility; add it first")]
    NoFacility,
    /// There is no such profile.
    #[error("there is no such profile; `sunshine device profiles` lists them")]
    NoProfile,
    /// The profile needs a vendor's root and none is given, or the other way round.
    #[error(
        "this profile needs a root: spBv1.0/<group>/<edge node> for Sparkplug B, shellies/<id> for Shelly Gen1"
    )]
    RootNeeded,
    /// A root where the profile has no use for it, or one that is none.
    #[error("the profile takes no such root; leave it empty, or see the profile's description")]
    BadRoot,
    /// A point that is not `metric=point_type`.
    #[error("points are metric=point_type, separated by semicolons")]
    BadPoint,
    /// A report interval that is no number of seconds.
    #[error("a report interval is 1 to 86400 seconds")]
    BadInterval,
    /// The gateway that a device is behind is neither registered nor in the file.
    #[error("its gateway is neither registered nor in this file, or its profile speaks for nobody else")]
    NoGateway,
    /// The gateway that a device hangs on is neither registered nor in the file, or it is the device itself.
    #[error("no such gateway is registered or stands in this file; leave it empty where there is none")]
    UnknownGateway,
    /// A gateway is named for a device whose name tells it.
    #[error("the device's name tells its gateway; leave this empty")]
    GatewayInName,
    /// A device behind a gateway without points.
    #[error("a device behind a gateway needs points")]
    NoPoints,
    /// The same device in two rows.
    #[error("the device stands in another row too")]
    Twice,
    /// The device is there already.
    #[error("there is such a device already; it is left as it is")]
    Exists,
    /// The root is another device's.
    #[error("the root is another device's")]
    RootTaken,
    /// The records refuse it for another reason.
    #[error("it cannot be stored: {0}")]
    Store(String),
}

impl RowProblem {
    /// Why the record store did not take a device.
    #[must_use]
    pub fn of(error: &RecordError) -> RowProblem {
        match error {
            RecordError::DeviceExists { .. } => RowProblem::Exists,
            RecordError::RootTaken { .. } => RowProblem::RootTaken,
            RecordError::Missing { .. } => RowProblem::NoFacility,
            other => RowProblem::Store(other.to_string()),
        }
    }
}

/// A row that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The line on which the row begins, from 1.
    pub line: usize,
    /// The column; empty when it is the whole row.
    pub column: String,
    /// What is wrong.
    pub problem: RowProblem,
}

impl std::fmt::Display for RowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.column.as_str() {
            "" => write!(f, "line {}: {}", self.line, self.problem),
            column => write!(f, "line {}, {column}: {}", self.line, self.problem),
        }
    }
}

/// A row that can be taken.
#[derive(Debug, Clone)]
pub struct PlannedDevice {
    /// The line on which the row begins, from 1.
    pub line: usize,
    /// What is to be added.
    pub new: NewDevice,
    /// The device's secret; `None` for one behind a gateway.
    pub secret: Option<String>,
}

/// A file, read.
#[derive(Debug, Default)]
pub struct Plan {
    /// The rows that can be taken, in their order.
    pub devices: Vec<PlannedDevice>,
    /// The rows that cannot.
    pub errors: Vec<RowError>,
}

/// What a file is checked against.
#[derive(Debug, Default)]
pub struct Known {
    /// The facilities within reach.
    pub facilities: BTreeSet<FacilityId>,
    /// The devices that are registered, and their profiles.
    pub devices: BTreeMap<(FacilityId, DeviceId), String>,
}

/// Reads a file. Every device gets a secret of its own; nothing is stored.
///
/// # Errors
/// [`RecordError::NoRandomness`]. What is wrong with the file is in the plan.
pub fn plan(text: &str, profiles: &Profiles, known: &Known) -> Result<Plan, RecordError> {
    let mut plan = Plan::default();
    let mut refuse = |line, column: &str, problem| {
        plan.errors.push(RowError {
            line,
            column: column.to_owned(),
            problem,
        });
    };
    if text.len() > MAX_CSV_BYTES {
        refuse(1, "", RowProblem::TooMany);
        return Ok(plan);
    }
    let mut rows = Cells::new(text.trim_start_matches('\u{feff}'));
    let header = match rows.next() {
        Some(Ok((_, cells))) => cells,
        Some(Err(line)) => {
            refuse(line, "", RowProblem::Quotes);
            return Ok(plan);
        }
        None => Vec::new(),
    };
    let header = match columns(&header) {
        Ok(header) => header,
        Err(problem) => {
            refuse(1, "", problem);
            return Ok(plan);
        }
    };
    let reader = Reader {
        header: &header,
        profiles,
        known,
    };
    let mut parsed: Vec<Parsed> = Vec::new();
    let mut seen = BTreeSet::new();
    for row in rows {
        let (line, cells) = match row {
            Ok(row) => row,
            Err(line) => {
                refuse(line, "", RowProblem::Quotes);
                break;
            }
        };
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if parsed.len() >= MAX_ONBOARD {
            refuse(line, "", RowProblem::TooMany);
            break;
        }
        match reader.row(line, &cells) {
            Ok(row) if !seen.insert((row.facility.clone(), row.device.clone())) => {
                refuse(line, "device", RowProblem::Twice);
            }
            Ok(row) => parsed.push(row),
            Err((column, problem)) => refuse(line, column, problem),
        }
    }
    reader.finish(parsed, &mut plan)?;
    plan.errors.sort_by_key(|error| error.line);
    Ok(plan)
}

/// The names of the columns, once they are known to be good.
fn columns(first: &[String]) -> Result<Vec<String>, RowProblem> {
    let header: Vec<String> = first
        .iter()
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let missing = ["facility", "device"]
        .into_iter()
        .find(|column| !header.iter().any(|name| name == column));
    if let Some(column) = missing {
        return Err(RowProblem::NoColumn(column));
    }
    match header.iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        Some(odd) => Err(RowProblem::UnknownColumn(odd.chars().take(40).collect())),
        None => Ok(header),
    }
}

/// A row, before it is known whether its gateway is there.
struct Parsed {
    line: usize,
    facility: FacilityId,
    device: DeviceId,
    profile: Option<String>,
    root: Option<VendorRoot>,
    gateway: Option<DeviceId>,
    points: Vec<Point>,
}

struct Reader<'a> {
    header: &'a [String],
    profiles: &'a Profiles,
    known: &'a Known,
}

type Refused = (&'static str, RowProblem);

impl Reader<'_> {
    fn cell<'c>(&self, cells: &'c [String], column: &str) -> &'c str {
        let at = self.header.iter().position(|name| name == column);
        at.and_then(|at| cells.get(at)).map_or("", |cell| cell.trim())
    }

    fn row(&self, line: usize, cells: &[String]) -> Result<Parsed, Refused> {
        if cells.len() != self.header.len() {
            return Err(("", RowProblem::Cells(cells.len(), self.header.len())));
        }
        let bad = |cell: &&String| cell.chars().nth(MAX_CELL).is_some() || cell.chars().any(char::is_control);
        if cells.iter().any(|cell| bad(&cell)) {
            return Err(("", RowProblem::Text));
        }
        let facility = FacilityId::new(self.cell(cells, "facility")).map_err(|e| ("facility", e.into()))?;
        if !self.known.facilities.contains(&facility) {
            return Err(("facility", RowProblem::NoFacility));
        }
        let device = DeviceId::new(self.cell(cells, "device")).map_err(|e| ("device", e.into()))?;
        Identity::device_name(&facility, &device).map_err(|e| ("device", e.into()))?;
        let profile = match self.cell(cells, "profile") {
            "" if device.as_str().contains('.') => None,
            "" => Some(STANDARD),
            name => Some(name),
        };
        let known = profile
            .map(|name| self.profiles.get(name).ok_or(("profile", RowProblem::NoProfile)))
            .transpose()?;
        let root = self.root(known.map(|p| &**p), self.cell(cells, "root"))?;
        let points = self.points((&facility, &device), known.map(|p| &**p), cells)?;
        if profile.is_none() && points.is_empty() {
            return Err(("points", RowProblem::NoPoints));
        }
        let gateway = match self.cell(cells, "gateway") {
            "" => None,
            _ if profile.is_none() => return Err(("gateway", RowProblem::GatewayInName)),
            name => Some(DeviceId::new(name).map_err(|e| ("gateway", e.into()))?),
        };
        if gateway.as_ref() == Some(&device) {
            return Err(("gateway", RowProblem::UnknownGateway));
        }
        Ok(Parsed {
            line,
            facility,
            device,
            profile: profile.map(str::to_owned),
            root,
            gateway,
            points,
        })
    }

    fn root(&self, profile: Option<&Profile>, cell: &str) -> Result<Option<VendorRoot>, Refused> {
        let needed = profile.is_some_and(|profile| profile.codec.needs_vendor_root());
        match (needed, cell) {
            (false, "") => Ok(None),
            (false, _) => Err(("root", RowProblem::BadRoot)),
            (true, "") => Err(("root", RowProblem::RootNeeded)),
            (true, text) => VendorRoot::parse(text)
                .map(Some)
                .map_err(|_no_root| ("root", RowProblem::BadRoot)),
        }
    }

    fn points(
        &self,
        (facility, device): (&FacilityId, &DeviceId),
        profile: Option<&Profile>,
        cells: &[String],
    ) -> Result<Vec<Point>, Refused> {
        let named = self.cell(cells, "points");
        let mut wanted: Vec<(Metric, String, Option<u32>)> = Vec::new();
        for part in named.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (metric, point_type) = part.split_once('=').ok_or(("points", RowProblem::BadPoint))?;
            let metric = Metric::new(metric.trim()).map_err(|e| ("points", e.into()))?;
            let point_type = point_type.trim();
            if point_type.is_empty() {
                return Err(("points", RowProblem::BadPoint));
            }
            let due = profile.and_then(|profile| {
                let field = profile.fields.iter().find(|field| field.metric == metric)?;
                Some(profile.due_every_s(field))
            });
            wanted.push((metric, point_type.to_owned(), due));
        }
        // A gateway measures nothing itself: what its profile proposes is for those behind it.
        if let Some(profile) = profile.filter(|p| named.is_empty() && !p.codec.is_gateway()) {
            for field in &profile.fields {
                if let Some(point_type) = &field.point_type {
                    wanted.push((
                        field.metric.clone(),
                        point_type.clone(),
                        Some(profile.due_every_s(field)),
                    ));
                }
            }
        }
        let interval = match self.cell(cells, "report_interval_s") {
            "" => None,
            text => match text.parse::<u32>() {
                Ok(seconds) if (1..=86_400).contains(&seconds) => Some(seconds),
                _ => return Err(("report_interval_s", RowProblem::BadInterval)),
            },
        };
        let (zh, en) = (self.cell(cells, "place_zh"), self.cell(cells, "place_en"));
        let place = |one: &str, other: &str| {
            let words = [one, other, device.as_str()];
            words
                .into_iter()
                .find(|word| !word.is_empty())
                .unwrap_or_default()
                .to_owned()
        };
        let fallback = profile.map_or(60, |profile| profile.report_interval_s);
        let point = |(metric, point_type, due): (Metric, String, Option<u32>)| Point {
            facility: facility.clone(),
            device: device.clone(),
            unit: metric.unit(),
            metric,
            point_type,
            place_zh: place(zh, en),
            place_en: place(en, zh),
            report_interval_s: interval.or(due).unwrap_or(fallback),
        };
        Ok(wanted.into_iter().map(point).collect())
    }

    /// Whether `device` is behind a gateway that is registered, or in the same file.
    fn has_gateway(&self, rows: &BTreeMap<(FacilityId, DeviceId), String>, row: &Parsed) -> bool {
        let Some((gateway, _)) = row.device.as_str().split_once('.') else {
            return false;
        };
        let Ok(gateway) = DeviceId::new(gateway) else {
            return false;
        };
        let key = (row.facility.clone(), gateway);
        let profile = rows.get(&key).or_else(|| self.known.devices.get(&key));
        profile
            .and_then(|name| self.profiles.get(name))
            .is_some_and(|profile| profile.codec.is_gateway())
    }

    /// Whether the gateway that `row` names for a device with a secret of its own is registered, or in the same file.
    fn knows_gateway(&self, rows: &BTreeMap<(FacilityId, DeviceId), String>, row: &Parsed) -> bool {
        row.gateway.as_ref().is_none_or(|gateway| {
            let key = (row.facility.clone(), gateway.clone());
            rows.contains_key(&key) || self.known.devices.contains_key(&key)
        })
    }

    fn finish(&self, parsed: Vec<Parsed>, plan: &mut Plan) -> Result<(), RecordError> {
        let registered: BTreeMap<_, _> = parsed
            .iter()
            .filter_map(|row| {
                let profile = row.profile.clone()?;
                Some(((row.facility.clone(), row.device.clone()), profile))
            })
            .collect();
        for row in parsed {
            let refused = if row.profile.is_none() && !self.has_gateway(&registered, &row) {
                Some(("device", RowProblem::NoGateway))
            } else if !self.knows_gateway(&registered, &row) {
                Some(("gateway", RowProblem::UnknownGateway))
            } else {
                None
            };
            if let Some((column, problem)) = refused {
                plan.errors.push(RowError {
                    line: row.line,
                    column: column.to_owned(),
                    problem,
                });
                continue;
            }
            let (identity, secret) = match &row.profile {
                None => (None, None),
                Some(profile) => {
                    let (secret, hash) = fresh_secret()?;
                    let identity = Identity::of_device(&row.facility, &row.device, profile, hash)
                        .expect("the row's name was checked");
                    (Some(identity.below(row.root)), Some(secret))
                }
            };
            plan.devices.push(PlannedDevice {
                line: row.line,
                new: NewDevice {
                    facility: row.facility,
                    device: row.device,
                    identity,
                    gateway: row.gateway,
                    points: row.points,
                },
                secret,
            });
        }
        Ok(())
    }
}

/// Rows of a CSV file (RFC 4180): commas between cells, quotes around those that hold one.
struct Cells<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Cells<'t> {
    fn new(text: &'t str) -> Cells<'t> {
        Cells { rest: text, line: 1 }
    }
}

impl Iterator for Cells<'_> {
    /// The line on which a row begins, and its cells; or the line of a row whose quotes are wrong.
    type Item = Result<(usize, Vec<String>), usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let begin = self.line;
        let mut cells = Vec::new();
        loop {
            let (cell, rest) = if let Some(quoted) = self.rest.strip_prefix('"') {
                match unquote(quoted) {
                    Some(found) => found,
                    None => {
                        self.rest = "";
                        return Some(Err(begin));
                    }
                }
            } else {
                let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
                (
                    self.rest[..end].trim_end_matches('\r').to_owned(),
                    &self.rest[end..],
                )
            };
            self.line += cell.matches('\n').count();
            cells.push(cell);
            if let Some(more) = rest.strip_prefix(',') {
                self.rest = more;
                continue;
            }
            let ended = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'));
            self.line += 1;
            match ended {
                Some(more) => self.rest = more,
                None if rest.is_empty() => self.rest = "",
                None => {
                    self.rest = "";
                    return Some(Err(begin));
                }
            }
            return Some(Ok((begin, cells)));
        }
    }
}

/// A quoted cell behind its opening quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    let mut rest = text;
    loop {
        let at = rest.find('"')?;
        cell.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => return Some((cell, rest)),
        }
    }
}

/// A cell as it is written: in quotes where it must be. One that a spreadsheet would take for a formula is kept from
/// being one.
#[must_use]
pub fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if formula {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}
