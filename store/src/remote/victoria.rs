//! VictoriaMetrics, through our own client.

use reqwest::{Client, Response, Url, header};

use super::{
    answer::{Answer, bounded, denies, retry_after},
    options::{RemoteError, RemoteOptions, Token, address},
    trust::{lines_unanswered, unanswered},
};

/// The longest form that travels in an address: proxies take 8 KiB of one.
const MOST_ADDRESS_BYTES: usize = 7_000;

/// The most of an error's body that is read.
const MOST_ERROR_BYTES: usize = 4096;

/// A client of one VictoriaMetrics. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Victoria {
    http: Client,
    write: Url,
    read: Url,
    token: Option<Token>,
}

impl Victoria {
    pub(super) fn new(options: &RemoteOptions) -> Result<Victoria, RemoteError> {
        let write = address(&options.write_url, false)?;
        let read = match &options.read_url {
            Some(url) => address(url, false)?,
            None => write.clone(),
        };
        Ok(Victoria {
            http: client(options, "Bearer")?,
            write: below(&write, "api/v2/write"),
            read,
            token: options.token.clone(),
        })
    }

    /// Writes lines that are compressed already.
    pub(super) async fn write(&self, compressed: Vec<u8>) -> Answer {
        let to = (&self.http, &self.write, self.token.as_ref());
        post_lines(to, &[("precision", "ms")], compressed).await
    }

    /// Asks for `path` with parameters. They travel in the address, where it is not too long for them: `vmauth` 1.79 now
    /// and then cuts the answer to a body off, and ends it as if it were whole.
    pub(super) async fn ask(
        &self,
        path: &str,
        parameters: &[(&str, String)],
    ) -> Result<Response, RemoteError> {
        let form = form(parameters);
        let mut url = below(&self.read, path);
        let request = if form.len() <= MOST_ADDRESS_BYTES {
            url.set_query(Some(&form));
            self.http.get(url)
        } else {
            let kind = "application/x-www-form-urlencoded";
            self.http.post(url).header(header::CONTENT_TYPE, kind).body(form)
        };
        let asked = request.send().await;
        let response = asked.map_err(|e| unanswered(&e.without_url()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let words = words(response, self.token.as_ref()).await;
        let detail = bounded(&format!("{status}: {words}"));
        Err(if denies(status.as_u16(), &words) {
            RemoteError::Denied { detail }
        } else {
            RemoteError::Failed { detail }
        })
    }
}

/// A client with the token, the authority and the time limit of `options`. It follows no redirect: what is written
/// goes where the configuration says, or nowhere.
pub(super) fn client(options: &RemoteOptions, scheme: &str) -> Result<Client, RemoteError> {
    let setup = |detail: String| RemoteError::Setup { detail };
    let mut headers = header::HeaderMap::new();
    if let Some(token) = &options.token {
        let value = format!("{scheme} {}", token.reveal());
        let mut value = header::HeaderValue::from_str(&value)
            .map_err(|_refused| setup("the token holds characters that no token has".into()))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    let mut builder = Client::builder()
        .default_headers(headers)
        .timeout(options.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(pem) = &options.ca_pem {
        let authorities =
            reqwest::Certificate::from_pem_bundle(pem).map_err(|e| setup(bounded(&e.to_string())))?;
        if authorities.is_empty() {
            return Err(setup(
                "the file of the authority holds no certificate in PEM".into(),
            ));
        }
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().map_err(|e| setup(bounded(&causes(&e))))
}

pub(super) async fn post_lines(
    (http, url, token): (&Client, &Url, Option<&Token>),
    parameters: &[(&str, &str)],
    compressed: Vec<u8>,
) -> Answer {
    let mut url = url.clone();
    url.query_pairs_mut().extend_pairs(parameters);
    let sent = http
        .post(url)
        .header(header::CONTENT_ENCODING, "gzip")
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(compressed)
        .send()
        .await;
    match sent {
        Err(e) => lines_unanswered(&e.without_url()),
        Ok(response) => {
            let status = response.status().as_u16();
            let after = response.headers().get(header::RETRY_AFTER);
            let after = retry_after(after.and_then(|value| value.to_str().ok()));
            Answer::of(status, &words(response, token).await, after)
        }
    }
}

/// An error with what lies behind it, without the address: it is in the configuration, not in every message.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        let cause_text = cause.to_string();
        // Some libraries say the cause themselves.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        at = cause.source();
    }
    text
}

/// The beginning of an error's body, without our token, which some servers repeat. One that breaks off says as much as
/// came.
async fn words(mut response: Response, token: Option<&Token>) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= MOST_ERROR_BYTES {
            bytes.truncate(MOST_ERROR_BYTES);
            break;
        }
    }
    let words = String::from_utf8_lossy(&bytes).into_owned();
    token.map_or(words.clone(), |token| token.hide_in(&words))
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

fn form(parameters: &[(&str, String)]) -> String {
    let mut scratch = Url::parse("http://form.invalid/").expect("a constant that is a URL");
    scratch.query_pairs_mut().extend_pairs(parameters);
    scratch.query().unwrap_or_default().to_owned()
}
