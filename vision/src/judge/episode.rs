//! Episodes: a check holds from here to there. One at a time for each check and zone.

use domain::{UtcMillis, observation::Tally};

/// What is sure at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Held {
    /// Since when it holds.
    pub(super) since: UtcMillis,
    /// How sure, 0 to 1.
    pub(super) score: f32,
    /// The looks behind it so far.
    pub(super) tally: Tally,
}

/// When an episode ends, and when the next may be told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// It ends when nothing is sure for so long, in milliseconds.
    pub(super) clear_ms: i64,
    /// So long after a camera was connected anew, or its light changed, nothing ends: what was sure has to be shown
    /// again first. In milliseconds.
    pub(super) grace_ms: i64,
    /// The least time between the beginnings of two that are told, in milliseconds.
    pub(super) re_alarm_ms: i64,
}

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    Began(Held),
    Ended(Held),
    /// One ended that was never told, because the last one was too short a time ago.
    Folded,
}

/// The episode that runs, if one does.
///
/// One that begins too soon after the last one that was told is held back. If it still runs when the interval is over,
/// it is told then; if not, it is folded into the last one.
#[derive(Debug, Clone, Default)]
pub(super) struct Episode {
    running: Option<Running>,
}

#[derive(Debug, Clone)]
struct Running {
    held: Held,
    last_sure: UtcMillis,
    told: bool,
    begin_anew: bool,
}

impl Episode {
    /// Takes in what is sure `at` a moment. `last_told` is when the last episode of this check was told, in whichever
    /// zone.
    pub(super) fn step(
        &mut self,
        at: UtcMillis,
        held: Option<Held>,
        pace: Pace,
        last_told: &mut Option<UtcMillis>,
    ) -> Option<Change> {
        let Some(running) = &mut self.running else {
            let running = self.running.insert(Running {
                held: held?,
                last_sure: at,
                told: false,
                begin_anew: false,
            });
            return running.tell(at, pace, last_told);
        };
        if std::mem::take(&mut running.begin_anew) {
            running.last_sure = at + pace.grace_ms;
        }
        if let Some(held) = held {
            running.last_sure = running.last_sure.max(at);
            running.held.score = held.score;
            return running.tell(at, pace, last_told);
        }
        if at.ms_since(running.last_sure) < pace.clear_ms {
            return None;
        }
        let ended = self.running.take()?;
        Some(if ended.told {
            Change::Ended(ended.held)
        } else {
            Change::Folded
        })
    }

    /// Adds looks to the episode that runs.
    pub(super) fn add(&mut self, looks: Tally) {
        if let Some(Running { held, .. }) = &mut self.running {
            held.tally.judged = held.tally.judged.saturating_add(looks.judged);
            held.tally.positive = held.tally.positive.saturating_add(looks.positive);
            held.tally.unjudged = held.tally.unjudged.saturating_add(looks.unjudged);
        }
    }

    /// Whether one runs that was told.
    pub(super) fn is_told(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.told)
    }

    /// What is sure will have to be shown again: until then nothing ends.
    pub(super) fn begin_anew(&mut self) {
        if let Some(running) = &mut self.running {
            running.begin_anew = true;
        }
    }

    /// The clock stepped back to `at`: nothing was later.
    pub(super) fn clock_stepped_back(&mut self, at: UtcMillis) {
        if let Some(running) = &mut self.running {
            running.held.since = running.held.since.min(at);
            running.last_sure = running.last_sure.min(at);
        }
    }
}

impl Running {
    fn tell(&mut self, at: UtcMillis, pace: Pace, last_told: &mut Option<UtcMillis>) -> Option<Change> {
        let too_soon = last_told.is_some_and(|last| at.ms_since(last) < pace.re_alarm_ms);
        if self.told || too_soon {
            return None;
        }
        self.told = true;
        *last_told = Some(at);
        Some(Change::Began(self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        clear_ms: 3_000,
        grace_ms: 5_000,
        re_alarm_ms: 20_000,
    };

    /// A second each: `#` sure, `.` not, `r` not and begun anew. Returns what was told, by second.
    fn play(story: &str) -> Vec<(usize, &'static str)> {
        let (mut episode, mut last_told) = (Episode::default(), None);
        let mut told = Vec::new();
        for (second, state) in story.chars().enumerate() {
            if state == 'r' {
                episode.begin_anew();
            }
            let at = UtcMillis(second as i64 * 1_000);
            let held = (state == '#').then_some(Held {
                since: at,
                score: 0.5,
                tally: Tally::default(),
            });
            match episode.step(at, held, PACE, &mut last_told) {
                Some(Change::Began(_)) => told.push((second, "began")),
                Some(Change::Ended(_)) => told.push((second, "ended")),
                Some(Change::Folded) => told.push((second, "folded")),
                None => {}
            }
        }
        told
    }

    #[test]
    fn an_episode_begins_once_and_ends_once() {
        assert_eq!(play(".##.#..##....."), [(1, "began"), (11, "ended")]);
        assert_eq!(play("##"), [(0, "began")]);
    }

    #[test]
    fn one_that_comes_too_soon_is_folded_or_told_later() {
        assert_eq!(play("#....##....."), [(0, "began"), (3, "ended"), (9, "folded")]);
        let long = format!("#....{}....", "#".repeat(18));
        assert_eq!(
            play(&long),
            [(0, "began"), (3, "ended"), (20, "began"), (25, "ended")]
        );
    }

    #[test]
    fn after_a_new_beginning_nothing_ends_until_it_could_be_shown_again() {
        assert_eq!(play("#r.........."), [(0, "began"), (9, "ended")]);
        assert_eq!(play("#r....##..."), [(0, "began"), (10, "ended")]);
    }
}
