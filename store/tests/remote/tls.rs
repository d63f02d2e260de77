//! Servers behind TLS whose certificates an authority of one's own has signed: they are trusted by `ca_file` and by
//! nothing else, on both of the HTTP clients that are in the program.

use std::{sync::Arc, time::Duration};

use domain::{Clock, Sample, Scope, SeriesKey, TimeRange, UtcMillis, status::ForwardState};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use sunshine_store::{
    Forwarder, Records, Remote, RemoteError, RemoteKind, RemoteOptions, SeriesOptions, SeriesStore,
    TimeSeries, TimeSeriesError,
    remote::{LineHead, Lines, Pace},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::rig::{Reply, Request, Rig};

const BEGIN: UtcMillis = UtcMillis(1_760_000_000_000);

/// For how long a certificate is valid.
#[derive(Clone, Copy)]
pub(crate) enum Validity {
    Now,
    Past,
    Future,
}

/// An authority that nobody else knows.
pub(crate) struct Authority {
    /// Its certificate.
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate and key.
pub(crate) struct Leaf {
    pub(crate) pem: String,
    pub(crate) key: KeyPair,
    der: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for a server of that name or address.
    pub(crate) fn sign(&self, host: &str, validity: Validity) -> Leaf {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        match validity {
            Validity::Now => {}
            Validity::Past => {
                params.not_before = date_time_ymd(2019, 1, 1);
                params.not_after = date_time_ymd(2020, 1, 1);
            }
            Validity::Future => params.not_before = date_time_ymd(4000, 1, 1),
        }
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            pem: signed.pem(),
            key,
            der: signed.der().clone(),
        }
    }
}

impl Leaf {
    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn both() -> [RemoteKind; 2] {
    let influx = RemoteKind::InfluxDb2 {
        organisation: "kitchens".into(),
        bucket: "sunshine".into(),
    };
    [influx, RemoteKind::VictoriaMetrics]
}

fn key() -> SeriesKey {
    SeriesKey {
        facility: "binhe".parse().unwrap(),
        device: "fridge-1".parse().unwrap(),
        metric: "temperature".parse().unwrap(),
    }
}

fn samples() -> Vec<Sample> {
    let sample = |n: i32| Sample {
        at: BEGIN + i64::from(n),
        value: f64::from(n) + 0.5,
    };
    (0..3).map(sample).collect()
}

fn lines() -> Arc<Lines> {
    let head = LineHead::new(&key()).unwrap();
    let mut lines = Lines::default();
    for sample in samples() {
        lines.push(&head, sample).unwrap();
    }
    Arc::new(lines)
}

/// Takes lines, and answers every question with the three samples, in the words of either server.
fn answer(request: &Request) -> Reply {
    let path = request.target.split('?').next().unwrap_or_default();
    match path {
        "/api/v2/write" => Reply::status(204),
        "/api/v2/query" => {
            let rows: String = samples()
                .iter()
                .map(|s| format!(",,0,{:?},{}\r\n", s.value, s.at.0 * 1_000_000))
                .collect();
            let head = "#datatype,string,long,double,long\r\n#group,false,false,false,false\r\n#default,_result,,,\r\n\
                        ,result,table,_value,at\r\n";
            Reply::Say(200, Vec::new(), format!("{head}{rows}\r\n"))
        }
        _ => {
            let values: Vec<f64> = samples().iter().map(|s| s.value).collect();
            let moments: Vec<i64> = samples().iter().map(|s| s.at.0).collect();
            let line = format!("{{\"metric\":{{}},\"values\":{values:?},\"timestamps\":{moments:?}}}\n");
            Reply::Say(200, Vec::new(), line)
        }
    }
}

/// A forwarder to, and a face before, the server at `url`.
struct Ends {
    forwarder: Forwarder,
    face: TimeSeries,
    _dir: tempfile::TempDir,
}

impl Ends {
    async fn open(kind: RemoteKind, url: &str, ca_pem: Option<&str>) -> Ends {
        let remote = Remote::new(&RemoteOptions {
            kind,
            write_url: url.to_owned(),
            read_url: None,
            token: None,
            ca_pem: ca_pem.map(|pem| pem.as_bytes().to_vec()),
            timeout: Duration::from_secs(5),
        })
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(BEGIN + 200 * 86_400_000);
        let records = Records::open(&dir.path().join("records.db"), clock.clone())
            .await
            .unwrap();
        let local = SeriesStore::open(SeriesOptions::new(dir.path().join("series")), clock.clone()).unwrap();
        let pace = Pace {
            first: Duration::from_secs(60),
            longest: Duration::from_secs(60),
        };
        Ends {
            forwarder: Forwarder::new(remote.clone(), records, clock.clone(), pace),
            face: TimeSeries::with_remote(local, remote, 0, clock),
            _dir: dir,
        }
    }

    async fn scan(&self) -> Result<Vec<Sample>, TimeSeriesError> {
        let range = TimeRange {
            from: BEGIN,
            to: BEGIN + 1000,
        };
        let page = self.face.scan(&Scope::everything(), &key(), range, 10).await?;
        Ok(page.samples)
    }

    /// Why lines wait that cannot be sent.
    async fn why_lines_wait(&mut self) -> String {
        let (watch, lines) = (self.forwarder.watch(), lines());
        let told = async {
            while watch.condition().again_at.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = self.forwarder.deliver(&lines) => panic!("they were taken"),
            () = told => {}
        }
        assert_eq!(watch.condition().state, ForwardState::Unreachable);
        watch.condition().detail.unwrap()
    }
}

#[tokio::test]
async fn lines_and_answers_travel_by_an_authority_of_ones_own() {
    let (other, ours) = (Authority::new("Another One"), Authority::new("Province"));
    // A file may hold several: which of them has signed is for the client to find out.
    let bundle = format!("{}\n{}", other.pem, ours.pem);
    for kind in both() {
        for host in ["127.0.0.1", "localhost"] {
            let rig = Rig::start_tls(ours.sign(host, Validity::Now).acceptor(), answer).await;
            let url = format!("https://{host}:{}", rig.addr.port());
            let mut ends = Ends::open(kind.clone(), &url, Some(&bundle)).await;
            ends.forwarder.deliver(&lines()).await;
            assert_eq!(ends.forwarder.watch().counts().lines, 3, "{kind:?} {host}");
            assert_eq!(rig.seen()[0].body, lines().text(0..3));
            assert_eq!(ends.scan().await.unwrap(), samples(), "{kind:?} {host}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_refused_with_cause_and_remedy() {
    let ours = Authority::new("Province");
    let (stranger, namesake) = (Authority::new("Another One"), Authority::new("Province"));
    let cases = [
        (
            "of a namesake",
            namesake.sign("127.0.0.1", Validity::Now),
            "timeseries.ca_file",
        ),
        (
            "of another authority",
            stranger.sign("127.0.0.1", Validity::Now),
            "timeseries.ca_file",
        ),
        (
            "of another host",
            ours.sign("influx.example", Validity::Now),
            "timeseries.url",
        ),
        (
            "that has expired",
            ours.sign("127.0.0.1", Validity::Past),
            "has expired",
        ),
        (
            "of the future",
            ours.sign("127.0.0.1", Validity::Future),
            "not valid yet",
        ),
    ];
    for kind in both() {
        for (name, leaf, remedy) in &cases {
            let rig = Rig::start_tls(leaf.acceptor(), answer).await;
            let url = format!("https://{}", rig.addr);
            let mut ends = Ends::open(kind.clone(), &url, Some(&ours.pem)).await;
            let said = match ends.scan().await {
                Err(TimeSeriesError::Remote(refused @ RemoteError::Certificate { .. })) => {
                    refused.to_string()
                }
                other => panic!("{kind:?}, one {name}: {other:?}"),
            };
            assert!(said.contains(remedy), "{kind:?}, one {name}: {said}");
            let why = ends.why_lines_wait().await;
            assert!(why.contains(remedy), "{kind:?}, one {name}: {why}");
            assert!(rig.seen().is_empty(), "nothing was said to it");
        }
        // Without a file the usual authorities count, of which ours is none.
        let rig = Rig::start_tls(ours.sign("127.0.0.1", Validity::Now).acceptor(), answer).await;
        let ends = Ends::open(kind, &format!("https://{}", rig.addr), None).await;
        let said = ends.scan().await.unwrap_err().to_string();
        assert!(said.contains("timeseries.ca_file"), "{said}");
        assert!(rig.seen().is_empty());
    }
}
