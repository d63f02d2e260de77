//! The rooms that the cameras look into, drawn once: everything but people, animals and flames.
//!
//! Depth says who is hidden by what: 0 for walls and what stands at them, 2 for the furniture at which people of
//! rank 1 stand or sit, 4 for that of rank 3.

use crate::{
    cameras::{
        canvas::{Canvas, Colour, HEIGHT, WIDTH, between, lit},
        picture::Picture,
    },
    noise::{key, unit},
};

/// What a camera looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Backdrop {
    /// Stove, hood, fridge, bin.
    HotKitchen,
    /// The special room for cold dishes.
    SpecialRoom,
    /// Two rows of tables.
    Dining,
    /// Shelves; at night.
    Store,
    /// Glass door and reception.
    Entrance,
    /// The serving line.
    Serving,
}

/// Where a stove's flames stand in [`Backdrop::HotKitchen`], in pixels.
pub(crate) const BURNERS: [(i32, i32); 2] = [(110, 268), (196, 268)];

const STEEL: Colour = [176.0, 182.0, 186.0];
const DARK: Colour = [44.0, 46.0, 50.0];
const WOOD: Colour = [150.0, 108.0, 68.0];

/// A painted room.
#[derive(Debug)]
pub(crate) struct Painted {
    pub(crate) picture: Picture,
    /// Per pixel.
    pub(crate) depth: Vec<u8>,
}

impl Backdrop {
    /// Whether its lamps are off and the camera sees by infrared light.
    pub(crate) fn is_dark(self) -> bool {
        self == Backdrop::Store
    }

    pub(crate) fn paint(self) -> Painted {
        let mut canvas = Canvas::new();
        match self {
            Backdrop::HotKitchen => hot_kitchen(&mut canvas),
            Backdrop::SpecialRoom => special_room(&mut canvas),
            Backdrop::Dining => dining(&mut canvas),
            Backdrop::Store => store(&mut canvas),
            Backdrop::Entrance => entrance(&mut canvas),
            Backdrop::Serving => serving(&mut canvas),
        }
        soften(&mut canvas);
        let (colours, depth) = canvas.finish();
        let picture = Picture::of(&colours);
        let picture = if self.is_dark() {
            picture.at_night()
        } else {
            picture
        };
        Painted { picture, depth }
    }
}

/// The light of ceiling lamps: brighter above the middle, darker in the corners.
fn soften(canvas: &mut Canvas) {
    canvas.tint(|x, y, colour| {
        let (x, y) = (x / WIDTH as f32 - 0.5, y / HEIGHT as f32 - 0.3);
        lit(colour, 1.08 - 0.5 * (x * x + y * y))
    });
}

fn plain(colour: Colour) -> impl Fn(f32, f32, Colour) -> Colour {
    move |_, _, _| colour
}

/// From `top` to `bottom`, between the heights `from` and `until`.
fn shaded(top: Colour, bottom: Colour, (from, until): (f32, f32)) -> impl Fn(f32, f32, Colour) -> Colour {
    move |_, y, _| between(top, bottom, (y - from) / (until - from))
}

/// Brushed steel: fine streaks and a soft reflection.
fn steel(light: f32) -> impl Fn(f32, f32, Colour) -> Colour {
    move |x, y, _| {
        let streak = grain(x / 23.0, y * 2.0) * 0.05;
        let reflection = 0.06 * (x / 47.0).sin() + 0.04 * (x / 19.0 + y / 31.0).sin();
        lit(STEEL, light * (0.95 + streak + reflection))
    }
}

/// Square tiles with joints, each a little different.
fn tiles(colour: Colour, size: f32) -> impl Fn(f32, f32, Colour) -> Colour {
    move |x, y, _| {
        let (inside_x, inside_y) = (x.rem_euclid(size), y.rem_euclid(size));
        let joint = inside_x < 1.5 || inside_y < 1.5;
        let own = grain((x / size).floor(), (y / size).floor()) * 0.05;
        let gloss = 0.05 * (1.0 - inside_y / size);
        lit(colour, if joint { 0.8 } else { 0.95 + own + gloss })
    }
}

/// A fixed chance, 0 to 1, of the place's whole numbers.
#[expect(
    clippy::cast_possible_truncation,
    reason = "places lie within a few thousand pixels"
)]
fn grain(x: f32, y: f32) -> f32 {
    let place = key(
        (x.floor() as i64).cast_unsigned(),
        (y.floor() as i64).cast_unsigned(),
    );
    unit(place) as f32
}

