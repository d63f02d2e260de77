//! `/messages/contacts/…`: who is told, what, when and in which language.

use std::{collections::BTreeSet, sync::Arc};

use askama::Template;
use axum::{
    extract::{Form, Path, State},
    response::Response,
};
use domain::{
    FacilityId, Permission, PersonId, RegionId, Scope, Severity,
    duty::{Contact, ContactId, Reach, Shift, Span, Step},
    message::Language,
};
use i18n_embed_fl::fl;

use super::{ByForm, Fields, see, step_words};
use crate::{
    app::App,
    failure::{Failure, Kind},
    signed,
    view::{
        case::MAX_NAME,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// Accounts that are suggested; any other may be typed.
const SUGGESTED: usize = 300;

/// One of several to choose from: value, words, whether it is chosen.
pub(crate) type Pick = (String, String, bool);

#[derive(Template)]
#[template(path = "contact.html")]
struct ContactPage {
    page: Page,
    id: i64,
    version: i64,
    /// Whose account it is; empty for nobody's.
    person: String,
    /// Accounts that it may be, with their names.
    people: Vec<(String, String)>,
    name: String,
    address: String,
    enabled: bool,
    languages: Vec<Pick>,
    steps: Vec<Pick>,
    channels: Vec<Pick>,
    least: Vec<Pick>,
    digest: Vec<Pick>,
    digest_at: String,
    quiet_from: String,
    quiet_to: String,
    facilities: String,
    regions: String,
    shifts: String,
    max_name: usize,
}

pub(crate) async fn blank(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    let contact = Contact {
        id: ContactId(0),
        person: None,
        name: String::new(),
        language: Language::Zh,
        step: Step::Duty,
        reach: Reach::Everywhere,
        channel: String::new(),
        address: String::new(),
        least: Severity::P4,
        quiet: None,
        digest: None,
        digest_at: 480,
        shifts: Vec::new(),
        enabled: true,
    };
    draw(&app, &visitor, (contact, 0)).await
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let id = contact_id(&id)?;
    let all = app.stores.records.contacts().await?;
    let found = all.into_iter().find(|(contact, _)| contact.id == id);
    draw(
        &app,
        &visitor,
        found.ok_or_else(|| Failure::not_found("contact"))?,
    )
    .await
}

fn contact_id(text: &str) -> Result<ContactId, Failure> {
    text.parse()
        .map(ContactId)
        .map_err(|_not_a_number| Failure::not_found("contact"))
}

async fn draw(app: &App, visitor: &Visitor, (contact, version): (Contact, i64)) -> Result<Response, Failure> {
    let locale = visitor.locale(app);
    let channels = app.stores.records.channels().await?;
    let severities = |chosen: Option<Severity>| -> Vec<Pick> {
        let pick = |s: Severity| (s.code().to_owned(), locale.severity(s), Some(s) == chosen);
        Severity::ALL.into_iter().map(pick).collect()
    };
    let title = match version {
        0 => fl!(locale.l, "contact-new"),
        _ => contact.name.clone(),
    };
    let path = match version {
        0 => "/messages/contacts/new".to_owned(),
        _ => format!("/messages/contacts/{}", contact.id.0),
    };
    let (facilities, regions) = match &contact.reach {
        Reach::Everywhere => (String::new(), String::new()),
        Reach::Facilities(ids) => (joined(ids.iter().map(FacilityId::as_str)), String::new()),
        Reach::Regions(ids) => (String::new(), joined(ids.iter().map(RegionId::as_str))),
    };
    let view = ContactPage {
        page: Page::new(app, visitor, Nav::Messages, title, &path),
        id: contact.id.0,
        version,
        people: suggested(app).await?,
        person: contact
            .person
            .as_ref()
            .map(PersonId::to_string)
            .unwrap_or_default(),
        languages: [(Language::Zh, "中文"), (Language::En, "English")]
            .map(|(l, words)| (l.tag().to_owned(), words.to_owned(), l == contact.language))
            .to_vec(),
        steps: Step::ALL
            .into_iter()
            .map(|step| {
                (
                    step.code().to_owned(),
                    step_words(&locale, step),
                    step == contact.step,
                )
            })
            .collect(),
        channels: channels
            .into_iter()
            .map(|c| (c.name.clone(), c.name.clone(), c.name == contact.channel))
            .collect(),
        least: severities(Some(contact.least)),
        digest: severities(contact.digest),
        digest_at: clock(contact.digest_at),
        quiet_from: contact.quiet.map(|span| clock(span.from)).unwrap_or_default(),
        quiet_to: contact.quiet.map(|span| clock(span.to)).unwrap_or_default(),
        facilities,
        regions,
        shifts: contact
            .shifts
            .iter()
            .map(|shift| shift_words(*shift) + "\n")
            .collect(),
        name: contact.name,
        address: contact.address,
        enabled: contact.enabled,
        max_name: MAX_NAME,
    };
    view.page.answer(view.render())
}

/// Accounts to choose from, with their names.
async fn suggested(app: &App) -> Result<Vec<(String, String)>, Failure> {
    let people = app.stores.records.people().await?.into_iter().take(SUGGESTED);
    Ok(people
        .map(|person| (person.id.to_string(), person.name))
        .collect())
}

fn joined<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    ids.collect::<Vec<_>>().join(", ")
}

/// `08:30`.
pub(crate) fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Reads [`clock`] back.
pub(crate) fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// `12345 08:00-20:00`: the weekdays, Monday is 1, and the span.
fn shift_words(shift: Shift) -> String {
    let days: String = (0..7_u8)
        .filter(|day| shift.days >> day & 1 == 1)
        .map(|day| char::from(b'1' + day))
        .collect();
    format!("{days} {}-{}", clock(shift.span.from), clock(shift.span.to))
}

/// Reads [`shift_words`] back.
fn shift(line: &str) -> Option<Shift> {
    let (days, span) = line.split_once(' ')?;
    let mut bits = 0;
    for day in days.bytes() {
        if !(b'1'..=b'7').contains(&day) {
            return None;
        }
        bits |= 1 << (day - b'1');
    }
    let (from, to) = span.trim().split_once('-')?;
    Some(Shift {
        days: bits,
        span: Span {
            from: minute(from)?,
            to: minute(to)?,
        },
    })
}

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let form = Fields::of(pairs)?;
    let by = signed::name(&visitor, form.get("by"))?.to_owned();
    let contact = contact(&form)?;
    if contact.id != ContactId(0) {
        expect_keeper(&app, &visitor, contact.id).await?;
    }
    if !keeps(&visitor, &contact) {
        return Err(Failure::new(
            Kind::NotAllowed,
            "whoever sees some facilities keeps the contacts of these; name facilities that you see, and no region",
        ));
    }
    app.stores
        .records
        .put_contact(&contact, form.version()?, &by)
        .await?;
    app.stores.messages.wake();
    Ok(see("/messages"))
}

