//! The model inside this process, behind the same port as any upstream.

use gateway::provider::builtin::{Events, Reply, ReplyBody, respond};
use gateway::upstream::{Progress, UpstreamCall};
use gateway::{Clock, Plaintext, UpstreamResponse};

use super::UpstreamBody;
use crate::clock::ProcessClock;

/// Answers `call` here.
pub fn send(call: &UpstreamCall) -> UpstreamResponse<UpstreamBody> {
    let reply = respond(call, ProcessClock::shared().now());
    let headers = reply.headers();
    let Reply { status, body, .. } = reply;
    let body = match body {
        ReplyBody::Stream(events) => BuiltinBody::Stream(events),
        ReplyBody::Whole(body) => BuiltinBody::Whole(body),
    };
    UpstreamResponse { status, headers, body: UpstreamBody::Builtin(body) }
}

/// What the built-in model still has to say.
pub enum BuiltinBody {
    /// Events, at the configured pace.
    Stream(Plaintext<Events>),
    /// All at once; empty when it was read.
    Whole(Plaintext<Vec<u8>>),
}

impl std::fmt::Debug for BuiltinBody {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Stream(_) => "Stream",
            Self::Whole(_) => "Whole",
        })
    }
}

impl BuiltinBody {
    /// The next piece.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> Progress {
        match self {
            Self::Whole(body) if body.expose().is_empty() => Progress::End,
            Self::Whole(body) => {
                into.append(body.expose_mut());
                Progress::Data
            }
            Self::Stream(events) => {
                if let Some(delay) = events.expose().pace() {
                    tokio::time::sleep(delay).await;
                }
                if events.expose_mut().append_next(into) { Progress::Data } else { Progress::End }
            }
        }
    }
}
