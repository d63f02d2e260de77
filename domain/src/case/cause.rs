//! Several conditions of one cause: a facility without power loses its gateways, those lose their devices, and a
//! covered camera sees no hands. What explains what, and which case stands for all of them.

use crate::{
    id::DeviceId,
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
    /// Something runs out (a licence, a certificate, a calibration, a battery): its tiers are one trouble.
    Tier,
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
        if metric.ends_with("_days_left") || metric == "battery_low" {
            return match rule.kind {
                RuleKind::NoData { .. } => Trouble::Silence,
                RuleKind::ClockSkew { .. } => Trouble::Own,
                _ => Trouble::Tier,
            };
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
            Trouble::Tier => "tier",
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
            Trouble::Tier,
            Trouble::Own,
        ]
        .into_iter()
        .find(|trouble| trouble.code() == code)
    }

    /// Whether this trouble explains another one in the same facility that stands so `near` to it. The same kind
    /// explains its like only for silence (what fell silent together has one cause, whichever it is) and for tiers.
    const fn explains(self, other: Trouble, near: Near) -> bool {
        match self {
            // A gateway explains what hangs on it and nothing else: where that is not known, nothing is guessed.
            Trouble::Gateway if !near.hangs && !near.same_device => false,
            Trouble::Power => matches!(
                other,
                Trouble::Power | Trouble::Gateway | Trouble::CameraSilent | Trouble::Silence
            ),
            Trouble::Gateway => matches!(other, Trouble::Gateway | Trouble::CameraSilent | Trouble::Silence),
            Trouble::CameraSilent | Trouble::CameraBlind => {
                near.same_device
                    && matches!(
                        other,
                        Trouble::CameraCheck | Trouble::CameraSilent | Trouble::CameraBlind
                    )
            }
            Trouble::Silence => matches!(other, Trouble::Silence | Trouble::CameraSilent),
            Trouble::Tier => near.same_point && matches!(other, Trouble::Tier),
            Trouble::CameraCheck | Trouble::Own => false,
        }
    }

    /// The stronger cause stands for the others.
    #[must_use]
    pub const fn strength(self) -> u8 {
        match self {
            Trouble::Power => 4,
            Trouble::Gateway => 3,
            Trouble::CameraSilent | Trouble::CameraBlind => 2,
            Trouble::Silence | Trouble::Tier => 1,
            Trouble::CameraCheck | Trouble::Own => 0,
        }
    }
}

/// How near a case is to the one that may explain it.
#[derive(Debug, Clone, Copy)]
struct Near {
    same_device: bool,
    same_point: bool,
    /// Its device hangs on the other one's.
    hangs: bool,
}

