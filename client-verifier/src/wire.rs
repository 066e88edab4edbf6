//! HTTP/1.1 on a connection that is driven by hand, so that the stream can be taken back between two exchanges:
//! the exporter must come from our own TLS stack, and its context is known only after the evidence has been read.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::error::{Error, NetworkFault, Step};

/// Request bodies as a channel takes them.
pub type ChannelBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

type Driver = http1::Connection<TokioIo<TlsStream<TcpStream>>, ChannelBody>;

/// A connection between exchanges.
pub(crate) struct Wire {
    sender: http1::SendRequest<ChannelBody>,
    driver: Driver,
    ended: bool,
}

impl Wire {
    pub(crate) async fn new(stream: TlsStream<TcpStream>) -> Result<Self, Error> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| closed(Step::Evidence))?;
        Ok(Self { sender, driver, ended: false })
    }

    /// One request and its whole answer, at most `limit` body bytes, within `deadline`.
    pub(crate) async fn exchange(
        &mut self,
        step: Step,
        request: Request<Full<Bytes>>,
        limit: usize,
        deadline: Duration,
    ) -> Result<(Parts, Bytes), Error> {
        if self.ended {
            return Err(closed(step));
        }
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let sent = self.sender.try_send_request(request);
        let answer = async {
            let response = sent.await.map_err(|error| fault(step, error.error()))?;
            whole_body(step, response, limit).await
        };
        let (driver, ended) = (&mut self.driver, &mut self.ended);
        let driven = async {
            let mut answer = pin!(answer);
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                _ = poll_fn(|cx| driver.poll_without_shutdown(cx)) => *ended = true,
            }
            answer.await
        };
        match tokio::time::timeout(deadline, driven).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Network { step, fault: NetworkFault::TimedOut }),
        }
    }

    /// Takes the stream back. Bytes beyond the last answer are a fault: nothing was asked.
    pub(crate) fn into_stream(self) -> Result<TlsStream<TcpStream>, Error> {
        let parts = self.driver.into_parts();
        if self.ended {
            return Err(closed(Step::Bind));
        }
        if !parts.read_buf.is_empty() {
            return Err(Error::Network { step: Step::Bind, fault: NetworkFault::Garbled });
        }
        Ok(parts.io.into_inner())
    }

    /// Hands the connection to a task of its own, which ends when the sender is gone and no answer is in flight.
    pub(crate) fn into_running(self) -> http1::SendRequest<ChannelBody> {
        let driver = self.driver;
        tokio::spawn(async move {
            // How it ended shows where it matters: in the answer that was being read.
            drop(driver.await);
        });
        self.sender
    }
}

/// The kind of an HTTP failure, without its text.
pub(crate) fn fault(step: Step, error: &hyper::Error) -> Error {
    let fault = if error.is_timeout() {
        NetworkFault::TimedOut
    } else if error.is_parse() || error.is_parse_too_large() {
        NetworkFault::Garbled
    } else {
        NetworkFault::Closed
    };
    Error::Network { step, fault }
}

fn closed(step: Step) -> Error {
    Error::Network { step, fault: NetworkFault::Closed }
}

async fn whole_body(step: Step, response: Response<Incoming>, limit: usize) -> Result<(Parts, Bytes), Error> {
    let (parts, body) = response.into_parts();
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok((parts, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::Network { step, fault: NetworkFault::Garbled })
        }
        Err(_) => Err(closed(step)),
    }
}

/// Largest head, and largest read at once.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
