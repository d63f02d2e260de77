//! Which devices a batch heard: one entry each, made into text once, at the end.

use domain::{
    UtcMillis,
    status::{EXCERPT_BYTES, Sighting, excerpt},
};

use crate::routes::{DeviceNumber, Routes};

/// What is to be shown of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown<'c> {
    Payload(&'c [u8]),
    /// A picture of so many bytes.
    Image(usize),
}

#[derive(Debug)]
struct Heard<'c> {
    device: DeviceNumber,
    received: UtcMillis,
    topic: &'c str,
    shown: Shown<'c>,
    messages: u32,
    readings: u32,
    doubtful_times: u32,
}

/// The devices heard in one batch, in the order in which they were first heard.
#[derive(Debug)]
pub(crate) struct Sightings<'c> {
    /// Tells this batch's entries from those of batches before.
    batch: u64,
    heard: Vec<Heard<'c>>,
}

impl<'c> Sightings<'c> {
    /// `batch` is another number for every batch, from 1.
    pub(crate) fn new(batch: u64) -> Sightings<'c> {
        Sightings {
            batch,
            heard: Vec::new(),
        }
    }

    /// A message of `device`.
    pub(crate) fn message(
        &mut self,
        routes: &mut Routes,
        device: DeviceNumber,
        (received, topic, shown): (UtcMillis, &'c str, Shown<'c>),
    ) {
        let slot = &mut routes.device_mut(device).heard;
        if slot.0 == self.batch {
            let heard = &mut self.heard[slot.1];
            (heard.received, heard.topic, heard.shown) = (received, topic, shown);
            heard.messages += 1;
            return;
        }
        *slot = (self.batch, self.heard.len());
        let heard = Heard {
            device,
            received,
            topic,
            shown,
            messages: 1,
            readings: 0,
            doubtful_times: 0,
        };
        self.heard.push(heard);
    }

    /// A reading that came of the message of `device` noted before.
    pub(crate) fn reading(&mut self, routes: &Routes, device: DeviceNumber, doubtful_time: bool) {
        let heard = &mut self.heard[routes.device(device).heard.1];
        heard.readings += 1;
        heard.doubtful_times += u32::from(doubtful_time);
    }

    pub(crate) fn finish(self, routes: &Routes) -> Vec<Sighting> {
        let sighting = |heard: Heard<'_>| {
            let device = routes.device(heard.device);
            Sighting {
                facility: device.facility.clone(),
                device: device.id.clone(),
                received: heard.received,
                topic: show(heard.topic.as_bytes()),
                payload: match heard.shown {
                    Shown::Payload(payload) => show(payload),
                    Shown::Image(bytes) => format!("({bytes} bytes of image)"),
                },
                messages: heard.messages,
                readings: heard.readings,
                doubtful_times: heard.doubtful_times,
            }
        };
        self.heard.into_iter().map(sighting).collect()
    }
}

/// [`excerpt`], in one step for plain ASCII, which nearly every payload is: done for every device in every
/// batch, the walk over the characters would cost as much as decoding.
fn show(text: &[u8]) -> String {
    let cut = &text[..text.len().min(EXCERPT_BYTES)];
    let plain = cut.iter().all(|b| matches!(b, b' '..=b'~' | b'\n'));
    match std::str::from_utf8(cut) {
        Ok(cut) if plain => cut.to_owned(),
        _ => excerpt(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_the_excerpt() {
        let long = "x".repeat(EXCERPT_BYTES + 1);
        let wide = "厨房".repeat(EXCERPT_BYTES);
        for text in [
            "",
            "{\"v\":4.1}\n",
            "a\u{7f}b",
            "a\tb",
            "\u{1b}[31m",
            "温度",
            &long,
            &wide,
        ] {
            assert_eq!(show(text.as_bytes()), excerpt(text.as_bytes()), "{text:?}");
        }
        assert_eq!(show(b"\xff\xfe"), excerpt(b"\xff\xfe"));
    }
}