/// The gateway that a device's name tells of: what stands behind a gateway is called `<gateway>.<name>`.
#[must_use]
pub fn gateway_in_name(device: &DeviceId) -> Option<DeviceId> {
    let (gateway, _) = device.as_str().split_once('.')?;
    DeviceId::new(gateway).ok()
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
    /// The gateway that its device hangs on, where that is known.
    pub gateway: Option<&'a DeviceId>,
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
/// Tiers of what runs out at one point are one trouble however far apart they begin.
/// The worse of two is never a part of the milder one.
#[must_use]
pub fn fold(stands: &Sign<'_>, new: &Sign<'_>, fold_ms: i64) -> Fold {
    if stands.point.facility != new.point.facility {
        return Fold::Apart;
    }
    let near = |cause: &Sign<'_>, other: &Sign<'_>| Near {
        same_device: cause.point.device == other.point.device,
        same_point: cause.point == other.point,
        hangs: other.gateway == Some(&cause.point.device),
    };
    let gap = new.raised_at.ms_since(stands.raised_at);
    let together = gap.abs() <= fold_ms;
    let is_tier = stands.trouble == Trouble::Tier;
    let lasting = (is_tier || stands.trouble.strength() > 1) && gap >= 0 && !stands.cleared;
    let worse = new.severity < stands.severity;
    if !worse && stands.trouble.explains(new.trouble, near(stands, new)) && (together || lasting) {
        return Fold::Into;
    }
    let stronger = worse || new.trouble.strength() > stands.trouble.strength();
    let milder = new.severity > stands.severity;
    // The next tier of what runs out comes weeks later, and takes over all the same.
    let in_time = together || (is_tier && lasting);
    if stronger && !milder && in_time && new.trouble.explains(stands.trouble, near(new, stands)) {
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
            (Gateway, Silence, &a, 10 * WINDOW, Fold::Into),
            (Gateway, Silence, &b, 1_000, Fold::Apart),
            (Silence, Gateway, &a, 60_000, Fold::Over),
            (Silence, Gateway, &b, 60_000, Fold::Apart),
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
                gateway: None,
                raised_at: UtcMillis(0),
                cleared: false,
            };
            let new = Sign {
                trouble: new,
                severity: Severity::P3,
                point: at,
                gateway: None,
                raised_at: UtcMillis(gap),
                cleared: false,
            };
            assert_eq!(fold(&stands, &new, WINDOW), want, "{stands:?} {new:?}");
        }
    }

    #[test]
    fn a_gateway_explains_what_hangs_on_it_and_nothing_else() {
        let at = |device: &str| point("f", device, "x");
        let (down, own, others) = (at("gw-1"), at("probe-1"), at("probe-2"));
        let (one, two) = (DeviceId::new("gw-1").unwrap(), DeviceId::new("gw-2").unwrap());
        let sign = |trouble, point, gateway, raised_at| Sign {
            trouble,
            severity: Severity::P3,
            point,
            gateway,
            raised_at: UtcMillis(raised_at),
            cleared: false,
        };
        let gateway = sign(Trouble::Gateway, &down, None, 0);
        let rows = [
            (&own, Some(&one), Fold::Into),
            (&others, Some(&two), Fold::Apart),
            (&others, None, Fold::Apart),
        ];
        for (point, hangs, want) in rows {
            for gap in [500, 50_000] {
                let silent = sign(Trouble::Silence, point, hangs, gap);
                assert_eq!(fold(&gateway, &silent, 1_000), want, "{point} on {hangs:?}");
            }
            // And the other way round, where the gateway is heard of last.
            let silent = sign(Trouble::Silence, point, hangs, -500);
            let over = if want == Fold::Into {
                Fold::Over
            } else {
                Fold::Apart
            };
            assert_eq!(fold(&silent, &gateway, 1_000), over, "{point} on {hangs:?}");
        }
        assert_eq!(
            gateway_in_name(&DeviceId::new("gw-1.probe").unwrap()),
            Some(one),
            "a name may tell it"
        );
        assert_eq!(gateway_in_name(&two), None);
    }

    #[test]
    fn tiers_of_what_runs_out_are_one_trouble_and_the_worse_takes_over() {
        const DAY: i64 = 86_400_000;
        let rules = pack::built_in();
        let (here, there) = (
            point("f", "record", "licence_days_left"),
            point("f", "other", "licence_days_left"),
        );
        let sign = |id: &str, point, day: i64| {
            let rule = rules.iter().find(|rule| rule.id.as_str() == id).unwrap();
            Sign {
                trouble: Trouble::of(rule, point),
                severity: rule.severity,
                point,
                gateway: None,
                raised_at: UtcMillis(day * DAY),
                cleared: false,
            }
        };
        let (sixty, thirty, seven) = (
            sign("CN-LIC-01", &here, 0),
            sign("CN-LIC-02", &here, 30),
            sign("CN-LIC-03", &here, 53),
        );
        assert_eq!(fold(&sixty, &thirty, 1_000), Fold::Over);
        assert_eq!(fold(&thirty, &seven, 1_000), Fold::Over);
        // All three at once, whichever comes first.
        let late = sign("CN-LIC-01", &here, 53);
        assert_eq!(fold(&seven, &late, 1_000), Fold::Into);
        assert_eq!(fold(&sixty, &sign("CN-LIC-02", &there, 30), 1_000), Fold::Apart);
        assert_eq!(sign("SYS-01", &here, 0).trouble, Trouble::Silence);
        let smoke = point("f", "smoke-1", "battery_low");
        let (worse, milder) = (sign("FG-SMK-02", &smoke, 0), sign("SYS-07", &smoke, 0));
        assert_eq!(fold(&milder, &worse, 1_000), Fold::Over);
        assert_eq!(fold(&worse, &milder, 1_000), Fold::Into);
    }

    #[test]
    fn a_cause_that_has_cleared_explains_nothing_that_comes_later() {
        let (here, there) = (point("f", "a", "x"), point("f", "b", "x"));
        let gateway = Sign {
            trouble: Trouble::Gateway,
            severity: Severity::P3,
            point: &here,
            gateway: None,
            raised_at: UtcMillis(0),
            cleared: true,
        };
        let silence = |at| Sign {
            trouble: Trouble::Silence,
            point: &there,
            gateway: Some(&here.device),
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
            gateway: None,
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
        fn danger_is_never_a_part_of_anything(kind in 0_usize..7, gap in -1_000_000_i64..1_000_000) {
            let all = [
                Trouble::Power, Trouble::Gateway, Trouble::CameraSilent, Trouble::CameraBlind,
                Trouble::CameraCheck, Trouble::Silence, Trouble::Tier,
            ];
            let (here, there) = (point("f", "a", "x"), point("f", "a", "smoke_alarm"));
            let cause = Sign { trouble: all[kind], severity: Severity::P0, point: &here, gateway: None, raised_at: UtcMillis(0), cleared: false };
            let danger = Sign { trouble: Trouble::Own, severity: Severity::P0, point: &there, gateway: Some(&here.device), raised_at: UtcMillis(gap), cleared: false };
            prop_assert!(fold(&cause, &danger, 900_000) == Fold::Apart);
            prop_assert_ne!(fold(&danger, &cause, 900_000), Fold::Over);
        }
    }
}
