//! Who may say and hear what: MQTT topic names, topic filters, and whether one filter contains another.

use domain::{Access, Identity, VendorRoot, address, profile::STANDARD};

/// The longest topic name or filter, in bytes.
const MAX_TOPIC_BYTES: usize = 1024;
/// The most levels of a topic name or filter.
const MAX_LEVELS: usize = 16;

/// Whether `topic` may be published to by anybody: not empty, no wildcard, bounded.
pub(crate) fn valid_topic(topic: &str) -> bool {
    !topic.is_empty()
        && topic.len() <= MAX_TOPIC_BYTES
        && !topic.bytes().any(|b| matches!(b, b'+' | b'#' | 0))
        && topic.bytes().filter(|b| *b == b'/').count() < MAX_LEVELS
}

/// Whether `filter` is a well-formed topic filter: `#` only as the whole last level, `+` only as a whole level.
pub(crate) fn valid_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > MAX_TOPIC_BYTES || filter.contains('\0') {
        return false;
    }
    let levels = filter.split('/').count();
    levels <= MAX_LEVELS
        && filter.split('/').enumerate().all(|(i, level)| {
            (!level.contains('#') || (level == "#" && i + 1 == levels))
                && (!level.contains('+') || level == "+")
        })
}

/// Whether `filter` selects `topic`. A wildcard at the front never selects a topic that starts with `$`.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Whether every topic that `filter` selects is also selected by `root`.
pub(crate) fn covers(root: &str, filter: &str) -> bool {
    if filter.starts_with('$') && !root.starts_with('$') {
        return false;
    }
    let (mut root, mut filter) = (root.split('/'), filter.split('/'));
    loop {
        match (root.next(), filter.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(a), Some(b)) if a == b && b != "+" && b != "#" => {}
            _ => return false,
        }
    }
}

/// What an identity may do, made ready for the question that is asked for every packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grant {
    Device {
        root: String,
        commands: String,
        /// Everything that it may subscribe to.
        filters: Vec<String>,
        /// What its maker's firmware speaks below instead.
        vendor: Option<VendorRoot>,
    },
    Service {
        publish: Vec<String>,
        subscribe: Vec<String>,
    },
}

impl Grant {
    pub(crate) fn of(identity: &Identity) -> Grant {
        match &identity.access {
            Access::Device {
                facility,
                device,
                root: vendor,
                profile,
            } => {
                let root = address::device_root(facility, device);
                let mut filters = vec![address::command_filter(facility, device)];
                // Makers' firmware hears commands beside what it says, and some of it ends when that is refused. It
                // hears nothing there but itself and what is said to it.
                if profile != STANDARD {
                    filters.push(format!("{root}#"));
                }
                filters.extend(vendor.iter().flat_map(VendorRoot::subscribe_filters));
                Grant::Device {
                    commands: format!("{root}cmd"),
                    filters,
                    vendor: vendor.clone(),
                    root,
                }
            }
            Access::Service { publish, subscribe } => Grant::Service {
                publish: publish.clone(),
                subscribe: subscribe.clone(),
            },
        }
    }

    /// Whether a message may be published to `topic`, which is valid. Nobody publishes below `$`.
    pub(crate) fn may_publish(&self, topic: &str) -> bool {
        match self {
            Grant::Device {
                root,
                commands,
                vendor,
                ..
            } => {
                let own = topic.len() > root.len() && topic.starts_with(root.as_str());
                // A device that could write its own commands could make others believe that it was told to.
                let command = topic
                    .strip_prefix(commands.as_str())
                    .is_some_and(|r| r.is_empty() || r.starts_with('/'));
                (own && !command) || vendor.as_ref().is_some_and(|vendor| vendor.may_publish(topic))
            }
            Grant::Service { publish, .. } => {
                !topic.starts_with('$') && publish.iter().any(|f| matches(f, topic))
            }
        }
    }

    /// Whether `filter`, which is valid and has no `$share` prefix, may be subscribed to.
    pub(crate) fn may_subscribe(&self, filter: &str) -> bool {
        match self {
            Grant::Device { filters, .. } => filters.iter().any(|f| covers(f, filter)),
            Grant::Service { subscribe, .. } => subscribe.iter().any(|f| covers(f, filter)),
        }
    }

