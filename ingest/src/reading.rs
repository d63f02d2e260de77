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
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use domain::{SeriesId, status::RejectReason};

    use super::*;

    #[test]
    fn values_come_out_in_the_unit_that_is_kept() {
        use Number::{Real, Truth};
        let known = PayloadUnit::Known;
        let furlong = PayloadUnit::Unknown("furlong".into());
        let cases = [
            (
                Real(4.1),
                PayloadUnit::Unsaid,
                Unit::Celsius,
                Unit::Celsius,
                Ok(4.1),
            ),
            (
                Real(41.0),
                PayloadUnit::Unsaid,
                Unit::Fahrenheit,
                Unit::Celsius,
                Ok(5.0),
            ),
            (
                Real(5.0),
                known(Unit::Celsius),
                Unit::Fahrenheit,
                Unit::Celsius,
                Ok(5.0),
            ),
            (
                Real(0.25),
                known(Unit::Ratio),
                Unit::Percent,
                Unit::Percent,
                Ok(25.0),
            ),
            (
                Real(4.0),
                known(Unit::Ppm),
                Unit::Celsius,
                Unit::Celsius,
                Err(RejectReason::Unit),
            ),
            (
                Real(4.0),
                furlong.clone(),
                Unit::Celsius,
                Unit::Celsius,
                Err(RejectReason::Unit),
            ),
            // Nothing is known of the metric: it is kept as it comes.
            (Real(4.0), furlong, Unit::One, Unit::One, Ok(4.0)),
            (Real(4.0), known(Unit::Volt), Unit::One, Unit::One, Ok(4.0)),
            (Truth(true), PayloadUnit::Unsaid, Unit::One, Unit::One, Ok(1.0)),
            (Truth(true), PayloadUnit::Unsaid, Unit::Bool, Unit::Bool, Ok(1.0)),
            (Truth(false), PayloadUnit::Unsaid, Unit::Bool, Unit::Bool, Ok(0.0)),
            (
                Truth(true),
                PayloadUnit::Unsaid,
                Unit::Celsius,
                Unit::Celsius,
                Err(RejectReason::Unit),
            ),
            (Real(1.0), PayloadUnit::Unsaid, Unit::Bool, Unit::Bool, Ok(1.0)),
            (
                Real(2.0),
                PayloadUnit::Unsaid,
                Unit::Bool,
                Unit::Bool,
                Err(RejectReason::Value),
            ),
            (
                Real(f64::NAN),
                PayloadUnit::Unsaid,
                Unit::Watt,
                Unit::Watt,
                Err(RejectReason::Value),
            ),
            (
                Real(f64::INFINITY),
                PayloadUnit::Unsaid,
                Unit::One,
                Unit::One,
                Err(RejectReason::Value),
            ),
            // Finite as sent, not as kept.
            (
                Real(1e306),
                known(Unit::Kilowatt),
                Unit::Watt,
                Unit::Watt,
                Err(RejectReason::Value),
            ),
        ];
        for (number, unit, sent, kept, want) in cases {
            let value = Value {
                metric: None,
                number,
                unit,
                at: None,
            };
            let route = SeriesRoute {
                series: SeriesId(0),
                sent,
                kept,
            };
            let got = number_of(&value, route, || "m");
            assert_eq!(
                got.map_err(|e| e.reason()),
                want,
                "{value:?} {sent:?} -> {kept:?}"
            );
        }
    }
}
