//! What InfluxDB 2 answers, in annotated CSV: what makes sense is read as it stands, and what does not is an error, never
//! a panic. Nothing here executes Flux: the answers are made by hand, or from what they must be.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{Clock, Sample, Scope, SeriesKey, TimeRange, UtcMillis, rule::Comparison};
use sunshine_store::{
    Aggregate, Aggregates, Level, Ranked, Remote, RemoteError, RemoteKind, RemoteOptions, SeriesOptions,
    SeriesStore, ShareQuery, Step, TimeSeries, TimeSeriesError, Token, WindowQuery, series::reference,
};
use tempfile::TempDir;

use crate::rig::{Reply, Request, Rig};

const BEGIN: UtcMillis = UtcMillis(1_760_000_000_000);

fn key() -> SeriesKey {
    SeriesKey {
        facility: "binhe".parse().unwrap(),
        device: "fridge-1".parse().unwrap(),
        metric: "temperature".parse().unwrap(),
    }
}

fn day() -> TimeRange {
    TimeRange {
        from: BEGIN,
        to: BEGIN + 86_400_000,
    }
}

fn hours(aggregates: Aggregates) -> WindowQuery {
    WindowQuery {
        range: day(),
        step: Step::Fixed { ms: 3_600_000 },
        aggregates,
    }
}

