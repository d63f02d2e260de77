//! Pictures for tests.

use camera::Frame;
use domain::UtcMillis;
use image::{
    Rgb, RgbImage,
    imageops::{FilterType, blur, overlay, resize},
};

/// A picture of `fixtures`.
pub(crate) fn picture(name: &str) -> RgbImage {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    image::open(path).unwrap().to_rgb8()
}

/// A decoded picture as a frame.
pub(crate) fn frame(rgb: &RgbImage) -> Frame {
    Frame {
        at: UtcMillis(0),
        width: rgb.width(),
        height: rgb.height(),
        rgb: rgb.as_raw().as_slice().into(),
    }
}

/// A room of one grey, 1,280 × 720, with the portrait in it: `side` points large and out of focus by `sigma` points.
pub(crate) fn room(side: u32, sigma: f32) -> Frame {
    let mut portrait = resize(&picture("astronaut.png"), side, side, FilterType::Triangle);
    if sigma > 0.0 {
        portrait = blur(&portrait, sigma);
    }
    let mut room = RgbImage::from_pixel(1280, 720, Rgb([120, 125, 118]));
    overlay(&mut room, &portrait, 300, i64::from(700 - side));
    frame(&room)
}

/// The portrait with the face covered, as of somebody who looks away.
pub(crate) fn faceless() -> Frame {
    let mut portrait = picture("astronaut.png");
    for y in 40..230 {
        for x in 150..300 {
            portrait.put_pixel(x, y, Rgb([70, 50, 40]));
        }
    }
    frame(&portrait)
}

/// A room of one grey, 1,280 × 720, with pictures at these places (left, upper edge).
pub(crate) fn furnished(pictures: &[(&RgbImage, i64, i64)]) -> RgbImage {
    let mut room = RgbImage::from_pixel(1280, 720, Rgb([120, 125, 118]));
    for (picture, left, top) in pictures {
        overlay(&mut room, *picture, *left, *top);
    }
    room
}

/// A picture of `fixtures` at another size.
pub(crate) fn scaled(name: &str, width: u32, height: u32) -> RgbImage {
    resize(&picture(name), width, height, FilterType::Triangle)
}