/// Whether this visitor keeps a contact: one that hears of nothing that they may not see themselves.
pub(crate) fn keeps(visitor: &Visitor, contact: &Contact) -> bool {
    if visitor.scope == Scope::everything() {
        return true;
    }
    match &contact.reach {
        Reach::Facilities(ids) => ids.iter().all(|id| visitor.scope.allows(id)),
        Reach::Everywhere | Reach::Regions(_) => false,
    }
}

async fn expect_keeper(app: &App, visitor: &Visitor, id: ContactId) -> Result<(), Failure> {
    let contact = app.stores.records.contact(id).await?;
    let contact = contact.ok_or_else(|| Failure::not_found("contact"))?;
    if keeps(visitor, &contact) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::NotAllowed,
        "this contact hears of facilities that you do not see; somebody who sees them has to change it",
    ))
}

fn contact(form: &Fields) -> Result<Contact, Failure> {
    let severity = |name: &str| Severity::parse(form.get(name));
    let wrong = Failure::bad_parameter;
    let time = |name: &str| {
        let text = form.get(name);
        minute(text).ok_or_else(|| wrong(name, "a time such as 08:30"))
    };
    let quiet = match form.has("quiet_from") || form.has("quiet_to") {
        true => Some(Span {
            from: time("quiet_from")?,
            to: time("quiet_to")?,
        }),
        false => None,
    };
    let lines = form
        .get("shifts")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let shifts: Option<Vec<Shift>> = lines.map(shift).collect();
    let id: i64 = form
        .get("id")
        .parse()
        .map_err(|_not_a_number| wrong("id", "the number that the form had"))?;
    Ok(Contact {
        id: ContactId(id),
        person: match form.get("person") {
            "" => None,
            account => Some(PersonId::new(account).map_err(|error| Failure::bad_id("person", &error))?),
        },
        name: form.get("name").to_owned(),
        language: Language::parse(form.get("language")).ok_or_else(|| wrong("language", "zh-CN or en"))?,
        step: Step::parse(form.get("step")).ok_or_else(|| wrong("step", "a step of the ladder"))?,
        reach: reach(form)?,
        channel: form.get("channel").to_owned(),
        address: form.get("address").to_owned(),
        least: severity("least").ok_or_else(|| wrong("least", "one of P0 to P4"))?,
        quiet,
        digest: severity("digest"),
        digest_at: if form.has("digest_at") {
            time("digest_at")?
        } else {
            480
        },
        shifts: shifts.ok_or_else(|| wrong("shifts", "one a line, such as 12345 08:00-20:00"))?,
        enabled: form.has("enabled"),
    })
}

fn reach(form: &Fields) -> Result<Reach, Failure> {
    let ids = |name: &str| -> Vec<String> {
        let parts = form.get(name).split([',', '，', ' ', '\n']);
        parts
            .map(str::trim)
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let facilities: Result<BTreeSet<FacilityId>, _> =
        ids("facilities").iter().map(|id| FacilityId::new(id)).collect();
    let facilities = facilities.map_err(|error| Failure::bad_id("facility", &error))?;
    let regions: Result<BTreeSet<RegionId>, _> = ids("regions").iter().map(|id| RegionId::new(id)).collect();
    let regions = regions.map_err(|error| Failure::bad_id("region", &error))?;
    Ok(match (facilities.is_empty(), regions.is_empty()) {
        (true, true) => Reach::Everywhere,
        (false, true) => Reach::Facilities(facilities),
        (true, false) => Reach::Regions(regions),
        (false, false) => {
            return Err(Failure::bad_parameter(
                "regions",
                "empty where facilities are named",
            ));
        }
    })
}

pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<ByForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let by = signed::name(&visitor, &form.by)?;
    let id = contact_id(&id)?;
    expect_keeper(&app, &visitor, id).await?;
    app.stores.records.remove_contact(id, by).await?;
    Ok(see("/messages"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_and_times_are_read_as_they_are_written() {
        for line in ["12345 08:00-20:00", "67 20:00-08:00", "1 00:00-23:59"] {
            assert_eq!(shift(line).map(shift_words).as_deref(), Some(line));
        }
        for bad in [
            "",
            "8 08:00-20:00",
            "12345",
            "12345 8-20",
            "1 24:00-01:00",
            "1 08:60-09:00",
            "mo 08:00-09:00",
        ] {
            assert_eq!(shift(bad), None, "{bad}");
        }
    }
}
