//! How a channel fares: whether it rests, and how much it may carry.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use domain::{UtcMillis, message::ChannelKind};

use crate::channel::{FailureKind, SendFailure};

/// The first rest after a failure, in milliseconds; each further one doubles it, up to the longest.
const FIRST_REST_MS: i64 = 2_000;
const LONGEST_REST_MS: i64 = 300_000;

/// The first pause before a message is tried again, in milliseconds, and the longest.
const FIRST_PAUSE_MS: i64 = 5_000;
const LONGEST_PAUSE_MS: i64 = 900_000;

/// A pause is longer or shorter by up to this share, in per cent, so that what failed together does not come together.
const JITTER_PERCENT: u64 = 20;

/// No rest is longer than this, in milliseconds: one that seems so was noted before the clock was set back.
const IMPOSSIBLE_REST_MS: i64 = 7_200_000;

/// The time over which the pace of a channel is measured, in milliseconds.
const PACE_MS: i64 = 60_000;

/// One channel's state. Lost with the process: after a restart every channel is tried again at once.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Which kind of channel it is, once it was looked at.
    pub(super) kind: Option<ChannelKind>,
    busy: bool,
    failures: u32,
    rests_until: Option<UtcMillis>,
    /// When the last messages were sent, the oldest first; at most as many as a minute allows.
    sent: VecDeque<UtcMillis>,
}

impl Line {
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Whether the channel does not rest. A clock that was set back does not make the rest longer than it may be.
    pub(super) fn is_open(&self, now: UtcMillis) -> bool {
        self.rests_until
            .is_none_or(|until| until <= now || until.ms_since(now) > IMPOSSIBLE_REST_MS)
    }

    /// Milliseconds until the channel may be tried again; `None` when it does not rest.
    pub(super) fn opens_in(&self, now: UtcMillis) -> Option<i64> {
        self.rests_until
            .map(|until| until.ms_since(now))
            .filter(|ms| *ms > 0)
    }

    /// How many messages may be sent now. After a failure it is tried with one.
    pub(super) fn room(&mut self, kind: ChannelKind, now: UtcMillis) -> usize {
        while self
            .sent
            .front()
            .is_some_and(|then| now.ms_since(*then) >= PACE_MS || *then > now)
        {
            self.sent.pop_front();
        }
        if self.failures > 0 {
            return 1;
        }
        per_minute(kind).saturating_sub(self.sent.len())
    }

    pub(super) fn begin(&mut self) {
        self.busy = true;
    }

    pub(super) fn release(&mut self) {
        self.busy = false;
    }

    /// Notes what became of a turn; true when the channel begins to rest that did not rest before.
    pub(super) fn end(
        &mut self,
        name: &str,
        (sent, failure): (usize, Option<&SendFailure>),
        now: UtcMillis,
    ) -> bool {
        self.busy = false;
        self.sent.extend(std::iter::repeat_n(now, sent));
        let Some(failure) = failure else {
            self.failures = 0;
            self.rests_until = None;
            return false;
        };
        let asked = match failure.kind {
            FailureKind::Transient { after_ms } => after_ms.unwrap_or(0),
            FailureKind::Permanent => 0,
        };
        let doubled = FIRST_REST_MS << self.failures.min(10);
        let rest = jittered(doubled.min(LONGEST_REST_MS), name, self.failures).max(asked);
        self.failures = self.failures.saturating_add(1);
        self.rests_until = Some(now + rest);
        self.failures == 1
    }
}

/// How many messages a channel may carry in a minute. Robots are cut off by their vendors at 20.
const fn per_minute(kind: ChannelKind) -> usize {
    match kind {
        ChannelKind::WeCom | ChannelKind::DingTalk | ChannelKind::Telegram => 18,
        ChannelKind::Feishu | ChannelKind::Ntfy | ChannelKind::Sms | ChannelKind::Email => 60,
        ChannelKind::Webhook | ChannelKind::Mqtt => 6_000,
        // By many people's browsers: the pace is each push service's own.
        ChannelKind::Push => 1_200,
    }
}

/// How long a message waits after its `tried`-th attempt, in milliseconds.
pub(super) fn backoff_ms(tried: u32, name: &str) -> i64 {
    let doubled = FIRST_PAUSE_MS << tried.saturating_sub(1).min(10);
    jittered(doubled.min(LONGEST_PAUSE_MS), name, tried)
}

/// The same name and count give the same pause: a test sees what the product does.
fn jittered(ms: i64, name: &str, count: u32) -> i64 {
    let mut hasher = DefaultHasher::new();
    (name, count).hash(&mut hasher);
    let percent = 100 - JITTER_PERCENT + hasher.finish() % (2 * JITTER_PERCENT + 1);
    ms * i64::try_from(percent).unwrap_or(100) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: UtcMillis = UtcMillis(1_795_243_200_000);

    #[test]
    fn a_channel_that_is_down_rests_twice_as_long_each_time_and_is_tried_with_one() {
        let mut line = Line::default();
        let failure = SendFailure::transient("no answer");
        let mut now = T;
        let mut tries = 0;
        while now.ms_since(T) < 3_600_000 {
            assert!(line.is_open(now));
            let begins = line.end("c", (0, Some(&failure)), now);
            assert_eq!(begins, tries == 0, "it is logged once");
            assert_eq!(line.room(ChannelKind::Webhook, now), 1);
            now = now + line.opens_in(now).unwrap();
            tries += 1;
        }
        assert!((15..=30).contains(&tries), "{tries} tries in an hour");
        line.end("c", (1, None), now);
        assert!(line.is_open(now) && line.room(ChannelKind::Webhook, now) > 1_000);
    }

    #[test]
    fn a_robot_is_not_sent_more_than_its_vendor_takes() {
        let mut line = Line::default();
        assert_eq!(line.room(ChannelKind::WeCom, T), 18);
        line.end("c", (18, None), T);
        assert_eq!(line.room(ChannelKind::WeCom, T + 59_000), 0);
        assert_eq!(line.room(ChannelKind::WeCom, T + 60_000), 18);
    }

    #[test]
    fn what_the_other_side_asks_for_is_kept_and_pauses_differ() {
        let mut line = Line::default();
        let failure = SendFailure {
            kind: FailureKind::Transient {
                after_ms: Some(90_000),
            },
            words: "busy".into(),
        };
        line.end("c", (0, Some(&failure)), T);
        assert_eq!(line.opens_in(T), Some(90_000));
        let pauses: Vec<i64> = (0..20).map(|n| backoff_ms(3, &format!("m{n}"))).collect();
        assert!(
            pauses.iter().all(|ms| (16_000..=24_000).contains(ms)),
            "{pauses:?}"
        );
        assert!(pauses.iter().any(|ms| *ms != pauses[0]));
        assert!(backoff_ms(99, "m") <= LONGEST_PAUSE_MS * 120 / 100);
    }
}
