use std::sync::atomic::{AtomicUsize, Ordering};

use domain::Clock;
use tokio::{net::TcpListener, sync::mpsc};

use super::*;
use crate::{
    guard::Guard,
    source::{
        Link, StreamSource, Timing,
        scripted::{Answer, Scripted, rtsp},
    },
};

#[test]
fn a_sender_report_tells_the_camera_clock() {
    let report = |seconds: u32| {
        let mut packet = vec![0x80, 200, 0, 6, 0, 0, 0, 1];
        packet.extend(seconds.to_be_bytes());
        packet.extend(0x8000_0000_u32.to_be_bytes());
        packet.extend([0; 12]);
        ReceivedCompoundPacket::dummy(None, &packet)
    };
    let now = UtcMillis(1_700_000_000_000);
    let same = u32::try_from(1_700_000_000 + NTP_TO_UNIX_S).unwrap();
    assert_eq!(clock_offset(&report(same), now), Some(500));
    assert_eq!(clock_offset(&report(same - 60), now), Some(-59_500));
    assert_eq!(
        clock_offset(&report(3_600), now),
        None,
        "it counts from its start"
    );
}

const VIDEO: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
                     m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n";

/// Reads over UDP from a camera that names `base` and breaks the line when it should play; how often it was asked
/// to describe itself.
async fn read_from_camera_with_base(base: Option<String>) -> usize {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let server = Scripted::start(move |head| {
        if head.starts_with("DESCRIBE") {
            counter.fetch_add(1, Ordering::Relaxed);
            let base = base
                .as_ref()
                .map_or(String::new(), |base| format!("Content-Base: {base}\r\n"));
            return rtsp(
                head,
                "200 OK",
                &format!("Content-Type: application/sdp\r\n{base}"),
                VIDEO,
            );
        }
        if head.starts_with("SETUP") {
            let ports = "Session: 1\r\nTransport: RTP/AVP/UDP;unicast;server_port=9000-9001\r\n";
            return rtsp(head, "200 OK", ports, "");
        }
        Answer::Last(Vec::new())
    })
    .await;
    let context = SourceContext {
        guard: Guard::new(Guard::loopback()).unwrap(),
        clock: Clock::system(),
        timing: Timing::default(),
    };
    let source = StreamSource::Rtsp {
        url: CameraUrl::new(&format!("rtsp://{}/stream", server.address)).unwrap(),
        transport: RtpTransport::Udp,
    };
    let (events, _taken) = mpsc::channel(4);
    let mut outlet = Outlet::new(events, context.clock.clone());
    let end = Link::new(source, None, context).read(&mut outlet).await;
    assert!(matches!(end, Err(End::Failed(failure)) if failure.fault == CameraFault::Protocol));
    asked.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_camera_leads_nowhere_else_when_its_session_is_closed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("rtsp://{}/", elsewhere.local_addr().unwrap());
    let asked = read_from_camera_with_base(Some(base)).await;
    assert_eq!(
        asked, 2,
        "described again, for a session that is not closed on a connection of its own"
    );
    let visit = timeout(Duration::from_millis(300), elsewhere.accept()).await;
    assert!(visit.is_err(), "nobody comes to the other address");
}

#[tokio::test]
async fn a_camera_that_names_its_own_address_is_described_once() {
    assert_eq!(read_from_camera_with_base(None).await, 1);
}
