//! Several conditions of one cause: a facility without power loses its gateways, those lose their devices, and a
//! covered camera sees no hands. What explains what, and which case stands for all of them.

use crate::{
    reading::SeriesKey,
    rule::{Rule, RuleKind, Severity},
    time::UtcMillis,
};

/// The kind of trouble a case is about, as far as it matters for what explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The facility has no mains power.
    Power,
    /// A gateway says nothing or says that it is off.
    Gateway,
    /// A camera says nothing.
    CameraSilent,
    /// A camera is covered, turned away or blinded.
    CameraBlind,
    /// A check of a camera's pictures.
    CameraCheck,
    /// A device says nothing.
    Silence,
    /// Anything else: a case of its own.
    Own,
}

/// Metrics that say that the mains is gone, and that a gateway is.
const POWER_METRICS: [&str; 3] = ["mains_lost", "power_loss", "mains_power_lost"];
const GATEWAY_METRICS: [&str; 2] = ["gateway_offline", "gateway_down"];

impl Trouble {
    /// What kind of trouble a case of `rule` at `point` of `point_type` is about. The smoke detector that says nothing
    /// counts as silent too; smoke itself never does.
    #[must_use]
    pub fn of(rule: &Rule, point: &SeriesKey) -> Trouble {
        let metric = point.metric.as_str();
        let of_type = |wanted: &str| rule.point_type.as_deref() == Some(wanted);
        if POWER_METRICS.contains(&metric) {
            return Trouble::Power;
        }
        if GATEWAY_METRICS.contains(&metric) || of_type("gateway") {
            return Trouble::Gateway;
        }
        if metric == "camera_tampered" {
            return Trouble::CameraBlind;
        }
        match rule.kind {
            RuleKind::NoData { .. } if of_type("camera") => Trouble::CameraSilent,
            RuleKind::NoData { .. } => Trouble::Silence,
            _ if crate::check::Check::parse(metric).is_some() => Trouble::CameraCheck,
            _ => Trouble::Own,
        }
    }

    /// The name in the record store.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Trouble::Power => "power",
            Trouble::Gateway => "gateway",
            Trouble::CameraSilent => "camera_silent",
            Trouble::CameraBlind => "camera_blind",
            Trouble::CameraCheck => "camera_check",
            Trouble::Silence => "silence",
            Trouble::Own => "own",
        }
    }

    /// Reads [`Trouble::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<Trouble> {
        [
            Trouble::Power,
            Trouble::Gateway,
            Trouble::CameraSilent,
            Trouble::CameraBlind,
            Trouble::CameraCheck,
            Trouble::Silence,
            Trouble::Own,
        ]
        .into_iter()
        .find(|trouble| trouble.code() == code)
    }

    /// Whether this trouble, at its point, explains another one in the same facility. The same kind explains its
    /// like only for silence: what fell silent together has one cause, whichever it is.
    const fn explains(self, other: Trouble, same_device: bool) -> bool {
        match self {
            Trouble::Power => matches!(
                other,
                Trouble::Power | Trouble::Gateway | Trouble::CameraSilent | Trouble::Silence
            ),
            Trouble::Gateway => matches!(other, Trouble::Gateway | Trouble::CameraSilent | Trouble::Silence),
            Trouble::CameraSilent | Trouble::CameraBlind => {
                same_device
                    && matches!(
                        other,
                        Trouble::CameraCheck | Trouble::CameraSilent | Trouble::CameraBlind
                    )
            }
            Trouble::Silence => matches!(other, Trouble::Silence | Trouble::CameraSilent),
            Trouble::CameraCheck | Trouble::Own => false,
        }
    }

    /// The stronger cause stands for the others.
    const fn strength(self) -> u8 {
        match self {
            Trouble::Power => 4,
            Trouble::Gateway => 3,
            Trouble::CameraSilent | Trouble::CameraBlind => 2,
            Trouble::Silence => 1,
            Trouble::CameraCheck | Trouble::Own => 0,
        }
    }
}

/// A case as folding sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sign<'a> {
    /// What it is about.
    pub trouble: Trouble,
    /// How bad.
    pub severity: Severity,
    /// Where.
    pub point: &'a SeriesKey,
    /// When it was raised.
    pub raised_at: UtcMillis,
    /// Whether it has cleared.
    pub cleared: bool,
}

/// Which of two cases of one facility stands for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Neither.
    Apart,
    /// The new one is a part of the one that stands.
    Into,
    /// The one that stands is a part of the new one.
    Over,
}

