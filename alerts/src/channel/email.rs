//! E-mail over SMTP. The server's name is resolved and checked here; the connection goes to the checked address, and the
//! certificate must be the name's.

use std::{error::Error as _, io};

use domain::message::{ChannelSecrets, ChannelSettings, SmtpTls};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Attachment, Mailbox, MultiPart, SinglePart, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::{
    Letter, SendFailure,
    outside::{Outside, SEND_TIMEOUT},
};

/// The usual ports.
const SUBMISSION: u16 = 587;
const SUBMISSIONS: u16 = 465;
const RELAY: u16 = 25;

pub(super) async fn send(
    outside: &Outside,
    settings: &ChannelSettings,
    secrets: &ChannelSecrets,
    letter: &Letter,
) -> Result<(), SendFailure> {
    let message = written(settings, letter)?;
    let port = match (settings.port, settings.tls) {
        (0, SmtpTls::StartTls) => SUBMISSION,
        (0, SmtpTls::Implicit) => SUBMISSIONS,
        (0, SmtpTls::None) => RELAY,
        (port, _) => port,
    };
    let server = outside.resolve(&settings.host, port).await?;
    let parameters = || tls_parameters(&settings.host, outside.authorities());
    let tls = match settings.tls {
        SmtpTls::StartTls => Tls::Required(parameters()?),
        SmtpTls::Implicit => Tls::Wrapper(parameters()?),
        SmtpTls::None => Tls::None,
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.ip().to_string())
        .port(port)
        .tls(tls)
        .hello_name(ClientId::Domain("sunshine-kitchen".to_owned()))
        .timeout(Some(SEND_TIMEOUT));
    if !settings.user.is_empty() {
        transport = transport.credentials(Credentials::new(settings.user.clone(), secrets.token.clone()));
    }
    let transport: AsyncSmtpTransport<Tokio1Executor> = transport.build();
    match tokio::time::timeout(SEND_TIMEOUT * 2, transport.send(message)).await {
        Ok(Ok(_accepted)) => Ok(()),
        Ok(Err(error)) if error.is_permanent() => Err(SendFailure::permanent(words(&error))),
        Ok(Err(error)) => Err(SendFailure::transient(words(&error))),
        Err(_elapsed) => Err(SendFailure::transient("the mail server does not answer in time")),
    }
}

/// The certificate must be `host`'s, vouched for by the machine's authorities or those that are named.
fn tls_parameters(host: &str, authorities: &[u8]) -> Result<TlsParameters, SendFailure> {
    let unset = |_no_certificates| {
        SendFailure::permanent(
            "TLS cannot be set up; check the machine's certificates and [messages] ca_file",
        )
    };
    let mut builder = TlsParameters::builder(host.to_owned());
    if !authorities.is_empty() {
        builder = builder.add_root_certificate(Certificate::from_pem(authorities).map_err(unset)?);
    }
    builder.build_rustls().map_err(unset)
}

/// The server's code, or what kind of trouble it is.
fn words(error: &lettre::transport::smtp::Error) -> String {
    match error.status() {
        Some(code) => format!("the mail server answered {code}: {error}"),
        None if error.is_timeout() => "the mail server does not answer in time".to_owned(),
        None => match untrusted(error) {
            Some(why) => format!(
                "the mail server's certificate is not accepted: correct the server's name, or name its authority in \
                 [messages] ca_file; nothing was sent ({why})"
            ),
            None if error.is_client() => format!(
                "the mail server does not do what the channel asks for ({}); nothing was sent in the clear",
                cause(error)
            ),
            None => format!("the mail server cannot be talked to: {}", cause(error)),
        },
    }
}

/// What TLS says where it is what failed: it comes as an error of reading.
fn untrusted(error: &lettre::transport::smtp::Error) -> Option<String> {
    let mut source = error.source();
    while let Some(error) = source {
        let read = error.downcast_ref::<io::Error>();
        if let Some(read) = read.filter(|read| read.kind() == io::ErrorKind::InvalidData) {
            return Some(read.to_string());
        }
        source = error.source();
    }
    error.is_tls().then(|| error.to_string())
}

/// The innermost cause, in words.
fn cause(error: &lettre::transport::smtp::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn written(settings: &ChannelSettings, letter: &Letter) -> Result<Message, SendFailure> {
    let mailbox = |text: &str, what: &str| -> Result<Mailbox, SendFailure> {
        text.parse().map_err(|_unreadable| {
            SendFailure::permanent(format!("the {what} is no e-mail address; correct it"))
        })
    };
    let builder = Message::builder()
        .from(mailbox(&settings.from, "sender")?)
        .to(mailbox(&letter.address, "contact's address")?)
        .subject(letter.text.title.clone())
        // The same for every attempt: a server that got it twice can tell.
        .message_id(Some(format!("<{}@sunshine-kitchen>", letter.name)));
    let plain = SinglePart::plain(letter.text.plain(64_000));
    let built = match &letter.picture {
        Some(jpeg) => {
            let media = ContentType::parse("image/jpeg").expect("a constant that is a media type");
            let picture = Attachment::new("case.jpg".to_owned()).body(jpeg.to_vec(), media);
            builder.multipart(MultiPart::mixed().singlepart(plain).singlepart(picture))
        }
        None => builder.singlepart(plain),
    };
    built.map_err(|_incomplete| {
        SendFailure::permanent("the message cannot be written; check sender and contact")
    })
}
