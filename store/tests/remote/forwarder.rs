//! Whatever a server answers, every line arrives, once, in its order, or lies among the dead letters.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{Clock, Sample, Scope, UtcMillis, status::ForwardState};
use sunshine_store::{
    Forwarder, Records, Remote, RemoteKind, RemoteOptions, Token,
    remote::{LineHead, Lines, Pace},
};

use crate::rig::{Reply, Request, Rig};

const NOW: UtcMillis = UtcMillis(1_795_000_000_000);

fn lines(count: i64) -> Arc<Lines> {
    let key = "binhe/fridge-1/temperature";
    let mut parts = key.split('/');
    let mut part = || parts.next().unwrap();
    let key = domain::SeriesKey {
        facility: part().parse().unwrap(),
        device: part().parse().unwrap(),
        metric: part().parse().unwrap(),
    };
    let head = LineHead::new(&key).unwrap();
    let mut lines = Lines::default();
    for n in 0..count {
        let value = f64::from(i32::try_from(n).unwrap());
        lines.push(&head, Sample { at: NOW + n, value }).unwrap();
    }
    Arc::new(lines)
}

fn options(kind: RemoteKind, url: &str) -> RemoteOptions {
    RemoteOptions {
        kind,
        write_url: url.to_owned(),
        read_url: None,
        token: Some(Token::new("secret\n")),
        ca_pem: None,
        // Long enough for a busy machine: what is answered late is sent twice.
        timeout: Duration::from_secs(2),
    }
}

fn both() -> [RemoteKind; 2] {
    let influx = RemoteKind::InfluxDb2 {
        organisation: "kitchens".into(),
        bucket: "sunshine".into(),
    };
    [influx, RemoteKind::VictoriaMetrics]
}

async fn forwarder(dir: &Path, kind: RemoteKind, url: &str) -> (Forwarder, Records) {
    forwarder_of(dir, &options(kind, url)).await
}

async fn forwarder_of(dir: &Path, options: &RemoteOptions) -> (Forwarder, Records) {
    let clock = Clock::simulated(NOW);
    let records = Records::open(&dir.join("records.db"), clock.clone())
        .await
        .unwrap();
    let pace = Pace {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(4),
    };
    (
        Forwarder::new(Remote::new(options).unwrap(), records.clone(), clock, pace),
        records,
    )
}

/// What a server keeps of accepted lines: the order in which they first came, and how often each came.
#[derive(Default)]
struct Kept {
    order: Vec<String>,
    times: BTreeMap<String, usize>,
}

impl Kept {
    fn take(&mut self, body: &str) {
        for line in body.lines().filter(|l| !l.contains("metric=probe")) {
            let times = self.times.entry(line.to_owned()).or_default();
            *times += 1;
            if *times == 1 {
                self.order.push(line.to_owned());
            }
        }
    }
}

/// A server that keeps what `judge` lets it, and answers otherwise as `judge` says.
async fn server(
    judge: impl Fn(usize, &Request) -> Option<Reply> + Send + Sync + 'static,
) -> (Rig, Arc<Mutex<Kept>>) {
    let kept = Arc::new(Mutex::new(Kept::default()));
    let (taken, count) = (kept.clone(), AtomicUsize::new(0));
    let rig = Rig::start(move |request| {
        let reply = judge(count.fetch_add(1, Ordering::SeqCst), request);
        reply.unwrap_or_else(|| {
            taken.lock().unwrap().take(&request.body);
            Reply::status(204)
        })
    })
    .await;
    (rig, kept)
}

/// Adds a state to those seen, if it is another one than before.
fn note(seen: &Mutex<Vec<ForwardState>>, state: ForwardState) {
    let mut seen = seen.lock().unwrap();
    if seen.last() != Some(&state) {
        seen.push(state);
    }
}

fn is_bad(line: &str) -> bool {
    [" value=3.0 ", " value=17.0 ", " value=18.0 ", " value=99.0 "]
        .iter()
        .any(|bad| line.contains(bad))
}

