//! What each camera shows when: a camera's day pressed into four minutes that come round again and again.
//!
//! A view is a pure function of the script and the time since the beginning.

use crate::{
    cameras::{canvas::WIDTH, rooms::Backdrop},
    rhythm::SECOND,
};

/// How long until everything comes round again, in milliseconds.
pub(crate) const LOOP_MS: i64 = 240 * SECOND;

/// How long somebody takes to walk in or out.
const WALK_MS: i64 = 2_500;

/// Who or what is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Figure {
    /// In work clothes and a hat, without a mask.
    Cook,
    /// In work clothes, hat and mask.
    MaskedCook,
    /// In a blue jacket.
    Guest,
    /// In a blue jacket, with a mask.
    MaskedGuest,
    /// A cat, close to the lens.
    Cat,
}

/// Something drawn over the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appearance {
    pub(crate) figure: Figure,
    /// Size in per cent of its picture's.
    pub(crate) size: u8,
    /// Seen the other way round.
    pub(crate) mirrored: bool,
    /// Furniture of a greater depth hides it.
    pub(crate) rank: u8,
    /// The middle of its lower edge, in pixels.
    pub(crate) foot: (i32, i32),
}

/// What befalls the camera itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lens {
    /// Nothing.
    Clear,
    /// Something dark hangs over it.
    Covered,
    /// It was knocked and looks elsewhere.
    Moved,
}

/// What a camera shows at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// The moment that is shown, in milliseconds since the beginning. A frozen camera shows an earlier one.
    pub(crate) shown_ms: i64,
    /// Drawn in this order.
    pub(crate) cast: Vec<Appearance>,
    /// Whether the stove burns.
    pub(crate) flames: bool,
    pub(crate) lens: Lens,
}

/// From and until, in seconds of the loop.
type Span = (i64, i64);

/// One appearance in the script.
#[derive(Debug)]
struct Part {
    figure: Figure,
    span: Span,
    /// Where it is while there: the middle, in pixels, and how far it goes to either side.
    at: i32,
    sway: i32,
    /// Size, whether mirrored, rank, lower edge.
    form: (u8, bool, u8, i32),
}

/// Behind a worktop, near.
const NEAR: (u8, bool, u8, i32) = (78, false, 1, 316);
const NEAR_MIRRORED: (u8, bool, u8, i32) = (76, true, 1, 314);
/// At a dining table of the rear row, and of the front one.
const REAR: (u8, bool, u8, i32) = (58, false, 1, 262);
const REAR_MIRRORED: (u8, bool, u8, i32) = (56, true, 1, 260);
const FRONT: (u8, bool, u8, i32) = (76, false, 3, 344);
const FRONT_MIRRORED: (u8, bool, u8, i32) = (74, true, 3, 342);
/// Right under the lens.
const CLOSE: (u8, bool, u8, i32) = (100, false, u8::MAX, 362);
const CLOSE_MIRRORED: (u8, bool, u8, i32) = (100, true, u8::MAX, 362);

const fn part(figure: Figure, span: Span, at: i32, sway: i32, form: (u8, bool, u8, i32)) -> Part {
    Part {
        figure,
        span,
        at,
        sway,
        form,
    }
}

/// All through the loop, so that nobody is seen to walk in where it begins again.
const ALWAYS: Span = (-1_000, 1_000);

/// One camera's script.
#[derive(Debug)]
struct Script {
    backdrop: Backdrop,
    parts: &'static [Part],
    flames: &'static [Span],
    covered: &'static [Span],
    frozen: &'static [Span],
    moved: &'static [Span],
}

const QUIET: Script = Script {
    backdrop: Backdrop::Entrance,
    parts: &[],
    flames: &[],
    covered: &[],
    frozen: &[],
    moved: &[],
};

/// A cook without a mask works and leaves the stove burning; back with a mask.
static HOT_KITCHEN: Script = Script {
    backdrop: Backdrop::HotKitchen,
    parts: &[
        part(Figure::Cook, (-1_000, 58), 190, 60, NEAR),
        part(Figure::MaskedCook, (112, 1_000), 170, 70, NEAR),
        part(Figure::MaskedCook, (150, 190), 400, 30, NEAR_MIRRORED),
        part(Figure::Cook, (222, 1_000), 390, 24, NEAR_MIRRORED),
    ],
    flames: &[(0, 130), (160, 240)],
    ..QUIET
};

/// A cook with a mask; after 40 s a second one without.
static SPECIAL_ROOM: Script = Script {
    backdrop: Backdrop::SpecialRoom,
    parts: &[
        part(Figure::MaskedCook, ALWAYS, 200, 50, NEAR),
        part(Figure::Cook, (40, 112), 450, 40, NEAR_MIRRORED),
        part(Figure::MaskedGuest, (160, 200), 440, 30, NEAR_MIRRORED),
    ],
    ..QUIET
};

