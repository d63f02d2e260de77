//! A line on the terminal that says how far a long command is. Where there is no terminal, nothing is said.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(200);

const WIDTH: usize = 24;

/// The line, on standard error: standard output may be the result itself.
pub(crate) struct Progress {
    shown: bool,
    last: Option<Instant>,
    /// Characters of the line that stands there.
    length: usize,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress {
            shown: std::io::stderr().is_terminal(),
            last: None,
            length: 0,
        }
    }

    /// Shows `done` of `total`, and what that is.
    pub(crate) fn show(&mut self, done: u64, total: u64, what: &str) {
        if !self.shown || self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        let line = line(done, total, what);
        let length = line.chars().count();
        let blank = self.length.saturating_sub(length);
        self.length = length;
        self.write(&format!("\r{line}{:blank$}", ""));
    }

    fn write(&mut self, text: &str) {
        let mut err = std::io::stderr();
        // A terminal that is gone is no reason to stop the work.
        self.shown = err.write_all(text.as_bytes()).and_then(|()| err.flush()).is_ok();
    }
}

impl Drop for Progress {
    /// Takes the line away.
    fn drop(&mut self) {
        if self.length > 0 {
            self.write(&format!("\r{:length$}\r", "", length = self.length));
        }
    }
}

fn line(done: u64, total: u64, what: &str) -> String {
    let share = |of: u128| of * u128::from(done.min(total)) / u128::from(total.max(1));
    let full = usize::try_from(share(WIDTH as u128)).expect("no more than the width");
    let (bar, rest) = ("#".repeat(full), "-".repeat(WIDTH - full));
    format!("[{bar}{rest}] {:>3} %  {what}", share(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_and_never_overflows() {
        assert_eq!(line(0, 10, "x"), format!("[{}]   0 %  x", "-".repeat(24)));
        assert_eq!(
            line(5, 10, ""),
            format!("[{}{}]  50 %  ", "#".repeat(12), "-".repeat(12))
        );
        assert_eq!(line(u64::MAX, 3, ""), format!("[{}] 100 %  ", "#".repeat(24)));
        assert_eq!(line(0, 0, ""), format!("[{}]   0 %  ", "-".repeat(24)));
    }
}
