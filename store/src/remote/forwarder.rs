//! Sends lines to another server, in order, until it has every one of them or has refused it by itself.
//!
//! | the server says | what is done |
//! | --- | --- |
//! | 2xx | the next lines |
//! | 400, 422 | halved until the bad line stands alone; that one becomes a dead letter |
//! | 413 | halved, and less at a time from then on |
//! | 401, 403 | waited: the token is wrong, and somebody is told |
//! | 404 | waited: the bucket or the address is wrong, and somebody is told |
//! | 429, 5xx, anything else | waited, for as long as `Retry-After` asks |
//! | nothing | waited |
//! | nothing in time | waited, then half as many at a time |
//!
//! A line becomes a dead letter only when the server refuses it, takes a probe, and refuses it again: a server that
//! refuses everything has a fault of its own, and what it refuses waits.
//!
//! Sending the same line twice changes nothing there: a series has one value at a moment. So nothing needs to be
//! remembered of a request whose answer never came.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    Clock, FacilityId, Sample, UtcMillis,
    status::{ForwardCondition, ForwardState},
};
use rand::{SeedableRng, rngs::SmallRng};

use super::{
    Remote,
    answer::{Answer, bounded},
    line::{LineHead, Lines, facility_of, gzip},
    pace::Pace,
};
use crate::{RecordError, Records};

/// The most lines of one request.
pub const MOST_LINES: usize = 10_000;

/// Fewer lines are not sent at a time to a server that is slow: it is slow for another reason then.
const LEAST_LINES: usize = 100;

/// After a 413 or an answer that did not come in time, so many requests must succeed before more is sent at a time again.
const SMOOTH: u32 = 100;

/// Dead letters that are sent once more at a time.
const LETTERS_AT_A_TIME: u32 = 1_000;

/// How forwarding fares, for whoever asks. Cheap to clone; all clones show the same.
#[derive(Debug, Clone, Default)]
pub struct ForwardWatch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    condition: ForwardCondition,
    counts: ForwardCounts,
}

/// What was sent since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForwardCounts {
    /// Lines that the server took.
    pub lines: u64,
    /// Requests that it took.
    pub requests: u64,
    /// Requests that were tried again.
    pub retries: u64,
    /// Lines that became dead letters.
    pub letters: u64,
}

impl ForwardWatch {
    /// What is the matter now.
    #[must_use]
    pub fn condition(&self) -> ForwardCondition {
        self.seen().condition.clone()
    }

    /// What was sent.
    #[must_use]
    pub fn counts(&self) -> ForwardCounts {
        self.seen().counts
    }

