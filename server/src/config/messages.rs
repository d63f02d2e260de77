//! How cases are dealt with, and where messages may go: the sections `[cases]` and `[messages]`.

use std::path::PathBuf;

use domain::{
    case::{
        CasePolicy,
        policy::{Closing, DAY_MS, HOUR_MS, MINUTE_MS, Terms},
    },
    outbound::{Addresses, Network},
};
use serde::Deserialize;

use super::ConfigError;

/// The most networks that messages may be sent into.
const MAX_NETWORKS: usize = 64;

/// What is asked of cases of one severity.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseTerms {
    pub(crate) acknowledge_min: i64,
    pub(crate) fix_h: i64,
    pub(crate) verify_h: i64,
    pub(crate) remind_min: i64,
    pub(crate) step_min: i64,
    pub(crate) first_level: u8,
    pub(crate) class: u8,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cases {
    pub(crate) sos_answer_s: i64,
    pub(crate) closing: [Closing; 3],
    pub(crate) yellow_days: i64,
    pub(crate) red_days: i64,
    pub(crate) recurrence_days: i64,
    pub(crate) fold_min: i64,
    pub(crate) late_h: i64,
    #[serde(rename = "P0")]
    pub(crate) p0: CaseTerms,
    #[serde(rename = "P1")]
    pub(crate) p1: CaseTerms,
    #[serde(rename = "P2")]
    pub(crate) p2: CaseTerms,
    #[serde(rename = "P3")]
    pub(crate) p3: CaseTerms,
    #[serde(rename = "P4")]
    pub(crate) p4: CaseTerms,
}

impl Default for Cases {
    fn default() -> Self {
        let policy = CasePolicy::default();
        let [p0, p1, p2, p3, p4] = policy.terms.map(|terms| CaseTerms {
            acknowledge_min: terms.acknowledge_ms / MINUTE_MS,
            fix_h: terms.fix_ms / HOUR_MS,
            verify_h: terms.verify_ms / HOUR_MS,
            remind_min: terms.remind_ms / MINUTE_MS,
            step_min: terms.step_ms / MINUTE_MS,
            first_level: terms.first_level,
            class: terms.class,
        });
        Cases {
            sos_answer_s: policy.answer_ms / 1_000,
            closing: policy.closing,
            yellow_days: policy.yellow_ms / DAY_MS,
            red_days: policy.red_ms / DAY_MS,
            recurrence_days: policy.recurrence_ms / DAY_MS,
            fold_min: policy.fold_ms / MINUTE_MS,
            late_h: policy.late_ms / HOUR_MS,
            p0,
            p1,
            p2,
            p3,
            p4,
        }
    }
}

impl Cases {
    fn all(&self) -> [(&'static str, &CaseTerms); 5] {
        [
            ("cases.P0", &self.p0),
            ("cases.P1", &self.p1),
            ("cases.P2", &self.p2),
            ("cases.P3", &self.p3),
            ("cases.P4", &self.p4),
        ]
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let minutes = 525_600;
        let days = [
            ("cases.sos_answer_s", self.sos_answer_s, 10, 3_600),
            ("cases.yellow_days", self.yellow_days, 0, 3_650),
            ("cases.red_days", self.red_days, self.yellow_days, 3_650),
            ("cases.recurrence_days", self.recurrence_days, 0, 3_650),
            ("cases.fold_min", self.fold_min, 0, 1_440),
            ("cases.late_h", self.late_h, 1, 8_760),
        ];
        let terms = self.all().into_iter().flat_map(|(name, terms)| {
            [
                (name, terms.acknowledge_min, 1, minutes),
                (name, terms.fix_h, 1, 8_760),
                (name, terms.verify_h, 1, 8_760),
                (name, terms.remind_min, 1, minutes),
                (name, terms.step_min, 1, minutes),
                (name, i64::from(terms.first_level), 0, 3),
                (name, i64::from(terms.class), 1, 3),
            ]
        });
        for (option, value, low, high) in days.into_iter().chain(terms) {
            if !(low..=high).contains(&value) {
                return Err(ConfigError::Refused {
                    option,
                    reason: format!("{value} is not between {low} and {high}"),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn policy(&self) -> CasePolicy {
        let terms = self.all().map(|(_, terms)| Terms {
            acknowledge_ms: terms.acknowledge_min * MINUTE_MS,
            fix_ms: terms.fix_h * HOUR_MS,
            verify_ms: terms.verify_h * HOUR_MS,
            remind_ms: terms.remind_min * MINUTE_MS,
            step_ms: terms.step_min * MINUTE_MS,
            first_level: terms.first_level,
            unanswered_level: 1,
            class: terms.class,
        });
        CasePolicy {
            terms,
            answer_ms: self.sos_answer_s * 1_000,
            closing: self.closing,
            yellow_ms: self.yellow_days * DAY_MS,
            red_ms: self.red_days * DAY_MS,
            recurrence_ms: self.recurrence_days * DAY_MS,
            fold_ms: self.fold_min * MINUTE_MS,
            late_ms: self.late_h * HOUR_MS,
        }
    }
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Messages {
    pub(crate) base_url: Option<String>,
    pub(crate) networks: Vec<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) push_key_file: Option<PathBuf>,
    pub(crate) push_contact: Option<String>,
}

impl Messages {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |option, reason: String| Err(ConfigError::Refused { option, reason });
        if let Some(url) = &self.base_url
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return refuse(
                "messages.base_url",
                format!("{url:?} begins neither with https:// nor with http://"),
            );
        }
        if self.push_key_file.is_some() && self.push_contact().is_none() {
            return refuse(
                "messages.push_contact",
                "it is missing: mailto: and an address, or an https:// address, where push services write when \
                 something goes wrong"
                    .to_owned(),
            );
        }
        if self.networks.len() > MAX_NETWORKS {
            return refuse("messages.networks", format!("there are more than {MAX_NETWORKS}"));
        }
        match self
            .networks
            .iter()
            .find_map(|text| text.parse::<Network>().err().map(|e| (text, e)))
        {
            Some((text, error)) => refuse("messages.networks", format!("{text:?}: {error}")),
            None => Ok(()),
        }
    }

    /// Where push services write: what is set, or where people reach the pages.
    pub(crate) fn push_contact(&self) -> Option<&str> {
        let fits = |text: &&str| text.starts_with("mailto:") || text.starts_with("https://");
        let set = self.push_contact.as_deref();
        set.or(self.base_url.as_deref()).filter(fits)
    }

    /// Public addresses, and the networks that are named.
    pub(crate) fn addresses(&self) -> Addresses {
        Addresses::public_and(
            self.networks
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_policys_and_nonsense_is_refused() {
        assert_eq!(Cases::default().policy(), CasePolicy::default());
        assert!(Cases::default().check().is_ok() && Messages::default().check().is_ok());
        let mut cases = Cases::default();
        cases.p1.fix_h = 0;
        assert!(cases.check().unwrap_err().to_string().contains("cases.P1"));
        let keys = Messages {
            push_key_file: Some("push.key".into()),
            ..Messages::default()
        };
        assert!(keys.check().unwrap_err().to_string().contains("push_contact"));
        let reached = Messages {
            base_url: Some("https://kitchen.example".into()),
            ..keys
        };
        assert!(
            reached.check().is_ok(),
            "pages that are reached over TLS are contact enough"
        );
        let messages = Messages {
            networks: vec!["10.0.0.0/33".into()],
            ..Messages::default()
        };
        assert!(messages.check().unwrap_err().to_string().contains("10.0.0.0/33"));
    }
}
