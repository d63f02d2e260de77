//! People and the cat: cut out of free pictures, brought to size.

use image::imageops::{FilterType, resize};

use crate::cameras::{
    picture::Sprite,
    script::{Appearance, Figure},
};

/// The most cut-outs that are kept ready; the oldest makes room.
const MOST_READY: usize = 12;

/// What distinguishes one cut-out from another: figure, size in per cent, whether mirrored.
type Form = (Figure, u8, bool);

/// Cut-outs of one camera, made when first needed.
#[derive(Debug)]
pub(crate) struct Wardrobe {
    dark: bool,
    ready: Vec<(Form, Sprite)>,
}

impl Wardrobe {
    /// `dark`: as infrared light shows them.
    pub(crate) fn new(dark: bool) -> Wardrobe {
        Wardrobe {
            dark,
            ready: Vec::with_capacity(MOST_READY),
        }
    }

    /// The cut-out for `one`.
    pub(crate) fn dress(&mut self, one: &Appearance) -> &Sprite {
        let form = (one.figure, one.size, one.mirrored);
        let at = self.ready.iter().position(|(ready, _)| *ready == form);
        let at = at.unwrap_or_else(|| {
            if self.ready.len() == MOST_READY {
                self.ready.remove(0);
            }
            let sprite = cut_out(form);
            let sprite = if self.dark { sprite.at_night() } else { sprite };
            self.ready.push((form, sprite));
            self.ready.len() - 1
        });
        &self.ready[at].1
    }
}

fn file(figure: Figure) -> &'static [u8] {
    match figure {
        Figure::Cook => include_bytes!("../../assets/cook.png"),
        Figure::MaskedCook => include_bytes!("../../assets/cook-masked.png"),
        Figure::Guest => include_bytes!("../../assets/plain.png"),
        Figure::MaskedGuest => include_bytes!("../../assets/plain-masked.png"),
        Figure::Cat => include_bytes!("../../assets/cat.png"),
    }
}

fn cut_out((figure, size, mirrored): Form) -> Sprite {
    let whole = image::load_from_memory(file(figure)).expect("the cut-outs are part of the program");
    let whole = whole.into_rgba8();
    let scaled = |length: u32| (length * u32::from(size) / 100).max(2);
    let (width, height) = (scaled(whole.width()), scaled(whole.height()));
    let mut small = resize(&whole, width, height, FilterType::Triangle);
    if mirrored {
        image::imageops::flip_horizontal_in_place(&mut small);
    }
    let colours: Vec<_> = small
        .pixels()
        .map(|pixel| {
            let [r, g, b, cover] = pixel.0.map(f32::from);
            // Whoever is seen the other way round wears red where the picture wears dark blue.
            let jacket = mirrored && b > r + 20.0 && b < 160.0;
            let colour = if jacket { [b, g, r] } else { [r, g, b] };
            (colour, cover / 255.0)
        })
        .collect();
    Sprite::of(width as usize, &colours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_outs_are_made_once_and_their_number_is_bounded() {
        let mut wardrobe = Wardrobe::new(false);
        let mut one = Appearance {
            figure: Figure::Guest,
            size: 50,
            mirrored: false,
            rank: 1,
            foot: (0, 0),
        };
        let size = |sprite: &Sprite| (sprite.width(), sprite.height());
        let (wide, high) = size(wardrobe.dress(&one));
        assert_eq!((wide, high), (108, 142));
        wardrobe.dress(&one);
        assert_eq!(wardrobe.ready.len(), 1);
        for percent in 10..40 {
            one.size = percent;
            wardrobe.dress(&one);
        }
        assert_eq!(wardrobe.ready.len(), MOST_READY);
    }
}