/// Whether `new` and a case that `stands` open are one trouble. They have to begin within `fold_ms` of each other,
/// unless the cause that stands is power, a gateway or the camera itself: while it lasts, it explains what comes after.
/// The worse of two is never a part of the milder one.
#[must_use]
pub fn fold(stands: &Sign<'_>, new: &Sign<'_>, fold_ms: i64) -> Fold {
    if stands.point.facility != new.point.facility {
        return Fold::Apart;
    }
    let same_device = stands.point.device == new.point.device;
    let gap = new.raised_at.ms_since(stands.raised_at);
    let together = gap.abs() <= fold_ms;
    let lasting = stands.trouble.strength() > 1 && gap >= 0 && !stands.cleared;
    let worse = new.severity < stands.severity;
    if !worse && stands.trouble.explains(new.trouble, same_device) && (together || lasting) {
        return Fold::Into;
    }
    let stronger = worse || new.trouble.strength() > stands.trouble.strength();
    let milder = new.severity > stands.severity;
    if stronger && !milder && together && new.trouble.explains(stands.trouble, same_device) {
        return Fold::Over;
    }
    Fold::Apart
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_ne, proptest};

    use super::*;
    use crate::{
        id::{DeviceId, FacilityId, Metric},
        pack,
    };

    fn point(facility: &str, device: &str, metric: &str) -> SeriesKey {
        SeriesKey {
            facility: FacilityId::new(facility).unwrap(),
            device: DeviceId::new(device).unwrap(),
            metric: Metric::new(metric).unwrap(),
        }
    }

    #[test]
    fn the_packs_rules_are_the_troubles_that_they_say() {
        let rules = pack::built_in();
        let trouble = |id: &str, metric: &str| {
            let rule = rules.iter().find(|rule| rule.id.as_str() == id).unwrap();
            Trouble::of(rule, &point("f", "d", metric))
        };
        assert_eq!(trouble("SYS-01", "temperature"), Trouble::Silence);
        assert_eq!(trouble("SYS-01", "mains_lost"), Trouble::Power);
        assert_eq!(trouble("SYS-CAM-01", "camera_online"), Trouble::CameraSilent);
        assert_eq!(trouble("V-16", "camera_tampered"), Trouble::CameraBlind);
        assert_eq!(trouble("V-02", "no_mask"), Trouble::CameraCheck);
        assert_eq!(
            trouble("FG-SMK-01", "smoke_alarm"),
            Trouble::Own,
            "smoke is never explained away"
        );
        assert_eq!(trouble("SYS-SOS-01", "sos"), Trouble::Own);
    }

    #[test]
    fn the_stronger_cause_stands_for_the_others() {
        use Trouble::{CameraBlind, CameraCheck, Gateway, Own, Power, Silence};
        const WINDOW: i64 = 900_000;
        let (a, b, elsewhere) = (
            point("f", "a", "temperature"),
            point("f", "b", "temperature"),
            point("g", "a", "temperature"),
        );
        let cases = [
            (Silence, Silence, &b, 1_000, Fold::Into),
            (Silence, Silence, &b, WINDOW + 1, Fold::Apart),
            (Silence, Silence, &elsewhere, 0, Fold::Apart),
            (Gateway, Silence, &b, 10 * WINDOW, Fold::Into),
            (Silence, Gateway, &b, 60_000, Fold::Over),
            (Silence, Gateway, &b, WINDOW + 1, Fold::Apart),
            (Gateway, Power, &b, 60_000, Fold::Over),
            (Power, Gateway, &b, 60_000, Fold::Into),
            (CameraBlind, CameraCheck, &a, 3_600_000, Fold::Into),
            (CameraBlind, CameraCheck, &b, 1_000, Fold::Apart),
            (CameraCheck, CameraBlind, &a, 1_000, Fold::Over),
            (Power, Own, &b, 1_000, Fold::Apart),
            (Own, Power, &b, 1_000, Fold::Apart),
        ];
        for (stands, new, at, gap, want) in cases {
            let stands = Sign {
                trouble: stands,
                severity: Severity::P3,
                point: &a,
                raised_at: UtcMillis(0),
                cleared: false,
            };
            let new = Sign {
                trouble: new,
                severity: Severity::P3,
                point: at,
                raised_at: UtcMillis(gap),
                cleared: false,
            };
            assert_eq!(fold(&stands, &new, WINDOW), want, "{stands:?} {new:?}");
        }
    }

    #[test]
    fn a_cause_that_has_cleared_explains_nothing_that_comes_later() {
        let (here, there) = (point("f", "a", "x"), point("f", "b", "x"));
        let gateway = Sign {
            trouble: Trouble::Gateway,
            severity: Severity::P3,
            point: &here,
            raised_at: UtcMillis(0),
            cleared: true,
        };
        let silence = |at| Sign {
            trouble: Trouble::Silence,
            point: &there,
            raised_at: UtcMillis(at),
            cleared: false,
            ..gateway.clone()
        };
        assert_eq!(fold(&gateway, &silence(500), 1_000), Fold::Into);
        assert_eq!(fold(&gateway, &silence(5_000), 1_000), Fold::Apart);
    }

    #[test]
    fn the_worse_is_never_a_part_of_the_milder() {
        let here = point("f", "a", "temperature");
        let sign = |trouble, severity| Sign {
            trouble,
            severity,
            point: &here,
            raised_at: UtcMillis(0),
            cleared: false,
        };
        let (mild, bad) = (
            sign(Trouble::Silence, Severity::P3),
            sign(Trouble::Silence, Severity::P1),
        );
        assert_eq!(fold(&mild, &bad, 1), Fold::Over);
        assert_eq!(fold(&bad, &mild, 1), Fold::Into);
        let gateway = sign(Trouble::Gateway, Severity::P3);
        assert_eq!(fold(&gateway, &bad, 1), Fold::Apart);
        assert_eq!(fold(&bad, &gateway, 1), Fold::Apart);
    }

    proptest! {
        #[test]
        fn danger_is_never_a_part_of_anything(kind in 0_usize..6, gap in -1_000_000_i64..1_000_000) {
            let all = [
                Trouble::Power, Trouble::Gateway, Trouble::CameraSilent, Trouble::CameraBlind,
                Trouble::CameraCheck, Trouble::Silence,
            ];
            let (here, there) = (point("f", "a", "x"), point("f", "a", "smoke_alarm"));
            let cause = Sign { trouble: all[kind], severity: Severity::P0, point: &here, raised_at: UtcMillis(0), cleared: false };
            let danger = Sign { trouble: Trouble::Own, severity: Severity::P0, point: &there, raised_at: UtcMillis(gap), cleared: false };
            prop_assert!(fold(&cause, &danger, 900_000) == Fold::Apart);
            prop_assert_ne!(fold(&danger, &cause, 900_000), Fold::Over);
        }
    }
}
