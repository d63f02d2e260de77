//! `/people`: who may sign in, as what, and how far they see. For whoever keeps accounts: an administrator who sees
//! everything, and, while nobody is on record, whoever sits at this machine.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Form, Path, State},
    http::Uri,
    response::Response,
};
use domain::{FacilityId, Permission, Person, PersonId, Reach, RegionId, Role, Scope};
use i18n_embed_fl::fl;
use store::records::{Account, MAX_PERSON_NAME, fresh_secret};

use super::messages::{Fields, contact::Pick, see};
use crate::{
    app::App,
    failure::{Failure, Kind},
    format::Locale,
    query::Parameters,
    signed,
    view::{
        case::MAX_NAME,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// Accounts on one page.
const PER_PAGE: u32 = 100;

/// Characters of a password that is made here: 64 random bits.
const MADE: usize = 16;

struct PersonRow {
    href: String,
    name: String,
    account: String,
    role: String,
    reach: String,
    seen: Option<String>,
    /// How the account stands, and its tone; nothing where all is well.
    state: Option<(String, &'static str)>,
}

/// A password that was just made: shown once.
struct Made {
    account: String,
    password: String,
}

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    page: Page,
    people: Vec<PersonRow>,
    roles: Vec<Pick>,
    regions: Vec<Pick>,
    made: Option<Made>,
    /// The address of the next page; `None` on the last one.
    next: Option<String>,
    max_person: usize,
    max_name: usize,
}

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    page: Page,
    href: String,
    account: String,
    name: String,
    roles: Vec<Pick>,
    regions: Vec<Pick>,
    facilities: String,
    barred: bool,
    /// It is the one who looks.
    own: bool,
    made: Option<Made>,
    max_person: usize,
    max_name: usize,
}

/// Fails for whoever does not keep accounts.
fn check(visitor: &Visitor) -> Result<(), Failure> {
    visitor.check(Permission::KeepPeople)?;
    match &visitor.principal {
        Some(principal) if principal.scope != Scope::everything() => Err(Failure::new(
            Kind::NotAllowed,
            "accounts are kept by an administrator who sees everything",
        )),
        _ => Ok(()),
    }
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    check(&visitor)?;
    let parameters = Parameters::of(&uri)?;
    draw_list(
        &app,
        &visitor,
        (parameters.get("after").unwrap_or_default(), None),
    )
    .await
}

async fn draw_list(
    app: &App,
    visitor: &Visitor,
    (after, made): (&str, Option<Made>),
) -> Result<Response, Failure> {
    let locale = visitor.locale(app);
    let mut accounts = app.stores.records.accounts(after, PER_PAGE + 1).await?;
    let more = accounts.len() > PER_PAGE as usize;
    accounts.truncate(PER_PAGE as usize);
    let next = accounts.last().filter(|_| more);
    let next = next.map(|last| format!("/people?after={}", last.person.id));
    let first = accounts.is_empty() && after.is_empty();
    let role = if first { Role::Administrator } else { Role::Manager };
    let view = PeoplePage {
        page: Page::new(app, visitor, Nav::None, fl!(locale.l, "people-title"), "/people"),
        people: accounts.iter().map(|account| row(&locale, account)).collect(),
        roles: roles(&locale, role),
        regions: regions(app, &locale, None).await?,
        made,
        next,
        max_person: MAX_PERSON_NAME,
        max_name: MAX_NAME,
    };
    view.page.answer(view.render())
}

fn row(locale: &Locale, account: &Account) -> PersonRow {
    let person = &account.person;
    let locked = account.locked_until.filter(|until| *until > locale.now);
    let state = match (person.barred, account.has_password, locked, account.once) {
        (true, ..) => Some((fl!(locale.l, "person-barred"), "off")),
        (_, false, ..) => Some((fl!(locale.l, "person-no-password"), "warn")),
        (_, _, Some(until), _) => {
            let until = locale.moment(until);
            Some((fl!(locale.l, "person-locked", until = until), "crit"))
        }
        (_, _, _, true) => Some((fl!(locale.l, "person-once"), "warn")),
        _ => None,
    };
    PersonRow {
        href: format!("/people/{}", person.id),
        name: person.name.clone(),
        account: person.id.to_string(),
        role: locale.role(person.role),
        reach: match &person.reach {
            Reach::Everything => fl!(locale.l, "reach-everything"),
            Reach::Region(region) => fl!(locale.l, "reach-region", region = region.as_str()),
            Reach::Facilities(ids) => fl!(locale.l, "reach-facilities", n = ids.len()),
        },
        seen: account.seen_at.map(|at| locale.stamp(at).at()),
        state,
    }
}

fn roles(locale: &Locale, chosen: Role) -> Vec<Pick> {
    let pick = |role: Role| (role.code().to_owned(), locale.role(role), role == chosen);
    Role::ALL.into_iter().map(pick).collect()
}

async fn regions(app: &App, locale: &Locale, chosen: Option<&RegionId>) -> Result<Vec<Pick>, Failure> {
    let known = app.stores.records.regions().await?;
    let pick = |region: &domain::Region| {
        let name = locale.pick(&region.name_zh, &region.name_en);
        let words = format!("{name} ({})", region.id);
        (region.id.to_string(), words, Some(&region.id) == chosen)
    };
    Ok(known.iter().map(pick).collect())
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    check(&visitor)?;
    let person = find(&app, &id).await?;
    draw(&app, &visitor, (person, None)).await
}

async fn find(app: &App, id: &str) -> Result<Person, Failure> {
    let people = app.stores.records.people().await?;
    let found = people.into_iter().find(|person| person.id.as_str() == id);
    found.ok_or_else(|| Failure::not_found("account"))
}

async fn draw(
    app: &App,
    visitor: &Visitor,
    (person, made): (Person, Option<Made>),
) -> Result<Response, Failure> {
    let locale = visitor.locale(app);
    let (region, facilities) = match &person.reach {
        Reach::Everything => (None, String::new()),
        Reach::Region(region) => (Some(region), String::new()),
        Reach::Facilities(ids) => {
            let ids: Vec<&str> = ids.iter().map(FacilityId::as_str).collect();
            (None, ids.join(", "))
        }
    };
    let href = format!("/people/{}", person.id);
    let own = visitor
        .principal
        .as_ref()
        .is_some_and(|me| me.person == person.id);
    let view = PersonPage {
        page: Page::new(app, visitor, Nav::None, person.name.clone(), &href),
        account: person.id.to_string(),
        roles: roles(&locale, person.role),
        regions: regions(app, &locale, region).await?,
        facilities,
        barred: person.barred,
        own,
        name: person.name,
        href,
        made,
        max_person: MAX_PERSON_NAME,
        max_name: MAX_NAME,
    };
    view.page.answer(view.render())
}

/// Puts somebody on record, and shows the password that lets them in once.
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    check(&visitor)?;
    let form = Fields::of(pairs)?;
    let by = signed::name(&visitor, form.get("by"))?.to_owned();
    let id = PersonId::new(form.get("account")).map_err(|error| Failure::bad_id("account", &error))?;
    let person = Person {
        id,
        name: form.get("name").to_owned(),
        role: role(&form)?,
        reach: reach(&app, &form).await?,
        barred: false,
    };
    let password = password()?;
    app.stores.records.add_person(&person, &password, &by).await?;
    let made = Made {
        account: person.id.to_string(),
        password,
    };
    // The first account ends the time in which nobody had to sign in: what is shown now is the way in.
    draw_list(&app, &visitor, ("", Some(made))).await
}