fn ceiling(canvas: &mut Canvas) {
    canvas.block([0.0, 0.0, 640.0, 20.0], 0, plain([206.0, 208.0, 206.0]));
    for left in [90.0, 290.0, 490.0] {
        canvas.block([left, 4.0, left + 80.0, 13.0], 0, plain([250.0, 250.0, 240.0]));
    }
}

/// A worktop over the picture's width between `left` and `right`: its top from `y` on, its front below.
fn worktop(canvas: &mut Canvas, (left, right): (f32, f32), y: f32, depth: u8) {
    canvas.block([left, y, right, y + 30.0], depth, steel(1.12));
    canvas.block([left, y + 30.0, right, y + 35.0], depth, steel(0.75));
    canvas.block([left, y + 35.0, right, 360.0], depth, steel(0.82));
    let mut seam = left + 120.0;
    while seam < right {
        canvas.block([seam, y + 36.0, seam + 2.0, 360.0], depth, steel(0.55));
        canvas.block([seam - 70.0, y + 46.0, seam - 40.0, y + 50.0], depth, steel(0.5));
        seam += 120.0;
    }
}

/// A tray with food of `colour`, seen from above at a slant.
fn tray(canvas: &mut Canvas, (x, y): (f32, f32), wide: f32, colour: Colour) {
    let rim = [
        (x, y),
        (x + wide, y),
        (x + wide + 6.0, y + 20.0),
        (x - 6.0, y + 20.0),
    ];
    canvas.fill(&rim, 2, steel(0.9));
    let inside = [
        (x + 3.0, y + 3.0),
        (x + wide - 3.0, y + 3.0),
        (x + wide + 2.0, y + 17.0),
        (x - 2.0, y + 17.0),
    ];
    canvas.fill(&inside, 2, move |x, y, _| {
        lit(colour, 0.8 + 0.4 * grain(x / 3.0, y / 2.0))
    });
}

fn hot_kitchen(canvas: &mut Canvas) {
    canvas.block([0.0, 0.0, 640.0, 262.0], 0, tiles([146.0, 160.0, 150.0], 26.0));
    ceiling(canvas);
    canvas.block([0.0, 240.0, 640.0, 360.0], 0, tiles([122.0, 112.0, 100.0], 38.0));
    let hood = [(24.0, 62.0), (64.0, 20.0), (258.0, 20.0), (298.0, 62.0)];
    canvas.fill(&hood, 0, steel(0.92));
    canvas.block([20.0, 62.0, 302.0, 78.0], 0, steel(1.05));
    canvas.block([24.0, 78.0, 298.0, 82.0], 0, plain([90.0, 92.0, 94.0]));
    // A shelf with pots.
    canvas.block([318.0, 128.0, 446.0, 134.0], 0, steel(0.95));
    for (left, top, wide) in [(324.0, 100.0, 34.0), (366.0, 92.0, 30.0), (404.0, 106.0, 36.0)] {
        canvas.block([left, top, left + wide, 128.0], 0, steel(0.7));
        canvas.block([left - 3.0, top - 4.0, left + wide + 3.0, top], 0, steel(0.5));
    }
    door(canvas, [462.0, 58.0, 540.0, 250.0], [120.0, 132.0, 140.0]);
    fridge(canvas);
    bin(canvas);
    worktop(canvas, (0.0, 476.0), 262.0, 2);
    // The stove, let into the worktop.
    canvas.block([62.0, 262.0, 246.0, 290.0], 2, plain(DARK));
    for (x, y) in BURNERS {
        let (x, y) = (x as f32, y as f32 + 8.0);
        canvas.round((x, y), (34.0, 9.0), 2, plain([28.0, 28.0, 30.0]));
        canvas.round((x, y), (20.0, 5.0), 2, plain([74.0, 74.0, 78.0]));
    }
    for knob in [84.0, 124.0, 164.0, 204.0] {
        canvas.round((knob, 316.0), (7.0, 7.0), 2, plain([60.0, 60.0, 62.0]));
    }
    // A cutting board with greens, and a tray.
    canvas.block([276.0, 268.0, 362.0, 286.0], 2, plain(WOOD));
    for leaf in [296.0, 316.0, 334.0] {
        canvas.round((leaf, 275.0), (11.0, 5.0), 2, plain([78.0, 132.0, 62.0]));
    }
    tray(canvas, (384.0, 267.0), 66.0, [190.0, 120.0, 60.0]);
}

