//! The head of a facility's page: which one it is, and how it stands.

use askama::Template;
use domain::Facility;
use i18n_embed_fl::fl;

use crate::{format::Locale, i18n::Loader, picture::FacilityNow};

/// The head of a facility's page.
#[derive(Template)]
#[template(path = "facility_head.html")]
pub(crate) struct FacilityHead {
    l: Loader,
    name: String,
    about: String,
    address: String,
    tone: &'static str,
    state: String,
    reporting: usize,
    breaches: usize,
    points: usize,
}

impl FacilityHead {
    pub(crate) fn new(locale: &Locale, now: &FacilityNow) -> FacilityHead {
        let facility = &now.entry.facility;
        FacilityHead {
            l: locale.l,
            name: locale.facility(facility).to_owned(),
            about: about(locale, facility),
            address: facility.address.clone(),
            tone: now.worst.tone(),
            state: locale.state(now.worst),
            reporting: now.reporting(),
            breaches: now.in_breach(),
            points: now.points.len(),
        }
    }
}

fn about(locale: &Locale, facility: &Facility) -> String {
    let (kind, people, beds) = (locale.kind(facility.kind), facility.people_served, facility.beds);
    if beds == 0 {
        fl!(locale.l, "facility-about-canteen", kind = kind, people = people)
    } else {
        fl!(
            locale.l,
            "facility-about",
            kind = kind,
            people = people,
            beds = beds
        )
    }
}
