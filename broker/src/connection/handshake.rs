//! CONNECT: who is it, may it be here, and which session does it go on with?

use std::{sync::Arc, time::Duration};

use domain::status::RefusalReason;
use mqtt_protocol_core::mqtt::{
    packet::{
        AssignedClientIdentifier, MaximumPacketSize, Packet, Properties, Property, ReceiveMaximum,
        ServerKeepAlive, SessionExpiryInterval, TopicAliasMaximum, v3_1_1, v5_0,
    },
    result_code::{ConnectReasonCode, ConnectReturnCode},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{Claim, Connection, Io};
use crate::{
    access::valid_topic,
    codec::{
        Codec, Fault, Next,
        connect_fixup::{First, connect_fixup},
    },
    hub::Hub,
    identities::Member,
    limits::Bucket,
    mailbox::Mailbox,
    properties,
    registry::{self, Kick, Previous},
    session::{Session, Will},
    subscriber::Subscriber,
};

/// The largest CONNECT: a will of 64 KiB with its properties, names and secrets. Bounds what strangers can make us hold.
const MAX_CONNECT_BYTES: usize = 128 << 10;
/// The longest client identifier, in bytes.
const MAX_CLIENT_ID_BYTES: usize = 256;
/// Topic aliases that a client may use towards us.
const TOPIC_ALIASES: u16 = 16;
/// How long a new connection waits for the old one of the same client to hand the session over: longer than the old
/// one may be busy with a SUBSCRIBE, with its last publishes, or with its will, while the disk is slow.
pub(super) const HANDOVER: Duration = Duration::from_secs(15);

/// Reads until the first whole packet is there. `Err` with nothing to record when the client just went away.
pub(super) async fn first_packet<R, W>(
    io: &mut Io<R, W>,
    codec: &mut Codec,
) -> Result<Packet, Option<(RefusalReason, &'static str)>>
where
    R: AsyncRead + Unpin,
{
    loop {
        match io.reader.read_buf(&mut io.buffer).await {
            Ok(n) if n > 0 => {}
            _ => return Err(None),
        }
        match connect_fixup(&mut io.buffer, MAX_CONNECT_BYTES) {
            First::Ready => {}
            First::Incomplete => continue,
            First::Foreign => {
                return Err(Some((
                    RefusalReason::Protocol,
                    "the first packet is not a CONNECT",
                )));
            }
            First::TooLarge => return Err(Some((RefusalReason::PacketTooLarge, "the CONNECT is too large"))),
        }
        return match codec.next(&mut io.buffer) {
            Next::Packet(packet) if codec.fault.is_none() => Ok(*packet),
            _ if codec.fault == Some(Fault::TooLarge) => {
                Err(Some((RefusalReason::PacketTooLarge, "the CONNECT is too large")))
            }
            _ => Err(Some((RefusalReason::Protocol, "the CONNECT breaks the standard"))),
        };
    }
}

/// What a CONNECT of either version says.
struct Request<'a> {
    client_id: String,
    assigned: bool,
    clean: bool,
    user: Option<&'a str>,
    secret: &'a [u8],
    will: Option<Will>,
    keep_alive_s: u16,
    /// As asked for; `None` in version 3.1.1, where a session that is not clean has the longest allowed.
    expiry_s: Option<u32>,
}

impl<'a> Request<'a> {
    fn of(packet: &'a Packet) -> Option<Request<'a>> {
        match packet {
            Packet::V3_1_1Connect(c) => Some(Request {
                client_id: c.client_id().to_owned(),
                assigned: false,
                clean: c.clean_session(),
                user: c.user_name(),
                secret: c.password().unwrap_or_default(),
                will: c.will_topic().map(|topic| Will {
                    topic: topic.to_owned(),
                    payload: c.will_payload().unwrap_or_default().to_vec(),
                    qos: c.will_qos() as u8,
                    retain: c.will_retain(),
                    properties: Vec::new(),
                    expiry_s: 0,
                    delay_s: 0,
                }),
                keep_alive_s: c.keep_alive(),
                expiry_s: None,
            }),
            Packet::V5_0Connect(c) => Some(Request {
                client_id: c.client_id().to_owned(),
                assigned: false,
                clean: c.clean_start(),
                user: c.user_name(),
                secret: c.password().unwrap_or_default(),
                will: c.will_topic().map(|topic| {
                    let mut block = Vec::new();
                    let expiry_s = properties::split(c.will_props(), &mut block);
                    Will {
                        topic: topic.to_owned(),
                        payload: c.will_payload().unwrap_or_default().to_vec(),
                        qos: c.will_qos() as u8,
                        retain: c.will_retain(),
                        properties: block,
                        expiry_s,
                        delay_s: find(c.will_props(), |p| match p {
                            Property::WillDelayInterval(v) => Some(v.val()),
                            _ => None,
                        })
                        .unwrap_or(0),
                    }
                }),
                keep_alive_s: c.keep_alive(),
                expiry_s: Some(session_expiry(c.props()).unwrap_or(0)),
            }),
            _ => None,
        }
    }
}

fn find<T>(properties: &[Property], pick: impl Fn(&Property) -> Option<T>) -> Option<T> {
    properties.iter().find_map(pick)
}

/// The session expiry that `properties` ask for, in seconds.
pub(super) fn session_expiry(properties: &[Property]) -> Option<u32> {
    find(properties, |p| match p {
        Property::SessionExpiryInterval(v) => Some(v.val()),
        _ => None,
    })
}

/// The answer to a refused CONNECT, in both versions.
fn answer(reason: RefusalReason) -> (ConnectReturnCode, ConnectReasonCode) {
    match reason {
        RefusalReason::BadCredentials => (
            ConnectReturnCode::BadUserNameOrPassword,
            ConnectReasonCode::BadUserNameOrPassword,
        ),
        RefusalReason::ClientIdTaken => (
            ConnectReturnCode::IdentifierRejected,
            ConnectReasonCode::ClientIdentifierNotValid,
        ),
        RefusalReason::TooManyConnections => (
            ConnectReturnCode::ServerUnavailable,
            ConnectReasonCode::QuotaExceeded,
        ),
        RefusalReason::Protocol => (
            ConnectReturnCode::IdentifierRejected,
            ConnectReasonCode::ClientIdentifierNotValid,
        ),
        _ => (ConnectReturnCode::NotAuthorized, ConnectReasonCode::NotAuthorized),
    }
}

/// Signs the client in, or answers why not; the codec that comes back then holds the answer.
pub(super) async fn sign_in(
    hub: &Arc<Hub>,
    mut codec: Codec,
    first: &Packet,
) -> Result<(Connection, mpsc::Receiver<Kick>), Codec> {
    let Some(mut request) = Request::of(first) else {
        hub.refuse(None, RefusalReason::Protocol, "the first packet is not a CONNECT");
        return Err(codec);
    };
    codec.v5 = request.expiry_s.is_some();
    let serial = hub.serial.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let (kick, kicked) = mpsc::channel(4);
    let admitted = admit(hub, &mut request, serial, kick);
    let (member, previous, claim) = match admitted {
        Ok(admitted) => admitted,
        Err((member, reason, detail)) => {
            hub.refuse(member.as_deref(), reason, &detail);
            let (v3, v5) = answer(reason);
            codec.refuse(v3, v5);
            return Err(codec);
        }
    };
    let found = match previous {
        Previous::Nothing => None,
        Previous::Live(old) => take_over(old).await,
        Previous::Parked(parked) => {
            if let Some((will, _)) = parked.will.filter(|_| request.clean) {
                hub.publish_will(&member, &request.client_id, &will).await;
            }
            Some(parked.session)
        }
    };
    let found = found.filter(|_| !request.clean);
    let present = found.is_some();
    let session = found.unwrap_or_else(|| new_session(hub, &request.client_id, &member));
    let kept = Start {
        request,
        claim,
        member,
        session,
        present,
    };
    Ok((start(hub, codec, kept), kicked))
}

type Refused = (Option<Arc<Member>>, RefusalReason, String);

/// The identity that the client signs in as.
fn identify(hub: &Hub, request: &Request<'_>) -> Result<Arc<Member>, Refused> {
    let now = hub.clock.now();
    match (request.user, &hub.options.anonymous_as) {
        (Some(user), _) if !user.is_empty() => {
            hub.identities
                .sign_in(user, request.secret, now)
                .map_err(|reason| {
                    let known = hub.identities.get(user);
                    (known, reason, user.to_owned())
                })
        }
        (_, Some(name)) => {
            let member = hub.identities.get(name.as_str());
            let member = member.ok_or((
                None,
                RefusalReason::Anonymous,
                "the identity for it is gone".to_owned(),
            ))?;
            match member.barred(now) {
                Some(why) => Err((Some(member), why, "anonymous".to_owned())),
                None => Ok(member),
            }
        }
        _ => Err((None, RefusalReason::Anonymous, "no user name".to_owned())),
    }
}

/// Everything that may speak against the client, then its claim on the client identifier.
fn admit(
    hub: &Arc<Hub>,
    request: &mut Request<'_>,
    serial: u64,
    kick: mpsc::Sender<Kick>,
) -> Result<(Arc<Member>, Previous, Claim), Refused> {
    let now = hub.clock.now();
    let member = identify(hub, request)?;
    let refuse = |reason, detail: &str| Err((Some(member.clone()), reason, detail.to_owned()));
    if request.client_id.is_empty() {
        if !request.clean && request.expiry_s.is_none() {
            return refuse(
                RefusalReason::Protocol,
                "a session to keep needs a client identifier",
            );
        }
        request.client_id = format!("auto-{serial:x}-{:x}", now.0);
        request.assigned = true;
    }
    if request.client_id.len() > MAX_CLIENT_ID_BYTES || request.client_id.chars().any(char::is_control) {
        return refuse(
            RefusalReason::Protocol,
            "the client identifier is too long or not printable",
        );
    }
    if let Some(will) = &request.will
        && (!valid_topic(&will.topic) || !member.grant.may_publish(&will.topic))
    {
        return refuse(RefusalReason::WillDenied, &will.topic);
    }
    let claimed = hub.registry.claim(&request.client_id, serial, &member, kick);
    let previous = claimed.map_err(|reason| (Some(member.clone()), reason, request.client_id.clone()))?;
    let claim = Claim {
        hub: hub.clone(),
        client_id: request.client_id.as_str().into(),
        serial,
        name: member.identity.name.clone(),
        settled: false,
    };
    // The list may have changed since the secret was checked; whoever changes it ends the sessions that it finds, and
    // it finds this one from here on.
    let still = hub.identities.get(member.identity.name.as_str());
    if still.is_none_or(|m| m.identity != member.identity) {
        // An older connection of the same client has lost its place in the registry to this one: nobody else would
        // tell it.
        if let Previous::Live(old) = &previous {
            registry::tell(old, Kick::Revoked);
        }
        return refuse(RefusalReason::Revoked, "the identity changed while it signed in");
    }
    Ok((member, previous, claim))
}

async fn take_over(old: mpsc::Sender<Kick>) -> Option<Box<Session>> {
    let (reply, session) = oneshot::channel();
    if old.send(Kick::Takeover(reply)).await.is_err() {
        return None;
    }
    match timeout(HANDOVER, session).await {
        Ok(session) => session.ok().flatten(),
        Err(_) => {
            tracing::warn!("A session was not handed over in time; the client starts anew.");
            None
        }
    }
}

fn new_session(hub: &Hub, client_id: &str, member: &Arc<Member>) -> Box<Session> {
    let mailbox = Mailbox::new(
        hub.options.limits.queued_bytes_per_subscriber,
        hub.dropped.clone(),
    );
    Box::new(Session::new(
        Subscriber::new(client_id, mailbox),
        member.clone(),
        hub.fanout.clone(),
    ))
}

struct Start<'a> {
    request: Request<'a>,
    claim: Claim,
    member: Arc<Member>,
    session: Box<Session>,
    present: bool,
}

/// Goes on with the session and answers the CONNECT.
fn start(hub: &Arc<Hub>, mut codec: Codec, start: Start<'_>) -> Connection {
    let Start {
        request,
        claim,
        member,
        mut session,
        present,
    } = start;
    let longest = u32::try_from(hub.options.limits.session_expiry.as_secs()).unwrap_or(u32::MAX);
    let expiry_s = match request.expiry_s {
        Some(asked) => asked.min(longest),
        None if request.clean => 0,
        None => longest,
    };
    session.member = member.clone();
    // Rights may have changed while the client was away.
    session
        .subscriber
        .retain(|s| member.grant.may_subscribe(s.inner()));
    session.subscriber.mailbox.set_connected(true);
    if expiry_s > 0 {
        let expiry_ms = i64::from(expiry_s) * 1000;
        hub.registry
            .attach(&request.client_id, claim.serial, &session.subscriber, expiry_ms);
        hub.keeper.touch();
    }
    let again = codec.restore(
        std::mem::take(&mut session.stored),
        std::mem::take(&mut session.handled),
    );
    let others = session.subscriber.sent().take_others(&again);
    session.subscriber.mailbox.put_back(others);
    if codec.v5 {
        let accepted = v5_0::Connack::builder()
            .session_present(present)
            .reason_code(ConnectReasonCode::Success);
        let accepted = accepted
            .props(connack_properties(hub, &request, expiry_s))
            .build();
        codec.send(accepted.expect("a CONNACK with these properties is valid"));
    } else {
        let accepted = v3_1_1::Connack::builder()
            .session_present(present)
            .return_code(ConnectReturnCode::Accepted);
        codec.send(accepted.build().expect("a CONNACK with a return code is valid"));
    }
    Connection {
        codec,
        claim,
        member,
        client_id: request.client_id.as_str().into(),
        session,
        writer: hub.journal.writer(),
        pending: std::collections::VecDeque::new(),
        blocked: None,
        stalled: false,
        bucket: Bucket::new(hub.options.limits.publishes_per_second, std::time::Instant::now()),
        throttled: false,
        expiry_s: u64::from(expiry_s),
        will: request.will,
        graceful: false,
        attributes: Vec::new(),
        properties: Vec::new(),
        hub: hub.clone(),
    }
}

fn connack_properties(hub: &Hub, request: &Request<'_>, expiry_s: u32) -> Properties {
    let limits = &hub.options.limits;
    let mut properties: Properties = Vec::new();
    let valid = "the value is in the property's range";
    properties.push(TopicAliasMaximum::new(TOPIC_ALIASES).expect(valid).into());
    properties.push(ReceiveMaximum::new(limits.inflight.max(1)).expect(valid).into());
    if request.keep_alive_s == 0 || request.keep_alive_s > limits.keep_alive_seconds {
        properties.push(
            ServerKeepAlive::new(limits.keep_alive_seconds)
                .expect(valid)
                .into(),
        );
    }
    let packet_bytes = MaximumPacketSize::new(limits.packet_bytes).expect(valid);
    properties.push(packet_bytes.into());
    if request.assigned {
        properties.push(
            AssignedClientIdentifier::new(request.client_id.as_str())
                .expect(valid)
                .into(),
        );
    }
    if request.expiry_s.is_some_and(|asked| asked != expiry_s) {
        properties.push(SessionExpiryInterval::new(expiry_s).expect(valid).into());
    }
    properties
}
