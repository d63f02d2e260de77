//! What stands after the `?` and in the path, read once at the edge.

use axum::http::Uri;
use domain::{DeviceId, FacilityId, IdError, Metric, SeriesKey, TimeRange, UtcMillis};
use jiff::Timestamp;

use crate::failure::Failure;

/// The longest window, in milliseconds: 400 days.
pub(crate) const MAX_RANGE_MS: i64 = 400 * 86_400_000;
/// The most buckets of a window.
pub(crate) const MAX_BUCKETS: u32 = 2_000;
const DEFAULT_BUCKETS: u32 = 600;
/// Parameters read of one request; more are refused.
const MAX_PARAMETERS: usize = 32;

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the query of `uri`.
    pub(crate) fn of(uri: &Uri) -> Result<Parameters, Failure> {
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|e| {
            Failure::new(
                crate::failure::Kind::BadRequest,
                format!("the query cannot be read: {e}"),
            )
        })?;
        if query.0.len() > MAX_PARAMETERS {
            return Err(Failure::bad_parameter("?", "one of at most 32 parameters"));
        }
        Ok(Parameters(query.0))
    }

    /// The first value of `name` that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, v)| n == name && !v.is_empty())
            .map(|(_, v)| v.as_str())
    }

    /// A whole number between `low` and `high`, or `otherwise` when it is not given.
    pub(crate) fn number(&self, name: &str, low: u32, high: u32, otherwise: u32) -> Result<u32, Failure> {
        let Some(text) = self.get(name) else {
            return Ok(otherwise);
        };
        match text.parse::<u32>() {
            Ok(n) if (low..=high).contains(&n) => Ok(n),
            _ => Err(Failure::bad_parameter(
                name,
                &format!("a whole number from {low} to {high}"),
            )),
        }
    }

    /// A finite decimal number; `None` when it is not given.
    pub(crate) fn decimal(&self, name: &str) -> Result<Option<f64>, Failure> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(Failure::bad_parameter(name, "a number, such as 8 or -17.5")),
        }
    }

    pub(crate) fn facility(&self) -> Result<Option<FacilityId>, Failure> {
        self.get("facility")
            .map(|text| id("facility", text, FacilityId::new))
            .transpose()
    }

    /// `buckets`, and the span from `from` to `to`. Without them: the last 24 hours up to `now`.
    pub(crate) fn window(&self, now: UtcMillis) -> Result<(TimeRange, u32), Failure> {
        let to = self.moment("to")?.unwrap_or(now);
        let from = self.moment("from")?.unwrap_or(to - 86_400_000);
        let range = TimeRange { from, to };
        if range.length_ms() == 0 {
            return Err(Failure::bad_parameter("from", "earlier than \"to\""));
        }
        if range.length_ms() > MAX_RANGE_MS {
            return Err(Failure::bad_parameter("from", "at most 400 days before \"to\""));
        }
        Ok((range, self.number("buckets", 1, MAX_BUCKETS, DEFAULT_BUCKETS)?))
    }

    fn moment(&self, name: &str) -> Result<Option<UtcMillis>, Failure> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let parsed = text
            .parse::<i64>()
            .ok()
            .or_else(|| text.parse::<Timestamp>().ok().map(|t| t.as_millisecond()))
            .filter(|ms| Timestamp::from_millisecond(*ms).is_ok());
        match parsed {
            Some(ms) => Ok(Some(UtcMillis(ms))),
            None => Err(Failure::bad_parameter(
                name,
                "a moment: milliseconds since 1970, or RFC 3339 such as 2026-01-31T08:00:00Z",
            )),
        }
    }
}

/// Takes `text` as an identifier; `what` names it to the visitor if it is none.
pub(crate) fn id<T>(what: &str, text: &str, parse: fn(&str) -> Result<T, IdError>) -> Result<T, Failure> {
    parse(text).map_err(|e| Failure::bad_id(what, &e))
}

/// The device of a path.
pub(crate) fn device(facility: &str, device: &str) -> Result<(FacilityId, DeviceId), Failure> {
    Ok((
        id("facility", facility, FacilityId::new)?,
        id("device", device, DeviceId::new)?,
    ))
}

/// The series of a path.
pub(crate) fn series_key(facility: &str, device_id: &str, metric: &str) -> Result<SeriesKey, Failure> {
    let (facility, device) = device(facility, device_id)?;
    Ok(SeriesKey {
        facility,
        device,
        metric: id("metric", metric, Metric::new)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(query: &str) -> Result<(TimeRange, u32), Failure> {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        Parameters::of(&uri).and_then(|p| p.window(UtcMillis(1_000_000_000_000)))
    }

    #[test]
    fn windows_are_capped() {
        let (range, buckets) = window("").unwrap();
        assert_eq!((range.length_ms(), buckets), (86_400_000, 600));
        let (range, buckets) = window("from=2001-09-09T00:00:00Z&to=1000000000000&buckets=2000").unwrap();
        assert_eq!((range.length_ms(), buckets), (6_400_000, 2_000));
        for bad in [
            "buckets=0",
            "buckets=2001",
            "buckets=x",
            "from=5&to=5",
            "from=9&to=5",
            "from=yesterday",
            "from=0&to=1000000000000",
            "to=99999999999999999",
        ] {
            assert!(window(bad).is_err(), "{bad}");
        }
    }
}
