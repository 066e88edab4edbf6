//! Content checks: what there is, how each is configured, and when it applies. Where they are applied is
//! [`crate::screening`].
//!
//! A kind of check is one file in `guardrail/` and one line in [`GUARDRAILS`]. It is one of two things: something that
//! finds places in a text ([`Spans`]: these can be masked, and work on streams), something that judges content as a
//! whole ([`Judge`]), or something that asks a service outside or a model of this gateway ([`Service`]).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::content::{Kind, Segment};
use crate::deployment::{Deployment, Exposure};

mod settings;

pub mod bedrock_guardrail;

pub mod citation;

pub mod code;

pub mod deny_list;

pub mod injection;

pub mod json_answer;

pub mod lakera;

pub mod language;

pub mod length;

pub mod moderation;

pub mod openai_moderation;

pub mod pii;

pub mod presidio;

pub mod regex;

pub mod required_metadata;

pub mod secrets;

pub mod tool_rules;

pub mod url_allow_list;

pub mod webhook;

pub use settings::{
    Action, Applies, Hook, Mode, OnError, Reference, Settings, StreamMode, ToolRule, ToolVerdict,
};

/// Every kind of guardrail, by the name the configuration uses.
pub const GUARDRAILS: &[&dyn GuardrailKind] = &[
    &bedrock_guardrail::KIND,
    &citation::KIND,
    &code::KIND,
    &deny_list::KIND,
    &injection::KIND,
    &json_answer::KIND,
    &lakera::KIND,
    &language::KIND,
    &length::KIND,
    &moderation::KIND,
    &openai_moderation::KIND,
    &pii::KIND,
    &presidio::KIND,
    &regex::KIND,
    &required_metadata::KIND,
    &secrets::KIND,
    &tool_rules::KIND,
    &url_allow_list::KIND,
    &webhook::KIND,
];

/// A kind of guardrail: makes configured checks.
pub trait GuardrailKind: Sync {
    /// The `kind` in the configuration.
    fn name(&self) -> &'static str;
    /// Which settings it reads besides those that all have.
    fn keys(&self) -> &'static [&'static str];
    /// Where it looks unless the configuration says otherwise.
    fn hooks(&self) -> &'static [Hook];
    /// Makes a check from its settings; the error says what was expected, without quoting them.
    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str>;
    /// What a kind that asks somebody needs to know of them.
    fn needs(&self) -> Option<Needs> {
        None
    }
}

/// What has to be configured of whom a kind asks.
#[derive(Clone, Copy, Debug)]
pub enum Needs {
    /// A model of this gateway.
    Model,
    /// A service outside.
    Service {
        /// Where it is unless the configuration says otherwise.
        url: Option<&'static str>,
        /// Whether it cannot be asked without a secret.
        secret: bool,
    },
}

/// Whom a check asks.
#[derive(Clone)]
pub enum Asks {
    /// A model of this gateway: the check's question is a request in OpenAI's chat format, its answer a whole answer.
    Model(JudgeModel),
    /// A service outside.
    Service(Arc<Deployment>),
}

/// A model that judges content.
#[derive(Clone, Debug)]
pub struct JudgeModel {
    /// Its name.
    pub name: Arc<str>,
    /// How far content that it sees is exposed: by the widest of its deployments.
    pub exposure: Exposure,
    /// How long it may take, all attempts together.
    pub total: Duration,
}

/// What a configured check does.
pub enum Detector {
    /// Judges content as a whole.
    Judge(Box<dyn Judge>),
    /// Asks a service, or a model of this gateway.
    Service(Box<dyn Service>),
    /// Finds places in a text.
    Spans(Box<dyn Spans>),
}

/// A place that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which bytes of the text.
    pub at: Range<usize>,
    /// What kind of thing it is; part of its placeholder.
    pub what: &'static str,
}

/// Finds places in a text.
///
/// What is found at a place depends on that place, on what stands before it, and on one character after it, and on nothing
/// further on; so a text can be looked at piece by piece ([`Spans::open_from`]).
pub trait Spans: Send + Sync {
    /// Appends what begins at `from` or later, in order; text before `from` is context. `text` itself begins at the place
    /// `base` of the whole.
    fn find(&self, text: &str, base: usize, from: usize, found: &mut Vec<Finding>);
    /// From where more text could still change what is found: no finding that begins before it changes, whatever follows.
    fn open_from(&self, text: &str, base: usize) -> usize;
}

/// Judges content as a whole.
pub trait Judge: Send + Sync {
    /// Whether it objects.
    fn objects(&self, subject: &Subject<'_>) -> bool;
}

/// Somebody who is asked about content: what to send, and what the answers mean. It does not send anything itself.
pub trait Service: Send + Sync {
    /// What to send. `secret` is what the configuration refers to.
    fn ask(&self, question: &Question<'_>, secret: &[u8]) -> Asked;
    /// What an answer means.
    ///
    /// # Errors
    /// [`Unclear`]: whatever is not wholly understood is no verdict.
    fn read(
        &self,
        question: &Question<'_>,
        asked: &Asked,
        answer: &Answered<'_>,
        secret: &[u8],
    ) -> Result<Verdict, Unclear>;
}

/// What a service is asked about.
pub struct Question<'a> {
    /// Whether it is an answer and not a request.
    pub answer: bool,
    /// The exchange.
    pub request_id: &'a str,
    /// Whose request it is, by the key's public id.
    pub key_id: &'a str,
    /// The model that was asked for.
    pub model: &'a str,
    /// The guardrail's name.
    pub guardrail: &'a str,
    /// Seconds since 1970.
    pub unix_seconds: u64,
    /// The texts, in order, as checks in here have left them.
    pub texts: &'a [String],
}

/// What to send to a service.
pub struct Asked {
    /// After the address of the configuration.
    pub path: String,
    /// Headers besides `content-type`, names in lower case; their values are secret.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// JSON.
    pub body: Vec<u8>,
}

impl Asked {
    /// JSON for a service that takes its secret, if it has one, as a bearer token (RFC 6750).
    pub fn bearing(secret: &[u8], path: String, body: &serde_json::Value) -> Self {
        let token = (!secret.is_empty()).then(|| [b"Bearer ".as_slice(), secret].concat());
        let headers = token.map(|token| ("authorization", token)).into_iter().collect();
        Self { path, headers, body: body.to_string().into_bytes() }
    }
}

/// What a service answered with a status of success.
pub struct Answered<'a> {
    /// The header `postern-signature`.
    pub signature: Option<&'a [u8]>,
    /// The whole body.
    pub body: &'a [u8],
}