fn door(canvas: &mut Canvas, area: [f32; 4], colour: Colour) {
    let [left, top, right, bottom] = area;
    canvas.block(
        [left - 6.0, top - 6.0, right + 6.0, bottom],
        0,
        plain([98.0, 98.0, 96.0]),
    );
    canvas.block(
        area,
        0,
        shaded(lit(colour, 1.1), lit(colour, 0.85), (top, bottom)),
    );
    let pane = [left + 20.0, top + 20.0, right - 20.0, top + 66.0];
    canvas.block(pane, 0, plain([186.0, 200.0, 206.0]));
    canvas.round(
        (right - 10.0, (top + bottom) / 2.0),
        (4.0, 4.0),
        0,
        plain([210.0, 206.0, 190.0]),
    );
}

fn fridge(canvas: &mut Canvas) {
    canvas.block([556.0, 46.0, 640.0, 270.0], 0, steel(1.0));
    canvas.block([556.0, 150.0, 640.0, 154.0], 0, steel(0.5));
    canvas.block([566.0, 96.0, 571.0, 140.0], 0, steel(0.55));
    canvas.block([566.0, 164.0, 571.0, 208.0], 0, steel(0.55));
    canvas.block([600.0, 58.0, 630.0, 70.0], 0, plain([20.0, 30.0, 34.0]));
    canvas.block([606.0, 62.0, 622.0, 66.0], 0, plain([60.0, 220.0, 120.0]));
}

/// A bin with its lid on.
fn bin(canvas: &mut Canvas) {
    canvas.round((560.0, 338.0), (44.0, 9.0), 2, plain([70.0, 64.0, 58.0]));
    let body = [(526.0, 262.0), (594.0, 262.0), (588.0, 338.0), (532.0, 338.0)];
    canvas.fill(&body, 2, |x, _, _| {
        lit([74.0, 92.0, 80.0], 1.15 - (x - 526.0) / 150.0)
    });
    canvas.round((560.0, 260.0), (38.0, 10.0), 2, plain([58.0, 74.0, 64.0]));
    canvas.round((560.0, 256.0), (38.0, 10.0), 2, plain([88.0, 108.0, 94.0]));
    canvas.round((560.0, 252.0), (8.0, 4.0), 2, plain([58.0, 74.0, 64.0]));
}

fn special_room(canvas: &mut Canvas) {
    canvas.block([0.0, 0.0, 640.0, 270.0], 0, tiles([142.0, 156.0, 168.0], 32.0));
    ceiling(canvas);
    // The hatch to the serving line, the air conditioner, the ultraviolet lamp.
    canvas.block([388.0, 62.0, 572.0, 168.0], 0, steel(0.8));
    canvas.block(
        [396.0, 70.0, 564.0, 160.0],
        0,
        shaded([196.0, 210.0, 214.0], [150.0, 166.0, 172.0], (70.0, 160.0)),
    );
    canvas.block([478.0, 70.0, 483.0, 160.0], 0, steel(0.8));
    canvas.block([40.0, 34.0, 190.0, 74.0], 0, plain([214.0, 214.0, 210.0]));
    canvas.block([48.0, 62.0, 182.0, 68.0], 0, plain([120.0, 122.0, 122.0]));
    canvas.block([240.0, 30.0, 350.0, 35.0], 0, plain([196.0, 190.0, 226.0]));
    // A wash basin with its mirror.
    canvas.block([586.0, 100.0, 634.0, 160.0], 0, plain([184.0, 196.0, 198.0]));
    canvas.block([578.0, 196.0, 640.0, 216.0], 0, steel(1.1));
    canvas.block([604.0, 172.0, 609.0, 198.0], 0, steel(0.7));
    worktop(canvas, (0.0, 640.0), 266.0, 2);
    let dishes = [
        (30.0, [206.0, 190.0, 120.0]),
        (130.0, [110.0, 150.0, 80.0]),
        (400.0, [196.0, 84.0, 60.0]),
        (500.0, [220.0, 214.0, 196.0]),
    ];
    for (x, colour) in dishes {
        tray(canvas, (x, 271.0), 74.0, colour);
    }
    canvas.block([250.0, 270.0, 350.0, 290.0], 2, plain([226.0, 226.0, 220.0]));
}

