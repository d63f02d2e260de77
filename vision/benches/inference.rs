//! What one picture costs, stage by stage, on one thread. `scripts/vision-bench.py` prints the same of Python.
//!
//! ONNX Runtime is measured where `scripts/get-onnxruntime.sh` has put it; `-- tract` measures the built-in library.

use std::{hint::black_box, path::Path, sync::Arc, time::Instant};

use camera::Frame;
use domain::{PictureBox, UtcMillis};
use models::{Catalog, Precision, Role};
use sunshine_vision::{
    decode::{Candidate, suppress},
    detector::{Detector, DetectorOptions},
    kit::Kit,
    prepare::Preparer,
    runtime::{Runtime, RuntimeOptions},
    sharpness::Sharpness,
};

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("it lies in the workspace");
    let tract = std::env::args().any(|argument| argument == "tract");
    let options = RuntimeOptions {
        library: None,
        folder: (!tract).then(|| folder.to_owned()),
    };
    let runtime = Runtime::start(&options);
    println!("{}", runtime.backend());
    let slow = runtime.backend().slow_down().is_some();
    let rounds = if slow { 20 } else { 200 };
    let catalog = Catalog::built_in();
    let portrait = portrait();
    let whole = PictureBox::WHOLE;

    preparing(&catalog, &portrait);
    for side in [320, 416, 640] {
        for (all, labels) in [("all labels", None), ("people", Some(vec![Arc::from("person")]))] {
            let options = DetectorOptions {
                side: Some(side),
                labels,
                ..DetectorOptions::default()
            };
            let mut detector = detector(&runtime, &catalog, &options);
            let name = format!("detect {side}, {all}");
            measure(&name, rounds, || detector.detect(&portrait).expect("it runs"));
        }
    }
    let began = Instant::now();
    let mut kit = Kit::open(&runtime, &catalog, &DetectorOptions::default()).expect("the built-in models");
    println!(
        "rust/{:24} {:7.0} ms once",
        "load a worker's models",
        began.elapsed().as_secs_f64() * 1e3
    );
    let found = kit.detector.detect(&portrait).expect("it runs");
    println!(
        "found {:?}",
        found.iter().map(|f| (&*f.label, f.score)).collect::<Vec<_>>()
    );
    let person = found.first().expect("the portrait is of a person").area;
    measure("without mask", rounds, || {
        kit.without_mask(&portrait, &person, &[]).expect("it runs")
    });
    let faces = kit.faces.as_mut().expect("it is built in");
    measure("face of a person", rounds, || {
        faces.face_of(&portrait, &person, &[]).expect("it runs")
    });
    let embedder = kit.embedder.as_mut().expect("it is built in");
    measure("embed", rounds, || {
        embedder.embed(&portrait, &whole).expect("it runs")
    });
}

fn detector(runtime: &Runtime, catalog: &Catalog, options: &DetectorOptions) -> Detector {
    let precision = match runtime.backend().prefers_int8() {
        true => Precision::Int8,
        false => Precision::F32,
    };
    let card = catalog
        .find(Role::PersonDetector, precision)
        .expect("it is built in");
    Detector::open(runtime, catalog, card, options).expect("it is built in")
}

fn preparing(catalog: &Catalog, portrait: &Frame) {
    let card = catalog
        .find(Role::PersonDetector, Precision::F32)
        .expect("it is built in");
    let mut preparer = Preparer::new(card.picture().expect("it takes in pictures").clone());
    let sub_stream = noise(640, 360);
    let main_stream = noise(1920, 1080);
    for (name, frame) in [
        ("prepare 512x512", portrait),
        ("prepare 640x360", &sub_stream),
        ("prepare 1920x1080", &main_stream),
    ] {
        measure(name, 200, || {
            preparer.prepare(frame, &PictureBox::WHOLE).expect("it is sound")
        });
    }
    let mut sharpness = Sharpness::default();
    measure("sharpness", 200, || {
        sharpness
            .measure(portrait, &PictureBox::WHOLE)
            .expect("it is sound")
    });
    let many: Vec<Candidate> = (0..300)
        .map(|n| {
            let at = n as f32 % 17.0 * 20.0;
            Candidate {
                class: n % 3,
                score: n as f32 / 300.0,
                edges: [at, at, at + 50.0, at + 90.0],
            }
        })
        .collect();
    measure("suppress 300", 200, || suppress(many.clone(), 0.5));
}

/// Prints the median and the least time of a call, after a few that do not count.
fn measure<T>(name: &str, rounds: usize, mut work: impl FnMut() -> T) {
    for _ in 0..3 {
        black_box(work());
    }
    let mut spans_ms: Vec<f64> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            black_box(work());
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    spans_ms.sort_by(f64::total_cmp);
    let (median, least) = (spans_ms[rounds / 2], spans_ms[0]);
    println!("rust/{name:24} median {median:7.2} ms   least {least:7.2} ms");
}

fn portrait() -> Frame {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/astronaut.png");
    let rgb = image::open(path).expect("it is in the repository").to_rgb8();
    Frame {
        at: UtcMillis(0),
        width: rgb.width(),
        height: rgb.height(),
        rgb: rgb.as_raw().as_slice().into(),
    }
}

/// A picture of anything.
fn noise(width: u32, height: u32) -> Frame {
    let bytes = 0..width * height * 3;
    Frame {
        at: UtcMillis(0),
        width,
        height,
        rgb: bytes
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect(),
    }
}
