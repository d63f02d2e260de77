//! How cases are dealt with here: the policy, and the local time that duty follows.

use std::{fmt, sync::Arc};

use domain::{UtcMillis, case::CasePolicy};

/// How many minutes the local clocks are ahead of UTC at a moment.
type Offset = Arc<dyn Fn(UtcMillis) -> i32 + Send + Sync>;

/// How cases are dealt with. Cheap to clone. The default: the default policy, and China's time.
#[derive(Clone)]
pub struct Practice {
    /// The policy.
    pub policy: Arc<CasePolicy>,
    offset_min: Offset,
}

impl Practice {
    /// `offset_min` says how many minutes the local clocks are ahead of UTC at a moment.
    #[must_use]
    pub fn new(
        policy: CasePolicy,
        offset_min: impl Fn(UtcMillis) -> i32 + Send + Sync + 'static,
    ) -> Practice {
        Practice {
            policy: Arc::new(policy),
            offset_min: Arc::new(offset_min),
        }
    }

    /// Minutes that the local clocks are ahead of UTC at a moment.
    #[must_use]
    pub fn offset_min(&self, at: UtcMillis) -> i32 {
        (self.offset_min)(at)
    }
}

impl Default for Practice {
    fn default() -> Practice {
        Practice::new(CasePolicy::default(), |_| 480)
    }
}

impl fmt::Debug for Practice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Practice").field(&self.policy).finish()
    }
}
