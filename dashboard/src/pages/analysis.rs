//! `/analysis` and `/analysis.csv`: which kitchens' values were beyond a rule's limit for the largest share of a time.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use askama::Template;
use axum::{
    extract::State,
    http::{Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{
    Metric, RegionId, Rule, RuleKind, SeriesKey, Shelf, TimeRange, rule::Comparison, window::shelved_ms,
};
use i18n_embed_fl::fl;
use store::Level;

use crate::{
    analysis::{By, Group, GroupKey, Question, Ranking, level_code},
    app::App,
    directory::Directory,
    failure::Failure,
    format::{Locale, comparison_sign, iso},
    query::Parameters,
    view::{
        authority::Authority,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// Rows on the page; the file has all.
const MAX_ROWS: usize = 200;
/// Less than this share of the time known is pointed out.
const THIN_COVERAGE: f64 = 0.8;

/// The times that can be asked for: name, milliseconds. A facility's chart knows the same names.
const SPANS: [(&str, i64); 3] = [
    ("24h", 86_400_000),
    ("7d", 7 * 86_400_000),
    ("30d", 30 * 86_400_000),
];

/// The rule that is asked about first, where it is in force: cold storage.
const FIRST_ASKED: &str = "CN-TMP-01";

/// One limit of one rule.
struct Limit<'r> {
    rule: &'r Rule,
    metric: &'r Metric,
    op: Comparison,
    limit: f64,
    /// What names it in an address: the rule, and which end of a range.
    code: String,
}

/// One of several that may be asked for.
struct Choice {
    value: String,
    label: String,
    current: bool,
}

struct Row {
    rank: usize,
    name: String,
    about: String,
    href: String,
    /// For a meter, in thousandths of the known time; `None` where nothing is known.
    thousandths: Option<i64>,
    share: String,
    over: String,
    coverage: String,
    thin: bool,
    points: u32,
    worst: Option<Worst>,
}

/// The point that was beyond the limit for longest, and its chart.
struct Worst {
    label: String,
    href: String,
}

/// On whose authority the limit stands.
struct Basis {
    rule: String,
    title: String,
    criterion: String,
    clause: String,
    edition: String,
    confidence: String,
    verified: bool,
}

#[derive(Template)]
#[template(path = "analysis.html")]
struct Analysis {
    page: Page,
    rules: Vec<Choice>,
    spans: Vec<Choice>,
    bys: Vec<Choice>,
    basis: Option<Basis>,
    csv: String,
    group: String,
    from: String,
    to: String,
    level: String,
    rows: Vec<Row>,
    hidden: usize,
    breaches: usize,
    unknown: usize,
    by_series: bool,
}

/// What was asked for.
struct Asked<'r> {
    limits: Vec<Limit<'r>>,
    chosen: Option<usize>,
    span: (&'static str, i64),
    by: By,
}

impl<'r> Asked<'r> {
    fn read(
        parameters: &Parameters,
        rules: impl Iterator<Item = &'r Rule>,
        in_use: impl Fn(&Rule) -> bool,
    ) -> Result<Asked<'r>, Failure> {
        let limits: Vec<Limit<'r>> = rules.filter(|rule| in_use(rule)).flat_map(limits_of).collect();
        let chosen = match parameters.get("rule") {
            Some(code) => Some(
                limits
                    .iter()
                    .position(|limit| limit.code == code)
                    .ok_or_else(|| Failure::not_found("limit of a rule that judges any point of yours"))?,
            ),
            None => limits
                .iter()
                .position(|limit| limit.code == FIRST_ASKED)
                .or((!limits.is_empty()).then_some(0)),
        };
        let span = parameters.get("span").unwrap_or(SPANS[0].0);
        let span = SPANS.into_iter().find(|(name, _)| *name == span);
        let by = parameters.get("by").unwrap_or(By::Facility.code());
        Ok(Asked {
            limits,
            chosen,
            span: span.ok_or_else(|| Failure::bad_parameter("span", "24h, 7d or 30d"))?,
            by: By::parse(by).ok_or_else(|| Failure::bad_parameter("by", "series, facility or region"))?,
        })
    }

    fn limit(&self) -> Option<&Limit<'r>> {
        self.limits.get(self.chosen?)
    }

    fn address(&self, path: &str) -> String {
        let code = self.limit().map_or("", |limit| limit.code.as_str());
        format!("{path}?rule={code}&span={}&by={}", self.span.0, self.by.code())
    }

    async fn answer(&self, app: &Arc<App>, visitor: &Visitor, range: TimeRange) -> Result<Ranking, Failure> {
        let Some(limit) = self.limit() else {
            return Ok(Ranking {
                level: Level::Raw,
                groups: Vec::new(),
            });
        };
        let question = Question {
            range,
            op: limit.op,
            limit: limit.limit,
            by: self.by,
        };
        app.share(&visitor.scope, &question, |point| limit.rule.applies_to(point))
            .await
    }
}

/// The limits of a rule that compares single values with one; the others have none that a share could be counted by.
fn limits_of(rule: &Rule) -> Vec<Limit<'_>> {
    let Some(metric) = &rule.metric else {
        return Vec::new();
    };
    let limit = |op, limit, end: &str| Limit {
        rule,
        metric,
        op,
        limit,
        code: format!("{}{end}", rule.id),
    };
    match rule.kind {
        RuleKind::Threshold { op, limit: at, .. } => vec![limit(op, at, "")],
        RuleKind::Range { low, high, .. } => vec![
            limit(Comparison::Below, low, ":low"),
            limit(Comparison::Above, high, ":high"),
        ],
        _ => Vec::new(),
    }
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    let rules = app.stores.alerts.rules();
    let report = Report::read(&app, &visitor, rules.values(), &uri).await?;
    let (asked, ranking, teller) = (&report.asked, &report.ranking, report.teller());
    let (locale, range) = (&report.locale, report.range);
    let title = fl!(locale.l, "analysis-title");
    let groups = &ranking.groups;
    let view = Analysis {
        page: Page::new(&app, &visitor, Nav::Analysis, title, &asked.address("/analysis")),
        rules: rule_choices(locale, asked),
        spans: span_choices(locale, asked.span.0),
        bys: by_choices(locale, asked.by),
        basis: asked.limit().map(|limit| basis(locale, limit)),
        csv: asked.address("/analysis.csv"),
        group: by_word(locale, asked.by),
        from: locale.clock_time(range.from),
        to: locale.clock_time(range.to),
        level: level_word(locale, ranking.level),
        rows: groups
            .iter()
            .enumerate()
            .take(MAX_ROWS)
            .map(|(index, group)| teller.row(index + 1, group))
            .collect(),
        hidden: groups.len().saturating_sub(MAX_ROWS),
        breaches: groups.iter().filter(|g| g.bounds.share.over_ms > 0).count(),
        unknown: groups.iter().filter(|g| g.bounds.share.known_ms == 0).count(),
        by_series: asked.by == By::Series,
    };
    view.page.answer(view.render())
}

