//! The `ffmpeg` program as a decoder: a process for each camera, fed through a pipe.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
};

use domain::UtcMillis;

use super::{
    DecodeError, DecodeOptions,
    codec::{AnnexB, VideoDecoder},
    picture::fitting,
};
use crate::stream::{Codec, EncodedFrame, Frame, StreamInfo};

/// The most frames that wait for the process: about four seconds. One that does not take them is ended.
const MAX_INPUT: usize = 64;

/// The most pictures that wait to be fetched; the process waits when there are more.
const MAX_OUTPUT: usize = 4;

pub(super) struct Ffmpeg {
    child: Child,
    input: AnnexB,
    frames: Option<SyncSender<Vec<u8>>>,
    pictures: Option<Receiver<Vec<u8>>>,
    threads: Vec<JoinHandle<()>>,
    /// When the frames came in whose pictures are still out, oldest first.
    times: VecDeque<UtcMillis>,
    size: (u32, u32),
}

impl Ffmpeg {
    pub(super) fn start(
        info: &StreamInfo,
        options: &DecodeOptions,
        input: AnnexB,
    ) -> Result<Ffmpeg, DecodeError> {
        let size = fitting((info.width, info.height), options.max_width);
        let mut child = command(info.codec, size, options)
            .spawn()
            .map_err(|error| DecodeError::FfmpegStart(error.kind()))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.expect("both are asked for as pipes");
        let (frames, to_write) = mpsc::sync_channel(MAX_INPUT);
        let (read, pictures) = mpsc::sync_channel(MAX_OUTPUT);
        let mut ffmpeg = Ffmpeg {
            child,
            input,
            frames: Some(frames),
            pictures: Some(pictures),
            threads: Vec::new(),
            times: VecDeque::new(),
            size,
        };
        let bytes = size.0 as usize * size.1 as usize * 3;
        ffmpeg.spawn("ffmpeg-write", move || write_all(stdin, &to_write))?;
        ffmpeg.spawn("ffmpeg-read", move || read_all(stdout, bytes, &read))?;
        Ok(ffmpeg)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), DecodeError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
        self.threads
            .push(thread.map_err(|error| DecodeError::Threads(error.kind()))?);
        Ok(())
    }
}

fn command(codec: Codec, (width, height): (u32, u32), options: &DecodeOptions) -> Command {
    let format = if codec == Codec::H265 { "hevc" } else { "h264" };
    let mut command = Command::new(&options.ffmpeg);
    command
        // Else it reads on for seconds before it shows the first picture.
        .args(["-probesize", "32", "-analyzeduration", "0"])
        .args(["-hide_banner", "-loglevel", "error"])
        .args(["-flags", "low_delay", "-threads", "1", "-f", format])
        .args(["-i", "pipe:0", "-vf", &format!("scale={width}:{height}")])
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24"])
        .arg("pipe:1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Ends when nobody gives frames any more or the process takes none.
fn write_all(mut stdin: ChildStdin, frames: &Receiver<Vec<u8>>) {
    while let Ok(frame) = frames.recv() {
        if stdin.write_all(&frame).is_err() {
            return;
        }
    }
}

/// Ends when the process gives no more pictures or nobody takes them.
fn read_all(mut stdout: ChildStdout, bytes: usize, pictures: &SyncSender<Vec<u8>>) {
    loop {
        let mut picture = vec![0; bytes];
        if stdout.read_exact(&mut picture).is_err() || pictures.send(picture).is_err() {
            return;
        }
    }
}

impl VideoDecoder for Ffmpeg {
    fn decode(&mut self, frame: &EncodedFrame, out: &mut dyn FnMut(Frame)) -> Result<(), DecodeError> {
        let annex_b = self.input.of(frame)?.to_vec();
        let sent = self
            .frames
            .as_ref()
            .ok_or(DecodeError::FfmpegEnded)?
            .try_send(annex_b);
        sent.map_err(|error| match error {
            TrySendError::Full(_) => DecodeError::FfmpegHung,
            TrySendError::Disconnected(_) => DecodeError::FfmpegEnded,
        })?;
        self.times.push_back(frame.at);
        let pictures = self.pictures.as_ref().ok_or(DecodeError::FfmpegEnded)?;
        while let Ok(picture) = pictures.try_recv() {
            out(Frame {
                at: self.times.pop_front().unwrap_or(frame.at),
                width: self.size.0,
                height: self.size.1,
                rgb: Arc::from(picture),
            });
        }
        // A process that gives fewer pictures than it takes frames would let the times grow without end.
        while self.times.len() > MAX_INPUT + MAX_OUTPUT {
            self.times.pop_front();
        }
        Ok(())
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill() {
            tracing::warn!(error = %error, "An ffmpeg process could not be ended");
        }
        // Both threads wait at a pipe of the process or at one of these ends.
        self.frames = None;
        self.pictures = None;
        if let Err(error) = self.child.wait() {
            tracing::warn!(error = %error, "An ffmpeg process could not be waited for");
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::warn!("A thread beside an ffmpeg process panicked");
            }
        }
    }
}
