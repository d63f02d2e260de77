//! One value to one number in the series' unit.

use domain::Unit;

use crate::{
    Number, PayloadUnit, Value,
    error::{DecodeError, echo},
    routes::SeriesRoute,
};

/// The value in the unit in which the series is kept. `name` is asked for when the value is refused.
pub(crate) fn number_of<'n>(
    value: &Value<'_>,
    route: SeriesRoute,
    name: impl Fn() -> &'n str,
) -> Result<f64, DecodeError> {
    let (number, unsaid) = match value.number {
        Number::Real(v) => (v, route.sent),
        Number::Truth(v) => (f64::from(u8::from(v)), Unit::Bool),
    };
    let sent = match &value.unit {
        PayloadUnit::Unsaid => unsaid,
        PayloadUnit::Known(unit) => *unit,
        PayloadUnit::Unknown(_) if route.kept == Unit::One => Unit::One,
        PayloadUnit::Unknown(unit) => {
            let (unit, metric) = (echo(unit), echo(name()));
            return Err(DecodeError::UnknownUnit {
                unit,
                metric,
                wanted: route.kept,
            });
        }
    };
    let kept = if sent == route.kept || route.kept == Unit::One {
        number
    } else {
        sent.convert(number, route.kept)
            .ok_or_else(|| DecodeError::WrongUnit {
                unit: sent,
                metric: echo(name()),
                wanted: route.kept,
            })?
    };
    if !kept.is_finite() {
        return Err(DecodeError::NotFinite);
    }
    if route.kept == Unit::Bool && kept != 0.0 && kept != 1.0 {
        return Err(DecodeError::NotYesOrNo { metric: echo(name()) });
    }
    let adjust = route.adjust;
    if !(adjust.least..=adjust.most).contains(&kept) {
        return Err(DecodeError::OutOfRange {
            metric: echo(name()),
            value: format!("{kept:.3}"),
            low: adjust.least.to_string(),
            high: adjust.most.to_string(),
        });
    }
    Ok(kept * adjust.scale + adjust.offset)
}

#[cfg(test)]
mod tests {
    use domain::{SeriesId, status::RejectReason};

    use super::*;
    use crate::routes::Adjust;

    /// What is sent, in the unit that is said (`""` for none); in the unit that is kept.
    fn check(sent: Unit, kept: Unit, cases: &[(Number, &'static str, Result<f64, RejectReason>)]) {
        for (number, unit, want) in cases {
            let unit = match *unit {
                "" => PayloadUnit::Unsaid,
                name => PayloadUnit::parse(name.into()),
            };
            let value = Value {
                metric: None,
                number: *number,
                unit,
                at: None,
            };
            let route = SeriesRoute {
                series: SeriesId(0),
                sent,
                kept,
                adjust: Adjust::NONE,
            };
            let got = number_of(&value, route, || "m").map_err(|e| e.reason());
            assert_eq!(got, *want, "{value:?} {sent:?} -> {kept:?}");
        }
    }

    const YES: Number = Number::Truth(true);
    const NO: Number = Number::Truth(false);

    fn real(v: f64) -> Number {
        Number::Real(v)
    }

    #[test]
    fn the_payloads_unit_comes_before_the_points() {
        check(Unit::Celsius, Unit::Celsius, &[(real(4.1), "", Ok(4.1))]);
        let cases = [
            (real(41.0), "", Ok(5.0)),
            (real(5.0), "Cel", Ok(5.0)),
            (real(273.15), "K", Ok(0.0)),
            (real(7.5), "1", Ok(7.5)),
            (real(4.0), "ppm", Err(RejectReason::Unit)),
            (real(4.0), "furlong", Err(RejectReason::Unit)),
            (YES, "", Err(RejectReason::Unit)),
        ];
        check(Unit::Fahrenheit, Unit::Celsius, &cases);
        check(
            Unit::Percent,
            Unit::Percent,
            &[(real(0.25), "/", Ok(25.0)), (real(80.0), "%EL", Ok(80.0))],
        );
    }

    #[test]
    fn what_is_not_known_is_kept_as_it_comes() {
        let cases = [
            (real(4.0), "", Ok(4.0)),
            (real(4.0), "furlong", Ok(4.0)),
            (real(4.0), "V", Ok(4.0)),
            (YES, "", Ok(1.0)),
        ];
        check(Unit::One, Unit::One, &cases);
    }

    #[test]
    fn a_yes_or_no_is_one_or_nought() {
        let cases = [
            (YES, "", Ok(1.0)),
            (NO, "", Ok(0.0)),
            (real(1.0), "", Ok(1.0)),
            (real(0.0), "1", Ok(0.0)),
            (real(2.0), "", Err(RejectReason::Value)),
            (real(0.5), "bool", Err(RejectReason::Value)),
        ];
        check(Unit::Bool, Unit::Bool, &cases);
    }

    #[test]
    fn a_number_that_is_kept_is_finite() {
        let cases = [
            (real(f64::NAN), "", Err(RejectReason::Value)),
            (real(f64::NEG_INFINITY), "", Err(RejectReason::Value)),
            // Finite as sent, not as kept.
            (real(1e306), "kW", Err(RejectReason::Value)),
        ];
        check(Unit::Watt, Unit::Watt, &cases);
    }

    #[test]
    fn a_sensor_is_corrected_within_what_it_can_measure() {
        let route = SeriesRoute {
            series: SeriesId(0),
            sent: Unit::Fahrenheit,
            kept: Unit::Celsius,
            adjust: Adjust {
                scale: 1.5,
                offset: -0.5,
                least: -55.0,
                most: 125.0,
            },
        };
        // The range is the sensor's, so it is asked before the correction, in the unit that is kept.
        let cases = [
            (41.0, Ok(7.0)),
            (257.0, Ok(187.0)),
            (258.0, Err(RejectReason::Range)),
            (-196.6, Err(RejectReason::Range)),
        ];
        for (sent, want) in cases {
            let value = Value {
                metric: None,
                number: real(sent),
                unit: PayloadUnit::Unsaid,
                at: None,
            };
            let got = number_of(&value, route, || "temperature").map_err(|e| e.reason());
            assert_eq!(got, want, "{sent}");
        }
    }
}