/// The same table as a file.
pub(crate) async fn csv(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    let rules = app.stores.alerts.rules();
    let report = Report::read(&app, &visitor, rules.values(), &uri).await?;
    let (asked, ranking, teller) = (&report.asked, &report.ranking, report.teller());
    let mut text = String::from(
        "\u{feff}rank,id,name,region,rule,clause,metric,limit,from,to,level,points,over_hours,unsure_hours,known_hours,\
         shelved_hours,coverage,share,share_at_most\r\n",
    );
    if let Some(limit) = asked.limit() {
        for (index, group) in ranking.groups.iter().enumerate() {
            teller.line(&mut text, (index + 1, group), (limit, ranking.level));
        }
    }
    let name = format!(
        "attachment; filename=\"sunshine-share-{}-{}.csv\"",
        asked.span.0,
        asked.by.code()
    );
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, text).into_response())
}

/// The table and what its words are made of, for the page and for the file.
struct Report<'a> {
    asked: Asked<'a>,
    range: TimeRange,
    ranking: Ranking,
    locale: Locale,
    directory: Arc<Directory>,
    visitor: &'a Visitor,
    regions: BTreeMap<RegionId, String>,
    shelves: Vec<Shelf>,
}

impl<'a> Report<'a> {
    async fn read(
        app: &'a Arc<App>,
        visitor: &'a Visitor,
        rules: impl Iterator<Item = &'a Rule>,
        uri: &Uri,
    ) -> Result<Report<'a>, Failure> {
        let locale = visitor.locale(app);
        let directory = app.directory().await?;
        let asked = Asked::read(&Parameters::of(uri)?, rules, in_use(&directory, visitor))?;
        let range = TimeRange::ending_at(locale.now, asked.span.1);
        let ranking = asked.answer(app, visitor, range).await?;
        let regions = region_names(app, &locale).await?;
        let shelves = app.stores.records.shelves(&visitor.scope, range).await?;
        Ok(Report {
            asked,
            range,
            ranking,
            locale,
            directory,
            visitor,
            regions,
            shelves,
        })
    }

    fn teller(&self) -> Teller<'_> {
        Teller {
            shelves: &self.shelves,
            rule: self.asked.limit().map(|limit| limit.rule),
            locale: &self.locale,
            directory: &self.directory,
            visitor: self.visitor,
            regions: &self.regions,
            range: self.range,
            span: self.asked.span.0,
        }
    }
}