async fn face(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (TimeSeries, Rig, TempDir) {
    let rig = Rig::start(answer).await;
    let remote = Remote::new(&RemoteOptions {
        kind: RemoteKind::InfluxDb2 {
            organisation: "kitchens".into(),
            bucket: "sunshine".into(),
        },
        write_url: rig.url(),
        read_url: None,
        token: Some(Token::new("secret")),
        ca_pem: None,
        timeout: Duration::from_secs(2),
    })
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(BEGIN + 200 * 86_400_000);
    let local = SeriesStore::open(SeriesOptions::new(dir.path()), clock.clone()).unwrap();
    (TimeSeries::with_remote(local, remote, 0, clock), rig, dir)
}

/// An answer as InfluxDB 2 writes it: the name of the result is a default, and lines end as in HTTP.
fn table(result: &str, rows: &[(UtcMillis, f64)]) -> String {
    let mut text = format!(
        "#datatype,string,long,double,long\r\n#group,false,false,false,false\r\n#default,{result},,,\r\n\
         ,result,table,_value,at\r\n"
    );
    for (at, value) in rows {
        write!(text, ",,0,{value:?},{}\r\n", at.0 * 1_000_000).unwrap();
    }
    text + "\r\n"
}

/// What kind of error it must be.
type Is = fn(&RemoteError) -> bool;

/// Answers that make no sense, by name.
fn nonsense() -> Vec<(&'static str, Reply, Is)> {
    let ok = |text: String| Reply::Say(200, Vec::new(), text);
    let header = "#datatype,string,long,double,long\r\n#group,false,false,false,false\r\n#default,count,,,\r\n\
                  ,result,table,_value,at\r\n";
    let error_table = "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n\
                       ,engine: cursor failed,897\r\n";
    let answer: Is = |e| matches!(e, RemoteError::Answer { .. });
    vec![
        (
            "a null",
            ok(format!("{header},,0,,{}\r\n", BEGIN.0 * 1_000_000)),
            answer,
        ),
        ("no time", ok(format!("{header},,0,1.5,\r\n")), answer),
        (
            "no number",
            ok(format!("{header},,0,warm,{}\r\n", BEGIN.0)),
            answer,
        ),
        ("a short row", ok(format!("{header},,0\r\n")), answer),
        (
            "an unknown type",
            ok("#datatype,string,long,decimal\r\n,result,table,x\r\n,,0,1\r\n".into()),
            answer,
        ),
        (
            "no annotations",
            ok(",result,table,_value,at\r\n,,0,1,2\r\n".into()),
            answer,
        ),
        ("another table", ok(table("surprise", &[(BEGIN, 1.0)])), answer),
        ("another bucket", ok(table("count", &[(BEGIN + 1, 1.0)])), answer),
        ("a figure too few", ok(table("count", &[(BEGIN, 1.0)])), answer),
        (
            "a page of something else",
            ok("<html><body>no,no\r\n</body></html>".into()),
            answer,
        ),
        (
            "an error in the middle",
            ok(format!("{}{error_table}", table("count", &[(BEGIN, 1.0)]))),
            |e| matches!(e, RemoteError::Answer { detail } if detail.contains("cursor failed")),
        ),
        ("cut off", Reply::CutOff(table("count", &[(BEGIN, 1.0)])), |e| {
            matches!(e, RemoteError::Unreachable { .. })
        }),
        ("not in time", Reply::Silence, |e| {
            matches!(e, RemoteError::Unreachable { .. })
        }),
        ("closed", Reply::Hangup, |e| {
            matches!(e, RemoteError::Unreachable { .. })
        }),
        (
            "denied",
            Reply::Say(401, vec![], "{\"code\":\"unauthorized\"}".into()),
            |e| matches!(e, RemoteError::Denied { .. }),
        ),
        (
            "refused",
            Reply::Say(400, vec![], "{\"message\":\"no bucket\"}".into()),
            |e| matches!(e, RemoteError::Failed { detail } if detail.contains("no bucket")),
        ),
    ]
}

#[tokio::test]
async fn what_makes_no_sense_is_an_error_and_never_a_panic() {
    for (name, reply, is) in nonsense() {
        let (face, _rig, _dir) = face(move |_| reply.clone()).await;
        let failed = face
            .window(&Scope::everything(), &key(), &hours(Aggregates::PLAIN))
            .await;
        match failed {
            Err(TimeSeriesError::Remote(e)) => assert!(is(&e), "{name}: {e:?}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn nothing_is_nothing() {
    for text in ["", "\r\n", &table("count", &[])] {
        let text = text.to_owned();
        let (face, rig, _dir) = face(move |_| Reply::Say(200, Vec::new(), text.clone())).await;
        let scope = Scope::everything();
        assert_eq!(
            face.window(&scope, &key(), &hours(Aggregates::ALL))
                .await
                .unwrap()
                .buckets,
            []
        );
        assert_eq!(face.scan(&scope, &key(), day(), 10).await.unwrap().samples, []);
        assert_eq!(face.latest(&scope, &key()).await.unwrap(), None);
        let seen = rig.seen();
        assert!(
            seen.iter().all(|r| r.target == "/api/v2/query?org=kitchens"),
            "{seen:?}"
        );
        assert!(seen.iter().all(|r| r.headers["authorization"] == "Token secret"));
        assert!(
            seen[0].body.contains(r#"r.device == \"fridge-1\""#),
            "{}",
            seen[0].body
        );
        // Whoever may not see a facility makes nobody ask.
        let nobody = Scope::facilities(["elsewhere".parse().unwrap()]);
        assert_eq!(
            face.window(&nobody, &key(), &hours(Aggregates::ALL))
                .await
                .unwrap()
                .buckets,
            []
        );
        assert_eq!(rig.seen().len(), seen.len());
    }
}

fn samples() -> Vec<Sample> {
    let value = |n: i32| f64::from(n * 37 % 101) - 40.5;
    let sample = |n: i32| Sample {
        at: BEGIN + i64::from(n) * 313_000,
        value: value(n),
    };
    // With a gap of several hours.
    (0..270).filter(|n| !(80..130).contains(n)).map(sample).collect()
}

/// Answers as a server would that has `samples` and understands our questions.
fn answer(samples: &[Sample], asked: &WindowQuery, request: &Request) -> Reply {
    let text = if request.body.contains("aggregateWindow") {
        let buckets = reference::window(samples, asked, Level::Raw).unwrap().buckets;
        let figures = asked.aggregates.iter().filter(|a| *a != Aggregate::Avg);
        figures
            .map(|aggregate| {
                let of = |b: &sunshine_store::WindowBucket| (b.start, b.get(aggregate).unwrap());
                table(aggregate.code(), &buckets.iter().map(of).collect::<Vec<_>>())
            })
            .collect()
    } else {
        let number = |name: &str| -> i64 {
            let (_, rest) = request.body.split_once(name).unwrap();
            let digits = rest.split(|c: char| c != '-' && !c.is_ascii_digit()).next();
            digits.unwrap().parse().unwrap()
        };
        let range = TimeRange {
            from: UtcMillis(number("start: time(v: ") / 1_000_000),
            to: UtcMillis(number("stop: time(v: ") / 1_000_000),
        };
        let most = if request.body.contains("limit(n: ") {
            number("limit(n: ")
        } else {
            1
        };
        let found = samples.iter().filter(|s| range.contains(s.at));
        let rows: Vec<_> = found
            .map(|s| (s.at, s.value))
            .take(usize::try_from(most).unwrap())
            .collect();
        table("_result", &rows)
    };
    Reply::Say(200, Vec::new(), text)
}

#[tokio::test]
async fn what_is_answered_is_read_as_it_stands() {
    let asked = Arc::new(Mutex::new(hours(Aggregates::ALL)));
    let question = asked.clone();
    let (face, _rig, _dir) =
        face(move |request| answer(&samples(), &question.lock().unwrap(), request)).await;
    let (samples, scope) = (samples(), Scope::everything());
    let steps = [
        (Step::Fixed { ms: 3_600_000 }, Aggregates::ALL),
        (Step::Fixed { ms: 7_777_777 }, Aggregates::PLAIN),
        (Step::Parts(180), Aggregates::ALL),
        // No whole milliseconds: computed from samples.
        (Step::Parts(7), Aggregates::ALL),
    ];
    for (step, aggregates) in steps {
        let query = WindowQuery {
            step,
            ..hours(aggregates)
        };
        *asked.lock().unwrap() = query.clone();
        let got = face.window(&scope, &key(), &query).await.unwrap();
        assert_eq!(
            got,
            reference::window(&samples, &query, Level::Raw).unwrap(),
            "{query:?}"
        );
    }
    let share = ShareQuery {
        range: day(),
        op: Comparison::Above,
        limit: 8.0,
        max_hold_ms: 600_000,
    };
    let got = face.share_over(&scope, &[key()], &share).await.unwrap();
    assert_eq!(got, reference::share(&samples, &share));
    let mut range = day();
    let mut all = Vec::new();
    loop {
        let page = face.scan(&scope, &key(), range, 50).await.unwrap();
        all.extend(page.samples);
        match page.next {
            Some(next) => range.from = next,
            None => break,
        }
    }
    assert_eq!(all, samples);
}

type Asked = Arc<Mutex<WindowQuery>>;

/// A face over both: the embedded store has the last 100 days, and the other server everything but the last day.
async fn halves() -> (TimeSeries, Asked, Rig, TempDir) {
    let asked = Arc::new(Mutex::new(hours(Aggregates::PLAIN)));
    let question = asked.clone();
    let (_, rig, dir) = face(move |request| answer(&samples(), &question.lock().unwrap(), request)).await;
    let clock = Clock::simulated(BEGIN + 100 * 86_400_000 + 43_200_000);
    let local = SeriesStore::open(SeriesOptions::new(dir.path().join("local")), clock.clone()).unwrap();
    let series = local.resolve(&key()).unwrap();
    let readings: Vec<domain::Reading> = samples()
        .into_iter()
        // And a little more, as after any day: what held when the boundary passed.
        .filter(|s| s.at >= BEGIN + 43_200_000 - 600_000)
        .map(|s| domain::Reading {
            series,
            at: s.at,
            received: s.at,
            value: s.value,
            quality: domain::Quality::Good,
        })
        .collect();
    local
        .append(&readings, domain::LogPosition(0), domain::LogPosition(1))
        .unwrap();
    let remote = Remote::new(&RemoteOptions {
        kind: RemoteKind::InfluxDb2 {
            organisation: "kitchens".into(),
            bucket: "sunshine".into(),
        },
        write_url: rig.url(),
        read_url: None,
        token: None,
        ca_pem: None,
        timeout: Duration::from_secs(2),
    })
    .unwrap();
    let face = TimeSeries::with_remote(local, remote, 100 * 86_400_000, clock);
    (face, asked, rig, dir)
}

#[tokio::test]
async fn a_question_is_cut_at_the_boundary() {
    let (face, asked, rig, _dir) = halves().await;
    let scope = Scope::everything();
    *asked.lock().unwrap() = WindowQuery {
        range: TimeRange {
            from: BEGIN,
            to: BEGIN + 43_200_000,
        },
        ..hours(Aggregates::PLAIN)
    };
    let got = face
        .window(&scope, &key(), &hours(Aggregates::PLAIN))
        .await
        .unwrap();
    let want = reference::window(&samples(), &hours(Aggregates::PLAIN), Level::Raw).unwrap();
    assert_eq!(got, want);
    let page = face.scan(&scope, &key(), day(), 1000).await.unwrap();
    assert_eq!(page.next, Some(BEGIN + 43_200_000), "the rest is here");
    let share = ShareQuery {
        range: day(),
        op: Comparison::Below,
        limit: 3.05,
        max_hold_ms: 600_000,
    };
    let ranked = face.share_by(&scope, &[(key(), "region")], &share).await.unwrap();
    let want = Ranked {
        group: "region",
        share: reference::share(&samples(), &share),
        series: 1,
    };
    assert_eq!(ranked, [want], "the halves come to the whole");
    let recent = TimeRange {
        from: BEGIN + 50_000_000,
        to: BEGIN + 60_000_000,
    };
    let asked_before = rig.seen().len();
    assert!(!face.reaches_beyond(recent));
    assert!(
        !face
            .scan(&scope, &key(), recent, 10)
            .await
            .unwrap()
            .samples
            .is_empty()
    );
    assert_eq!(rig.seen().len(), asked_before, "nobody else is asked");
}

#[tokio::test]
async fn a_bucket_is_made_once_with_its_retention() {
    use sunshine_store::remote::SetUp;
    let made = Arc::new(Mutex::new(None::<String>));
    let bucket = made.clone();
    let rig = Rig::start(move |request| {
        let say = |status, text: &str| Reply::Say(status, Vec::new(), text.to_owned());
        match request.target.split('?').next().unwrap() {
            "/api/v2/orgs" => say(200, r#"{"orgs":[{"id":"0000000000000007","name":"kitchens"}]}"#),
            "/api/v2/buckets" if request.body.is_empty() => {
                assert!(request.target.contains("name=sunshine"), "{}", request.target);
                let found = bucket.lock().unwrap().clone().unwrap_or_default();
                say(200, &format!("{{\"buckets\":[{found}]}}"))
            }
            "/api/v2/buckets" => {
                *bucket.lock().unwrap() = Some(request.body.clone());
                say(201, "{}")
            }
            _ => say(404, "{}"),
        }
    })
    .await;
    let open = |organisation: &str| {
        Remote::new(&RemoteOptions {
            kind: RemoteKind::InfluxDb2 {
                organisation: organisation.into(),
                bucket: "sunshine".into(),
            },
            write_url: rig.url(),
            read_url: None,
            token: None,
            ca_pem: None,
            timeout: Duration::from_secs(5),
        })
        .unwrap()
    };
    let remote = open("kitchens");
    assert_eq!(remote.set_up(730).await.unwrap(), SetUp::Made);
    let asked: serde_json::Value = serde_json::from_str(&made.lock().unwrap().clone().unwrap()).unwrap();
    assert_eq!(asked["orgID"], "0000000000000007");
    assert_eq!(asked["retentionRules"][0]["everySeconds"], 730 * 86_400);
    assert_eq!(
        remote.set_up(1).await.unwrap(),
        SetUp::Found { retention_days: 730 }
    );
    assert!(matches!(
        open("others").set_up(0).await,
        Err(RemoteError::Failed { .. })
    ));
}
