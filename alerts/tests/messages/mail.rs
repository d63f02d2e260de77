//! E-mail over TLS: from the first byte and by STARTTLS, with a certificate that is trusted, and with none that is.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use domain::{
    Severity,
    message::{ChannelKind, ChannelSettings, Language, SmtpTls},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::{
    post::{Post, contact, key},
    sink::{Ended, converse},
};

/// An authority of one test.
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A mail server whose certificate is `name`'s.
struct TlsMail {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl TlsMail {
    async fn start(by: &Authority, name: &str, implicit: bool) -> TlsMail {
        let server = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&server, by).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mails);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, acceptor) = (Arc::clone(&kept), acceptor.clone());
                connections.spawn(async move { drop(serve(stream, &acceptor, (&kept, implicit)).await) });
            }
        });
        TlsMail {
            address,
            mails,
            _task: task,
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.mails.lock().unwrap())
    }

    fn settings(&self, tls: SmtpTls) -> ChannelSettings {
        ChannelSettings {
            host: "localhost".into(),
            port: self.address.port(),
            tls,
            user: "kitchen".into(),
            from: "kitchen@example.org".into(),
            ..ChannelSettings::default()
        }
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    (kept, implicit): (&Mutex<Vec<String>>, bool),
) -> std::io::Result<()> {
    let mut plain = BufReader::new(stream);
    if !implicit && converse(&mut plain, kept, (true, true)).await? == Ended::Over {
        return Ok(());
    }
    let secured = acceptor.accept(plain.into_inner()).await?;
    converse(&mut BufReader::new(secured), kept, (implicit, false))
        .await
        .map(drop)
}

/// A kitchen that trusts `authority`, with one contact by mail over `settings`.
async fn kitchen(authority: Option<&Authority>, settings: ChannelSettings) -> Post {
    let mut post = Post::open().await;
    if let Some(authority) = authority {
        post.authorities = authority.pem().into_bytes();
        post.restart();
    }
    post.channel(ChannelKind::Email, settings, ("hunter2", "")).await;
    post.put(&contact("email", "manager@example.org")).await;
    post
}

#[tokio::test]
async fn mail_goes_over_tls_from_the_first_byte_and_by_starttls() {
    let authority = authority();
    for tls in [SmtpTls::Implicit, SmtpTls::StartTls] {
        let mails = TlsMail::start(&authority, "localhost", tls == SmtpTls::Implicit).await;
        let mut post = kitchen(Some(&authority), mails.settings(tls)).await;
        post.open_case("CN-TMP-01", key("fridge-1", "temperature"), Severity::P2)
            .await;
        post.messenger.round().await.unwrap();
        let outbox = post.outbox().await;
        assert_eq!(outbox[0].state.code(), "sent", "{tls:?}: {}", outbox[0].error);
        let taken = mails.take();
        assert_eq!(taken.len(), 1, "{tls:?}");
        assert!(taken[0].contains("AUTH PLAIN") && taken[0].contains("RCPT TO:<manager@example.org>"));
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_another_names_is_refused_and_said_so() {
    let (authority, stranger) = (authority(), authority());
    let cases = [
        (Some(&authority), &stranger, "localhost"),
        (None, &authority, "localhost"),
        (Some(&authority), &authority, "mail.example.org"),
    ];
    for (trusted, signer, name) in cases {
        for tls in [SmtpTls::Implicit, SmtpTls::StartTls] {
            let mails = TlsMail::start(signer, name, tls == SmtpTls::Implicit).await;
            let post = kitchen(trusted, mails.settings(tls)).await;
            let tried = post
                .handle
                .try_channel("email", "manager@example.org", Language::En)
                .await;
            let said = tried.unwrap_err().to_string();
            assert!(
                said.contains("certificate is not accepted"),
                "{tls:?} {name}: {said}"
            );
            assert!(said.contains("ca_file"), "the remedy: {said}");
            assert_eq!(mails.take().len(), 0);
        }
    }
}

#[tokio::test]
async fn where_starttls_was_taken_out_nothing_is_said_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(converse(&mut BufReader::new(stream), &kept, (true, false)).await);
        }
    });
    let settings = ChannelSettings {
        host: "localhost".into(),
        port: address.port(),
        user: "kitchen".into(),
        from: "kitchen@example.org".into(),
        ..ChannelSettings::default()
    };
    let mut post = kitchen(None, settings).await;
    post.open_case("CN-TMP-01", key("fridge-1", "temperature"), Severity::P2)
        .await;
    post.messenger.round().await.unwrap();
    let row = post.outbox().await.remove(0);
    assert_eq!(row.state.code(), "waiting", "it waits until the server can");
    assert!(
        row.error.contains("STARTTLS") && row.error.contains("nothing was sent in the clear"),
        "{}",
        row.error
    );
    assert!(
        heard.lock().unwrap().is_empty(),
        "neither the mail nor the password"
    );
}