/// Whether a rule judges any point that the visitor sees.
fn in_use<'a>(directory: &'a Directory, visitor: &'a Visitor) -> impl Fn(&Rule) -> bool + 'a {
    |rule| {
        let mut facilities = directory.facilities(&visitor.scope);
        facilities.any(|entry| entry.points.iter().any(|point| rule.applies_to(&point.point)))
    }
}

async fn region_names(app: &App, locale: &Locale) -> Result<BTreeMap<RegionId, String>, Failure> {
    let regions = app.stores.records.regions().await?;
    let name = |region: domain::Region| {
        let name = locale.pick(&region.name_zh, &region.name_en).to_owned();
        (region.id, name)
    };
    Ok(regions.into_iter().map(name).collect())
}

/// Says what groups are called and how they stand.
struct Teller<'a> {
    /// What was set aside within the range.
    shelves: &'a [Shelf],
    rule: Option<&'a Rule>,
    locale: &'a Locale,
    directory: &'a Directory,
    visitor: &'a Visitor,
    regions: &'a BTreeMap<RegionId, String>,
    range: TimeRange,
    span: &'a str,
}

impl Teller<'_> {
    fn row(&self, rank: usize, group: &Group) -> Row {
        let l = self.locale.l;
        let share = group.bounds.share;
        let ratios = group.bounds.ratios();
        let coverage = group.coverage(self.range);
        let (name, mut about) = self.names(&group.key);
        let shelved = self.shelved_ms(&group.key);
        if shelved > 0 {
            let told = fl!(l, "analysis-shelved", time = self.locale.duration(shelved));
            about = if about.is_empty() {
                told
            } else {
                format!("{about} · {told}")
            };
        }
        let href = match &group.key {
            GroupKey::Facility(facility) => format!("/facilities/{facility}"),
            GroupKey::Series(key) => self.chart(key),
            GroupKey::Region(_) => String::new(),
        };
        Row {
            rank,
            name,
            about,
            href,
            thousandths: ratios.map(|(least, _)| (least * 1000.0).round() as i64),
            share: ratios.map_or_else(|| fl!(l, "analysis-unknown"), percent),
            over: match group.bounds.unsure_ms {
                0 => self.locale.duration(share.over_ms),
                unsure => format!(
                    "{} – {}",
                    self.locale.duration(share.over_ms),
                    self.locale.duration(share.over_ms.saturating_add(unsure))
                ),
            },
            coverage: percent((coverage, coverage)),
            thin: coverage < THIN_COVERAGE,
            points: group.points,
            worst: group.worst.as_ref().map(|key| Worst {
                label: self.point(key),
                href: self.chart(key),
            }),
        }
    }

    /// One line of the file. Shares are fractions, times are hours: what a spreadsheet can go on calculating with.
    fn line(&self, text: &mut String, (rank, group): (usize, &Group), (limit, level): (&Limit<'_>, Level)) {
        let hours = |ms: i64| format!("{:.3}", ms as f64 / 3_600_000.0);
        let (name, region) = self.names(&group.key);
        let id = match &group.key {
            GroupKey::Region(region) => region.to_string(),
            GroupKey::Facility(facility) => facility.to_string(),
            GroupKey::Series(key) => format!("{}/{}/{}", key.facility, key.device, key.metric),
        };
        let ratio = |of: Option<f64>| of.map(|ratio| format!("{ratio:.6}")).unwrap_or_default();
        let ratios = group.bounds.ratios();
        let cells = [
            rank.to_string(),
            field(&id),
            field(&name),
            field(&region),
            field(limit.rule.id.as_str()),
            field(&Authority::of(self.locale, limit.rule).clause),
            field(limit.metric.as_str()),
            format!("{} {}", comparison_sign(limit.op), limit.limit),
            iso(self.range.from),
            iso(self.range.to),
            level_code(level).to_owned(),
            group.points.to_string(),
            hours(group.bounds.share.over_ms),
            hours(group.bounds.unsure_ms),
            hours(group.bounds.share.known_ms),
            hours(self.shelved_ms(&group.key)),
            format!("{:.6}", group.coverage(self.range)),
            ratio(ratios.map(|(least, _)| least)),
            ratio(ratios.map(|(_, most)| most)),
        ];
        writeln!(text, "{}\r", cells.join(",")).expect("writing to a String succeeds");
    }

    /// For how long the rule, or more than it, was set aside for any part of a group, in milliseconds.
    fn shelved_ms(&self, key: &GroupKey) -> i64 {
        let concerns = |shelf: &&Shelf| {
            let target = &shelf.target;
            let facility = self.directory.facility(&self.visitor.scope, &target.facility);
            let of_rule = target
                .rule
                .as_ref()
                .is_none_or(|id| self.rule.is_some_and(|rule| rule.id == *id));
            let of_metric = target
                .metric
                .as_ref()
                .is_none_or(|metric| self.rule.is_some_and(|rule| rule.metric.as_ref() == Some(metric)));
            of_rule
                && of_metric
                && match key {
                    GroupKey::Region(region) => {
                        facility.is_some_and(|entry| entry.facility.region == *region)
                    }
                    GroupKey::Facility(facility) => target.facility == *facility,
                    GroupKey::Series(key) => {
                        target.facility == key.facility
                            && target.device.as_ref().is_none_or(|d| *d == key.device)
                    }
                }
        };
        let shelves: Vec<Shelf> = self.shelves.iter().filter(concerns).cloned().collect();
        shelved_ms(&shelves, self.range)
    }

    /// What a group is called, and what it is part of.
    fn names(&self, key: &GroupKey) -> (String, String) {
        let region = |id: &RegionId| self.regions.get(id).cloned().unwrap_or_else(|| id.to_string());
        match key {
            GroupKey::Region(id) => (region(id), String::new()),
            GroupKey::Facility(id) => match self.directory.facility(&self.visitor.scope, id) {
                Some(entry) => (
                    self.locale.facility(&entry.facility).to_owned(),
                    region(&entry.facility.region),
                ),
                None => (id.to_string(), String::new()),
            },
            GroupKey::Series(key) => {
                let (facility, _) = self.names(&GroupKey::Facility(key.facility.clone()));
                (self.point(key), facility)
            }
        }
    }

    fn point(&self, key: &SeriesKey) -> String {
        self.directory
            .point(&self.visitor.scope, key)
            .map_or_else(|| key.device.to_string(), |entry| self.locale.place(&entry.point))
    }

    fn chart(&self, key: &SeriesKey) -> String {
        format!(
            "/facilities/{}?device={}&metric={}&range={}#chart-card",
            key.facility, key.device, key.metric, self.span
        )
    }
}

