//! Pictures in files, for tests and evaluation.

use std::{
    convert::Infallible,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use domain::{UtcMillis, sight::CameraFault};
use image::{ImageError, ImageReader, Limits, codecs::jpeg::JpegEncoder};
use tokio::time::{MissedTickBehavior, interval};

use crate::{Frame, decode::PictureLimits, jpeg};

use super::{
    CameraFailure, End, MAX_PICTURE_BYTES, MAX_SIDE,
    outlet::{Outlet, too_large},
};

/// The most files that are read of a folder; those whose names come later are left out.
const MAX_FILES: usize = 100_000;

/// What a PNG becomes as a JPEG, of 100.
const QUALITY: u8 = 95;

pub(super) async fn read(path: &Path, every: Duration, outlet: &mut Outlet) -> Result<Infallible, End> {
    let mut turns = interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let from = path.to_owned();
        let files = aside(move || pictures(&from)).await?;
        for file in files {
            turns.tick().await;
            outlet.jpeg(aside(move || load(&file)).await?).await?;
        }
    }
}

/// Files are read on a thread that may block.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CameraFailure> + Send + 'static,
) -> Result<T, CameraFailure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(CameraFailure::new(
            CameraFault::BadPicture,
            "reading the file failed",
        ))
    })
}

/// The picture files of a folder, or the one file, in the order of their names.
fn pictures(path: &Path) -> Result<Vec<PathBuf>, CameraFailure> {
    let kind = std::fs::metadata(path).map_err(|e| unreadable("it cannot be opened", &e))?;
    if kind.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|e| unreadable("the folder cannot be read", &e))?;
    let mut files: Vec<PathBuf> = entries
        .take(MAX_FILES)
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| is_picture(file) && file.is_file())
        .collect();
    if files.is_empty() {
        return Err(no_file("the folder holds no picture"));
    }
    files.sort_unstable();
    Ok(files)
}

fn is_picture(file: &Path) -> bool {
    let extension = file
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    ["jpg", "jpeg", "png"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// The file as a JPEG.
fn load(file: &Path) -> Result<Bytes, CameraFailure> {
    let opened = std::fs::File::open(file).map_err(|e| unreadable("a picture cannot be opened", &e))?;
    let mut data = Vec::new();
    let bound = MAX_PICTURE_BYTES as u64 + 1;
    opened
        .take(bound)
        .read_to_end(&mut data)
        .map_err(|e| unreadable("a picture cannot be read", &e))?;
    if data.len() > MAX_PICTURE_BYTES {
        return Err(too_large(format!(
            "a file has more than {MAX_PICTURE_BYTES} bytes"
        )));
    }
    if data.starts_with(b"\x89PNG") {
        from_png(&data)
    } else {
        Ok(data.into())
    }
}

fn from_png(data: &[u8]) -> Result<Bytes, CameraFailure> {
    let broken = |e: ImageError| {
        CameraFailure::new(
            CameraFault::BadPicture,
            format!("a PNG file cannot be decoded: {e}"),
        )
    };
    let mut reader = ImageReader::with_format(std::io::Cursor::new(data), image::ImageFormat::Png);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    let picture = reader.decode().map_err(broken)?.into_rgb8();
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, QUALITY)
        .encode_image(&picture)
        .map_err(broken)?;
    Ok(file.into())
}

/// Reads one JPEG or PNG file as a picture at most `max_width` pixels wide.
///
/// # Errors
/// [`CameraFailure`] when it is not there, too large, or no picture.
pub fn read_picture(
    file: &Path,
    at: UtcMillis,
    limits: &PictureLimits,
    max_width: u32,
) -> Result<Frame, CameraFailure> {
    let jpeg = load(file)?;
    jpeg::decode(&jpeg, at, limits, max_width).map_err(|why| CameraFailure::new(why.fault(), why.to_string()))
}

fn unreadable(what: &str, error: &std::io::Error) -> CameraFailure {
    no_file(&format!("{what}: {}", error.kind()))
}

fn no_file(what: &str) -> CameraFailure {
    CameraFailure::new(CameraFault::NoFile, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::outlet::size_of_jpeg;

    #[test]
    fn pictures_come_in_the_order_of_their_names_as_jpegs() {
        let folder = tempfile::tempdir().unwrap();
        let save = |name: &str, side: u32| {
            image::RgbImage::new(side, 8)
                .save(folder.path().join(name))
                .unwrap()
        };
        save("b.png", 20);
        save("a.JPG", 10);
        save("c.jpeg", 30);
        std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
        let files = pictures(folder.path()).unwrap();
        let widths: Vec<u32> = files
            .iter()
            .map(|file| size_of_jpeg(&load(file).unwrap()).unwrap().0)
            .collect();
        assert_eq!(widths, [10, 20, 30]);
        assert_eq!(pictures(&folder.path().join("b.png")).unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_there_or_no_picture_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert_eq!(pictures(&missing).unwrap_err().fault, CameraFault::NoFile);
        assert_eq!(pictures(folder.path()).unwrap_err().fault, CameraFault::NoFile);
        let bad = folder.path().join("bad.png");
        std::fs::write(&bad, b"\x89PNG\r\n").unwrap();
        assert_eq!(load(&bad).unwrap_err().fault, CameraFault::BadPicture);
        std::fs::File::create(&bad)
            .unwrap()
            .set_len(MAX_PICTURE_BYTES as u64 + 1)
            .unwrap();
        assert_eq!(load(&bad).unwrap_err().fault, CameraFault::TooLarge);
    }
}
