use std::sync::Arc;

use domain::UtcMillis;
use proptest::prelude::*;

use super::*;

/// A frame whose pixels all differ from their neighbours.
fn noisy(width: u32, height: u32) -> Frame {
    let rgb: Vec<u8> = (0..width * height * 3)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    Frame {
        at: UtcMillis(1),
        width,
        height,
        rgb: rgb.into(),
    }
}

fn polygon(corners: &[(f32, f32)]) -> Polygon {
    Polygon::new(corners.iter().map(|&(x, y)| Spot { x, y }).collect()).unwrap()
}

fn pixel(frame: &Frame, x: u32, y: u32) -> [u8; 3] {
    let at = ((y * frame.width + x) * 3) as usize;
    frame.rgb[at..at + 3].try_into().unwrap()
}

#[test]
fn a_mask_covers_its_area_and_nothing_else() {
    let before = noisy(100, 80);
    let mut frame = before.clone();
    hide(&mut frame, &[polygon(&[(0.1, 0.1), (0.9, 0.1), (0.1, 0.9)])]);
    for (x, y, hidden) in [
        (11, 9, true),
        (30, 30, true),
        (10, 70, true),
        (88, 8, true),
        (80, 60, false),
        (5, 40, false),
        (50, 2, false),
    ] {
        let painted = pixel(&frame, x, y) == [MASK_GREY; 3];
        assert_eq!(painted, hidden, "{x} {y}");
        assert!(hidden || pixel(&frame, x, y) == pixel(&before, x, y), "{x} {y}");
    }
}

#[test]
fn pixels_that_somebody_else_holds_stay_as_they_are() {
    let mut frame = noisy(64, 64);
    let held = frame.clone();
    let alone = Arc::as_ptr(&frame.rgb);
    hide(&mut frame, &[polygon(&[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)])]);
    assert_ne!(frame.rgb, held.rgb);
    assert_eq!(held.rgb, noisy(64, 64).rgb);
    assert_eq!(alone, Arc::as_ptr(&held.rgb));
    let own = Arc::as_ptr(&frame.rgb);
    hide(&mut frame, &[polygon(&[(0.0, 0.0), (1.0, 1.0), (0.0, 1.0)])]);
    assert_eq!(
        own,
        Arc::as_ptr(&frame.rgb),
        "nobody else holds it: it is not copied"
    );
}

#[test]
fn a_blurred_face_keeps_no_detail() {
    let before = noisy(200, 200);
    let mut frame = before.clone();
    let face = PictureBox::new(0.25, 0.25, 0.75, 0.75).unwrap();
    blur_faces(&mut frame, &[face]);
    let mut steps = 0;
    for y in 40..160 {
        for x in 40..159 {
            let (a, b) = (pixel(&frame, x, y), pixel(&frame, x + 1, y));
            steps += u32::from(a.iter().zip(&b).any(|(a, b)| a.abs_diff(*b) > 8));
        }
    }
    assert_eq!(steps, 0, "neighbouring pixels are nearly alike everywhere");
    assert_eq!(pixel(&frame, 5, 5), pixel(&before, 5, 5));
    // The margin is blurred too.
    assert_ne!(pixel(&frame, 35, 100), pixel(&before, 35, 100));
}

#[test]
fn two_faces_that_differ_in_detail_only_look_the_same_when_blurred() {
    // Stripes and their opposite: the same mean everywhere, no pixel in common.
    let stripes = |phase: u32| Frame {
        at: UtcMillis(1),
        width: 160,
        height: 160,
        rgb: (0..160 * 160)
            .flat_map(|at: u32| if at % 2 == phase { [0; 3] } else { [200; 3] })
            .collect(),
    };
    let (mut one, mut other) = (stripes(0), stripes(1));
    blur_faces(&mut one, &[PictureBox::WHOLE]);
    blur_faces(&mut other, &[PictureBox::WHOLE]);
    assert_eq!(one.rgb, other.rgb);
}

#[test]
fn an_outline_is_drawn_along_its_edges() {
    let mut frame = noisy(100, 100);
    let before = frame.clone();
    let area = PictureBox::new(0.2, 0.3, 0.6, 0.7).unwrap();
    draw_boxes(&mut frame, &[(area, [255, 0, 0])]);
    for (x, y) in [(20, 30), (59, 69), (40, 31), (21, 50)] {
        assert_eq!(pixel(&frame, x, y), [255, 0, 0], "{x} {y}");
    }
    for (x, y) in [(40, 50), (10, 50), (80, 80)] {
        assert_eq!(pixel(&frame, x, y), pixel(&before, x, y), "{x} {y}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn anything_is_painted_on_any_frame(
        width in 1u32..90,
        height in 1u32..60,
        missing in 0usize..200,
        edges in proptest::array::uniform4(-0.5f32..1.5),
    ) {
        let mut frame = noisy(width, height);
        let short = frame.rgb.len().saturating_sub(missing);
        frame.rgb = frame.rgb[..short].into();
        let [left, top, right, bottom] = edges;
        if let Some(area) = PictureBox::new(left, top, right, bottom) {
            blur_faces(&mut frame, &[area]);
            draw_boxes(&mut frame, &[(area, [1, 2, 3])]);
        }
        hide(&mut frame, &[polygon(&[(0.0, 0.1), (1.0, 0.5), (0.3, 1.0)])]);
        prop_assert_eq!(frame.rgb.len(), short);
    }

    #[test]
    fn every_pixel_whose_middle_lies_in_a_mask_is_hidden(
        corners in proptest::collection::vec((0.0f32..=1.0, 0.0f32..=1.0), 3..8)
    ) {
        let corners = corners.into_iter().map(|(x, y)| Spot { x, y }).collect();
        if let Ok(area) = Polygon::new(corners) {
            let mut frame = noisy(61, 47);
            hide(&mut frame, std::slice::from_ref(&area));
            for y in 0..47 {
                for x in 0..61 {
                    let middle = Spot { x: (x as f32 + 0.5) / 61.0, y: (y as f32 + 0.5) / 47.0 };
                    prop_assert!(!area.contains(middle) || pixel(&frame, x, y) == [MASK_GREY; 3], "{x} {y}");
                }
            }
        }
    }
}