/// A field of a CSV file, quoted where it must be. What a spreadsheet would take for a formula is made a text.
fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// A share, or the two that it lies between.
fn percent((least, most): (f64, f64)) -> String {
    // What is little is not nothing.
    let say = |ratio: f64| match ratio * 100.0 {
        share if share > 0.0 && share < 0.01 => "< 0.01".to_owned(),
        share if share < 10.0 => format!("{share:.2}"),
        share => format!("{share:.1}"),
    };
    let (least, most) = (say(least), say(most));
    if least == most {
        format!("{least} %")
    } else {
        format!("{least} – {most} %")
    }
}

fn basis(locale: &Locale, limit: &Limit<'_>) -> Basis {
    let rule = limit.rule;
    let authority = Authority::of(locale, rule);
    Basis {
        rule: rule.id.to_string(),
        title: locale.pick(&rule.title_zh, &rule.title_en).to_owned(),
        criterion: beyond(locale, limit),
        clause: authority.clause,
        edition: authority.edition,
        confidence: locale.confidence(rule.confidence),
        verified: rule.confidence == domain::Confidence::Verified,
    }
}

fn beyond(locale: &Locale, limit: &Limit<'_>) -> String {
    format!(
        "{} {} {}",
        locale.metric(limit.metric),
        comparison_sign(limit.op),
        locale.value(limit.metric, limit.limit)
    )
}

