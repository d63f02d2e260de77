//! The past: the same readings, sparser and in large payloads, with their true times.

use std::{collections::VecDeque, sync::Arc};

use domain::UtcMillis;

use crate::{
    district::District,
    model::DeviceModel,
    noise::key,
    payload::{Array, Form, Pushed, SenMlPack},
    rhythm::{HOUR, SECOND},
    schedule::SimMessage,
    script::{Scenario, Script},
};

/// The most values in one payload.
pub(crate) const VALUES_PER_PAYLOAD: usize = 200;
/// The distance of readings in the past…
const COARSE_MS: i64 = 120 * SECOND;
/// …and in the last hour before the start. It divides the coarse one, so that both share one grid.
const FINE_MS: i64 = 30 * SECOND;

/// What device `device` has to say of the time from [`Scenario::history_from`] up to `until`, in order.
/// Times lie on a grid that depends on the device alone, so publishing twice gives the same rows. A
/// message's `at` is the time of its last reading.
///
/// # Panics
/// When the district has no such device.
pub fn history(
    scenario: &Scenario,
    district: &District,
    device: usize,
    until: UtcMillis,
) -> impl Iterator<Item = SimMessage> + use<> {
    let script = Arc::new(Script::new(scenario, district));
    History::new(
        scenario,
        DeviceModel::new(scenario, district, &script, device),
        until,
    )
}

/// One device's past, as an iterator over its payloads.
#[derive(Debug)]
pub(crate) struct History {
    model: DeviceModel,
    phase_ms: i64,
    fine_from: UtcMillis,
    next_at: UtcMillis,
    until: UtcMillis,
    ready: VecDeque<SimMessage>,
}

impl History {
    pub(crate) fn new(scenario: &Scenario, model: DeviceModel, until: UtcMillis) -> History {
        let coarse_s = (COARSE_MS / SECOND).unsigned_abs();
        let phase_ms = i64::try_from(key(model.key, 2) % coarse_s).unwrap_or(0) * SECOND;
        let from = scenario.history_from.unwrap_or(until);
        let fine_from = scenario.start - HOUR;
        let mut history = History {
            model,
            phase_ms,
            fine_from,
            next_at: from - 1,
            until,
            ready: VecDeque::new(),
        };
        history.advance();
        history
    }

    /// The end of the past: where the present begins.
    pub(crate) fn until(&self) -> UtcMillis {
        self.until
    }

    /// The model, for the live part that follows.
    pub(crate) fn into_model(self) -> DeviceModel {
        self.model
    }

    fn advance(&mut self) {
        let step = if self.next_at < self.fine_from {
            COARSE_MS
        } else {
            FINE_MS
        };
        self.next_at = self.model.next_moment(self.next_at, step, self.phase_ms);
        while let Some(until) = self.model.silent_until(self.next_at) {
            self.next_at = self.model.next_moment(until, step, self.phase_ms);
        }
    }

    /// Fills `ready` with the next payload, or with one payload per metric where the form asks for it.
    fn prepare(&mut self) {
        let base = self.next_at;
        let mut last = base;
        let width = self.model.width();
        let mut pack = SenMlPack::new(base);
        let mut pushed = Pushed::default();
        let mut arrays: Vec<(String, Array)> = Vec::new();
        let mut rows = 0;
        while self.next_at < self.until && (rows + 1) * width <= VALUES_PER_PAYLOAD {
            last = self.next_at;
            let form = self.model.form;
            if form.is_foreign() {
                pushed.push(last, &self.model.measure(last));
                rows += 1;
                self.advance();
                continue;
            }
            for (n, value) in self.model.measure(last).iter().enumerate() {
                if form == Form::SenMl {
                    pack.push(last, value);
                    continue;
                }
                if arrays.len() <= n {
                    arrays.push((format!("up/{}", value.metric), Array::default()));
                }
                arrays[n].1.push(last, value.value);
            }
            rows += 1;
            self.advance();
        }
        if rows == 0 {
            return;
        }
        if self.model.form == Form::SenMl {
            self.push(last, "up", pack.finish());
        }
        if self.model.form.is_foreign() {
            self.push(last, "http/push", pushed.finish());
        }
        for (leaf, array) in arrays {
            self.push(last, &leaf, array.finish());
        }
    }

    fn push(&mut self, at: UtcMillis, leaf: &str, payload: String) {
        let topic = format!("{}{leaf}", self.model.root);
        self.ready.push_back(SimMessage {
            at,
            device: self.model.index,
            topic,
            payload: payload.into_bytes(),
        });
    }
}

impl Iterator for History {
    type Item = SimMessage;

    fn next(&mut self) -> Option<SimMessage> {
        if self.ready.is_empty() {
            self.prepare();
        }
        self.ready.pop_front()
    }
}