pub(crate) async fn change(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    check(&visitor)?;
    let form = Fields::of(pairs)?;
    let by = signed::name(&visitor, form.get("by"))?.to_owned();
    let person = Person {
        name: form.get("name").to_owned(),
        role: role(&form)?,
        reach: reach(&app, &form).await?,
        ..find(&app, &id).await?
    };
    app.stores.records.change_person(&person, &by).await?;
    Ok(see("/people"))
}

/// Bars somebody, who is signed out at once, or lets them in again.
pub(crate) async fn bar(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((id, act)): Path<(String, String)>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    check(&visitor)?;
    let form = Fields::of(pairs)?;
    let by = signed::name(&visitor, form.get("by"))?.to_owned();
    let person = find(&app, &id).await?;
    let barred = match act.as_str() {
        "bar" => true,
        "lift" => false,
        "password" => return renew(&app, &visitor, (person, &by)).await,
        _ => return Err(Failure::not_found("address")),
    };
    if barred
        && visitor
            .principal
            .as_ref()
            .is_some_and(|me| me.person == person.id)
    {
        return Err(Failure::new(
            Kind::Refused,
            "nobody bars themselves; somebody else who keeps accounts has to",
        ));
    }
    let person = Person { barred, ..person };
    app.stores.records.change_person(&person, &by).await?;
    Ok(see("/people"))
}

/// Gives somebody a password that lets them in once, and shows it.
async fn renew(app: &App, visitor: &Visitor, (person, by): (Person, &str)) -> Result<Response, Failure> {
    let password = password()?;
    app.stores
        .records
        .set_password_once(&person.id, &password, by)
        .await?;
    let made = Made {
        account: person.id.to_string(),
        password,
    };
    draw(app, visitor, (person, Some(made))).await
}

fn role(form: &Fields) -> Result<Role, Failure> {
    Role::parse(form.get("role")).ok_or_else(|| {
        let all = Role::ALL.map(Role::code).join(", ");
        Failure::bad_parameter("role", &format!("one of {all}"))
    })
}

/// How far the person sees; what is named must be on record.
async fn reach(app: &App, form: &Fields) -> Result<Reach, Failure> {
    let records = &app.stores.records;
    let named: Result<Vec<FacilityId>, _> = form
        .get("facilities")
        .split([',', '，', ' ', '\n'])
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .map(FacilityId::new)
        .collect();
    let named = named.map_err(|error| Failure::bad_id("facility", &error))?;
    let region = form.get("region");
    match (region.is_empty(), named.is_empty()) {
        (true, true) => Ok(Reach::Everything),
        (false, false) => Err(Failure::bad_parameter(
            "facilities",
            "empty where a region is chosen",
        )),
        (false, true) => {
            let region = RegionId::new(region).map_err(|error| Failure::bad_id("region", &error))?;
            let known = records.regions().await?;
            match known.iter().any(|one| one.id == region) {
                true => Ok(Reach::Region(region)),
                false => Err(Failure::bad_parameter("region", "a region on record")),
            }
        }
        (true, false) => {
            let all = records.facilities(&Scope::everything()).await?;
            let unknown = named.iter().find(|id| !all.iter().any(|one| one.id == **id));
            match unknown {
                None => Ok(Reach::Facilities(named)),
                Some(id) => Err(Failure::bad_parameter(
                    "facilities",
                    &format!("facilities on record; {id} is none"),
                )),
            }
        }
    }
}

fn password() -> Result<String, Failure> {
    let (secret, _) = fresh_secret()?;
    Ok(secret.chars().take(MADE).collect())
}
