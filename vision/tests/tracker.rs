//! Following people: what must hold at any frame rate, and for any detections.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::collections::BTreeSet;

use domain::{PictureBox, UtcMillis};
use proptest::prelude::*;
use sunshine_vision::track::{MAX_SIGHTS, MAX_TRACKS, Sight, Standing, TrackIds, TrackOptions, Tracker};

/// A person a tenth of the picture wide whose left edge is here.
fn person(left: f32, score: f32) -> Sight {
    Sight {
        score,
        area: PictureBox::new(left, 0.2, left + 0.1, 0.7).unwrap(),
    }
}

struct Stage {
    tracker: Tracker,
    ids: TrackIds,
}

impl Stage {
    fn new() -> Stage {
        Stage {
            tracker: Tracker::new(TrackOptions::default()),
            ids: TrackIds::default(),
        }
    }

    fn see(&mut self, at_ms: i64, sights: &[Sight]) -> Vec<Option<u64>> {
        self.tracker
            .update(UtcMillis(at_ms), sights, &mut self.ids)
            .to_vec()
    }
}

#[test]
fn one_person_keeps_one_track_at_any_frame_rate() {
    // Half a body's width a second up to three, which is a fast walk.
    for step_ms in [67, 200, 1_000, 2_000] {
        for speed in [0.0, 0.05, 0.15, 0.25] {
            let mut stage = Stage::new();
            for n in 0..=3_000 / step_ms {
                let at = n * step_ms;
                let said = stage.see(at, &[person(0.05 + speed * at as f32 / 1_000.0, 0.8)]);
                assert_eq!(said, [Some(1)], "{speed} a second, every {step_ms} ms, at {at}");
            }
        }
    }
}

#[test]
fn two_people_who_pass_each_other_keep_their_tracks() {
    for step_ms in [67, 250] {
        let mut stage = Stage::new();
        for n in 0..=4_000 / step_ms {
            let way = 0.15 * (n * step_ms) as f32 / 1_000.0;
            let said = stage.see(n * step_ms, &[person(0.1 + way, 0.8), person(0.7 - way, 0.8)]);
            assert_eq!(said, [Some(1), Some(2)], "every {step_ms} ms, frame {n}");
        }
    }
}

#[test]
fn somebody_hidden_for_a_while_comes_back_as_the_same_and_later_as_another() {
    for (hidden_ms, same) in [(2_000, true), (4_500, true), (5_500, false)] {
        let mut stage = Stage::new();
        for n in 0..5 {
            stage.see(n * 500, &[person(0.4, 0.8)]);
        }
        stage.see(2_500, &[]);
        assert_eq!(stage.tracker.tracks()[0].standing, Standing::Lost);
        let said = stage.see(2_000 + hidden_ms, &[person(0.42, 0.8)]);
        assert_eq!(said == [Some(1)], same, "{hidden_ms} ms: {said:?}");
    }
}

#[test]
fn an_unsure_detection_keeps_a_track_but_begins_none() {
    let mut stage = Stage::new();
    assert_eq!(stage.see(0, &[person(0.4, 0.3)]), [None]);
    stage.see(1_000, &[person(0.4, 0.8)]);
    stage.see(1_500, &[person(0.4, 0.8)]);
    assert_eq!(stage.see(2_000, &[person(0.41, 0.2)]), [Some(1)]);
    assert_eq!(
        stage.see(3_000, &[person(0.41, 0.1)]),
        [None],
        "below the lowest score"
    );
    assert_eq!(stage.see(4_000, &[person(0.41, 0.2)]), [None], "lost by then");
    assert_eq!(stage.see(5_000, &[person(0.41, 0.5)]), [Some(1)]);
}

#[test]
fn what_is_seen_once_and_never_again_is_no_track() {
    let mut stage = Stage::new();
    stage.see(0, &[person(0.4, 0.8)]);
    assert_eq!(stage.tracker.tracks()[0].standing, Standing::Tentative);
    stage.see(1_000, &[]);
    assert_eq!(stage.tracker.tracks(), []);
}