    fn count(&self, add: impl FnOnce(&mut ForwardCounts)) {
        add(&mut self.seen().counts);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends lines to one server.
#[derive(Debug)]
pub struct Forwarder {
    remote: Remote,
    records: Records,
    clock: Clock,
    pace: Pace,
    watch: ForwardWatch,
    chance: SmallRng,
    /// At most so many lines at a time; fewer after a 413 or an answer that did not come in time.
    most_lines: usize,
    /// Requests that succeeded since `most_lines` last changed.
    smooth: u32,
    /// Failures in a row.
    failures: u32,
    probe: LineHead,
}

impl Forwarder {
    /// A forwarder to `remote` that keeps dead letters in `records`.
    ///
    /// # Panics
    /// Never: the probe's tags are constants that line protocol can carry.
    #[must_use]
    pub fn new(remote: Remote, records: Records, clock: Clock, pace: Pace) -> Forwarder {
        // The schema of a reading, so that whoever takes readings takes it.
        let tags = [
            ("device", "forwarder"),
            ("facility", "sunshine"),
            ("metric", "probe"),
            ("unit", "1"),
        ];
        Forwarder {
            remote,
            records,
            pace,
            watch: ForwardWatch::default(),
            // Pauses need to differ from one installation to the next, not to be a secret.
            chance: SmallRng::seed_from_u64(clock.now().0.unsigned_abs()),
            clock,
            most_lines: MOST_LINES,
            smooth: 0,
            failures: 0,
            probe: LineHead::of_tags(&tags).expect("constants that line protocol can carry"),
        }
    }

    /// How it fares.
    #[must_use]
    pub fn watch(&self) -> ForwardWatch {
        self.watch.clone()
    }

    /// Sends `lines` in their order and returns when each was taken or is a dead letter: after a day, if the server is
    /// away for a day. Dropped halfway, it has sent some of them; sending them again does no harm.
    pub async fn deliver(&mut self, lines: &Arc<Lines>) {
        // The next to be sent is the last one here.
        let mut todo: Vec<Range<usize>> = Vec::new();
        cut(&mut todo, 0..lines.len(), self.most_lines);
        // Whether the server took a probe since it refused the line that is next.
        let mut sound = false;
        while let Some(range) = todo.pop() {
            let answer = self.send(lines, range.clone()).await;
            match answer {
                Answer::Taken => {
                    sound = false;
                    self.taken(range.len());
                }
                Answer::Malformed(why) | Answer::TooLarge(why) if range.len() == 1 && sound => {
                    if self.put_away(lines.text(range.clone()), &why).await {
                        sound = false;
                    } else {
                        todo.push(range);
                    }
                }
                Answer::Malformed(why) | Answer::TooLarge(why) if range.len() == 1 => {
                    todo.push(range);
                    sound = self.takes_a_probe().await;
                    if !sound {
                        self.wait(ForwardState::Refusing, why, None).await;
                    }
                }
                Answer::TooLarge(_) => self.send_less(&mut todo, range, 1),
                Answer::Malformed(_) => halve(&mut todo, range),
                Answer::Denied(why) => {
                    todo.push(range);
                    self.wait(ForwardState::Denied, why, None).await;
                }
                Answer::NoPlace(why) => {
                    todo.push(range);
                    self.wait(ForwardState::NoPlace, why, None).await;
                }
                Answer::Busy { after, detail } => {
                    todo.push(range);
                    self.wait(ForwardState::Busy, detail, after).await;
                }
                Answer::TooSlow(why) => {
                    self.send_less(&mut todo, range, LEAST_LINES);
                    self.wait(ForwardState::Unreachable, why, None).await;
                }
                Answer::Unreachable(why) => {
                    todo.push(range);
                    self.wait(ForwardState::Unreachable, why, None).await;
                }
            }
        }
    }

    /// Sends the dead letters once more that somebody asked for. What is refused again is a dead letter again.
    ///
    /// # Errors
    /// When the records fail; nothing is lost then.
    pub async fn resend_letters(&mut self) -> Result<u64, RecordError> {
        let letters = self.records.letters_to_resend(LETTERS_AT_A_TIME).await?;
        if letters.is_empty() {
            return Ok(0);
        }
        let mut lines = Lines::default();
        for letter in &letters {
            lines.push_written(&letter.line);
        }
        self.deliver(&Arc::new(lines)).await;
        let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
        self.records.forget_letters(&ids).await?;
        Ok(ids.len() as u64)
    }

    /// Half as many lines at a time from now on, but no fewer than `least` unless there are fewer.
    fn send_less(&mut self, todo: &mut Vec<Range<usize>>, range: Range<usize>, least: usize) {
        self.most_lines = (range.len() / 2).max(least);
        self.smooth = 0;
        let waiting = std::mem::take(todo);
        for later in waiting {
            cut(todo, later, self.most_lines);
        }
        cut(todo, range, self.most_lines);
    }

    async fn send(&self, lines: &Arc<Lines>, range: Range<usize>) -> Answer {
        let lines = Arc::clone(lines);
        // Compressing ten thousand lines takes milliseconds: too long for the runtime's threads.
        match tokio::task::spawn_blocking(move || gzip(lines.text(range))).await {
            Ok(compressed) => self.remote.write(compressed).await,
            Err(e) => Answer::Unreachable(format!("lines could not be compressed: {e}")),
        }
    }

    fn taken(&mut self, lines: usize) {
        self.failures = 0;
        self.smooth += 1;
        if self.smooth >= SMOOTH && self.most_lines < MOST_LINES {
            self.most_lines = (self.most_lines * 2).min(MOST_LINES);
            self.smooth = 0;
        }
        self.condition(ForwardState::Flowing, None, None);
        self.watch.count(|counts| {
            counts.lines += lines as u64;
            counts.requests += 1;
        });
    }

    /// Makes a refused line a dead letter; false when it was not, because our records cannot be written, and the
    /// pause that this takes is over.
    async fn put_away(&mut self, line: &str, why: &str) -> bool {
        let line = line.trim_end_matches('\n');
        let facility = facility_of(line)
            .unwrap_or_else(|| FacilityId::new("sunshine").expect("a constant that is a valid identifier"));
        match self.records.put_dead_letter(&facility, line, why).await {
            Ok(()) => {
                self.failures = 0;
                self.watch.count(|counts| counts.letters += 1);
                true
            }
            Err(e) => {
                let why = bounded(&format!("a dead letter cannot be kept: {e}"));
                self.wait(ForwardState::Stuck, why, None).await;
                false
            }
        }
    }

    /// Whether the server takes a line that is certainly good.
    async fn takes_a_probe(&self) -> bool {
        let mut lines = Lines::default();
        let sample = Sample {
            at: self.clock.now(),
            value: 1.0,
        };
        // A clock beyond the year 2262 has no probe.
        lines.push(&self.probe, sample).is_ok()
            && self.remote.write(gzip(lines.text(0..1))).await == Answer::Taken
    }

    async fn wait(&mut self, state: ForwardState, detail: String, asked: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        self.watch.count(|counts| counts.retries += 1);
        let pause = self.pace.pause(self.failures, asked, &mut self.chance);
        let ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        self.condition(state, Some(detail), Some(self.clock.now() + ms));
        tokio::time::sleep(pause).await;
    }

    fn condition(&self, state: ForwardState, detail: Option<String>, again_at: Option<UtcMillis>) {
        let mut seen = self.watch.seen();
        let changed = seen.condition.state != state;
        let condition = &mut seen.condition;
        condition.state = state;
        condition.again_at = again_at;
        if changed {
            condition.since = Some(self.clock.now());
        }
        if changed && state != ForwardState::Flowing {
            // Said once, not with every attempt.
            tracing::warn!(
                state = state.code(),
                server = self.remote.name(),
                "Forwarding to the time-series server waits: {}",
                detail.as_deref().unwrap_or_default()
            );
        } else if changed {
            tracing::info!(
                server = self.remote.name(),
                "Forwarding to the time-series server flows."
            );
        }
        condition.detail = detail;
    }
}

/// Puts `range` on the pile in pieces of at most `most`, the first on top.
fn cut(todo: &mut Vec<Range<usize>>, range: Range<usize>, most: usize) {
    let most = most.max(1);
    let mut end = range.end;
    while end > range.start {
        let pieces = (end - range.start).div_ceil(most);
        let begin = range.start + (pieces - 1) * most;
        todo.push(begin..end);
        end = begin;
    }
}

/// Puts both halves on the pile, the first on top.
fn halve(todo: &mut Vec<Range<usize>>, range: Range<usize>) {
    let middle = range.start + range.len() / 2;
    todo.push(middle..range.end);
    todo.push(range.start..middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_and_in_order() {
        for (len, most) in [(0, 3), (1, 3), (3, 3), (4, 3), (10, 3), (5, 0)] {
            let mut todo = Vec::new();
            cut(&mut todo, 7..7 + len, most);
            let mut at = 7;
            while let Some(piece) = todo.pop() {
                assert!(piece.start == at && piece.len() <= most.max(1) && !piece.is_empty());
                at = piece.end;
            }
            assert_eq!(at, 7 + len);
        }
        let mut todo = vec![];
        halve(&mut todo, 0..5);
        assert_eq!(todo, [2..5, 0..2]);
    }
}
