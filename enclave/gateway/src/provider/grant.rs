//! Trades a deployment's credential for a short-lived access token, before its first call and again shortly before the
//! token ends (RFC 6749, section 4.4; RFC 7523).
//!
//! The trade is a call like any other: over the port, to a host that the configuration names, with the same TLS.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Deserialize;

use super::path::push_encoded;
use crate::clock::{Clock, Now};
use crate::deployment::{Account, Deployment, EntraApplication, ServiceAccount, Token, TokenSource, Turn};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::refusal;
use crate::upstream::{BodyParts, HeaderValue, Progress, Upstream, UpstreamBody, UpstreamCall};

/// Everything of Google's cloud that the account may use.
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Azure's models.
const ENTRA_SCOPE: &str = "https://cognitiveservices.azure.com/.default";
/// How long Google's tokens are asked to hold, in seconds; it allows no more.
const LIFETIME: u64 = 3600;
/// Most bytes of the service's answer.
const MAX_ANSWER: usize = 64 * 1024;

/// Sees to it that a deployment whose credential is an access token has one. Of many callers one asks for it; the others
/// go on with the old one while that holds, or wait.
///
/// # Errors
/// [`Error::UpstreamCredential`] if the service refuses the credential; otherwise what kept it from answering.
pub async fn ready<U: Upstream, C: Clock>(at: &Deployment, upstream: &U, clock: &C) -> Result<(), Error> {
    let Some(source) = &at.tokens else { return Ok(()) };
    let turn = poll_fn(|context| source.poll_turn(clock.now().monotonic, context)).await;
    let Turn::Fetch(fetch) = turn else { return Ok(()) };
    let now = clock.now();
    // Apart, because it is rare and takes much room.
    match Box::pin(ask(source, upstream, now)).await {
        Ok(token) => {
            fetch.got(token);
            Ok(())
        }
        Err(error) => {
            let holds = fetch.failed(clock.now().monotonic);
            if holds { Ok(()) } else { Err(error) }
        }
    }
}

async fn ask<U: Upstream>(source: &TokenSource, upstream: &U, now: Now) -> Result<Token, Error> {
    let mut response = upstream.send(call(source, now)?).await?;
    let mut body = Plaintext::new(Vec::new());
    while response.body.read(body.expose_mut()).await? == Progress::Data {
        if body.expose().len() > MAX_ANSWER {
            return Err(Error::UpstreamMalformed);
        }
    }
    match response.status {
        200 => token(body.expose(), now).ok_or(Error::UpstreamMalformed),
        status @ (408 | 429 | 500..=599) => {
            let retry_after_ms = refusal::retry_after_ms(&response.headers, body.expose(), now);
            let reason = refusal::reason(status, &response.headers, &[]);
            Err(Error::UpstreamStatus { status, reason, retry_after_ms, body: None })
        }
        _ => Err(Error::UpstreamCredential),
    }
}

/// The token of an answer (RFC 6749, section 5.1). Some services write the lifetime as text.
fn token(answer: &[u8], now: Now) -> Option<Token> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
        token_type: String,
        expires_in: Seconds,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(u64),
        Text(String),
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let seconds = match answer.expires_in {
        Seconds::Number(seconds) => seconds,
        Seconds::Text(text) => text.parse().ok()?,
    };
    let visible =
        !answer.access_token.is_empty() && answer.access_token.bytes().all(|byte| byte.is_ascii_graphic());
    let fits = visible && seconds > 0 && answer.token_type.eq_ignore_ascii_case("bearer");
    fits.then(|| {
        Token::new(&answer.access_token, Duration::from_secs(seconds.min(MAX_LIFETIME)), now.monotonic)
    })
}

/// No service gives tokens for more than a day, in seconds.
const MAX_LIFETIME: u64 = 24 * 60 * 60;

fn call(source: &TokenSource, now: Now) -> Result<UpstreamCall, Error> {
    let form = match &source.account {
        Account::Google(account) => google(account, now).ok_or(Error::UpstreamCredential)?,
        Account::Entra(application) => entra(application),
    };
    let headers = vec![
        ("content-type", HeaderValue::Static("application/x-www-form-urlencoded")),
        ("accept", HeaderValue::Static("application/json")),
        ("accept-encoding", HeaderValue::Static("identity")),
        ("user-agent", HeaderValue::Static("postern")),
    ];
    Ok(UpstreamCall {
        deployment: Arc::clone(&source.service),
        method: "POST",
        path: source.service.base_path.to_string(),
        headers,
        passed_on: Vec::new(),
        body: Plaintext::new(BodyParts::whole(Bytes::from(form))),
        timeouts: source.service.timeouts,
    })
}

/// A statement of the account about itself, signed, for the service's eyes (RFC 7523, section 2.1).
fn google(account: &ServiceAccount, now: Now) -> Option<String> {
    let issued = now.unix_seconds();
    let header = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": account.private_key_id });
    let claims = serde_json::json!({
        "iss": account.client_email,
        "scope": GOOGLE_SCOPE,
        "aud": account.token_uri,
        "iat": issued,
        "exp": issued.saturating_add(LIFETIME),
    });
    let encoded = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let statement = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = URL_SAFE_NO_PAD.encode(account.sign(statement.as_bytes())?);
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    Some(form(&[("grant_type", grant), ("assertion", &format!("{statement}.{signature}"))]))
}

fn entra(application: &EntraApplication) -> String {
    form(&[
        ("client_id", &application.client_id),
        ("client_secret", application.client_secret.expose()),
        ("grant_type", "client_credentials"),
        ("scope", ENTRA_SCOPE),
    ])
}

/// `application/x-www-form-urlencoded`.
fn form(members: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in members {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            push_encoded(byte, false, &mut out);
        }
    }
    out
}