#[tokio::test]
async fn a_sound_server_gets_every_line_compressed_with_token_and_precision() {
    for kind in both() {
        let dir = tempfile::tempdir().unwrap();
        let (rig, kept) = server(|_, _| None).await;
        let (mut forwarder, _records) = forwarder(dir.path(), kind.clone(), &rig.url()).await;
        let lines = lines(25_000);
        forwarder.deliver(&lines).await;
        assert_eq!(kept.lock().unwrap().order.len(), 25_000);
        let seen = rig.seen();
        let sizes: Vec<usize> = seen.iter().map(|r| r.body.lines().count()).collect();
        assert_eq!(sizes, [10_000, 10_000, 5_000], "{kind:?}");
        let first = &seen[0];
        assert!(
            first.target.starts_with("/api/v2/write?") && first.target.contains("precision=ms"),
            "{}",
            first.target
        );
        assert_eq!(first.headers["content-encoding"], "gzip");
        let scheme = if kind == RemoteKind::VictoriaMetrics {
            "Bearer"
        } else {
            assert!(first.target.contains("org=kitchens") && first.target.contains("bucket=sunshine"));
            "Token"
        };
        assert_eq!(first.headers["authorization"], format!("{scheme} secret"));
        let counts = forwarder.watch().counts();
        assert_eq!((counts.lines, counts.requests, counts.retries), (25_000, 3, 0));
        assert_eq!(forwarder.watch().condition().state, ForwardState::Flowing);
    }
}

/// What a server does at its n-th request.
type Fault = fn(usize) -> Option<Reply>;

/// Faults that pass, and what forwarding says of each meanwhile: one of these.
fn faults() -> [(&'static str, &'static [ForwardState], Fault); 11] {
    [
        ("busy", &[ForwardState::Busy], |n| {
            (n < 3).then(|| Reply::status(429))
        }),
        ("broken", &[ForwardState::Busy], |n| {
            (n < 3).then(|| Reply::status(500))
        }),
        ("away", &[ForwardState::Busy], |n| {
            (n % 3 == 0).then(|| Reply::status(503))
        }),
        ("denied", &[ForwardState::Denied], |n| {
            (n < 2).then(|| Reply::status(401))
        }),
        ("forbidden", &[ForwardState::Denied], |n| {
            (n < 2).then(|| Reply::status(403))
        }),
        ("no bucket", &[ForwardState::NoPlace], |n| {
            (n < 2).then(|| Reply::status(404))
        }),
        ("closed", &[ForwardState::Unreachable], |n| {
            (n % 2 == 0).then_some(Reply::Hangup)
        }),
        ("slow", &[ForwardState::Unreachable], |n| {
            (n == 0).then_some(Reply::Silence)
        }),
        // One client reads the words before it believes the status.
        (
            "an answer that breaks off",
            &[ForwardState::Busy, ForwardState::Unreachable],
            |n| (n < 2).then_some(Reply::Short(503)),
        ),
        (
            "an answer that hardly begins",
            &[ForwardState::Unreachable],
            |n| (n < 2).then_some(Reply::Torn),
        ),
        ("odd", &[ForwardState::Busy], |n| {
            (n < 1).then(|| Reply::status(302))
        }),
    ]
}