#[test]
fn a_stranger_on_the_other_side_is_another() {
    let mut stage = Stage::new();
    stage.see(0, &[person(0.05, 0.8)]);
    stage.see(1_000, &[person(0.05, 0.8)]);
    assert_eq!(stage.see(2_000, &[person(0.8, 0.8)]), [Some(2)]);
    let far_child = Sight {
        score: 0.8,
        area: PictureBox::new(0.06, 0.5, 0.09, 0.6).unwrap(),
    };
    assert_eq!(stage.see(3_000, &[far_child]), [Some(3)], "a fifth as high");
}

#[test]
fn a_clock_that_steps_back_makes_it_forget_and_a_reset_gives_no_identifier_twice() {
    let mut stage = Stage::new();
    stage.see(10_000, &[person(0.4, 0.8)]);
    stage.see(11_000, &[person(0.4, 0.8)]);
    assert_eq!(
        stage.see(10_500, &[person(0.4, 0.8)]),
        [Some(1)],
        "half a second back"
    );
    assert_eq!(stage.see(5_000, &[person(0.4, 0.8)]), [Some(2)]);
    stage.tracker.reset();
    assert_eq!(stage.see(0, &[person(0.4, 0.8)]), [Some(3)]);
}

#[test]
fn more_than_it_can_follow_is_counted() {
    let mut stage = Stage::new();
    let crowd: Vec<Sight> = (0..MAX_TRACKS + 6)
        .map(|n| person(n as f32 / 100.0, 0.8))
        .collect();
    let said = stage.see(0, &crowd);
    assert_eq!(said.iter().flatten().count(), MAX_TRACKS);
    assert_eq!(stage.tracker.turned_away(), 6);
}

fn sight() -> impl Strategy<Value = Sight> {
    let edges = (0.0_f32..0.9, 0.0_f32..0.9, 0.01_f32..0.5, 0.01_f32..0.5);
    let score = prop_oneof![8 => 0.0_f32..1.0, 1 => Just(f32::NAN)];
    (edges, score).prop_map(|((left, top, width, height), score)| Sight {
        score,
        area: PictureBox::new(left, top, left + width, top + height).unwrap(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is detected and whenever: no identifier twice, no two detections in one track, never too many.
    #[test]
    fn identifiers_are_given_once_and_each_detection_has_its_own(
        frames in prop::collection::vec(
            (-2_000_i64..8_000, prop::collection::vec(sight(), 0..MAX_SIGHTS + 20)), 1..30,
        ),
    ) {
        let mut stage = Stage::new();
        let (mut at, mut newest) = (100_000, 0);
        let mut gone = BTreeSet::new();
        for (step, sights) in frames {
            at += step;
            let before: BTreeSet<u64> = stage.tracker.tracks().iter().map(|t| t.id).collect();
            let said = stage.see(at, &sights);
            let now: BTreeSet<u64> = stage.tracker.tracks().iter().map(|t| t.id).collect();
            prop_assert_eq!(now.len(), stage.tracker.tracks().len());
            prop_assert!(now.len() <= MAX_TRACKS);
            prop_assert!(now.is_disjoint(&gone), "came back: {:?}", now);
            prop_assert!(now.difference(&before).all(|id| *id > newest));
            newest = newest.max(now.iter().max().copied().unwrap_or(0));
            gone.extend(before.difference(&now));
            let given: Vec<u64> = said.iter().flatten().copied().collect();
            let different: BTreeSet<u64> = given.iter().copied().collect();
            prop_assert_eq!(given.len(), different.len());
            prop_assert!(different.is_subset(&now));
            for (track, sight) in said.iter().zip(&sights) {
                prop_assert!(track.is_none() || sight.score >= 0.15);
            }
        }
    }

    /// The order in which a detector tells things makes no difference to who is who.
    #[test]
    fn the_order_of_detections_does_not_matter(
        frames in prop::collection::vec(prop::collection::vec(sight(), 0..8), 1..12),
        turn in 0_usize..8,
    ) {
        let (mut one, mut other) = (Stage::new(), Stage::new());
        for (n, mut sights) in frames.into_iter().enumerate() {
            // Detections of one score are told apart by their order alone.
            for (nth, sight) in sights.iter_mut().enumerate() {
                sight.score = 0.4 + nth as f32 / 100.0;
            }
            one.see(n as i64 * 500, &sights);
            let by = turn % sights.len().max(1);
            sights.rotate_left(by);
            other.see(n as i64 * 500, &sights);
            prop_assert_eq!(one.tracker.tracks(), other.tracker.tracks());
        }
    }
}