/// What a service says.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Clean,
    /// Something is in some of the texts: which text, and where in it.
    Found(Vec<(usize, Finding)>),
    /// Something is wrong.
    Hit,
    /// The texts as they may go on, as many as there were.
    Texts(Vec<String>),
}

/// An answer of a service that is no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear;

/// What is judged.
pub struct Subject<'a> {
    /// Where in the life of the request.
    pub hook: Hook,
    /// The content, in order.
    pub segments: &'a [&'a Segment],
    /// Calls of tools, in answers.
    pub calls: &'a [Call],
    /// What the request said, for checks of answers.
    pub asked: &'a [String],
    /// The request's metadata, from its head.
    pub metadata: &'a std::collections::BTreeMap<String, String>,
}

impl Subject<'_> {
    /// The texts of those who speak: no ids, no definitions.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let spoken = |own: &&&Segment| matches!(own.kind, Kind::Other | Kind::Text | Kind::ToolResult);
        self.segments.iter().filter(spoken).map(|own| own.text.as_str()).filter(|text| !text.is_empty())
    }
}

/// A call of a tool.
pub struct Call {
    /// The tool.
    pub name: String,
    /// Its arguments; null if they are no JSON.
    pub arguments: serde_json::Value,
}

/// A configured check.
pub struct Check {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Where it looks.
    pub hooks: Vec<Hook>,
    /// What a hit does.
    pub action: Action,
    /// The label that a hit gives.
    pub label: Option<Arc<str>>,
    /// Whether hits count.
    pub mode: Mode,
    /// What happens if it cannot be done.
    pub on_error: OnError,
    /// For which requests.
    pub applies: Applies,
    /// For which models; all if empty.
    pub models: Vec<String>,
    /// How it looks at streams.
    pub stream: StreamMode,
    /// What stands in the place of masked text that never comes back; its kind in brackets if absent.
    pub replacement: Option<String>,
    /// What it does.
    pub detector: Detector,
    /// Who sees the content, for checks that ask somebody.
    pub asks: Option<Asks>,
}

/// The label by which [`Action::RequireAttested`] narrows the exposure.
pub const REQUIRE_ATTESTED: &str = "require_attested";

impl Check {
    /// Whether it looks there.
    pub fn looks_at(&self, hook: Hook) -> bool {
        self.hooks.contains(&hook)
    }

    /// Whether it looks at answers.
    pub fn looks_at_answers(&self) -> bool {
        self.looks_at(Hook::Output) || self.looks_at(Hook::ToolCall)
    }

    /// Whether it applies to a request for that model, of a key or client that names these besides those that always apply.
    pub fn applies_to(&self, model: &str, named: &[&str]) -> bool {
        let model = self.models.is_empty() || self.models.iter().any(|own| own == model);
        model && (self.applies == Applies::Always || named.contains(&&*self.name))
    }

    /// How far it exposes what it looks at; nothing if that stays in here.
    pub fn exposes(&self) -> Option<Exposure> {
        self.asks.as_ref().map(|own| match own {
            Asks::Model(model) => model.exposure,
            Asks::Service(service) => service.exposure,
        })
    }

    /// Finds places, if that is what it does.
    pub fn spans(&self) -> Option<&dyn Spans> {
        match &self.detector {
            Detector::Spans(spans) => Some(&**spans),
            Detector::Judge(_) | Detector::Service(_) => None,
        }
    }

    /// Asks somebody, if that is what it does, and whom.
    pub fn asks(&self) -> Option<(&dyn Service, &Asks)> {
        match &self.detector {
            Detector::Service(service) => Some((&**service, self.asks.as_ref()?)),
            Detector::Judge(_) | Detector::Spans(_) => None,
        }
    }

    /// Judges, if that is what it does.
    pub fn judge(&self) -> Option<&dyn Judge> {
        match &self.detector {
            Detector::Judge(judge) => Some(&**judge),
            Detector::Service(_) | Detector::Spans(_) => None,
        }
    }
}

/// The configured guardrails, in the order of their names.
#[derive(Default)]
pub struct Guardrails {
    checks: Vec<Arc<Check>>,
}

impl Guardrails {
    /// Adds a configured check.
    pub fn push(&mut self, check: Check) {
        self.checks.push(Arc::new(check));
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.checks.iter().map(|own| &own.name)
    }

    /// Those that apply to a request.
    pub fn of(&self, model: &str, named: &[&str]) -> Vec<Arc<Check>> {
        self.checks.iter().filter(|own| own.applies_to(model, named)).map(Arc::clone).collect()
    }

    /// Whether one of them asks a service outside.
    pub fn ask_services(&self) -> bool {
        self.checks.iter().any(|own| matches!(own.asks, Some(Asks::Service(_))))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }
}
