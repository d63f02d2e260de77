//! Why a picture could not be decoded.

use std::io;

use domain::CameraFault;

use crate::stream::Codec;

/// Why a picture could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Too wide or too high.
    #[error(
        "the picture is {width} by {height} pixels; at most {limit} each way are taken: lower the stream's resolution on the camera"
    )]
    TooLarge {
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
        /// What is allowed each way.
        limit: u32,
    },
    /// Too many bytes.
    #[error(
        "the picture has {bytes} bytes; at most {limit} are taken: lower the stream's quality or resolution on the camera"
    )]
    TooHeavy {
        /// Its bytes.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The stream does not say how it is encoded.
    #[error("the {0:?} stream came without usable parameter sets; restart the camera's encoder")]
    NoParameters(Codec),
    /// Parts of the picture are missing or wrong.
    #[error("the {0:?} picture is damaged; check the network for loss, or set the transport to TCP")]
    Damaged(Codec),
    /// The picture uses something that the built-in decoder does not know.
    #[error(
        "the {0:?} stream uses a feature that the built-in decoder does not know; set decoding to ffmpeg, or the camera to Main profile"
    )]
    Unsupported(Codec),
    /// The decoder panicked. It was thrown away.
    #[error("the {0:?} decoder stopped at a picture and was made anew; report this with the camera's model")]
    Panicked(Codec),
    /// The `ffmpeg` program could not be started.
    #[error("ffmpeg could not be started ({0}); install it, or set decoding to key frames")]
    FfmpegStart(io::ErrorKind),
    /// The `ffmpeg` process takes no more input.
    #[error("ffmpeg stopped taking pictures and was ended; the machine may be overloaded")]
    FfmpegHung,
    /// The `ffmpeg` process ended by itself.
    #[error("ffmpeg ended by itself; it may not know the stream's encoding")]
    FfmpegEnded,
    /// The system gave no thread.
    #[error("no decoding thread could be started ({0}); raise the limit on threads")]
    Threads(io::ErrorKind),
}

impl DecodeError {
    /// The fault that people are shown.
    #[must_use]
    pub const fn fault(&self) -> CameraFault {
        match self {
            DecodeError::TooLarge { .. } | DecodeError::TooHeavy { .. } => CameraFault::TooLarge,
            DecodeError::Unsupported(_) | DecodeError::NoParameters(_) | DecodeError::FfmpegEnded => {
                CameraFault::Codec
            }
            DecodeError::Damaged(_)
            | DecodeError::Panicked(_)
            | DecodeError::FfmpegStart(_)
            | DecodeError::FfmpegHung
            | DecodeError::Threads(_) => CameraFault::BadPicture,
        }
    }
}
