//! The key figures at the head of the overview.

use askama::Template;
use domain::{Case, CaseState};
use i18n_embed_fl::fl;

use crate::{format::Locale, i18n::Loader, picture::FacilityNow};

/// What the key figures are made of; two equal ones need no new picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    pub(crate) open: usize,
    pub(crate) unacknowledged: usize,
    pub(crate) points: usize,
    pub(crate) reporting: usize,
    pub(crate) newest: Option<domain::UtcMillis>,
    /// Readings stored per second lately; `None` before the feed has measured it.
    pub(crate) rate: Option<u64>,
}

impl Figures {
    pub(crate) fn new(facilities: &[FacilityNow], cases: &[Case], rate: Option<u64>) -> Figures {
        Figures {
            open: cases.len(),
            unacknowledged: cases.iter().filter(|c| c.state == CaseState::Open).count(),
            points: facilities.iter().map(|f| f.points.len()).sum(),
            reporting: facilities.iter().map(FacilityNow::reporting).sum(),
            newest: facilities.iter().filter_map(FacilityNow::newest).max(),
            rate,
        }
    }
}

/// The key figures.
#[derive(Template)]
#[template(path = "kpis.html")]
pub(crate) struct Kpis {
    l: Loader,
    open: usize,
    unacknowledged: usize,
    points: usize,
    reporting: usize,
    share: String,
    all_reporting: bool,
    ago: Option<String>,
    rate: Option<u64>,
}

impl Kpis {
    pub(crate) fn new(locale: &Locale, figures: &Figures) -> Kpis {
        let share = if figures.points == 0 {
            "–".to_owned()
        } else {
            // Rounded down: 100 % means every one of them.
            let tenths = figures.reporting * 1000 / figures.points;
            if tenths == 1000 { "100".to_owned() } else { format!("{}.{}", tenths / 10, tenths % 10) }
        };
        Kpis {
            l: locale.l,
            open: figures.open,
            unacknowledged: figures.unacknowledged,
            points: figures.points,
            reporting: figures.reporting,
            share,
            all_reporting: figures.reporting == figures.points,
            ago: figures.newest.map(|at| locale.stamp(at).ago()),
            rate: figures.rate,
        }
    }
}