fn dining(canvas: &mut Canvas) {
    canvas.block(
        [0.0, 0.0, 640.0, 230.0],
        0,
        shaded([172.0, 160.0, 138.0], [150.0, 136.0, 112.0], (0.0, 230.0)),
    );
    ceiling(canvas);
    canvas.block([0.0, 200.0, 640.0, 360.0], 0, tiles([142.0, 120.0, 96.0], 46.0));
    for left in [40.0, 230.0, 420.0] {
        canvas.block([left, 44.0, left + 130.0, 140.0], 0, plain([104.0, 88.0, 70.0]));
        canvas.block(
            [left + 6.0, 50.0, left + 124.0, 134.0],
            0,
            shaded([176.0, 200.0, 216.0], [150.0, 172.0, 160.0], (50.0, 134.0)),
        );
        canvas.block(
            [left + 62.0, 50.0, left + 67.0, 134.0],
            0,
            plain([104.0, 88.0, 70.0]),
        );
        canvas.block(
            [left - 8.0, 40.0, left + 18.0, 160.0],
            0,
            plain([128.0, 70.0, 60.0]),
        );
        canvas.block(
            [left + 112.0, 40.0, left + 138.0, 160.0],
            0,
            plain([128.0, 70.0, 60.0]),
        );
    }
    canvas.block([578.0, 60.0, 634.0, 130.0], 0, plain([52.0, 74.0, 60.0]));
    for line in [72.0, 86.0, 100.0, 114.0] {
        canvas.block([586.0, line, 626.0, line + 3.0], 0, plain([206.0, 206.0, 196.0]));
    }
    table(canvas, (20.0, 300.0), 214.0, 2);
    table(canvas, (340.0, 620.0), 214.0, 2);
    table(canvas, (70.0, 570.0), 288.0, 4);
}

/// A table with bowls, its edge at `y`.
fn table(canvas: &mut Canvas, (left, right): (f32, f32), y: f32, depth: u8) {
    let top = [
        (left + 8.0, y),
        (right - 8.0, y),
        (right, y + 22.0),
        (left, y + 22.0),
    ];
    canvas.fill(&top, depth, |x, y, _| {
        lit(WOOD, 1.1 + 0.1 * grain(x / 40.0, y * 1.5))
    });
    canvas.block([left, y + 22.0, right, y + 28.0], depth, plain(lit(WOOD, 0.7)));
    // A cloth hides the legs, those of the guests too.
    canvas.block([left + 4.0, y + 28.0, right - 4.0, y + 72.0], depth, |x, _, _| {
        lit([118.0, 52.0, 50.0], 0.9 + 0.12 * (x / 9.0).sin())
    });
    let mut bowl = left + 46.0;
    while bowl < right - 30.0 {
        canvas.round((bowl, y + 11.0), (14.0, 6.0), depth, plain([226.0, 226.0, 220.0]));
        canvas.round((bowl, y + 10.0), (10.0, 4.0), depth, plain([186.0, 150.0, 96.0]));
        bowl += 74.0;
    }
}

fn store(canvas: &mut Canvas) {
    canvas.block(
        [0.0, 0.0, 640.0, 240.0],
        0,
        shaded([178.0, 176.0, 170.0], [150.0, 148.0, 142.0], (0.0, 240.0)),
    );
    canvas.block([0.0, 226.0, 640.0, 360.0], 0, tiles([120.0, 118.0, 114.0], 52.0));
    door(canvas, [520.0, 62.0, 604.0, 240.0], [110.0, 112.0, 116.0]);
    for (shelf, y) in [70.0, 130.0, 190.0].into_iter().enumerate() {
        canvas.block([20.0, y, 470.0, y + 6.0], 0, plain([96.0, 98.0, 100.0]));
        let mut left = 30.0 + shelf as f32 * 9.0;
        while left < 430.0 {
            let chance = grain(left, y);
            let (wide, high) = (28.0 + 26.0 * chance, 22.0 + 22.0 * grain(y, left));
            let tone = lit([188.0, 158.0, 116.0], 0.6 + 0.5 * chance);
            canvas.block([left, y - high, left + wide, y], 0, plain(tone));
            canvas.block(
                [left, y - high * 0.6, left + wide, y - high * 0.5],
                0,
                plain(lit(tone, 0.8)),
            );
            left += wide + 6.0;
        }
    }
    for post in [20.0, 244.0, 464.0] {
        canvas.block([post, 40.0, post + 6.0, 244.0], 0, plain([84.0, 86.0, 88.0]));
    }
    // A row of crates, behind which somebody can stand.
    for left in [250.0, 340.0, 430.0] {
        canvas.block([left, 262.0, left + 88.0, 344.0], 2, |x, y, _| {
            let slat = (y - 262.0).rem_euclid(14.0) < 2.0 || x - left < 4.0;
            lit(WOOD, if slat { 0.6 } else { 1.2 })
        });
        canvas.round((left + 44.0, 262.0), (36.0, 9.0), 2, plain([120.0, 132.0, 84.0]));
    }
}