#[tokio::test]
async fn every_fault_passes_and_nothing_is_lost_doubled_or_out_of_order() {
    for kind in both() {
        for (name, state, fault) in faults() {
            let dir = tempfile::tempdir().unwrap();
            let states = Arc::new(Mutex::new(Vec::new()));
            let (rig, kept) = server(move |n, _| fault(n)).await;
            let (mut forwarder, records) = forwarder(dir.path(), kind.clone(), &rig.url()).await;
            let watch = forwarder.watch();
            let first = lines(200);
            let seen = states.clone();
            let watching = async {
                loop {
                    note(&seen, watch.condition().state);
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = forwarder.deliver(&first) => {}
                () = watching => {}
            }
            let shown = states.lock().unwrap().iter().any(|seen| state.contains(seen));
            assert!(shown, "{name}: {states:?}");
            let want: Vec<&str> = first.text(0..200).lines().collect();
            assert_eq!(kept.lock().unwrap().order, want, "{name}");
            assert!(
                kept.lock().unwrap().times.values().all(|times| *times == 1),
                "{name}"
            );
            assert_eq!(records.dead_letter_counts().await.unwrap().kept, 0, "{name}");
            assert_eq!(forwarder.watch().condition().state, ForwardState::Flowing);
        }
    }
}

#[tokio::test]
async fn bad_lines_become_letters_one_by_one_and_are_sent_again_when_asked() {
    for kind in both() {
        let dir = tempfile::tempdir().unwrap();
        let strict = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let judge = strict.clone();
        // As InfluxDB does: the good lines beside a bad one are taken, and the whole is refused.
        let (rig, kept) = server(move |_, request| {
            let bad = judge.load(Ordering::SeqCst) && request.body.lines().any(is_bad);
            bad.then(|| Reply::Say(400, Vec::new(), "unable to parse\nline".into()))
        })
        .await;
        let (mut forwarder, records) = forwarder(dir.path(), kind, &rig.url()).await;
        let all = lines(100);
        forwarder.deliver(&all).await;
        let want: Vec<&str> = all.text(0..100).lines().filter(|l| !is_bad(l)).collect();
        assert_eq!(kept.lock().unwrap().order, want, "the good ones, in order");
        let letters = records.dead_letters(&Scope::everything(), 50).await.unwrap();
        let bad: Vec<&str> = letters.iter().rev().map(|l| l.line.as_str()).collect();
        let want: Vec<&str> = all.text(0..100).lines().filter(|l| is_bad(l)).collect();
        assert_eq!(bad, want);
        assert_eq!(letters[0].reason, "400: unable to parse line");
        assert_eq!(letters[0].facility.as_str(), "binhe");
        let elsewhere = Scope::facilities(["other".parse().unwrap()]);
        assert_eq!(records.dead_letters(&elsewhere, 50).await.unwrap(), []);
        assert_eq!(records.resend_dead_letters(&elsewhere).await.unwrap(), 0);
        assert_eq!(forwarder.resend_letters().await.unwrap(), 0, "nobody asked yet");

        assert_eq!(
            records.resend_dead_letters(&Scope::everything()).await.unwrap(),
            4
        );
        assert_eq!(forwarder.resend_letters().await.unwrap(), 4);
        let counts = records.dead_letter_counts().await.unwrap();
        assert_eq!(
            (counts.kept, counts.again),
            (4, 0),
            "refused again: letters again"
        );

        strict.store(false, Ordering::SeqCst);
        records.resend_dead_letters(&Scope::everything()).await.unwrap();
        assert_eq!(forwarder.resend_letters().await.unwrap(), 4);
        assert_eq!(records.dead_letter_counts().await.unwrap().kept, 0);
        assert_eq!(kept.lock().unwrap().order.len(), 100);
    }
}

#[tokio::test]
async fn a_server_that_refuses_everything_is_waited_for() {
    for kind in both() {
        let dir = tempfile::tempdir().unwrap();
        let (rig, kept) = server(|n, _| (n < 30).then(|| Reply::status(400))).await;
        let (mut forwarder, records) = forwarder(dir.path(), kind, &rig.url()).await;
        let all = lines(50);
        forwarder.deliver(&all).await;
        assert_eq!(
            kept.lock().unwrap().order,
            all.text(0..50).lines().collect::<Vec<_>>()
        );
        assert_eq!(records.dead_letter_counts().await.unwrap().kept, 0);
        assert!(forwarder.watch().counts().retries > 0);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_halved_and_stays_small() {
    for kind in both() {
        let dir = tempfile::tempdir().unwrap();
        let (rig, kept) =
            server(|_, request| (request.body.len() > 40_000).then(|| Reply::status(413))).await;
        let (mut forwarder, _records) = forwarder(dir.path(), kind, &rig.url()).await;
        let all = lines(10_000);
        forwarder.deliver(&all).await;
        assert_eq!(
            kept.lock().unwrap().order,
            all.text(0..10_000).lines().collect::<Vec<_>>()
        );
        let refused = rig.seen().iter().filter(|r| r.body.len() > 40_000).count();
        assert!(refused <= 6, "{refused} were too large: it is learnt once");
    }
}

#[tokio::test]
async fn a_line_that_is_too_large_by_itself_is_a_letter_and_holds_up_no_other() {
    for kind in both() {
        let dir = tempfile::tempdir().unwrap();
        let (rig, kept) =
            server(|_, request| request.body.lines().any(is_bad).then(|| Reply::status(413))).await;
        let (mut forwarder, records) = forwarder(dir.path(), kind, &rig.url()).await;
        let all = lines(60);
        forwarder.deliver(&all).await;
        let want: Vec<&str> = all.text(0..60).lines().filter(|l| !is_bad(l)).collect();
        assert_eq!(kept.lock().unwrap().order, want);
        assert_eq!(records.dead_letter_counts().await.unwrap().kept, 3);
    }
}

/// A server that took lines and whose good word broke off: whether it is asked again or not, they are there, in order.
#[tokio::test]
async fn a_good_answer_that_breaks_off_loses_nothing() {
    for kind in both() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (taken, count) = (kept.clone(), AtomicUsize::new(0));
        let rig = Rig::start(move |request| {
            taken.lock().unwrap().take(&request.body);
            match count.fetch_add(1, Ordering::SeqCst) {
                0 => Reply::Short(200),
                1 => Reply::Torn,
                _ => Reply::status(204),
            }
        })
        .await;
        let (mut forwarder, records) = forwarder(dir.path(), kind, &rig.url()).await;
        let all = lines(300);
        forwarder.deliver(&all).await;
        forwarder.deliver(&all).await;
        assert_eq!(
            kept.lock().unwrap().order,
            all.text(0..300).lines().collect::<Vec<_>>()
        );
        assert_eq!(records.dead_letter_counts().await.unwrap().kept, 0);
        assert_eq!(forwarder.watch().counts().lines, 600, "each was taken");
    }
}

#[tokio::test]
async fn a_server_too_slow_for_much_gets_less_at_a_time_and_everything() {
    for kind in both() {
        let dir = tempfile::tempdir().unwrap();
        // It would take longer than it is waited for.
        let (rig, kept) =
            server(|_, request| (request.body.lines().count() > 700).then_some(Reply::Silence)).await;
        let options = RemoteOptions {
            timeout: Duration::from_millis(400),
            ..options(kind, &rig.url())
        };
        let (mut forwarder, records) = forwarder_of(dir.path(), &options).await;
        let all = lines(5_000);
        forwarder.deliver(&all).await;
        assert_eq!(
            kept.lock().unwrap().order,
            all.text(0..5_000).lines().collect::<Vec<_>>()
        );
        let slow = rig.seen().iter().filter(|r| r.body.lines().count() > 700).count();
        assert!(slow <= 4, "it is learnt once, not {slow} times");
        assert_eq!(records.dead_letter_counts().await.unwrap().kept, 0);
    }
}

#[tokio::test]
async fn retry_after_is_honoured_on_both() {
    for kind in both() {
        let dir = tempfile::tempdir().unwrap();
        let (rig, _kept) = server(|_, _| {
            Some(Reply::Say(
                429,
                vec![("Retry-After", "120".into())],
                "too many".into(),
            ))
        })
        .await;
        let (mut forwarder, _records) = forwarder(dir.path(), kind.clone(), &rig.url()).await;
        let watch = forwarder.watch();
        let all = lines(3);
        let told = async {
            while watch.condition().again_at.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = forwarder.deliver(&all) => panic!("it was not taken"),
            () = told => {}
        }
        let condition = watch.condition();
        assert_eq!(condition.again_at, Some(NOW + 120_000), "{kind:?}");
        assert_eq!(condition.state, ForwardState::Busy);
        assert_eq!(condition.detail.as_deref(), Some("429: too many"));
        // The knock that asks for the pause writes nothing.
        assert!(rig.seen().len() <= 2);
        assert!(rig.seen().iter().skip(1).all(|r| r.body.is_empty()));
    }
}

#[tokio::test]
async fn gaps_grow_until_they_are_filled() {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(&dir.path().join("records.db"), Clock::simulated(NOW))
        .await
        .unwrap();
    let range = |from: i64, to: i64| domain::TimeRange {
        from: NOW + from,
        to: NOW + to,
    };
    records.note_forward_gap(range(10, 20), 3).await.unwrap();
    let before = records.forward_gaps().await.unwrap()[0];
    records.note_forward_gap(range(5, 15), 4).await.unwrap();
    let gaps = records.forward_gaps().await.unwrap();
    assert_eq!(
        (gaps.len(), gaps[0].range, gaps[0].readings),
        (1, range(5, 20), 7)
    );
    records.forget_forward_gap(&before).await.unwrap();
    assert_eq!(
        records.forward_gaps().await.unwrap(),
        gaps,
        "it has grown meanwhile"
    );
    records.forget_forward_gap(&gaps[0]).await.unwrap();
    assert_eq!(records.forward_gaps().await.unwrap(), []);
}

#[test]
fn an_authority_that_is_none_is_refused() {
    for kind in both() {
        let options = RemoteOptions {
            kind,
            write_url: "https://127.0.0.1:1".into(),
            read_url: None,
            token: None,
            ca_pem: Some(b"no certificate".to_vec()),
            timeout: Duration::from_secs(1),
        };
        let refused = Remote::new(&options).unwrap_err().to_string();
        assert!(refused.contains("ca_file"), "{refused}");
    }
}
