//! The journal against a model of it: a list of records and a map of cursors.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u8>),
    Reopen,
    /// Cursor's number, and how far into the durable records it goes, in percent.
    Advance(u8, usize),
    Forget(u8),
    /// From which record on, in percent.
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..1500).prop_map(Step::Append),
        1 => Just(Step::Reopen),
        2 => (0..3_u8, 0..=100_usize).prop_map(|(cursor, share)| Step::Advance(cursor, share)),
        1 => (0..3_u8).prop_map(Step::Forget),
        2 => (0..100_usize).prop_map(Step::Read),
    ]
}

#[derive(Default)]
struct Model {
    records: Vec<(Receipt, Vec<u8>)>,
    cursors: BTreeMap<String, Position>,
    /// How far the lowest cursor has ever come.
    freed_to: Position,
}

impl Model {
    /// The place behind `share` percent of the records.
    fn place(&self, share: usize) -> Option<Position> {
        let index = self.records.len() * share / 100;
        index.checked_sub(1).map(|index| self.records[index].0.next)
    }

    /// Nothing that a cursor has not passed may be gone.
    fn check(&self, journal: &Journal) {
        let start = journal.start();
        let cursors: Vec<(String, Position)> = self.cursors.clone().into_iter().collect();
        assert_eq!(journal.cursors(), cursors);
        let expected: Vec<(u64, Vec<u8>)> = self
            .records
            .iter()
            .filter(|(receipt, _)| receipt.position >= start)
            .map(|(receipt, body)| (receipt.position.0, body.clone()))
            .collect();
        let freed = self.records.len() - expected.len();
        assert!(
            self.records[..freed]
                .iter()
                .all(|(receipt, _)| receipt.next <= self.freed_to)
        );
        assert!(
            self.records.is_empty() || !expected.is_empty(),
            "the newest record is kept for its time"
        );
        assert_eq!(read_from(journal, Position(0)), expected);
    }
}

fn apply(step: Step, journal: &mut Option<Journal>, model: &mut Model, dir: &Path) {
    let open_journal = journal.as_ref().expect("open between steps");
    match step {
        Step::Append(body) => {
            let receipt = append_durably(open_journal, &body);
            model.records.push((receipt, body));
        }
        Step::Reopen => {
            drop(journal.take());
            *journal = Some(open(dir));
        }
        Step::Advance(number, share) => {
            let name = format!("cursor-{number}");
            let to = model
                .place(share)
                .unwrap_or(open_journal.start())
                .max(open_journal.start());
            open_journal.advance_cursor(&name, to).unwrap();
            let position = model.cursors.entry(name).or_insert(to);
            *position = to.max(*position);
        }
        Step::Forget(number) => {
            let name = format!("cursor-{number}");
            assert_eq!(
                open_journal.remove_cursor(&name).unwrap(),
                model.cursors.remove(&name).is_some()
            );
        }
        Step::Read(share) => {
            let Some(from) = model.place(share).filter(|from| *from >= open_journal.start()) else {
                return;
            };
            let got = read_from(open_journal, from);
            let expected = model
                .records
                .iter()
                .filter(|(receipt, _)| receipt.position >= from);
            assert!(
                got.iter()
                    .map(|(position, _)| *position)
                    .eq(expected.map(|(receipt, _)| receipt.position.0))
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_agrees_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Some(open(dir.path()));
        let mut model = Model::default();
        for step in steps {
            apply(step, &mut journal, &mut model, dir.path());
            model.freed_to = model.cursors.values().min().copied().unwrap_or_default().max(model.freed_to);
        }
        model.check(journal.as_ref().unwrap());
        drop(journal.take());
        model.check(&open(dir.path()));
    }

    #[test]
    fn any_record_comes_back_as_it_went_in(
        kind: u8,
        flags: u8,
        source in "\\PC{0,60}",
        subject in "\\PC{0,200}",
        attributes in prop::collection::vec(any::<u8>(), 0..200),
        body in prop::collection::vec(any::<u8>(), 0..2000),
        time_ms: i64,
    ) {
        let envelope = Envelope { kind: Kind(kind), flags, source: &source, subject: &subject, attributes: &attributes, body: &body };
        let len = crate::format::record_bytes(&envelope).unwrap();
        let mut bytes = Vec::new();
        crate::format::push_record(&mut bytes, &envelope, time_ms, len);
        crate::format::seal(&mut bytes, 42);
        prop_assert_eq!(bytes.len(), len);
        let walk = crate::format::walk(&bytes, 42, len);
        prop_assert_eq!((walk.records, walk.bytes, walk.last_time_ms), (1, len, Some(time_ms)));
        prop_assert_eq!(crate::format::walk(&bytes, 43, len).records, 0, "another segment's seed");
        let record = crate::format::decode(&bytes, Position(9)).unwrap();
        prop_assert_eq!(record.envelope, envelope);
        prop_assert_eq!((record.time_ms, record.next), (time_ms, Position(9 + len as u64)));
    }
}
