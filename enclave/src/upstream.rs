//! Implements the pipeline's one port: sends a call where its deployment says, through the host.
//!
//! The host carries the bytes and may carry them anywhere; what makes the far end the right one is its
//! certificate (or, for the built-in model, that it never leaves this process).

pub mod builtin;
pub mod web_pki;
pub mod connection;
pub mod exchange;
pub mod pool;

use std::rc::Rc;
use std::time::Duration;

use gateway::UpstreamResponse;
use gateway::deployment::Endpoint;
use gateway::upstream::{Progress, ReadError, SendError, Upstream, UpstreamBody as ReadBody, UpstreamCall};
use tokio::time::timeout;

use crate::clock::deadline;
use crate::host_link::HostLink;
use builtin::BuiltinBody;
use connection::Connector;
use exchange::HttpBody;
use pool::Pool;

/// This worker's way to every upstream.
#[derive(Debug)]
pub struct Upstreams {
    connector: Connector,
    pool: Rc<Pool>,
}

impl Upstreams {
    /// No connections yet. Without a host link only the built-in model can be reached.
    pub fn new(host: Option<HostLink>) -> Self {
        Self { connector: Connector::new(host), pool: Rc::default() }
    }

    /// Closes connections that have been idle too long.
    pub fn sweep(&self) {
        self.pool.sweep();
    }

    async fn exchange(&self, call: &UpstreamCall) -> Result<UpstreamResponse<UpstreamBody>, SendError> {
        let endpoint = &call.deployment.endpoint;
        // A kept connection may have been closed by the far end just now. If it does not take the whole call, the call goes
        // out on a fresh one. Once it has taken the call, whoever can break connections could have it carried out twice;
        // whether to try again is then the pipeline's decision, which knows what may run twice and counts.
        if let Some(kept) = self.pool.take(endpoint) {
            match exchange::send(kept, call).await {
                Ok(sent) => return exchange::answer(sent, &self.pool).await,
                Err(SendError::Connection) => {}
                Err(error) => return Err(error),
            }
        }
        let fresh = timeout(call.timeouts.connect, self.connector.connect(endpoint)).await;
        exchange::answer(exchange::send(fresh.map_err(|_| SendError::Timeout)??, call).await?, &self.pool)
            .await
    }
}

impl Upstream for Upstreams {
    type Body = UpstreamBody;

    async fn send(&self, call: UpstreamCall) -> Result<UpstreamResponse<UpstreamBody>, SendError> {
        if call.deployment.endpoint == Endpoint::Builtin {
            return Ok(builtin::send(&call));
        }
        let deadline = deadline(call.timeouts.total);
        let mut response = self.exchange(&call).await?;
        if let UpstreamBody::Http(body) = &mut response.body {
            body.set_deadline(deadline);
        }
        Ok(response)
    }
}

/// The body of an answer, wherever it comes from.
#[derive(Debug)]
pub enum UpstreamBody {
    /// From the model in this process.
    Builtin(BuiltinBody),
    /// From a connection.
    Http(HttpBody),
}

impl UpstreamBody {
    /// Lets go of a body whose stream has said its last word. The end of its framing may be a packet behind; it is
    /// waited for out of the client's way, so that the connection can be used again.
    pub fn finish(self) {
        if let Self::Http(mut body) = self
            && body.awaits_framing()
        {
            tokio::task::spawn_local(async move {
                let mut rest = Vec::new();
                drop(timeout(FRAMING_TIME, body.read(&mut rest)).await);
            });
        }
    }
}

/// How long the end of a finished stream's framing may take.
const FRAMING_TIME: Duration = Duration::from_millis(250);

impl ReadBody for UpstreamBody {
    async fn read(&mut self, into: &mut Vec<u8>) -> Result<Progress, ReadError> {
        match self {
            Self::Builtin(body) => Ok(body.read(into).await),
            Self::Http(body) => body.read(into).await,
        }
    }
}