/// Two at their tables; between 20 s and 100 s five, where three may be.
static DINING: Script = Script {
    backdrop: Backdrop::Dining,
    parts: &[
        part(Figure::Guest, ALWAYS, 84, 6, REAR),
        part(Figure::Guest, ALWAYS, 556, 8, REAR_MIRRORED),
        part(Figure::MaskedGuest, (24, 96), 382, 6, REAR),
        part(Figure::Guest, (20, 100), 216, 10, FRONT),
        part(Figure::Guest, (22, 104), 470, 8, FRONT_MIRRORED),
        part(Figure::Guest, (150, 200), 330, 10, FRONT_MIRRORED),
    ],
    ..QUIET
};

/// At night: a cat comes by three times, somebody once.
static STORE_AT_NIGHT: Script = Script {
    backdrop: Backdrop::Store,
    parts: &[
        part(Figure::Cat, (15, 45), 330, 140, CLOSE),
        part(Figure::Cat, (84, 112), 300, 150, CLOSE_MIRRORED),
        part(Figure::Guest, (126, 156), 400, 50, NEAR),
        part(Figure::Cat, (176, 204), 320, 140, CLOSE),
    ],
    ..QUIET
};

/// People pass; the lens is covered, the picture freezes, the camera is knocked.
static ENTRANCE: Script = Script {
    backdrop: Backdrop::Entrance,
    parts: &[
        part(Figure::Guest, (4, 30), 330, 90, NEAR),
        part(Figure::Guest, (100, 178), 360, 100, NEAR_MIRRORED),
    ],
    covered: &[(36, 90)],
    frozen: &[(120, 168)],
    moved: &[(186, 232)],
    ..QUIET
};

/// A cook with a mask serves; for a minute the mask is off.
static SERVING: Script = Script {
    backdrop: Backdrop::Serving,
    parts: &[
        part(Figure::MaskedCook, (-1_000, 50), 250, 60, NEAR),
        part(Figure::Cook, (54, 120), 280, 60, NEAR),
        part(Figure::MaskedCook, (124, 1_000), 250, 60, NEAR),
    ],
    ..QUIET
};

/// Which scripted day a camera shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CameraScript {
    /// A cook without a mask; a stove left burning.
    HotKitchen,
    /// A second cook without a mask in the special room.
    SpecialRoom,
    /// More guests than the dining room may hold.
    Dining,
    /// A cat, and somebody, in the store at night.
    StoreAtNight,
    /// A covered lens, a frozen picture, a knocked camera.
    Entrance,
    /// A cook at the serving line takes the mask off.
    Serving,
}

impl CameraScript {
    /// Every script.
    pub const ALL: [CameraScript; 6] = [
        CameraScript::HotKitchen,
        CameraScript::SpecialRoom,
        CameraScript::Dining,
        CameraScript::StoreAtNight,
        CameraScript::Entrance,
        CameraScript::Serving,
    ];

    fn script(self) -> &'static Script {
        match self {
            CameraScript::HotKitchen => &HOT_KITCHEN,
            CameraScript::SpecialRoom => &SPECIAL_ROOM,
            CameraScript::Dining => &DINING,
            CameraScript::StoreAtNight => &STORE_AT_NIGHT,
            CameraScript::Entrance => &ENTRANCE,
            CameraScript::Serving => &SERVING,
        }
    }

    pub(crate) fn backdrop(self) -> Backdrop {
        self.script().backdrop
    }

    /// Whether the stove burns, as a sensor at it would say, `since_start_ms` milliseconds after the beginning;
    /// `None` where there is no stove.
    #[must_use]
    pub fn stove_burns(self, since_start_ms: i64) -> Option<bool> {
        let script = self.script();
        let at = since_start_ms.rem_euclid(LOOP_MS);
        (script.backdrop == Backdrop::HotKitchen).then(|| covers(script.flames, at).is_some())
    }

    /// What is seen `since_start_ms` milliseconds after the beginning.
    pub(crate) fn view(self, since_start_ms: i64) -> View {
        let script = self.script();
        let at = since_start_ms.rem_euclid(LOOP_MS);
        let frozen_for = covers(script.frozen, at).map_or(0, |from| at - from);
        let shown_ms = since_start_ms - frozen_for;
        let at = at - frozen_for;
        let lens = if covers(script.covered, at).is_some() {
            Lens::Covered
        } else if covers(script.moved, at).is_some() {
            Lens::Moved
        } else {
            Lens::Clear
        };
        View {
            shown_ms,
            cast: script.parts.iter().filter_map(|part| part.at(at)).collect(),
            flames: covers(script.flames, at).is_some(),
            lens,
        }
    }
}

/// When the span that holds `at_ms` began, in milliseconds of the loop.
fn covers(spans: &[Span], at_ms: i64) -> Option<i64> {
    spans
        .iter()
        .map(|(from, until)| (from * SECOND, until * SECOND))
        .find(|(from, until)| (*from..*until).contains(&at_ms))
        .map(|(from, _)| from)
}

