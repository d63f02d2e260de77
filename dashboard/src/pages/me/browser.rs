//! `/me/browsers`: the browsers in which somebody is notified.

use std::{collections::BTreeSet, sync::Arc};

use alerts::{PUSH_CHANNEL, SubscribeError, TrialError};
use axum::{
    extract::{Form, Path, State, rejection::FormRejection},
    response::Response,
};
use domain::{
    Person, Principal, Severity,
    duty::{Contact, ContactId, Reach, Step},
    message::Language,
    person,
};
use i18n_embed_fl::fl;
use serde::Deserialize;
use store::records::{NewSubscription, Subscription, SubscriptionId};

use super::{BrowserRow, principal};
use crate::{
    app::App,
    failure::{Failure, Kind},
    format::Locale,
    pages::messages::{language, see},
    visitor::Visitor,
};

/// What the page's script hands in.
#[derive(Debug, Deserialize)]
pub(crate) struct NotifyForm {
    endpoint: String,
    p256dh: String,
    auth: String,
    label: String,
}

pub(super) async fn rows(app: &App, locale: &Locale, me: &Principal) -> Result<Vec<BrowserRow>, Failure> {
    let kept = app.stores.records.subscriptions(&me.person).await?;
    let row = |browser: Subscription| {
        let (state, tone) = match browser.worked {
            None => (fl!(locale.l, "chan-untried"), "warn"),
            Some(true) => (fl!(locale.l, "chan-works"), "ok"),
            Some(false) => (fl!(locale.l, "chan-fails"), "crit"),
        };
        BrowserRow {
            id: browser.id.0,
            label: browser.given.label,
            made: locale.stamp(browser.made_at).at(),
            tried: browser.tried_at.map(|at| locale.stamp(at).at()),
            state,
            tone,
            said: browser.said,
        }
    };
    Ok(kept.into_iter().map(row).collect())
}

/// Keeps a browser. Whoever switches it on is told there: as on the roster where they are on it, else of everything
/// within their reach.
pub(crate) async fn notify(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    form: Result<Form<NotifyForm>, FormRejection>,
) -> Result<Response, Failure> {
    let me = principal(&visitor)?;
    let Ok(Form(form)) = form else {
        return Err(Failure::new(
            Kind::BadRequest,
            "the form must have the fields endpoint, p256dh, auth and label",
        ));
    };
    let given = NewSubscription {
        endpoint: form.endpoint,
        p256dh: form.p256dh,
        auth: form.auth,
        label: form.label.trim().to_owned(),
    };
    let kept = app.stores.messages.subscribe(&me.person, &given, &me.name).await;
    match kept {
        Ok(_) => {}
        Err(SubscribeError::Store(error)) => return Err(error.into()),
        Err(SubscribeError::Unusable(failure)) => return Err(Failure::new(Kind::BadRequest, failure.words)),
        Err(error @ SubscribeError::NotSet) => return Err(Failure::new(Kind::Refused, error.to_string())),
    }
    let records = &app.stores.records;
    let own = records.contacts_of_person(&me.person).await?;
    if own.iter().any(|(contact, _)| contact.channel == PUSH_CHANNEL) {
        return Ok(see("/me"));
    }
    let contact = match own.into_iter().next() {
        Some((contact, _)) => Contact {
            id: ContactId(0),
            channel: PUSH_CHANNEL.to_owned(),
            address: String::new(),
            ..contact
        },
        None => {
            let people = records.people().await?;
            let person = people.into_iter().find(|person| person.id == me.person);
            follower(
                person.ok_or_else(|| Failure::not_found("person"))?,
                language(visitor.lang),
            )
        }
    };
    records.put_contact(&contact, 0, &me.name).await?;
    Ok(see("/me"))
}

/// Somebody who is on no roster follows what they may see.
fn follower(person: Person, language: Language) -> Contact {
    Contact {
        id: ContactId(0),
        person: Some(person.id),
        name: person.name,
        language,
        step: Step::Observer,
        reach: match person.reach {
            person::Reach::Everything => Reach::Everywhere,
            person::Reach::Region(region) => Reach::Regions(BTreeSet::from([region])),
            person::Reach::Facilities(ids) => Reach::Facilities(ids.into_iter().collect()),
        },
        channel: PUSH_CHANNEL.to_owned(),
        address: String::new(),
        least: Severity::P4,
        quiet: None,
        digest: None,
        digest_at: 480,
        shifts: Vec::new(),
        enabled: true,
    }
}

/// Sends a trial to one browser; the page then says how it went.
pub(crate) async fn trial(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let me = principal(&visitor)?;
    let sent = app
        .stores
        .messages
        .try_browser(&me.person, subscription(&id)?, language(visitor.lang))
        .await;
    match sent {
        // A failure was noted with the browser, where the page shows it.
        Ok(()) | Err(TrialError::Failed(_)) => Ok(see("/me")),
        Err(TrialError::NotFound) => Err(Failure::not_found("browser")),
        Err(TrialError::Store(error)) => Err(error.into()),
    }
}

/// Forgets a browser. With the last one, whoever only followed by it follows no longer.
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let me = principal(&visitor)?;
    let records = &app.stores.records;
    records
        .remove_subscription(&me.person, subscription(&id)?, &me.name)
        .await?;
    if records.subscriptions(&me.person).await?.is_empty() {
        for (contact, _) in records.contacts_of_person(&me.person).await? {
            if contact.channel == PUSH_CHANNEL && contact.step == Step::Observer {
                records.remove_contact(contact.id, &me.name).await?;
            }
        }
    }
    Ok(see("/me"))
}

fn subscription(id: &str) -> Result<SubscriptionId, Failure> {
    id.parse()
        .map(SubscriptionId)
        .map_err(|_not_a_number| Failure::not_found("browser"))
}
