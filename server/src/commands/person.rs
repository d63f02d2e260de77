//! People who may sign in to the pages.

use std::path::Path;

use anyhow::{Context, bail};
use domain::{Clock, Person, Reach, Scope};
use store::Records;

use crate::{
    app::open_records,
    cli::{ConfigArgs, PersonAddArgs, PersonBarArgs, PersonPasswordArgs},
    commands::{block_on, load, say},
    config::Config,
    directory::random_secret,
    secret_file::first_line,
};

/// Who acts, in the audit trail.
const ACTOR: &str = "command line";

pub(crate) fn add(args: &PersonAddArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    block_on(async {
        let records = records_of(&config).await?;
        let reach = reach_of(&records, args).await?;
        let known = records.people().await?;
        let is_new = !known.iter().any(|person| person.id == args.account);
        let person = Person {
            id: args.account.clone(),
            name: args.name.clone(),
            role: args.role,
            reach,
            barred: false,
        };
        records.put_person(&person, ACTOR).await?;
        let told = match (&args.password_file, is_new) {
            (None, false) => "the password stays as it is".to_owned(),
            (file, _) => {
                let (password, shown) = password(file.as_deref())?;
                records.set_password(&person.id, &password, ACTOR).await?;
                shown
            }
        };
        records.close().await;
        say(&format!(
            "account   {}\nname      {}\nrole      {}\npassword  {told}",
            person.id,
            person.name,
            person.role.code()
        ))
    })
}

pub(crate) fn list(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = load(args)?;
    block_on(async {
        let records = records_of(&config).await?;
        let people = records.people().await?;
        records.close().await;
        for person in &people {
            let reach = match &person.reach {
                Reach::Everything => "everything".to_owned(),
                Reach::Region(region) => format!("region {region}"),
                Reach::Facilities(these) => {
                    let names: Vec<&str> = these.iter().map(domain::FacilityId::as_str).collect();
                    names.join(" ")
                }
            };
            let barred = if person.barred { "\tbarred" } else { "" };
            say(&format!(
                "{}\t{}\t{}\t{reach}{barred}",
                person.id,
                person.name,
                person.role.code()
            ))?;
        }
        say(&format!("{} people", people.len()))
    })
}

pub(crate) fn set_password(args: &PersonPasswordArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    block_on(async {
        let records = records_of(&config).await?;
        let (password, shown) = password(args.password_file.as_deref())?;
        let done = records.set_password(&args.account, &password, ACTOR).await;
        done.with_context(|| format!("cannot give {} a password", args.account))?;
        records.close().await;
        say(&format!(
            "password  {shown}\nWhoever was signed in as {} is signed out.",
            args.account
        ))
    })
}

pub(crate) fn bar(args: &PersonBarArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    block_on(async {
        let records = records_of(&config).await?;
        let known = records.people().await?;
        let Some(person) = known.into_iter().find(|person| person.id == args.account) else {
            bail!(
                "there is no person {}; `sunshine person list` names them",
                args.account
            );
        };
        let person = Person {
            barred: !args.lift,
            ..person
        };
        records.put_person(&person, ACTOR).await?;
        records.close().await;
        say(&match args.lift {
            true => format!("{} may sign in again.", person.id),
            false => format!("{} may no longer sign in, and is signed out.", person.id),
        })
    })
}

async fn records_of(config: &Config) -> anyhow::Result<Records> {
    let dir = &config.data_dir.0;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    open_records(dir, &Clock::system()).await
}

/// How far the person sees; what is named must be on record.
async fn reach_of(records: &Records, args: &PersonAddArgs) -> anyhow::Result<Reach> {
    if let Some(region) = &args.region {
        if !records.regions().await?.iter().any(|known| known.id == *region) {
            bail!("there is no region {region}; read it in first with `sunshine import`");
        }
        return Ok(Reach::Region(region.clone()));
    }
    if args.facility.is_empty() {
        return Ok(Reach::Everything);
    }
    for facility in &args.facility {
        if records.facility(&Scope::everything(), facility).await?.is_none() {
            bail!("there is no facility {facility}; read it in first with `sunshine import`");
        }
    }
    Ok(Reach::Facilities(args.facility.clone()))
}

/// The password of the file, or a new one; and what is said of it.
fn password(file: Option<&Path>) -> anyhow::Result<(String, String)> {
    match file {
        Some(file) => Ok((first_line(file)?, "as in the file".to_owned())),
        None => {
            let made: String = random_secret()?.chars().take(20).collect();
            let shown = format!("{made}  (shown this once; kept only as a hash)");
            Ok((made, shown))
        }
    }
}
