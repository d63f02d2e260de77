//! RTSP cameras and recorders.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{
    UtcMillis,
    camera::{CameraUrl, Credentials, RtpTransport},
    sight::CameraFault,
};
use futures::StreamExt;
use retina::{
    client::{
        Demuxed, Described, InitialTimestampPolicy, PlayOptions, Session, SessionGroup, SessionOptions,
        SetupOptions, TcpTransportOptions, TeardownPolicy, Transport, UdpTransportOptions,
    },
    codec::{CodecItem, FrameFormat, ParametersRef, VideoFrame, VideoParameters, VideoParametersCodec},
    rtcp::ReceivedCompoundPacket,
};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use super::{CameraFailure, End, SourceContext, outlet::Outlet};
use crate::{
    guard, nal,
    stream::{Codec, EncodedFrame, StreamInfo},
};

/// The port of RTSP.
const PORT: u16 = 554;

/// How long an earlier session of ours may hold up the next: cameras have few to give.
const STALE_WAIT: Duration = Duration::from_secs(5);

/// How many sessions may be taking leave at once. Each holds a task and a connection for as long as the camera
/// says that a session lasts; beyond this many, a session is left to end by itself.
const STALE_SESSIONS: usize = 2;

/// How long the connection is tried again to learn whether the camera is there but does not answer.
const KNOCK: Duration = Duration::from_secs(1);

/// 90,000ths of a second in a second.
const TICKS_PER_S: i128 = 90_000;

/// From 1900, where NTP counts from, to 1970, in seconds.
const NTP_TO_UNIX_S: i64 = 2_208_988_800;

/// The codecs that can be read.
const CODECS: [&str; 3] = ["h264", "h265", "jpeg"];

/// One stream, with what outlasts a connection.
pub(super) struct Rtsp {
    url: CameraUrl,
    transport: RtpTransport,
    sessions: Arc<SessionGroup>,
}

/// A connection that plays, and which of its streams is the video.
struct Playing {
    demuxed: Demuxed,
    video: usize,
}

impl Rtsp {
    pub(super) fn new(url: CameraUrl, transport: RtpTransport) -> Rtsp {
        Rtsp {
            url,
            transport,
            sessions: Arc::default(),
        }
    }

    pub(super) async fn read(
        &self,
        credentials: Option<&Credentials>,
        context: &SourceContext,
        outlet: &mut Outlet,
    ) -> Result<Infallible, End> {
        self.await_leave().await;
        let mut url = guard::parse(&self.url)?;
        let address = context.guard.resolve(&url, PORT).await?;
        // The URL that is connected to holds the checked address, so that no name is resolved again.
        if url.set_ip_host(address.ip()).is_err() || url.set_port(Some(address.port())).is_err() {
            return Err(CameraFailure::new(CameraFault::Protocol, "the URL names no host").into());
        }
        let opening = timeout(context.timing.answer, self.open(url, credentials));
        let mut playing = match opening.await {
            Ok(opened) => opened?,
            Err(_) => return Err(silent(address).await.into()),
        };
        read_frames(&mut playing, context.timing.stall, outlet).await
    }

    /// Waits a while until the sessions before this one have been closed.
    async fn await_leave(&self) {
        let stale = self.sessions.stale_sessions();
        if stale.num_sessions > 0
            && timeout(STALE_WAIT, self.sessions.await_stale_sessions(&stale))
                .await
                .is_err()
        {
            tracing::debug!("An earlier session has not been closed by the camera; a further one is opened.");
        }
    }

