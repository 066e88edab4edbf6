//! One view of what a body says, whatever its dialect: every string of a request, an answer or a stream's event, with what
//! it is and who says it. Guardrails read the view; what they change is written back by place, and every other byte stays.
//!
//! The view is made from the JSON itself and not from the canonical chat form, so that it also holds what that form does
//! not know. A string that no rule of `rules` recognises counts as content: a new field of an API is checked, not
//! missed.

use std::ops::Range;

mod rules;

mod walk;

mod write;

pub mod calls;

pub mod mask;

pub mod plain;

pub use write::{Change, Splice, escaped, spliced};

/// What a piece of content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An id, an enumerated word, a name that something else refers to: checked, never changed.
    Identifier,
    /// Base64 of a picture, a sound or a document, or a provider's seal: not looked into.
    Media,
    /// Whatever is in none of the other places: metadata, names of end users, stop texts, unknown fields.
    Other,
    /// What the model thought.
    Reasoning,
    /// What somebody said.
    Text,
    /// The arguments of a call.
    ToolArguments,
    /// What a tool is for and which arguments it takes.
    ToolDefinition,
    /// The name of a tool that is called.
    ToolName,
    /// What a tool answered.
    ToolResult,
}

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The model.
    Assistant,
    /// Nobody in particular.
    Nobody,
    /// The operator of the application: system and developer prompts.
    System,
    /// A tool.
    Tool,
    /// The end user.
    User,
}

/// A text that a stream's events carry piece by piece: which answer, and for calls which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel {
    /// What it is.
    pub kind: Kind,
    /// Which answer, from 0.
    pub choice: u64,
    /// Which call of it; 0 for what is no call.
    pub call: u64,
}

/// One string, or one long number of a tool's arguments.
pub struct Segment {
    /// What it is.
    pub kind: Kind,
    /// Who says it.
    pub role: Role,
    /// Which message or item, from 0; what is outside of all has the number 0 too.
    pub turn: usize,
    /// In a stream's event: the running text that this continues. Otherwise it stands for itself.
    pub channel: Option<Channel>,
    /// Which answer it belongs to, and which call of it, as far as that is said.
    pub place: (u64, u64),
    /// What it says, escapes resolved.
    pub text: String,
    /// The pointer's last name, for those that have one: a member's name.
    pub member: String,
    /// Where its bytes are, without quotes.
    raw: Range<usize>,
    /// In which document: 0 is the body, the others are JSON inside one of its strings.
    document: usize,
    form: Form,
}

/// How a segment is written in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A member's name.
    Name,
    /// A number; becomes a string if it is changed.
    Number,
    /// A string.
    Text,
}

impl Segment {
    /// A text that was put together from pieces; it has no place in a body.
    pub fn assembled(kind: Kind, text: String) -> Self {
        let (role, form) = (Role::Assistant, Form::Text);
        let (channel, member) = (None, String::new());
        Self { kind, role, turn: 0, channel, place: (0, 0), text, member, raw: 0..0, document: 0, form }
    }

    /// Whether its bytes may be changed: ids and media may not.
    pub const fn may_change(&self) -> bool {
        !matches!(self.kind, Kind::Identifier | Kind::Media | Kind::ToolName)
    }

    /// Whether it is the name of a member and not a value.
    pub fn is_name(&self) -> bool {
        self.form == Form::Name
    }
}

/// JSON inside a string.
struct Inner {
    source: String,
    /// The string's bytes in the body, without quotes.
    raw: Range<usize>,
}

/// All content of one body.
#[derive(Default)]
pub struct View {
    /// In the order of the body.
    pub segments: Vec<Segment>,
    inner: Vec<Inner>,
    /// Where log probabilities stand, and what stands for none.
    probabilities: Vec<(Range<usize>, Vec<u8>)>,
}

/// What kind of body a view is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// A whole answer.
    Answer,
    /// The data of one event of a stream.
    Event,
    /// A request.
    Request,
}

/// A body that is not JSON, or nested too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl View {
    /// Reads a body that is one JSON value.
    ///
    /// # Errors
    /// [`Unreadable`]; such a body must not pass unchecked.
    pub fn of(document: &[u8], body: Body) -> Result<Self, Unreadable> {
        walk::walk(document, body)
    }

    /// Reads the arguments of a call: one JSON value whose names mean nothing to an API.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn of_arguments(document: &[u8]) -> Result<Self, Unreadable> {
        walk::arguments(document)
    }

    /// Whether one of the segments is of that kind.
    pub fn has(&self, kind: Kind) -> bool {
        self.segments.iter().any(|own| own.kind == kind)
    }
}

#[cfg(test)]
mod tests;
