//! Teaching a check from a handful of pictures.

use domain::Check;
use proptest::prelude::*;
use sunshine_vision::{
    seen::{Unjudged, Verdict},
    teach::{Lesson, MAX_SAMPLES, TaughtHead, TeachError, fit},
};

const LENGTH: usize = 1_280;

fn lesson() -> Lesson {
    Lesson {
        check: Check::BinOpen,
        camera: None,
        embedder_sha256: "ab".repeat(32),
    }
}

/// Embeddings as a network gives them: positive numbers, much alike; those marked yes differ in a few numbers.
fn samples(n: usize, difference: f32, seed: u64) -> Vec<(Vec<f32>, bool)> {
    let mut state = seed;
    let mut noise = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    (0..n)
        .map(|i| {
            let yes = i % 2 == 0;
            let number = |at: usize, noise: f32| {
                let shift = if yes && at.is_multiple_of(40) {
                    difference
                } else {
                    0.0
                };
                0.3 + (at % 7) as f32 * 0.1 + noise + shift
            };
            ((0..LENGTH).map(|at| number(at, noise())).collect(), yes)
        })
        .collect()
}

fn right(head: &TaughtHead, samples: &[(Vec<f32>, bool)]) -> usize {
    let is_right = |(embedding, yes): &&(Vec<f32>, bool)| {
        matches!(
            (head.verdict(embedding), yes),
            (Verdict::Positive(_), true) | (Verdict::Negative(_), false)
        )
    };
    samples.iter().filter(is_right).count()
}

#[test]
fn what_differs_is_learnt_from_twenty_pictures_and_may_alert() {
    let head = fit(&lesson(), &samples(20, 1.0, 1)).unwrap();
    assert_eq!((head.positives, head.negatives), (10, 10));
    assert!(head.auc > 0.95, "{}", head.auc);
    assert!(head.may_alert());
    let right = right(&head, &samples(200, 1.0, 2));
    assert!(right >= 180, "{right} of 200 new ones");
    let again = fit(&lesson(), &samples(20, 1.0, 1)).unwrap();
    assert_eq!(head, again, "the same pictures give the same head");
}

#[test]
fn what_does_not_differ_cannot_be_learnt_and_may_not_alert() {
    for seed in 1..6 {
        let head = fit(&lesson(), &samples(30, 0.0, seed)).unwrap();
        assert!(head.auc < 0.8, "{seed}: {}", head.auc);
        assert!(!head.may_alert());
    }
}

#[test]
fn a_head_of_few_pictures_or_a_poor_one_may_not_alert() {
    let good = fit(&lesson(), &samples(20, 2.0, 1)).unwrap();
    for (auc, positives, negatives, may) in [
        (0.85, 5, 5, true),
        (0.849, 50, 50, false),
        (1.0, 4, 5, false),
        (f32::NAN, 10, 10, false),
    ] {
        let head = TaughtHead {
            auc,
            positives,
            negatives,
            ..good.clone()
        };
        assert_eq!(head.may_alert(), may, "{auc} {positives} {negatives}");
    }
}

#[test]
fn what_cannot_be_taught_is_refused_with_the_reason() {
    let good = samples(20, 1.0, 1);
    let few: Vec<_> = good.iter().take(9).cloned().collect();
    let mut one_sided = good.clone();
    one_sided.iter_mut().for_each(|(_, yes)| *yes = true);
    let spoilt = |spoil: fn(&mut Vec<f32>)| {
        let mut samples = good.clone();
        spoil(&mut samples[3].0);
        samples
    };
    let (none, all) = (
        TeachError::TooFew {
            positives: 5,
            negatives: 4,
        },
        MAX_SAMPLES + 1,
    );
    for (samples, why) in [
        (few, none),
        (
            one_sided,
            TeachError::TooFew {
                positives: 20,
                negatives: 0,
            },
        ),
        (spoilt(|e| e[7] = f32::NAN), TeachError::BadEmbedding(3)),
        (spoilt(|e| e[7] = f32::INFINITY), TeachError::BadEmbedding(3)),
        (spoilt(|e| e.fill(0.0)), TeachError::BadEmbedding(3)),
        (spoilt(|e| e.truncate(9)), TeachError::OtherLength(3)),
        (
            vec![(vec![], true); 10]
                .into_iter()
                .zip(0..)
                .map(|((e, _), n)| (e, n % 2 == 0))
                .collect(),
            TeachError::BadEmbedding(0),
        ),
        (
            samples(all, 1.0, 1)
                .into_iter()
                .map(|(e, yes)| (e[..4].to_vec(), yes))
                .collect(),
            TeachError::TooMany(all),
        ),
    ] {
        assert_eq!(fit(&lesson(), &samples).unwrap_err(), why);
    }
    assert_eq!(
        none.to_string(),
        "there are 5 pictures marked yes and 4 marked no; mark at least 5 of each"
    );
}

#[test]
fn a_head_answers_only_what_it_was_made_for() {
    let head = fit(&lesson(), &samples(20, 1.0, 1)).unwrap();
    let mut damaged = head.clone();
    damaged.weights[0] = f32::NAN;
    let good = &samples(2, 1.0, 3)[0].0;
    let none = Verdict::Unjudged(Unjudged::NoModel);
    assert_eq!(head.verdict(&good[..9]), none);
    assert_eq!(head.verdict(&[0.0; LENGTH]), none);
    assert_eq!(damaged.verdict(good), none);
    // Brightness of an embedding means nothing: only its direction does.
    let scaled: Vec<f32> = good.iter().map(|x| 7.0 * x).collect();
    let (Verdict::Positive(one), Verdict::Positive(other)) = (head.verdict(good), head.verdict(&scaled))
    else {
        panic!("{:?}", head.verdict(good));
    };
    assert!((one - other).abs() < 1e-5);
}

#[test]
fn a_head_can_be_kept_as_text() {
    let head = fit(&lesson(), &samples(12, 1.0, 1)).unwrap();
    let text = serde_json::to_string(&head).unwrap();
    assert_eq!(serde_json::from_str::<TaughtHead>(&text).unwrap(), head);
    let unknown = text.replacen('{', "{\"colour\":1,", 1);
    assert!(serde_json::from_str::<TaughtHead>(&unknown).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is marked, the numbers are numbers.
    #[test]
    fn any_lesson_gives_a_sound_head_or_a_reason(
        samples in prop::collection::vec((prop::collection::vec(-1e3_f32..1e3, 6), any::<bool>()), 8..40),
        copies in 0_usize..8,
    ) {
        let mut samples = samples;
        // The same picture again and again, with both marks.
        for n in 0..copies {
            let (embedding, _) = samples[0].clone();
            samples.push((embedding, n % 2 == 0));
        }
        match fit(&lesson(), &samples) {
            Ok(head) => {
                prop_assert!(head.weights.iter().all(|w| w.is_finite()) && head.bias.is_finite());
                prop_assert!((0.0..=1.0).contains(&head.threshold), "{}", head.threshold);
                prop_assert!((0.0..=1.0).contains(&head.auc), "{}", head.auc);
                let said = head.verdict(&samples[0].0);
                prop_assert!(!matches!(said, Verdict::Unjudged(_)));
            }
            Err(why) => prop_assert!(matches!(why, TeachError::TooFew { .. }), "{}", why),
        }
    }
}