    async fn open(&self, url: Url, credentials: Option<&Credentials>) -> Result<Playing, CameraFailure> {
        let many = self.sessions.stale_sessions().num_sessions >= STALE_SESSIONS;
        let policy = if many {
            TeardownPolicy::Never
        } else {
            TeardownPolicy::Auto
        };
        let mut session = self.describe(&url, credentials, policy).await?;
        if !many && !self.may_take_leave(&url, &session) {
            session = self.describe(&url, credentials, TeardownPolicy::Never).await?;
        }
        let video = video_stream(&session)?;
        let transport = match self.transport {
            RtpTransport::Tcp => Transport::Tcp(TcpTransportOptions::default()),
            RtpTransport::Udp => Transport::Udp(UdpTransportOptions::default()),
        };
        let setup = SetupOptions::default()
            .transport(transport)
            .frame_format(FrameFormat::MP4);
        session.setup(video, setup).await.map_err(|e| refused(&e))?;
        let play = PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Permissive);
        let session = session.play(play).await.map_err(|e| refused(&e))?;
        let demuxed = session.demuxed().map_err(|e| failed(CameraFault::Codec, &e))?;
        Ok(Playing { demuxed, video })
    }

    async fn describe(
        &self,
        url: &Url,
        credentials: Option<&Credentials>,
        teardown: TeardownPolicy,
    ) -> Result<Session<Described>, CameraFailure> {
        let credentials = credentials.map(|given| retina::client::Credentials {
            username: given.user.clone(),
            password: given.password.clone(),
        });
        let options = SessionOptions::default()
            .creds(credentials)
            .user_agent("sunshine-camera".into())
            .session_group(Arc::clone(&self.sessions))
            .teardown(teardown);
        Session::describe(url.clone(), options)
            .await
            .map_err(|e| refused(&e))
    }

    /// Whether a session of `session` may be closed on a connection of its own when the one it has is lost. That
    /// connection would go to the base that the camera names, which the guard has not seen: so only where the
    /// base is certainly the address we came by.
    fn may_take_leave(&self, url: &Url, session: &Session<Described>) -> bool {
        let on_own_connection = self.transport == RtpTransport::Udp
            || session.tool().is_some_and(|tool| tool.has_live555_tcp_bug());
        !on_own_connection || base_is(url, session)
    }
}

/// Whether the base of the description is `url`'s address. Retina does not tell the base; it shows in the
/// addresses of streams that are given relative to it.
fn base_is(url: &Url, session: &Session<Described>) -> bool {
    let same = |control: &Url| {
        control.host_str() == url.host_str() && control.port().unwrap_or(PORT) == url.port().unwrap_or(PORT)
    };
    let is_relative = |line: &[u8]| !line.windows(3).any(|part| part == b"://");
    let mut controls = session
        .sdp()
        .split(|b| *b == b'\n')
        .filter(|line| line.starts_with(b"a=control:"));
    let relative = controls.all(is_relative);
    let streams = session.streams();
    relative && !streams.is_empty() && streams.iter().all(|stream| stream.control().is_some_and(same))
}

/// The stream to read.
fn video_stream(session: &Session<Described>) -> Result<usize, CameraFailure> {
    let streams = session.streams();
    let is_video = |media: &str| media == "video" || media == "image";
    let readable = |name: &str| CODECS.contains(&name);
    if let Some(found) = streams
        .iter()
        .position(|s| is_video(s.media()) && readable(s.encoding_name()))
    {
        return Ok(found);
    }
    Err(match streams.iter().find(|s| is_video(s.media())) {
        Some(other) => CameraFailure::new(
            CameraFault::Codec,
            format!("the video is {}", other.encoding_name()),
        ),
        None => CameraFailure::new(CameraFault::NoVideo, "the description names no video"),
    })
}

async fn read_frames(playing: &mut Playing, stall: Duration, outlet: &mut Outlet) -> Result<Infallible, End> {
    // Only frames put the deadline off: a camera may send reports for ever and no picture.
    let mut deadline = Instant::now() + stall;
    let mut offset_told = false;
    let mut described = None;
    loop {
        let item = match timeout_at(deadline, playing.demuxed.next()).await {
            Ok(Some(item)) => item.map_err(|e| broken(&e))?,
            Ok(None) => return Err(stopped("the camera ended the stream").into()),
            Err(_) => return Err(stopped("no picture came for too long").into()),
        };
        match item {
            CodecItem::VideoFrame(frame) => {
                deadline = Instant::now() + stall;
                if described.is_none() || frame.has_new_parameters() {
                    let Some(info) = description(playing)? else {
                        continue;
                    };
                    described = Some(info.codec);
                    outlet.info(info).await?;
                }
                if let Some(codec) = described {
                    let at = outlet.now();
                    outlet.frame(encoded(frame, codec, at)).await?;
                }
            }
            CodecItem::Rtcp(report) if !offset_told => {
                if let Some(offset_ms) = clock_offset(&report, outlet.now()) {
                    offset_told = true;
                    outlet.clock_offset(offset_ms).await?;
                }
            }
            _ => {}
        }
    }
}