fn entrance(canvas: &mut Canvas) {
    canvas.block(
        [0.0, 0.0, 640.0, 250.0],
        0,
        shaded([166.0, 164.0, 156.0], [140.0, 138.0, 130.0], (0.0, 250.0)),
    );
    ceiling(canvas);
    canvas.block([0.0, 226.0, 640.0, 360.0], 0, tiles([150.0, 146.0, 138.0], 54.0));
    canvas.block([200.0, 40.0, 440.0, 236.0], 0, plain([74.0, 78.0, 82.0]));
    for left in [208.0, 324.0] {
        canvas.block(
            [left, 48.0, left + 108.0, 232.0],
            0,
            shaded([190.0, 208.0, 220.0], [124.0, 146.0, 120.0], (48.0, 232.0)),
        );
        canvas.block([left + 50.0, 120.0, left + 55.0, 170.0], 0, steel(0.9));
    }
    canvas.block([470.0, 60.0, 610.0, 150.0], 0, plain([92.0, 66.0, 52.0]));
    canvas.block([478.0, 68.0, 602.0, 142.0], 0, plain([196.0, 60.0, 50.0]));
    for line in [84.0, 104.0, 124.0] {
        canvas.block([492.0, line, 588.0, line + 6.0], 0, plain([232.0, 214.0, 120.0]));
    }
    // A plant, and the reception desk.
    for (x, y) in [(60.0, 130.0), (42.0, 158.0), (80.0, 160.0), (58.0, 184.0)] {
        canvas.round((x, y), (24.0, 20.0), 0, plain([64.0, 104.0, 62.0]));
    }
    canvas.block([42.0, 196.0, 78.0, 244.0], 0, plain([126.0, 84.0, 64.0]));
    canvas.block([120.0, 268.0, 640.0, 290.0], 2, |x, y, _| {
        lit(WOOD, 1.15 + 0.1 * grain(x / 40.0, y))
    });
    canvas.block([120.0, 290.0, 640.0, 360.0], 2, plain(lit(WOOD, 0.72)));
    canvas.block([150.0, 256.0, 210.0, 280.0], 2, plain([226.0, 224.0, 214.0]));
}

fn serving(canvas: &mut Canvas) {
    canvas.block([0.0, 0.0, 640.0, 262.0], 0, tiles([156.0, 150.0, 136.0], 28.0));
    ceiling(canvas);
    canvas.block([60.0, 40.0, 400.0, 92.0], 0, plain([58.0, 74.0, 64.0]));
    for (row, line) in [50.0, 64.0, 78.0].into_iter().enumerate() {
        let right = 380.0 - 40.0 * row as f32;
        canvas.block([74.0, line, right, line + 5.0], 0, plain([210.0, 208.0, 190.0]));
    }
    door(canvas, [520.0, 58.0, 602.0, 250.0], [126.0, 120.0, 108.0]);
    worktop(canvas, (0.0, 640.0), 258.0, 2);
    let mut x = 24.0;
    for colour in [
        [186.0, 96.0, 56.0],
        [92.0, 138.0, 70.0],
        [222.0, 208.0, 150.0],
        [170.0, 70.0, 50.0],
        [206.0, 206.0, 200.0],
    ] {
        tray(canvas, (x, 263.0), 96.0, colour);
        x += 124.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_room_is_drawn_alike_each_time_and_unlike_the_others() {
        let rooms = [
            Backdrop::HotKitchen,
            Backdrop::SpecialRoom,
            Backdrop::Dining,
            Backdrop::Store,
            Backdrop::Entrance,
            Backdrop::Serving,
        ];
        let mut means = Vec::new();
        for room in rooms {
            let painted = room.paint();
            let sum: u64 = painted.picture.y.iter().map(|luma| u64::from(*luma)).sum();
            let mean = sum / painted.picture.y.len() as u64;
            let expected = if room.is_dark() { 30..80 } else { 90..190 };
            assert!(expected.contains(&mean), "{room:?}: mean luma {mean}");
            assert!(painted.depth.contains(&2), "{room:?} hides nobody");
            means.push(sum);
        }
        assert_eq!(Backdrop::Dining.paint().picture, Backdrop::Dining.paint().picture);
        means.sort_unstable();
        means.dedup();
        assert_eq!(means.len(), rooms.len());
    }
}