impl Part {
    fn at(&self, at_ms: i64) -> Option<Appearance> {
        let from = covers(&[self.span], at_ms)?;
        let until = self.span.1 * SECOND;
        let (size, mirrored, rank, bottom) = self.form;
        let (since, left) = (at_ms - from, until - at_ms);
        let middle = if self.figure == Figure::Cat {
            self.prowl(since, until - from)
        } else {
            self.work(at_ms, since.min(left))
        };
        // A step up and down as one shifts one's weight.
        let step = i32::try_from(at_ms.div_euclid(400) % 2).unwrap_or(0);
        Some(Appearance {
            figure: self.figure,
            size,
            mirrored,
            rank,
            foot: (middle, bottom - 2 * step),
        })
    }

    /// Walks in from the nearer side, moves to and fro, and walks out again.
    fn work(&self, at_ms: i64, from_door_ms: i64) -> i32 {
        let phase = (at_ms.rem_euclid(9_000)) as f32 / 9_000.0 * std::f32::consts::TAU;
        let place = self.at + pixels(self.sway as f32 * phase.sin());
        let width = i32::try_from(WIDTH).unwrap_or(i32::MAX);
        let outside = if self.at < width / 2 { -120 } else { width + 120 };
        let share = (from_door_ms as f32 / WALK_MS as f32).min(1.0);
        outside + pixels((place - outside) as f32 * share)
    }

    /// Walks through the picture the way it looks, and lingers in the middle.
    fn prowl(&self, since_ms: i64, whole_ms: i64) -> i32 {
        let (_, mirrored, ..) = self.form;
        let share = since_ms as f32 / whole_ms as f32 * 2.0 - 1.0;
        let eased = 0.35 * share + 0.65 * share.powi(3);
        let way = if mirrored { -1.0 } else { 1.0 };
        let across = (WIDTH as f32 / 2.0 + 180.0 - self.sway as f32).max(self.sway as f32);
        self.at + pixels(way * eased * (across + self.sway as f32))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a place within a few pictures' width"
)]
fn pixels(value: f32) -> i32 {
    value.round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(script: CameraScript, at_s: i64) -> Vec<Figure> {
        let view = script.view(at_s * SECOND);
        view.cast.iter().map(|one| one.figure).collect()
    }

    #[test]
    fn everything_is_seen_within_two_minutes() {
        let table = [
            (CameraScript::HotKitchen, 20, vec![Figure::Cook]),
            (CameraScript::HotKitchen, 80, vec![]),
            (CameraScript::SpecialRoom, 20, vec![Figure::MaskedCook]),
            (
                CameraScript::SpecialRoom,
                60,
                vec![Figure::MaskedCook, Figure::Cook],
            ),
            (CameraScript::StoreAtNight, 5, vec![]),
            (CameraScript::StoreAtNight, 30, vec![Figure::Cat]),
            (CameraScript::Serving, 90, vec![Figure::Cook]),
        ];
        for (script, at_s, expected) in table {
            assert_eq!(figures(script, at_s), expected, "{script:?} at {at_s} s");
            assert_eq!(
                figures(script, at_s + 240),
                expected,
                "{script:?} comes round again"
            );
        }
        assert_eq!(figures(CameraScript::Dining, 10).len(), 2);
        assert_eq!(figures(CameraScript::Dining, 60).len(), 5);
        assert_eq!(CameraScript::Entrance.view(60 * SECOND).lens, Lens::Covered);
        assert_eq!(CameraScript::Entrance.view(190 * SECOND).lens, Lens::Moved);
    }

    #[test]
    fn the_stove_is_left_burning_once_a_loop() {
        let alone = (0..240)
            .filter(|s| {
                let view = CameraScript::HotKitchen.view(s * SECOND);
                view.flames && view.cast.is_empty()
            })
            .count();
        assert_eq!(alone, 54);
        assert_eq!(CameraScript::HotKitchen.stove_burns(80 * SECOND), Some(true));
        assert_eq!(CameraScript::HotKitchen.stove_burns(140 * SECOND), Some(false));
        assert_eq!(CameraScript::Dining.stove_burns(0), None);
    }

    #[test]
    fn a_frozen_camera_shows_one_moment() {
        let first = CameraScript::Entrance.view(120 * SECOND);
        for at_ms in [120_200, 140_000, 167_999] {
            assert_eq!(CameraScript::Entrance.view(at_ms), first);
        }
        assert_ne!(CameraScript::Entrance.view(168 * SECOND), first);
    }

    #[test]
    fn nobody_jumps() {
        for script in CameraScript::ALL {
            for tick in 1..1_200_i64 {
                let (before, now) = (script.view((tick - 1) * 200), script.view(tick * 200));
                let thawed = before.shown_ms != (tick - 1) * 200;
                if before.cast.len() != now.cast.len() || thawed {
                    continue;
                }
                for (old, new) in before.cast.iter().zip(&now.cast) {
                    let moved = (old.foot.0 - new.foot.0).abs();
                    assert!(
                        old.figure != new.figure || moved <= 60,
                        "{script:?} at tick {tick}: {moved} px"
                    );
                }
            }
        }
    }
}
