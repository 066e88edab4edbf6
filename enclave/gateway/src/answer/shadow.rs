//! Reads an answer that nobody gets, for what it used.

use std::sync::Arc;

use super::forward::Forward;
use super::relay::{End, Relay};
use super::translate::Translation;
use super::{has_content_type, read_whole, refusal};
use crate::chat::Usage;
use crate::clock::{Clock, Now};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::provider::Reading;
use crate::upstream::{UpstreamBody, UpstreamResponse};
use crate::wire::dialect::Shown;
use crate::wire::{Scratch, Wire};

/// What is to be read.
pub(crate) struct Unseen<'a> {
    /// Who answers.
    pub(crate) at: &'a Arc<Deployment>,
    /// In which dialect.
    pub(crate) reading: Reading,
    /// In which format it was asked.
    pub(crate) wire: &'static dyn Wire,
    /// Whether it was asked for a stream.
    pub(crate) stream: bool,
}

/// What there is to know about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Tokens, if reported.
    pub(crate) usage: Option<Usage>,
    /// When its first content came.
    pub(crate) first_content: Option<Now>,
}

/// Reads it to its end and keeps nothing.
pub(crate) async fn measure<B: UpstreamBody>(
    response: UpstreamResponse<B>,
    unseen: Unseen<'_>,
    max_bytes: usize,
    clock: &impl Clock,
) -> Result<Measured, Error> {
    let Unseen { at, reading, wire, stream } = unseen;
    if !(200..=299).contains(&response.status) {
        return Err(refusal(response, at, clock.now()).await);
    }
    if stream {
        if !has_content_type(&response.headers, reading.stream_type()) {
            return Err(Error::UpstreamFailed);
        }
        return drain(relay(response.body, at, reading, wire, max_bytes)?, clock).await;
    }
    let body = read_whole(response.body, max_bytes).await?;
    let first_content = Some(clock.now());
    let usage = match reading {
        Reading::Embedded(way) => {
            let answer = way.from.read_answer(body.expose()).map_err(|_| Error::UpstreamMalformed)?;
            let count = answer.expose().input_tokens;
            count.map(|tokens| Usage { input_tokens: tokens, total_tokens: tokens, ..Usage::default() })
        }
        Reading::Same { .. } => {
            let whole = wire.inspect_whole(body.expose(), &mut Scratch::default());
            let whole = whole.map_err(|_| Error::UpstreamMalformed)?;
            if whole.is_error {
                return Err(Error::UpstreamFailed);
            }
            whole.usage
        }
        Reading::Translated(way) => {
            let answer = way.from.read_answer(body.expose(), &way.names);
            answer.map_err(|_| Error::UpstreamMalformed)?.expose().usage
        }
    };
    Ok(Measured { usage, first_content })
}

fn relay<B: UpstreamBody>(
    body: B,
    at: &Arc<Deployment>,
    reading: Reading,
    wire: &'static dyn Wire,
    max_bytes: usize,
) -> Result<Relay<B>, Error> {
    Ok(match reading {
        Reading::Embedded(_) => return Err(Error::UpstreamMalformed),
        Reading::Same { .. } => Relay::Same(Forward::of(body, wire, true, Arc::clone(at))),
        Reading::Translated(way) => {
            let shown = Shown {
                id: String::new(),
                model: String::new(),
                created: 0,
                include_usage: true,
                reasoning: false,
            };
            let (reader, writer) = (way.from.stream_reader(way.names), way.to.stream_writer(shown));
            Relay::Translated(Translation::new(body, reader, writer, max_bytes))
        }
    })
}

async fn drain<B: UpstreamBody>(mut relay: Relay<B>, clock: &impl Clock) -> Result<Measured, Error> {
    let mut ignored = Plaintext::new(Vec::new());
    let mut first_content = None;
    while relay.end().is_none() {
        relay.advance(ignored.expose_mut()).await;
        ignored.expose_mut().clear();
        if relay.has_content() {
            first_content.get_or_insert_with(|| clock.now());
        }
    }
    let usage = relay.usage();
    match relay.into_end() {
        Some(End::Failed { error, .. }) => Err(error),
        Some(End::Complete) | None => Ok(Measured { usage, first_content }),
    }
}
