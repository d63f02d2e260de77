//! How often one identity may ask, as the broker asks of its connections.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::IdentityName;

/// How much may come at once.
const BURST: Duration = Duration::from_secs(1);

/// When each identity's next request would be due at the steady pace. One entry for each identity that signed in: no
/// more than there are devices.
#[derive(Debug)]
pub(super) struct Pace {
    /// Between two requests; none when everybody may ask as often as they like.
    apart: Option<Duration>,
    due: Mutex<HashMap<IdentityName, Instant>>,
}

impl Pace {
    /// So many requests a second and identity; 0 for no bound.
    pub(super) fn new(per_second: u32) -> Pace {
        Pace {
            apart: (per_second > 0).then(|| Duration::from_secs(1) / per_second),
            due: Mutex::default(),
        }
    }

    /// Counts a request at `now`; when it comes too early, says how long to wait, and does not count it.
    pub(super) fn take(&self, name: &IdentityName, now: Instant) -> Result<(), Duration> {
        let Some(apart) = self.apart else {
            return Ok(());
        };
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let at = due.entry(name.clone()).or_insert(now);
        let next = (*at).max(now);
        let ahead = next.duration_since(now);
        if ahead + apart > BURST {
            return Err(ahead + apart - BURST);
        }
        *at = next + apart;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_may_come_at_once_and_then_the_pace_holds() {
        let name = |text| IdentityName::new(text).unwrap();
        let (a, b) = (name("f/a"), name("f/b"));
        let pace = Pace::new(4);
        let start = Instant::now();
        let taken = (0..10).filter(|_| pace.take(&a, start).is_ok()).count();
        assert_eq!(taken, 4);
        assert_eq!(pace.take(&a, start), Err(Duration::from_millis(250)));
        assert_eq!(pace.take(&b, start), Ok(()), "each has a pace of its own");
        let later = start + Duration::from_millis(250);
        assert_eq!(pace.take(&a, later), Ok(()));
        assert!(pace.take(&a, later).is_err());
        let free = Pace::new(0);
        assert!((0..1_000).all(|_| free.take(&a, start).is_ok()));
    }
}
