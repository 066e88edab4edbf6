//! A chat API in both directions: between its bytes and the canonical form.
//!
//! What a provider speaks is a [`Dialect`]; what clients may speak too is also a [`FrontDialect`] and a
//! [`Wire`](super::Wire). Readers trust nothing: what they read came from a client or an upstream.

use bytes::Bytes;

use super::{Malformed, Request};
use crate::chat::tool_names::ToolNames;
use crate::chat::{Completion, Conversation, Delta};
use crate::error::Error;
use crate::plaintext::Plaintext;

/// A chat API as an upstream speaks it.
pub trait Dialect: Sync {
    /// The format's name, as in `tests/golden/<name>/`. Two dialects of the same name are the same API.
    fn name(&self) -> &'static str;
    /// A request for an upstream.
    ///
    /// # Errors
    /// What this API cannot say goes to `expressible`, which may refuse.
    fn write_request(
        &self,
        conversation: &Plaintext<Conversation>,
        target: &Target<'_>,
        expressible: &mut Expressible,
    ) -> Result<Written, Error>;
    /// An upstream's whole answer, to a request that was written with `names`.
    ///
    /// # Errors
    /// [`Malformed`] if it is not this API's.
    fn read_answer(&self, body: &[u8], names: &ToolNames) -> Result<Plaintext<Completion>, Malformed>;
    /// Reads one upstream's stream, to a request that was written with `names`.
    fn stream_reader(&self, names: ToolNames) -> Box<dyn ReadStream>;
    /// The content type of its streams.
    fn stream_type(&self) -> &'static str {
        "text/event-stream"
    }
}

/// The model that a request is written for.
pub struct Target<'a> {
    /// What the upstream calls it.
    pub model: &'a str,
    /// Most tokens it can answer with, where known; for APIs that want a limit in every request.
    pub max_output_tokens: Option<u64>,
}

/// A chat API as clients speak it.
pub trait FrontDialect: Dialect {
    /// A client's request in canonical form.
    ///
    /// # Errors
    /// Field errors, in the client's words; what the canonical form cannot hold goes to `expressible`.
    fn read_request(
        &self,
        request: &Request,
        expressible: &mut Expressible,
    ) -> Result<Plaintext<Conversation>, Error>;
    /// An answer for a client.
    fn write_answer(&self, completion: &Plaintext<Completion>, shown: &Shown) -> Plaintext<Bytes>;
    /// Writes one client's stream.
    fn stream_writer(&self, shown: Shown) -> Box<dyn WriteStream>;
}

/// A request in an upstream's words.
pub struct Written {
    /// The body.
    pub body: Plaintext<Bytes>,
    /// Tools that the upstream knows under another name; whoever reads its answer needs it.
    pub names: ToolNames,
}

/// What the client is told of the exchange in an answer's body.
pub struct Shown {
    /// An id for the answer where the upstream gave none; unique, without the dialect's prefix.
    pub id: String,
    /// The model as the client named it.
    pub model: String,
    /// Unix time in seconds.
    pub created: u64,
    /// The client asked for usage in its stream (dialects that always send it ignore this).
    pub include_usage: bool,
    /// The client asked to see the model's thoughts (dialects that always show them ignore this).
    pub reasoning: bool,
}

/// Reads an upstream's stream, whatever the pieces it arrives in.
pub trait ReadStream {
    /// Takes received bytes and appends the deltas they complete.
    ///
    /// # Errors
    /// Once failed, a reader is not used again.
    fn feed(&mut self, bytes: &[u8], deltas: &mut Vec<Delta>) -> Result<(), StreamFailure>;
    /// The upstream has no more bytes. A stream whose API has an end mark fails here if it has not come.
    ///
    /// # Errors
    /// As [`Self::feed`].
    fn finish(&mut self, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure>;
    /// Whether the API's own end mark has come: nothing more is read.
    fn is_over(&self) -> bool;
}

/// Why a stream cannot go on. Content-free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFailure {
    /// Not this API's bytes.
    Malformed,
    /// The upstream itself reports a failure, with the HTTP status that fits it.
    Reported {
        /// 400 to 599; 502 if the upstream does not say.
        status: u16,
    },
    /// The bytes ended before the answer.
    Truncated,
}

/// Writes a client's stream: every event whole, with its line ends.
pub trait WriteStream {
    /// Appends the events for one delta; may be none.
    fn write(&mut self, delta: &Delta, out: &mut Vec<u8>);
    /// Appends the regular end: final usage, closing events, end mark.
    fn end(&mut self, out: &mut Vec<u8>);
    /// Appends the dialect's error event, after which nothing follows.
    fn fail(&mut self, error: &Error, out: &mut Vec<u8>);
}

/// What to do about something the target cannot express (`on_unsupported` of a deployment).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnsupported {
    /// Leave it out, whatever it is.
    Drop,
    /// Refuse what changes the meaning, leave out hints.
    #[default]
    Error,
    /// Leave it out, whatever it is, and say so in a header.
    Warn,
}

/// Keeps account of what a translation could not express.
#[derive(Default)]
pub struct Expressible {
    on_unsupported: OnUnsupported,
    dropped: Vec<&'static str>,
}

/// How much a field matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Changes little: metadata, cache keys, user names. Dropped, with a warning header.
    Hint,
    /// Changes what the answer means: tools, formats, media. Refused unless the operator says otherwise.
    Meaning,
}

impl Expressible {
    /// Nothing dropped yet.
    pub const fn new(on_unsupported: OnUnsupported) -> Self {
        Self { on_unsupported, dropped: Vec::new() }
    }

    /// The target cannot say `param`.
    ///
    /// # Errors
    /// [`Error::FieldUnsupported`] if it changes the meaning and the operator has not allowed that.
    pub fn cannot(&mut self, param: &'static str, weight: Weight) -> Result<(), Error> {
        if weight == Weight::Meaning && self.on_unsupported == OnUnsupported::Error {
            return Err(Error::FieldUnsupported { param });
        }
        if !self.dropped.contains(&param) {
            self.dropped.push(param);
        }
        Ok(())
    }

    /// What was left out and is to be told in a header; nothing under [`OnUnsupported::Drop`].
    pub fn told(&self) -> &[&'static str] {
        if self.on_unsupported == OnUnsupported::Drop { &[] } else { &self.dropped }
    }
}
