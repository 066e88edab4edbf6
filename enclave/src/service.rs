//! One small exchange with a service that the configuration names: through the host, TLS inside, redirects not followed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::deployment::Deployment;
use gateway::upstream::{BodyParts, HeaderValue, Progress, Upstream, UpstreamBody as _, UpstreamCall};
use gateway::{Plaintext, Secret};
use tokio::time::timeout;

use crate::config::ServiceUrl;
use crate::upstream::Upstreams;

/// How long an exchange may take in all.
const LONGEST: Duration = Duration::from_secs(15);
/// Largest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 256 * 1024;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceError {
    /// Nobody of that name answered in time.
    Unreachable,
    /// More came than is read.
    TooLarge,
}

/// What to ask for.
pub struct Ask<'a> {
    /// Where.
    pub url: &'a ServiceUrl,
    /// HTTP method.
    pub method: &'static str,
    /// Headers but those of the connection, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body, which is sent as it is.
    pub body: Vec<u8>,
}

/// Asks, and reads the whole answer. Returns status and body.
///
/// # Errors
/// [`ServiceError`].
pub async fn ask(upstreams: &Upstreams, asked: Ask<'_>) -> Result<(u16, Vec<u8>), ServiceError> {
    let Ask { url, method, headers, body } = asked;
    let deployment = Deployment::service("service", "service", url.endpoint.clone(), "");
    let value = |text: String| HeaderValue::Secret(Arc::new(Secret::new(text.into_bytes())));
    let call = UpstreamCall {
        timeouts: deployment.timeouts,
        deployment: Arc::new(deployment),
        method,
        path: url.path.clone(),
        headers: headers.into_iter().map(|(name, text)| (name, value(text))).collect(),
        passed_on: Vec::new(),
        body: Plaintext::new(BodyParts::whole(Bytes::from(body))),
    };
    let exchange = async {
        let mut response = upstreams.send(call).await.map_err(|_| ServiceError::Unreachable)?;
        let mut received = Vec::new();
        while response.body.read(&mut received).await.map_err(|_| ServiceError::Unreachable)?
            == Progress::Data
        {
            if received.len() > MAX_ANSWER {
                return Err(ServiceError::TooLarge);
            }
        }
        Ok((response.status, received))
    };
    timeout(LONGEST, exchange).await.map_err(|_| ServiceError::Unreachable)?
}
