//! Identifiers. A value that exists is valid: it is safe in a topic, a URL path segment, a log line
//! and a file name.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest identifier, in bytes of UTF-8. Long enough for a Chinese name of 21 characters,
/// short enough that no topic, key or log line grows without bound.
pub const MAX_ID_BYTES: usize = 64;

/// Why a text is not an identifier. Never carries the whole text, which may be hostile and long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("it is empty; give 1 to {MAX_ID_BYTES} bytes")]
    Empty,
    /// More than [`MAX_ID_BYTES`].
    #[error("it has {0} bytes; at most {MAX_ID_BYTES} are allowed")]
    TooLong(usize),
    /// A character that means something to MQTT, a path or a terminal.
    #[error("the character {0:?} is not allowed; use letters, digits, '-', '_' and '.'")]
    BadCharacter(char),
}

fn check(text: &str, also_allowed: &[char]) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong(text.len()));
    }
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.') || also_allowed.contains(&c);
    match text.chars().find(|c| !allowed(*c)) {
        Some(bad) => Err(IdError::BadCharacter(bad)),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, allowing $also:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and takes it as an identifier.
            ///
            /// # Errors
            /// [`IdError`] names the first reason it is not one.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text, &$also)?;
                Ok(Self(text.into()))
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
    };
}

text_id!(
    /// An administrative region (区, 街道, 镇) that inspectors are responsible for.
    RegionId, allowing []
);
text_id!(
    /// A facility with a kitchen (机构): a care home, a community canteen.
    FacilityId, allowing []
);
text_id!(
    /// A device (设备), unique within its facility.
    DeviceId, allowing []
);
text_id!(
    /// Who signs in to the broker: `<facility>/<device>` for a device, a plain name for a service.
    IdentityName, allowing ['/']
);
text_id!(
    /// What a person signs in with (账号): `wang.fang`.
    PersonId, allowing []
);
text_id!(
    /// A measured quantity (指标) such as `temperature` or `combustible_gas`.
    Metric, allowing []
);
text_id!(
    /// A rule's identifier in its pack, such as `CN-TMP-01`.
    RuleId, allowing []
);

/// A case's number, given by the record store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CaseId(pub i64);

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_checked_at_the_edge() {
        for good in ["a", "binhe-01", "厨房", "fridge_1.a", &"x".repeat(MAX_ID_BYTES)] {
            assert!(FacilityId::new(good).is_ok(), "{good}");
        }
        let cases = [
            ("", IdError::Empty),
            ("a/b", IdError::BadCharacter('/')),
            ("a+b", IdError::BadCharacter('+')),
            ("#", IdError::BadCharacter('#')),
            ("a b", IdError::BadCharacter(' ')),
            ("a\nb", IdError::BadCharacter('\n')),
            ("<script>", IdError::BadCharacter('<')),
        ];
        for (bad, why) in cases {
            assert_eq!(DeviceId::new(bad), Err(why), "{bad}");
        }
        assert_eq!(DeviceId::new(&"x".repeat(65)), Err(IdError::TooLong(65)));
        assert!(IdentityName::new("binhe-01/fridge-1").is_ok());
    }
}