fn rule_choices(locale: &Locale, asked: &Asked<'_>) -> Vec<Choice> {
    let choice = |(index, limit): (usize, &Limit<'_>)| Choice {
        value: limit.code.clone(),
        label: format!(
            "{} · {}",
            locale.pick(&limit.rule.title_zh, &limit.rule.title_en),
            beyond(locale, limit)
        ),
        current: asked.chosen == Some(index),
    };
    asked.limits.iter().enumerate().map(choice).collect()
}

fn span_choices(locale: &Locale, current: &str) -> Vec<Choice> {
    let label = |name: &str| match name {
        "24h" => fl!(locale.l, "analysis-24h"),
        "7d" => fl!(locale.l, "analysis-7d"),
        _ => fl!(locale.l, "analysis-30d"),
    };
    let choice = |(name, _): (&str, i64)| Choice {
        value: name.to_owned(),
        label: label(name),
        current: name == current,
    };
    SPANS.into_iter().map(choice).collect()
}

fn by_choices(locale: &Locale, current: By) -> Vec<Choice> {
    let choice = |by: By| Choice {
        value: by.code().to_owned(),
        label: by_word(locale, by),
        current: by == current,
    };
    By::ALL.into_iter().map(choice).collect()
}

fn by_word(locale: &Locale, by: By) -> String {
    match by {
        By::Series => fl!(locale.l, "analysis-by-series"),
        By::Facility => fl!(locale.l, "analysis-by-facility"),
        By::Region => fl!(locale.l, "analysis-by-region"),
    }
}

fn level_word(locale: &Locale, level: Level) -> String {
    match level {
        Level::Raw => fl!(locale.l, "analysis-raw"),
        Level::Minute => fl!(locale.l, "analysis-minute"),
        Level::Hour => fl!(locale.l, "analysis-hour"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_text_whatever_stands_in_it() {
        for (given, want) in [
            ("滨河颐养院", "滨河颐养院"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("-x,y", "\"'-x,y\""),
        ] {
            assert_eq!(field(given), want);
        }
    }

    #[test]
    fn a_share_is_as_exact_as_it_can_be_told() {
        for (given, want) in [
            ((0.0, 0.0), "0.00 %"),
            ((0.000_001, 0.000_001), "< 0.01 %"),
            ((0.051_23, 0.051_23), "5.12 %"),
            ((0.25, 0.5), "25.0 – 50.0 %"),
            ((1.0, 1.0), "100.0 %"),
        ] {
            assert_eq!(percent(given), want);
        }
    }
}
