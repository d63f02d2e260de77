//! The conversation of one RTSP connection, without its input and output: a request in, a response out.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::Credentials;

use crate::cameras::{
    canvas::{HEIGHT, WIDTH},
    digest,
    encoder::{FRAMES_PER_SECOND, ParameterSets},
    request::Request,
    rtp::PAYLOAD_TYPE,
};

/// How long a session lives without a request, in seconds, as clients are told. A client that takes its
/// pictures is not cut off for silence.
const SESSION_S: u32 = 60;

/// What is served below one name.
#[derive(Debug)]
pub(crate) struct Offer {
    /// The path below `/cam/`.
    pub(crate) name: String,
    pub(crate) credentials: Credentials,
}

/// What a connection is to do after its response was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for the next request.
    Wait,
    /// Send this camera's pictures on this channel.
    Play { camera: usize, channel: u8 },
    /// Close the connection.
    Close,
}

/// One connection's conversation.
#[derive(Debug)]
pub(crate) struct Dialogue {
    offers: Arc<[Offer]>,
    sets: Arc<ParameterSets>,
    nonce: String,
    session: String,
    /// Set up: camera and channel.
    ready: Option<(usize, u8)>,
}

type Headers = Vec<(&'static str, String)>;

/// A status and what goes with it.
struct Answer {
    status: &'static str,
    headers: Headers,
    body: String,
    step: Step,
}

fn answer(status: &'static str, headers: Headers) -> Answer {
    Answer {
        status,
        headers,
        body: String::new(),
        step: Step::Wait,
    }
}

impl Dialogue {
    /// `nonce` and `session` are hard to guess.
    pub(crate) fn new(
        offers: Arc<[Offer]>,
        sets: Arc<ParameterSets>,
        nonce: String,
        session: String,
    ) -> Dialogue {
        Dialogue {
            offers,
            sets,
            nonce,
            session,
            ready: None,
        }
    }

    /// The response to `request`, and what to do after it.
    pub(crate) fn respond(&mut self, request: &Request) -> (Vec<u8>, Step) {
        let answer = match request.header("CSeq") {
            None => answer("400 Bad Request", Vec::new()),
            Some(_) => self.answer(request),
        };
        let mut text = format!("RTSP/1.0 {}\r\n", answer.status);
        let mut line = |name: &str, value: &str| {
            text.extend([name, ": ", value, "\r\n"]);
        };
        if let Some(sequence) = request.header("CSeq") {
            line("CSeq", sequence);
        }
        for (name, value) in &answer.headers {
            line(name, value);
        }
        if !answer.body.is_empty() {
            line("Content-Length", &answer.body.len().to_string());
        }
        text.push_str("\r\n");
        text.push_str(&answer.body);
        (text.into_bytes(), answer.step)
    }

    /// The response when a camera already has as many clients as it takes.
    pub(crate) fn refuse_crowd(request: &Request) -> Vec<u8> {
        let sequence = request.header("CSeq").unwrap_or_default();
        format!("RTSP/1.0 453 Not Enough Bandwidth\r\nCSeq: {sequence}\r\n\r\n").into_bytes()
    }

    fn answer(&mut self, request: &Request) -> Answer {
        if request.method == "OPTIONS" {
            let methods = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER, SET_PARAMETER";
            return answer("200 OK", vec![("Public", methods.into())]);
        }
        let Some(camera) = self.camera(&request.url) else {
            return answer("404 Not Found", Vec::new());
        };
        let proof = request.header("Authorization").unwrap_or_default();
        if !digest::proves(
            proof,
            &self.offers[camera].credentials,
            &request.method,
            &self.nonce,
        ) {
            let challenge = digest::challenge(&self.nonce);
            return answer("401 Unauthorized", vec![("WWW-Authenticate", challenge)]);
        }
        match request.method.as_str() {
            "DESCRIBE" => self.describe(request),
            "SETUP" => self.set_up(request, camera),
            "PLAY" | "TEARDOWN" | "GET_PARAMETER" | "SET_PARAMETER" => self.in_session(request),
            _ => answer("501 Not Implemented", Vec::new()),
        }
    }

    /// The camera whose name `url` has below `/cam/`, alone or followed by `/` and more.
    fn camera(&self, url: &str) -> Option<usize> {
        let (_, rest) = url.split_once("://")?;
        let (_, path) = rest.split_once('/')?;
        let named = path.strip_prefix("cam/")?;
        let after = |offer: &Offer| named.strip_prefix(offer.name.as_str());
        self.offers
            .iter()
            .position(|offer| after(offer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    fn describe(&self, request: &Request) -> Answer {
        let url = request.url.trim_end_matches('/');
        let [_, profile, constraints, level, ..] = self.sets.sps[..] else {
            return answer("500 Internal Server Error", Vec::new());
        };
        let (sps, pps) = (STANDARD.encode(&self.sets.sps), STANDARD.encode(&self.sets.pps));
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=Simulated camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
             a=control:*\r\na=range:npt=now-\r\nm=video 0 RTP/AVP {PAYLOAD_TYPE}\r\n\
             a=rtpmap:{PAYLOAD_TYPE} H264/90000\r\n\
             a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;\
             profile-level-id={profile:02X}{constraints:02X}{level:02X};sprop-parameter-sets={sps},{pps}\r\n\
             a=framerate:{FRAMES_PER_SECOND}\r\na=framesize:{PAYLOAD_TYPE} {WIDTH}-{HEIGHT}\r\n\
             a=control:track1\r\n"
        );
        let headers = vec![
            ("Content-Base", format!("{url}/")),
            ("Content-Type", "application/sdp".into()),
        ];
        Answer {
            body,
            ..answer("200 OK", headers)
        }
    }

    fn set_up(&mut self, request: &Request, camera: usize) -> Answer {
        let transport = request.header("Transport").unwrap_or_default();
        let Some(channel) = interleaved(transport) else {
            return answer("461 Unsupported Transport", Vec::new());
        };
        self.ready = Some((camera, channel));
        let transport = format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1);
        let session = format!("{};timeout={SESSION_S}", self.session);
        answer("200 OK", vec![("Transport", transport), ("Session", session)])
    }

    /// What needs a session, or keeps one alive.
    fn in_session(&mut self, request: &Request) -> Answer {
        let named = request
            .header("Session")
            .map(|id| id.split(';').next().unwrap_or_default());
        let keeps_alive = request.method.ends_with("_PARAMETER");
        if named.is_some_and(|id| id != self.session) || (named.is_none() && !keeps_alive) {
            return answer("454 Session Not Found", Vec::new());
        }
        let session = ("Session", self.session.clone());
        match (request.method.as_str(), self.ready) {
            ("PLAY", Some((camera, channel))) => Answer {
                step: Step::Play { camera, channel },
                ..answer("200 OK", vec![session, ("Range", "npt=now-".into())])
            },
            ("PLAY", None) => answer("455 Method Not Valid in This State", Vec::new()),
            ("TEARDOWN", _) => Answer {
                step: Step::Close,
                ..answer("200 OK", vec![session])
            },
            _ => answer("200 OK", vec![session]),
        }
    }
}

/// The channel of RTP that a `Transport` header asks for; `None` when it asks for datagrams or nonsense. The
/// first of several offers that is TCP is taken.
fn interleaved(transport: &str) -> Option<u8> {
    let tcp = transport
        .split(',')
        .find(|offer| offer.trim().starts_with("RTP/AVP/TCP"))?;
    let channels = tcp
        .split(';')
        .find_map(|part| part.trim().strip_prefix("interleaved="));
    let first = match channels {
        None => 0,
        Some(pair) => pair.split('-').next()?.parse().ok()?,
    };
    (first < u8::MAX).then_some(first)
}