    /// Whether a message on `topic` may be delivered: asked again at delivery, because rights change.
    pub(crate) fn may_see(&self, topic: &str) -> bool {
        match self {
            Grant::Device { filters, .. } => filters.iter().any(|f| matches(f, topic)),
            Grant::Service { subscribe, .. } => subscribe.iter().any(|f| matches(f, topic)),
        }
    }
}

/// Takes `$share/<group>/<filter>` apart; the group is `None` for an ordinary filter. `Err` when it starts like a
/// shared subscription but is none.
pub(crate) fn split_share(filter: &str) -> Result<(Option<&str>, &str), ()> {
    let Some(rest) = filter.strip_prefix("$share/") else {
        return if filter == "$share" {
            Err(())
        } else {
            Ok((None, filter))
        };
    };
    match rest.split_once('/') {
        Some((group, inner)) if !group.is_empty() && !group.contains(['+', '#']) && !inner.is_empty() => {
            Ok((Some(group), inner))
        }
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use domain::{DeviceId, FacilityId, IdentityName, SecretHash};
    use proptest::prelude::{Strategy, prop, proptest};

    use super::*;

    fn identity(access: Access) -> Identity {
        let name = IdentityName::new("x").unwrap();
        Identity {
            name,
            access,
            secret: SecretHash::of(b"s", [0; 16]),
            expires_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn names_and_filters_are_checked() {
        for good in ["a", "厨房/温度", "/", "a//b", "$SYS/x", " a "] {
            assert!(valid_topic(good) && valid_filter(good), "{good}");
        }
        let long = "x".repeat(MAX_TOPIC_BYTES + 1);
        let deep = "a/".repeat(MAX_LEVELS);
        for bad in ["", "a/+/b", "a/#", "a\0b", &long, &deep] {
            assert!(!valid_topic(bad), "{bad}");
        }
        for good in ["#", "+", "a/+/b", "a/#", "+/#", "厨房/+"] {
            assert!(valid_filter(good), "{good}");
        }
        for bad in ["", "a/#/b", "a#", "#a", "a+", "+a/b", "a\0b", &long, &deep] {
            assert!(!valid_filter(bad), "{bad}");
        }
    }

    #[test]
    fn filters_select_and_contain() {
        assert!(
            matches("#", "厨房/温度") && matches("a/#", "a") && matches("+/b", "a/b") && matches("+/+", "/")
        );
        assert!(
            !matches("#", "$SYS/x")
                && !matches("+/x", "$SYS/x")
                && !matches("a/+", "a")
                && !matches("a", "a/b")
        );
        for good in ["f/A/d/1/temp", "f/A/#", "f/A/+/x", "f/A"] {
            assert!(covers("f/A/#", good), "{good}");
        }
        for bad in ["f/#", "#", "f/+/d", "f/B/d", "+/A/x", "f/+/#"] {
            assert!(!covers("f/A/#", bad), "{bad}");
        }
        assert!(covers("f/+/alarm", "f/A/alarm") && !covers("f/+/alarm", "f/#") && covers("#", "f/#"));
        assert!(!covers("f/A/x", "f/A/+") && !covers("#", "$SYS/x") && covers("f/+/x", "f/+/x"));
    }

    #[test]
    fn a_device_stays_inside_its_own_root() {
        let device = Access::Device {
            facility: FacilityId::new("厨房").unwrap(),
            device: DeviceId::new("d1").unwrap(),
            profile: "standard".into(),
            root: None,
        };
        let grant = Grant::of(&identity(device));
        for good in ["up", "up/temperature", "status", "image", "cmdx", "x/cmd/y"] {
            assert!(grant.may_publish(&format!("sk/v1/厨房/d1/{good}")), "{good}");
        }
        for bad in [
            "sk/v1/厨房/d1",
            "sk/v1/厨房/d1/",
            "sk/v1/厨房/d1/cmd",
            "sk/v1/厨房/d1/cmd/open",
            "sk/v1/厨房/d2/up",
            "sk/v1/厨房/d11/up",
            "sk/v1/B/d1/up",
            "$SYS/x",
            "up",
            "sk/v1/厨房/d1x/up",
        ] {
            assert!(!grant.may_publish(bad), "{bad}");
        }
        for good in [
            "sk/v1/厨房/d1/cmd/#",
            "sk/v1/厨房/d1/cmd/open",
            "sk/v1/厨房/d1/cmd/+",
            "sk/v1/厨房/d1/cmd",
        ] {
            assert!(grant.may_subscribe(good), "{good}");
        }
        for bad in [
            "#",
            "sk/v1/厨房/d1/#",
            "sk/v1/+/d1/cmd/#",
            "sk/v1/厨房/+/cmd/x",
            "sk/v1/厨房/d1/up",
            "$SYS/#",
        ] {
            assert!(!grant.may_subscribe(bad), "{bad}");
        }
        assert!(grant.may_see("sk/v1/厨房/d1/cmd/x") && !grant.may_see("sk/v1/厨房/d2/cmd/x"));
    }

    #[test]
    fn a_vendors_root_opens_that_and_no_more() {
        let device = Access::Device {
            facility: FacilityId::new("f").unwrap(),
            device: DeviceId::new("edge").unwrap(),
            profile: "sparkplug-b".into(),
            root: Some(VendorRoot::parse("spBv1.0/g/e").unwrap()),
        };
        let grant = Grant::of(&identity(device));
        assert!(grant.may_publish("spBv1.0/g/NBIRTH/e") && grant.may_publish("sk/v1/f/edge/status"));
        for bad in ["spBv1.0/g/NCMD/e", "spBv1.0/g/NBIRTH/other", "spBv1.0/STATE/host"] {
            assert!(!grant.may_publish(bad), "{bad}");
        }
        assert!(grant.may_subscribe("sk/v1/f/edge/#") && grant.may_subscribe("sk/v1/f/edge/rpc"));
        assert!(!grant.may_subscribe("sk/v1/f/+/rpc") && !grant.may_subscribe("sk/v1/f/edge2/#"));
        for good in [
            "spBv1.0/g/NCMD/e",
            "spBv1.0/g/NCMD/e/#",
            "spBv1.0/g/DCMD/e/#",
            "spBv1.0/STATE/host",
        ] {
            assert!(grant.may_subscribe(good), "{good}");
        }
        for bad in [
            "spBv1.0/#",
            "spBv1.0/g/#",
            "spBv1.0/g/+/e",
            "spBv1.0/g/DDATA/e/#",
            "spBv1.0/g/NCMD/#",
        ] {
            assert!(!grant.may_subscribe(bad), "{bad}");
        }
        assert!(grant.may_see("spBv1.0/g/NCMD/e") && !grant.may_see("spBv1.0/g/NDATA/e"));
    }

    #[test]
    fn a_service_has_what_its_filters_contain() {
        let access = Access::Service {
            publish: vec!["z/+/set".into(), "#".into()],
            subscribe: vec!["sk/v1/A/#".into()],
        };
        let grant = Grant::of(&identity(access));
        assert!(grant.may_publish("z/1/set") && grant.may_publish("a") && !grant.may_publish("$SYS/a"));
        assert!(
            grant.may_subscribe("sk/v1/A/d/up")
                && !grant.may_subscribe("sk/v1/#")
                && !grant.may_subscribe("#")
        );
    }

    #[test]
    fn shared_filters_are_taken_apart() {
        assert_eq!(split_share("a/b"), Ok((None, "a/b")));
        assert_eq!(split_share("$share/g/a/#"), Ok((Some("g"), "a/#")));
        for bad in [
            "$share",
            "$share/g",
            "$share//a",
            "$share/g/",
            "$share/g+/a",
            "$share/#/a",
        ] {
            assert_eq!(split_share(bad), Err(()), "{bad}");
        }
    }

    fn level() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "b", "", "$x"]).prop_map(str::to_owned)
    }
    fn filter() -> impl Strategy<Value = String> {
        let any = prop::sample::select(vec!["a", "b", "", "+", "$x"]);
        (prop::collection::vec(any, 1..4), prop::bool::ANY)
            .prop_map(|(levels, hash)| levels.join("/") + if hash { "/#" } else { "" })
    }

    proptest! {
        #[test]
        fn what_is_contained_is_selected(
            root in filter(), inner in filter(), topic in prop::collection::vec(level(), 1..5)
        ) {
            let topic = topic.join("/");
            if covers(&root, &inner) && matches(&inner, &topic) {
                assert!(matches(&root, &topic), "{root} {inner} {topic}");
            }
        }
    }
}
