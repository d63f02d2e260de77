//! E-mail over SMTP. The server's name is resolved and checked here; the connection goes to the checked address, and the
//! certificate must be the name's.

use domain::message::{ChannelSecrets, ChannelSettings, SmtpTls};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Attachment, Mailbox, MultiPart, SinglePart, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
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
    let parameters = || {
        TlsParameters::new(settings.host.clone()).map_err(|_no_certificates| {
            SendFailure::permanent("TLS cannot be set up; check the machine's certificates")
        })
    };
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

/// The server's code, or what kind of trouble it is.
fn words(error: &lettre::transport::smtp::Error) -> String {
    match error.status() {
        Some(code) => format!("the mail server answered {code}: {error}"),
        None if error.is_timeout() => "the mail server does not answer in time".to_owned(),
        None if error.is_tls() => {
            "the mail server's TLS is not accepted: check its name and certificate".to_owned()
        }
        None => format!("the mail server cannot be talked to: {error}"),
    }
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
