//! Amazon Bedrock (Amazon Bedrock API reference, "Amazon Bedrock Runtime"), with an AWS access key or a Bedrock API key.

use std::sync::Arc;

use super::path::segment;
use super::{Access, Authentication, Naming, Outgoing, Provider, Refusal, Wanted, explain_any};
use crate::clock::Now;
use crate::deployment::{AwsKeys, Deployment, Endpoint};
use crate::error::Error;
use crate::plaintext::{Plaintext, Secret};
use crate::upstream::{BodyParts, HeaderValue, UpstreamCall};
use crate::wire::bedrock_converse::BedrockConverse;
use crate::wire::dialect::Dialect;
use crate::wire::embedding::{self, EmbeddingDialect};

mod sigv4;

use sigv4::{Scope, Unsigned};

/// The Bedrock runtime.
pub struct Bedrock;

impl Provider for Bedrock {
    fn name(&self) -> &'static str {
        "bedrock"
    }

    fn access(&self) -> Access {
        Access { base_url: None, authentication: Authentication::AwsKeys }
    }

    fn base_url(&self, naming: &Naming<'_>) -> Result<Option<String>, Wanted> {
        let Some(region) = naming.region else { return Ok(None) };
        if !is_region(region) {
            let expected = "an AWS region such as 'eu-west-1', or the address in 'base_url'";
            return Err(Wanted { key: "region", expected });
        }
        Ok(Some(format!("https://bedrock-runtime.{region}.amazonaws.com")))
    }

    fn check(&self, at: &Deployment) -> Result<(), Wanted> {
        if at.aws_keys.is_none() || region(at).is_some() {
            return Ok(());
        }
        let expected =
            "the AWS region that calls are signed for, such as 'eu-west-1': the address does not name it";
        Err(Wanted { key: "region", expected })
    }

    fn speaks(&self, _: &'static dyn Dialect, _: &Deployment) -> &'static dyn Dialect {
        &BedrockConverse
    }

    fn embeds(&self, at: &Deployment) -> Option<&'static dyn EmbeddingDialect> {
        embedding::bedrock::of_model(&at.model)
    }

    fn encode(&self, outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
        let Outgoing { request, embedding, translated, now, .. } = outgoing;
        // No client speaks this API: whatever is not translated has no path here.
        let body = translated.ok_or(Error::OperationUnsupported)?;
        let converse = if request.stream { "converse-stream" } else { "converse" };
        let method = embedding.map_or(converse, EmbeddingDialect::method);
        let path = format!("{}/model/{}/{method}", at.base_path, segment(&at.model));
        let mut headers = super::json_headers(request.stream);
        if request.stream {
            headers.retain(|(name, _)| *name != "accept");
            headers.push(("accept", HeaderValue::Static("application/vnd.amazon.eventstream")));
        }
        match (&at.aws_keys, &at.credential) {
            (Some(keys), _) => headers.extend(signature(at, keys, &path, body.expose(), now)),
            (None, Some(credential)) => {
                headers.push((credential.header, HeaderValue::Secret(Arc::clone(&credential.value))));
            }
            (None, None) => return Err(Error::UpstreamCredential),
        }
        let deployment = Arc::clone(at);
        let body: Plaintext<BodyParts> = body.map(BodyParts::whole);
        let passed_on = Vec::new();
        Ok(UpstreamCall { deployment, method: "POST", path, headers, passed_on, body, timeouts: at.timeouts })
    }

    fn explain(&self, refusal: Refusal<'_>, at: &Deployment) -> Error {
        explain_any(refusal, at)
    }
}

/// The headers that sign a call.
fn signature(
    at: &Deployment,
    keys: &AwsKeys,
    path: &str,
    body: &[u8],
    now: Now,
) -> Vec<(&'static str, HeaderValue)> {
    let timestamp = sigv4::timestamp(now.unix_seconds());
    let host = host(&at.endpoint);
    let mut signed = vec![
        ("content-type", "application/json"),
        ("host", host.as_str()),
        ("x-amz-date", timestamp.as_str()),
    ];
    let token = keys.session_token.as_ref().map(|token| token.expose().as_str());
    signed.extend(token.map(|token| ("x-amz-security-token", token)));
    let payload_sha256 = sigv4::sha256(body);
    let request = Unsigned { method: "POST", path, headers: &signed, payload_sha256: &payload_sha256 };
    let region = region(at).unwrap_or_default();
    let scope = Scope { region, service: "bedrock" };
    let value = sigv4::authorization(&request, scope, keys, &timestamp);
    let secret = |text: &str| HeaderValue::Secret(Arc::new(Secret::new(text.as_bytes().to_vec())));
    let mut headers = vec![("authorization", secret(&value)), ("x-amz-date", secret(&timestamp))];
    headers.extend(token.map(|token| ("x-amz-security-token", secret(token))));
    headers
}

/// The AWS region that calls are signed for: as the address says (`bedrock-runtime.REGION.amazonaws.com`), or else as
/// configured. Never guessed: a wrong one is refused by the service, and a right one cannot be told from a proxy's name.
fn region(at: &Deployment) -> Option<&str> {
    let host = match &at.endpoint {
        Endpoint::Builtin => return None,
        Endpoint::Http { host, .. } | Endpoint::Https { host, .. } => host,
    };
    let named = host.strip_prefix("bedrock-runtime").and_then(|rest| rest.split('.').nth(1));
    named.filter(|name| is_region(name)).or_else(|| at.region.as_deref().filter(|name| is_region(name)))
}

/// Whether a name is built like `eu-west-1` or `us-gov-east-1`.
fn is_region(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let numbered = name.bytes().last().is_some_and(|last| last.is_ascii_digit());
    name.len() <= 32 && numbered && name.split('-').count() >= 3 && name.bytes().all(plain)
}

/// The `host` header that the shell sends: without the scheme's own port.
fn host(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Builtin => String::new(),
        Endpoint::Http { host, port: 80 } | Endpoint::Https { host, port: 443, .. } => host.to_string(),
        Endpoint::Http { host, port } | Endpoint::Https { host, port, .. } => format!("{host}:{port}"),
    }
}
