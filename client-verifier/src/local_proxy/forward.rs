//! One local request over a verified channel and its answer back, piece by piece. Fails closed: without a verified
//! channel the caller gets an error of our own, and an answer that breaks off ends as a broken answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::answer;
use super::guard::{Guard, Token};
use super::pool::{Lease, Pool};
use crate::channel::VerifiedBody;
use crate::error::{Error, NetworkFault, Step};
use crate::wire::ChannelBody;

/// What every local connection shares.
pub(super) struct Forwarder {
    guard: Guard,
    pool: Arc<Pool>,
    /// `Authorization` of the gateway, when the proxy holds its key.
    gateway_key: Option<HeaderValue>,
}

/// An answer's body: one of our own, or the gateway's as it arrives.
#[expect(clippy::large_enum_variant, reason = "nearly every body is the large one")]
pub(super) enum ProxyBody {
    Own(Full<Bytes>),
    Verified { body: VerifiedBody, lease: Option<Lease> },
}

impl Forwarder {
    pub(super) fn new(guard: Guard, pool: Arc<Pool>, gateway_key: Option<HeaderValue>) -> Self {
        Self { guard, pool, gateway_key }
    }

    pub(super) fn token(&self) -> &Token {
        self.guard.token()
    }

    pub(super) async fn handle(&self, request: Request<Incoming>) -> Response<ProxyBody> {
        let (mut head, body) = request.into_parts();
        if head.version < Version::HTTP_11 {
            return answer::old_version();
        }
        if let Err(denied) = self.guard.admit(&mut head) {
            return answer::denied(denied);
        }
        if head.uri.path().starts_with(WELL_KNOWN) || head.method == http::Method::CONNECT {
            return answer::not_here();
        }
        self.prepare(&mut head);
        match self.exchange(Request::from_parts(head, body.map_err(Into::into).boxed_unsync())).await {
            Ok(response) => response,
            Err(error) => answer::failed(&error),
        }
    }

    /// Removes what belongs to this hop, puts the gateway's key in where the proxy holds it.
    fn prepare(&self, head: &mut Parts) {
        remove_hop_headers(&mut head.headers);
        for name in NOT_FORWARDED {
            head.headers.remove(name);
        }
        if let Some(key) = &self.gateway_key {
            head.headers.remove("x-api-key");
            head.headers.remove("x-goog-api-key");
            head.headers.insert(header::AUTHORIZATION, key.clone());
        }
    }

    /// A request of which nothing was sent may be tried on another channel; any other failure is final.
    async fn exchange(&self, mut request: Request<ChannelBody>) -> Result<Response<ProxyBody>, Error> {
        let mut last = Error::Network { step: Step::Application, fault: NetworkFault::Closed };
        for _ in 0..MOST_ATTEMPTS {
            let mut lease = self.pool.lease().await?;
            let sent = tokio::time::timeout(HEAD_TIME, lease.channel.send(request)).await;
            let failure = match sent {
                Ok(Ok(response)) => return Ok(to_local(response, lease)),
                Ok(Err(failure)) => failure,
                Err(_) => {
                    return Err(Error::Network { step: Step::Application, fault: NetworkFault::TimedOut });
                }
            };
            last = failure.error;
            match failure.unsent {
                Some(unsent) => request = *unsent,
                None => return Err(last),
            }
        }
        Err(last)
    }
}

fn to_local(response: Response<VerifiedBody>, lease: Lease) -> Response<ProxyBody> {
    let (mut head, body) = response.into_parts();
    remove_hop_headers(&mut head.headers);
    let cors: Vec<HeaderName> =
        head.headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in cors {
        head.headers.remove(name);
    }
    head.headers.remove(header::ALT_SVC);
    head.version = Version::HTTP_11;
    head.extensions.clear();
    Response::from_parts(head, ProxyBody::Verified { body, lease: Some(lease) })
}

/// RFC 9110 s7.6.1, and whatever `Connection` names.
fn remove_hop_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in named.iter().filter(|name| **name != header::CONTENT_LENGTH) {
        headers.remove(name);
    }
    for name in HOP_HEADERS {
        headers.remove(name);
    }
}

impl ProxyBody {
    pub(super) fn own(bytes: Vec<u8>) -> Self {
        Self::Own(Full::new(Bytes::from(bytes)))
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut *self {
            Self::Own(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Verified { body, .. } => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Verified { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Verified { body, .. } => body.size_hint(),
        }
    }
}

impl Drop for ProxyBody {
    fn drop(&mut self) {
        if let Self::Verified { body, lease } = self
            && body.is_complete()
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
    }
}

const HOP_HEADERS: [&str; 9] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];
/// `accept-encoding`: the end of an event stream must be readable. The rest describes the local caller.
const NOT_FORWARDED: [&str; 5] = ["accept-encoding", "forwarded", "origin", "referer", "trailer"];
const WELL_KNOWN: &str = "/.well-known/postern";

/// A first idle channel may just be closing, and a second.
const MOST_ATTEMPTS: usize = 3;
/// The longest a model may think before its first word.
const HEAD_TIME: Duration = Duration::from_mins(30);
