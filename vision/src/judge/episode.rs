//! Episodes: from the moment a check holds to the moment it no longer does, told once.

use domain::UtcMillis;

/// A step of an episode that must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It begins, and has held since this moment.
    Began(UtcMillis),
    /// It ends, and had held since this moment.
    Ended(UtcMillis),
}

/// One check in one zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Episode {
    re_alarm_ms: i64,
    clear_ms: i64,
    /// When the latest one was told: the next one waits for the re-alarm interval.
    last_told: Option<UtcMillis>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Quiet,
    Running {
        since: UtcMillis,
        told: bool,
        /// The last moment at which it held.
        held: UtcMillis,
    },
}

impl Episode {
    /// `clear_ms`: for how long it must not hold before it is over.
    pub(super) fn new(re_alarm_ms: i64, clear_ms: i64) -> Episode {
        Episode {
            re_alarm_ms,
            clear_ms,
            last_told: None,
            state: State::Quiet,
        }
    }

    /// Whether it was told that it runs.
    pub(super) fn is_told(&self) -> bool {
        matches!(self.state, State::Running { told: true, .. })
    }

    /// Takes in whether the check holds at `at`, and since when. One that begins again within the re-alarm interval
    /// of the last telling is folded into it until the interval is over.
    pub(super) fn step(&mut self, at: UtcMillis, holds: Option<UtcMillis>) -> Option<Told> {
        match (self.state, holds) {
            (State::Quiet, None) => None,
            (State::Quiet, Some(since)) => self.run(at, since, false),
            (State::Running { since, told, .. }, Some(_)) => self.run(at, since, told),
            (State::Running { since, told, held }, None) => {
                if at.ms_since(held) < self.clear_ms {
                    return None;
                }
                self.state = State::Quiet;
                told.then_some(Told::Ended(since))
            }
        }
    }

    fn run(&mut self, at: UtcMillis, since: UtcMillis, told: bool) -> Option<Told> {
        let due = self
            .last_told
            .is_none_or(|last| at.ms_since(last) >= self.re_alarm_ms);
        let tell = !told && due;
        if tell {
            self.last_told = Some(at);
        }
        self.state = State::Running {
            since,
            told: told || tell,
            held: at,
        };
        tell.then_some(Told::Began(since))
    }

    /// What was known is void; a running episode that was told ends.
    pub(super) fn reset(&mut self) -> Option<Told> {
        let ended = match self.state {
            State::Running {
                since, told: true, ..
            } => Some(Told::Ended(since)),
            State::Running { .. } | State::Quiet => None,
        };
        self.state = State::Quiet;
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told at each second, for a check that holds in the seconds marked `#`.
    fn told(pattern: &str, re_alarm_s: i64, clear_s: i64) -> String {
        let mut episode = Episode::new(re_alarm_s * 1_000, clear_s * 1_000);
        pattern
            .chars()
            .zip(0..)
            .map(|(mark, second)| {
                let at = UtcMillis(second * 1_000);
                match episode.step(at, (mark == '#').then_some(at)) {
                    Some(Told::Began(_)) => 'B',
                    Some(Told::Ended(_)) => 'E',
                    None => '.',
                }
            })
            .collect()
    }

    #[test]
    fn an_episode_is_told_once_and_not_again_too_soon() {
        let cases = [
            ("..###..", 10, 2, "..B...E"),
            // A gap shorter than the clear time ends nothing.
            ("##.##...", 10, 2, "B.....E."),
            // A second one within the re-alarm interval is folded.
            ("#..#...........", 10, 2, "B.E............"),
            // It is told when the interval is over and it still holds.
            ("#..#########...", 10, 2, "B.E.......B..E."),
            ("............", 10, 2, "............"),
        ];
        for (pattern, re_alarm, clear, want) in cases {
            assert_eq!(told(pattern, re_alarm, clear), want, "{pattern}");
        }
    }

    #[test]
    fn a_reset_ends_what_was_told() {
        let mut episode = Episode::new(1_000, 1_000);
        assert_eq!(episode.reset(), None);
        episode.step(UtcMillis(5), Some(UtcMillis(1)));
        assert_eq!(episode.reset(), Some(Told::Ended(UtcMillis(1))));
        assert_eq!(episode.reset(), None);
    }
}