/// The description of the stream, once its parameters are known.
fn description(playing: &Playing) -> Result<Option<StreamInfo>, CameraFailure> {
    let stream = &playing.demuxed.streams()[playing.video];
    let Some(ParametersRef::Video(parameters)) = stream.parameters() else {
        return Ok(None);
    };
    let (width, height) = parameters.pixel_dimensions();
    let (codec, mime_codec) = match parameters.codec_params() {
        VideoParametersCodec::H264 { .. } => (Codec::H264, parameters.rfc6381_codec().to_owned()),
        VideoParametersCodec::H265 { .. } => (Codec::H265, parameters.rfc6381_codec().to_owned()),
        VideoParametersCodec::Jpeg => (Codec::Jpeg, "jpeg".to_owned()),
        _ => {
            return Err(CameraFailure::new(
                CameraFault::Codec,
                "the video is of an unknown kind",
            ));
        }
    };
    let (extra_data, sample_entry) = match codec {
        Codec::Jpeg => (Bytes::new(), Bytes::new()),
        Codec::H264 | Codec::H265 => (
            Bytes::copy_from_slice(parameters.extra_data()),
            sample_entry(parameters)?,
        ),
    };
    Ok(Some(StreamInfo {
        codec,
        mime_codec,
        width,
        height,
        extra_data,
        sample_entry,
    }))
}

fn sample_entry(parameters: &VideoParameters) -> Result<Bytes, CameraFailure> {
    let built = parameters.mp4_sample_entry().build();
    built.map(Bytes::from).map_err(|e| failed(CameraFault::Codec, &e))
}

fn encoded(frame: VideoFrame, codec: Codec, at: UtcMillis) -> EncodedFrame {
    let time = frame.timestamp();
    let ticks = i128::from(time.elapsed()) * TICKS_PER_S / i128::from(time.clock_rate().get());
    let time_90k = i64::try_from(ticks).unwrap_or(i64::MAX);
    let lost = u32::from(frame.loss());
    let data = Bytes::from(frame.into_data());
    EncodedFrame {
        at,
        time_90k,
        // Retina's own word leaves out H.265's CRA pictures, the only key frames that some cameras send.
        key: nal::is_key(codec, &data),
        data,
        lost,
    }
}

/// The camera's clock less ours, from a sender report.
fn clock_offset(report: &ReceivedCompoundPacket, now: UtcMillis) -> Option<i64> {
    let first = report.pkts().next()?;
    let sender = first.as_sender_report().ok()??;
    let ntp = sender.ntp_timestamp().0;
    let seconds = i64::try_from(ntp >> 32).ok()?.checked_sub(NTP_TO_UNIX_S)?;
    let millis = i64::try_from(((ntp & 0xffff_ffff) * 1000) >> 32).ok()?;
    let camera = UtcMillis(seconds * 1000 + millis);
    // A report from before 2000 counts from the camera's start, not from 1900: it tells no time.
    (camera >= UtcMillis::EARLIEST).then(|| camera.ms_since(now))
}

/// Why nothing came in time: whether there is anybody at all.
async fn silent(address: SocketAddr) -> CameraFailure {
    match timeout(KNOCK, tokio::net::TcpStream::connect(address)).await {
        Ok(Ok(_)) => CameraFailure::new(
            CameraFault::Timeout,
            "it takes the connection, but does not answer in time",
        ),
        Ok(Err(_)) | Err(_) => CameraFailure::new(CameraFault::Unreachable, "nothing answers at the address"),
    }
}

/// Why the camera did not begin to play.
fn refused(error: &retina::Error) -> CameraFailure {
    let text = error.to_string();
    let fault = match error.status_code() {
        Some(401 | 403) => CameraFault::Auth,
        Some(404) => CameraFault::NoVideo,
        // Not enough bandwidth, or too many sessions.
        Some(453 | 503) => CameraFault::Timeout,
        Some(_) if text.contains("No parseable streams") => CameraFault::NoVideo,
        None if text.starts_with("Unable to connect") => CameraFault::Unreachable,
        _ => CameraFault::Protocol,
    };
    match error.status_code() {
        Some(status) if status >= 300 => {
            CameraFailure::new(fault, format!("it answers with status {status}"))
        }
        _ => CameraFailure::new(fault, text),
    }
}

/// Why a stream that played ended.
fn broken(error: &retina::Error) -> CameraFailure {
    let text = error.to_string();
    let lost = ["Error reading", "Error receiving", "Error writing", "Timeout"];
    let fault = if lost.iter().any(|beginning| text.starts_with(beginning)) {
        CameraFault::Timeout
    } else {
        CameraFault::Protocol
    };
    CameraFailure::new(fault, text)
}

fn stopped(what: &str) -> CameraFailure {
    CameraFailure::new(CameraFault::Timeout, what)
}

fn failed(fault: CameraFault, error: &retina::Error) -> CameraFailure {
    CameraFailure::new(fault, error.to_string())
}

#[cfg(test)]
mod tests;
