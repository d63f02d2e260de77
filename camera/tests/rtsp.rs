//! Streams of an RTSP server made by others, over TCP and UDP, in H.264 and H.265.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use domain::{
    CameraFault, Clock,
    camera::{CameraSource, CameraUrl, Credentials, RtpTransport},
};
use sunshine_camera::{
    CameraFailure, Codec, EncodedFrame, Guard, ProbeTarget, SourceContext, SourceEvent, StreamInfo,
    StreamSource, Timing, probe,
    source::{EVENTS_QUEUED, watch},
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

const PYTHON: &str = "/usr/bin/python3";
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rtsp_server.py");
const USER: &str = "viewer";
const PASSWORD: &str = "kitchen-7";

/// How long anything may take that takes a second when the machine is idle.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server; it ends with this value.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts it; `None`, said aloud, where GStreamer's RTSP server is not installed.
    fn start(key_seconds: u32, signed: bool) -> anyhow::Result<Option<Server>> {
        let needed = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; \
                      Gst.init(None); assert Gst.ElementFactory.find('x264enc') and Gst.ElementFactory.find('x265enc')";
        let found = Command::new(PYTHON).args(["-c", needed]).output();
        if !found.is_ok_and(|output| output.status.success()) {
            eprintln!(
                "skipped: GStreamer's RTSP server for Python is not installed here (.ci/run installs it)"
            );
            return Ok(None);
        }
        let mut command = Command::new(PYTHON);
        command.args([SERVER, &key_seconds.to_string()]);
        if signed {
            command.args([USER, PASSWORD]);
        }
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = piped.spawn().context("cannot start the RTSP server")?;
        let output = process.stdout.take().context("its output is piped")?;
        let mut server = Server { process, port: 0 };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        server.port = line.trim().parse().context("the server prints its port")?;
        Ok(Some(server))
    }

    fn url(&self, path: &str) -> anyhow::Result<CameraUrl> {
        Ok(CameraUrl::new(&format!("rtsp://127.0.0.1:{}/{path}", self.port))?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn secret(password: &str) -> Option<Credentials> {
    Some(Credentials {
        user: USER.into(),
        password: password.into(),
    })
}

fn context() -> anyhow::Result<SourceContext> {
    Ok(SourceContext {
        guard: Guard::new(Guard::loopback())?,
        clock: Clock::system(),
        timing: Timing {
            answer: PATIENCE,
            ..Timing::default()
        },
    })
}

/// What a stream sends until it has sent `keys` key frames.
async fn read(
    source: StreamSource,
    credentials: Option<Credentials>,
    keys: usize,
) -> anyhow::Result<(StreamInfo, Vec<EncodedFrame>)> {
    let (events, mut taken) = mpsc::channel(EVENTS_QUEUED);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(source, credentials, context()?, events, stop.clone()));
    let mut info = None;
    let mut frames: Vec<EncodedFrame> = Vec::new();
    while frames.iter().filter(|frame| frame.key).count() < keys {
        match timeout(PATIENCE, taken.recv())
            .await?
            .context("the source ended")?
        {
            SourceEvent::Info(described) => info = Some(described),
            SourceEvent::Frame(frame) => frames.push(frame),
            SourceEvent::ClockOffset(_) => {}
            SourceEvent::Down(failure) => return Err(failure.into()),
        }
    }
    stop.cancel();
    timeout(PATIENCE, tasks.join_next())
        .await?
        .context("one task")??;
    let info = info.context("the stream was described before its frames")?;
    Ok(((*info).clone(), frames))
}

/// Reads a stream of key frames a second apart and ten frames a second.
async fn check_stream(
    path: &str,
    transport: RtpTransport,
    signed: bool,
) -> anyhow::Result<Option<StreamInfo>> {
    let Some(server) = Server::start(1, signed)? else {
        return Ok(None);
    };
    let source = StreamSource::Rtsp {
        url: server.url(path)?,
        transport,
    };
    let credentials = secret(PASSWORD).filter(|_| signed);
    let (info, frames) = read(source, credentials, 3).await?;
    assert_eq!((info.width, info.height), (320, 180));
    assert!(!info.extra_data.is_empty());
    let entry = if info.codec == Codec::H264 {
        b"avc1"
    } else {
        b"hvc1"
    };
    assert_eq!(&info.sample_entry[4..8], entry);
    let keys: Vec<usize> = (0..frames.len()).filter(|index| frames[*index].key).collect();
    assert_eq!(keys[2] - keys[1], 10, "a key frame every ten frames, at {keys:?}");
    assert!(frames.is_sorted_by(|a, b| a.time_90k < b.time_90k && a.at <= b.at));
    let ticks = frames[keys[2]].time_90k - frames[keys[1]].time_90k;
    assert!((85_000..95_000).contains(&ticks), "{ticks}");
    Ok(Some(info))
}

#[tokio::test]
async fn h264_is_read_over_tcp_after_digest_sign_in() -> anyhow::Result<()> {
    if let Some(info) = check_stream("h264", RtpTransport::Tcp, true).await? {
        assert!(info.mime_codec.starts_with("avc1."), "{}", info.mime_codec);
    }
    Ok(())
}

#[tokio::test]
async fn h264_is_read_over_udp() -> anyhow::Result<()> {
    let info = check_stream("h264", RtpTransport::Udp, false).await?;
    assert!(info.is_none_or(|info| info.codec == Codec::H264));
    Ok(())
}

#[tokio::test]
async fn h265_is_read_over_tcp_with_all_its_key_frames() -> anyhow::Result<()> {
    if let Some(info) = check_stream("h265", RtpTransport::Tcp, false).await? {
        assert!(info.mime_codec.starts_with("hvc1."), "{}", info.mime_codec);
    }
    Ok(())
}

async fn probed(
    server: &Server,
    path: &str,
    credentials: Option<Credentials>,
) -> anyhow::Result<Result<domain::ProbeReport, CameraFailure>> {
    let target = ProbeTarget {
        source: CameraSource::Rtsp {
            main: server.url(path)?,
            sub: None,
            transport: RtpTransport::Tcp,
        },
        sub: true,
        credentials,
    };
    let guard = Guard::new(Guard::loopback())?;
    Ok(timeout(PATIENCE, probe(target, &guard, &Clock::system())).await?)
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_the_fault() -> anyhow::Result<()> {
    let Some(server) = Server::start(1, true)? else {
        return Ok(());
    };
    for credentials in [secret("hunter2"), None] {
        let failure = probed(&server, "h264", credentials)
            .await?
            .expect_err("the password is wrong");
        assert_eq!(failure.fault, CameraFault::Auth);
        assert!(!failure.to_string().contains("hunter2"));
    }
    let failure = probed(&server, "nothing", secret(PASSWORD))
        .await?
        .expect_err("there is no such stream");
    assert_eq!(failure.fault, CameraFault::NoVideo);
    Ok(())
}

#[tokio::test]
async fn a_probe_measures_the_stream_and_takes_its_picture() -> anyhow::Result<()> {
    let Some(server) = Server::start(1, false)? else {
        return Ok(());
    };
    for (path, codec) in [("h264", "avc1."), ("h265", "hvc1.")] {
        let report = probed(&server, path, None).await??;
        assert!(report.codec.starts_with(codec), "{}", report.codec);
        assert_eq!((report.width, report.height), (320, 180));
        assert!((5.0..=15.0).contains(&report.fps), "{path}: {} fps", report.fps);
        assert!(
            report.bitrate_kbps > 1.0,
            "{path}: {} kbit/s",
            report.bitrate_kbps
        );
        let gap_s = report.key_frame_gap_s.context("two key frames came")?;
        assert!((0.5..=2.0).contains(&gap_s), "{path}: {gap_s} s");
        assert!(report.warnings.is_empty());
        assert!(
            report.clock_offset_ms.is_none_or(|ms| ms.abs() < 10_000),
            "{path}: {:?} ms",
            report.clock_offset_ms
        );
        assert_eq!(report.picture.get(..2), Some(&[0xff, 0xd8][..]), "{path}: a JPEG");
    }
    Ok(())
}

#[tokio::test]
async fn a_smart_codec_is_warned_of() -> anyhow::Result<()> {
    let Some(server) = Server::start(60, false)? else {
        return Ok(());
    };
    let report = probed(&server, "h264", None).await??;
    assert_eq!(report.warnings, [CameraFault::SmartCodec]);
    assert!(!report.picture.is_empty());
    Ok(())
}
