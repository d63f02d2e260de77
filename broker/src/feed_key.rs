//! Which feed a topic travels through, and which feeds a filter must listen to.
//!
//! The router keeps a log per topic that it ever saw subscribed, for ever. So it never sees a client's topic: it
//! sees one of [`FEEDS`] fixed names. Telemetry and commands of a facility go different ways, because every device
//! listens for commands and hardly anybody to everything that a facility measures.

use std::hash::{BuildHasher, Hasher};

/// Feeds for what facilities say.
const UP: u8 = 64;
/// Feeds for what facilities are told.
const COMMANDS: u8 = 16;
/// The feed of everything, for filters that are not about one facility.
pub(crate) const ALL: u8 = UP + COMMANDS;
/// How many feeds there are.
pub(crate) const FEEDS: usize = ALL as usize + 1;

/// A feed's number, below [`FEEDS`].
pub(crate) type FeedKey = u8;

/// The name of a feed in the router.
pub(crate) fn router_topic(key: FeedKey) -> String {
    match key {
        ALL => "t/a/0".to_owned(),
        up if up < UP => format!("t/f/{up}"),
        command => format!("t/c/{}", command - UP),
    }
}

fn bucket(name: &str, buckets: u8) -> u8 {
    // Fixed seed: the same name must meet the same feed whoever asks.
    let mut hasher = foldhash::fast::FixedState::with_seed(17).build_hasher();
    hasher.write(name.as_bytes());
    u8::try_from(hasher.finish() % u64::from(buckets)).unwrap_or(0)
}

/// The one feed, besides [`ALL`], that a message on `topic` travels through.
pub(crate) fn of_topic(topic: &str) -> FeedKey {
    let mut levels = topic.split('/');
    let first = levels.next().unwrap_or_default();
    if first != "sk" || levels.next() != Some("v1") {
        return bucket(first, UP);
    }
    let Some(facility) = levels.next() else {
        return bucket(first, UP);
    };
    match levels.nth(1) {
        Some("cmd") => UP + bucket(facility, COMMANDS),
        _ => bucket(facility, UP),
    }
}

/// The feeds that together carry every message `filter` selects: [`ALL`], or one, or two.
pub(crate) fn of_filter(filter: &str) -> Vec<FeedKey> {
    let wild = |level: &str| level == "+" || level == "#";
    let mut levels = filter.split('/');
    let first = levels.next().unwrap_or_default();
    if wild(first) {
        return vec![ALL];
    }
    if first != "sk" {
        return vec![bucket(first, UP)];
    }
    match levels.next() {
        None => return vec![bucket(first, UP)],
        Some(second) if wild(second) => return vec![ALL],
        Some("v1") => {}
        Some(_) => return vec![bucket(first, UP)],
    }
    let facility = match levels.next() {
        None => return vec![bucket(first, UP)],
        Some(third) if wild(third) => return vec![ALL],
        Some(facility) => facility,
    };
    let (device, leaf) = (levels.next(), levels.next());
    let command = UP + bucket(facility, COMMANDS);
    match (device, leaf) {
        (Some("#"), _) | (Some(_), Some("+" | "#")) => vec![bucket(facility, UP), command],
        (Some(_), Some("cmd")) => vec![command],
        _ => vec![bucket(facility, UP)],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, proptest};

    use super::*;
    use crate::access::matches;

    #[test]
    fn a_device_that_waits_for_commands_hears_no_telemetry() {
        let feeds = of_filter("sk/v1/厨房/d1/cmd/#");
        assert_eq!(feeds.len(), 1);
        assert_eq!(feeds[0], of_topic("sk/v1/厨房/d1/cmd/open"));
        assert_ne!(feeds[0], of_topic("sk/v1/厨房/d1/up"));
        assert_eq!(of_filter("#"), [ALL]);
        assert_eq!(of_filter("sk/v1/厨房/#").len(), 2);
    }

    #[test]
    fn the_router_sees_few_plain_names() {
        let names: std::collections::BTreeSet<_> = (0..=ALL).map(router_topic).collect();
        assert_eq!(names.len(), FEEDS);
        assert!(names.iter().all(|n| n.is_ascii() && !n.contains(['+', '#', '$'])));
    }

    fn levels(wild: bool) -> impl Strategy<Value = String> {
        let mut any = vec!["sk", "v1", "A", "厨房", "cmd", "up", ""];
        if wild {
            any.extend(["+", "+"]);
        }
        let start = prop::sample::select(vec!["", "sk/v1/A/d/", "sk/v1/厨房/", "sk/v1/"]);
        (
            start,
            prop::collection::vec(prop::sample::select(any), 1..6),
            prop::bool::ANY,
        )
            .prop_map(move |(start, l, hash)| {
                start.to_owned() + &l.join("/") + if wild && hash { "/#" } else { "" }
            })
    }

    proptest! {
        #[test]
        fn no_selected_message_misses_its_feed(filter in levels(true), topic in levels(false)) {
            let feeds = of_filter(&filter);
            assert!(!feeds.contains(&ALL) || feeds.len() == 1);
            if matches(&filter, &topic) {
                assert!(feeds == [ALL] || feeds.contains(&of_topic(&topic)), "{filter} {topic}");
            }
        }
    }
}
