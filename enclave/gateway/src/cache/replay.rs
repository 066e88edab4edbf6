//! A stored answer as the answer to another request, in the form in which that one wants it.

use std::collections::BTreeMap;

use super::kept::{Form, Kept};
use crate::chat::completion::{Choice, Output};
use crate::chat::conversation::{Thought, ToolCall};
use crate::chat::tool_names::ToolNames;
use crate::chat::{Completion, Delta, Usage};
use crate::plaintext::Plaintext;
use crate::scan::Kind;
use crate::wire::dialect::{FrontDialect, Shown};
use crate::wire::{OperationName, Request, Wire};

/// What an answer has of its own.
pub struct Renewal<'a> {
    /// The exchange's id.
    pub id: &'a str,
    /// The time.
    pub unix_seconds: u64,
}

/// Fields that ask for what only one form can say, or what is lost between the two.
const ONE_FORM: [&str; 6] = ["echo", "include", "logprobs", "modalities", "top_logprobs", "truncation"];

/// The bytes of a stored answer for a request; nothing if it cannot be given in that form.
pub(super) fn replayed(kept: &Kept, request: &Request, renewal: &Renewal<'_>) -> Option<Plaintext<Vec<u8>>> {
    let form = Form::of(request);
    if kept.form == form {
        return Some(Plaintext::new(kept.renewed(renewal.id, renewal.unix_seconds)));
    }
    let document = request.body.expose();
    let one_form = |name: &&str| {
        request
            .fields
            .find(document, name)
            .is_some_and(|own| own.kind != Kind::Null && own.kind != Kind::False)
    };
    if ONE_FORM.iter().any(one_form) {
        return None;
    }
    let dialect = readable(kept.wire)?;
    let shown = Shown {
        id: renewal.id.to_owned(),
        model: request.model.clone(),
        created: renewal.unix_seconds,
        include_usage: request.include_usage,
        // What is stored was shown already.
        reasoning: true,
    };
    if form == Form::Whole {
        let mut completion = completion(kept.wire, kept.form, kept.body.expose())?;
        completion.expose_mut().id.clear();
        completion.expose_mut().usage = kept.usage;
        return Some(dialect.write_answer(&completion, &shown).map(Vec::from));
    }
    let deltas = match kept.form {
        Form::Stream { .. } => deltas(dialect, kept.body.expose())?,
        Form::Whole => completion(kept.wire, kept.form, kept.body.expose())?.map(taken_apart),
    };
    Some(written(dialect, deltas, kept.usage, shown))
}

fn written(
    dialect: &dyn FrontDialect,
    deltas: Plaintext<Vec<Delta>>,
    usage: Option<Usage>,
    shown: Shown,
) -> Plaintext<Vec<u8>> {
    let mut writer = dialect.stream_writer(shown);
    let mut out = Plaintext::new(Vec::new());
    for delta in deltas.into_exposed() {
        let delta = match delta {
            Delta::Begin { model, .. } => Delta::Begin { id: String::new(), model },
            Delta::Usage(_) => continue,
            own @ (Delta::Citation { .. }
            | Delta::Finish { .. }
            | Delta::Reasoning { .. }
            | Delta::Refusal { .. }
            | Delta::Text { .. }
            | Delta::ToolArguments { .. }
            | Delta::ToolCall { .. }) => own,
        };
        writer.write(&delta, out.expose_mut());
    }
    if let Some(usage) = usage {
        writer.write(&Delta::Usage(usage), out.expose_mut());
    }
    writer.end(out.expose_mut());
    out
}

/// The chat API that this is, if there is one whose answers can be read.
pub(super) fn readable(wire: &dyn Wire) -> Option<&'static dyn FrontDialect> {
    wire.dialect().filter(|_| wire.operation() == OperationName::Chat)
}

/// What an answer says, from its bytes in either form; nothing if they are not this API's, or not whole.
pub(super) fn completion(wire: &dyn Wire, form: Form, body: &[u8]) -> Option<Plaintext<Completion>> {
    let dialect = readable(wire)?;
    match form {
        Form::Stream { .. } => Some(deltas(dialect, body)?.map(assembled)),
        Form::Whole => dialect.read_answer(body, &ToolNames::default()).ok(),
    }
}

/// The text that an answer says, without thoughts and calls.
pub fn text(kept: &Kept) -> Option<Plaintext<String>> {
    let completion = completion(kept.wire, kept.form, kept.body.expose())?;
    let texts = completion.into_exposed().choices.into_iter().flat_map(|choice| choice.output);
    let text = |output| if let Output::Text(text) = output { Some(text) } else { None };
    Some(Plaintext::new(texts.filter_map(text).collect()))
}

fn deltas(dialect: &dyn FrontDialect, body: &[u8]) -> Option<Plaintext<Vec<Delta>>> {
    let mut reader = dialect.stream_reader(ToolNames::default());
    let mut deltas = Plaintext::new(Vec::new());
    reader.feed(body, deltas.expose_mut()).ok()?;
    if !reader.is_over() {
        reader.finish(deltas.expose_mut()).ok()?;
    }
    Some(deltas)
}

/// One answer on its way from deltas.
#[derive(Default)]
struct Assembled {
    choice: Choice,
    /// Where in the output each call stands.
    calls: BTreeMap<u64, usize>,
}

impl Assembled {
    fn think(&mut self, more: Thought) {
        if let Some(Output::Reasoning(last)) = self.choice.output.last_mut()
            && last.signature.is_none()
            && last.redacted.is_none()
            && more.redacted.is_none()
        {
            last.text.push_str(&more.text);
            last.signature = more.signature;
            return;
        }
        self.choice.output.push(Output::Reasoning(more));
    }

    fn argue(&mut self, call: u64, more: &str) {
        let at = self.calls.get(&call).copied();
        if let Some(Output::ToolCall(own)) = at.and_then(|at| self.choice.output.get_mut(at)) {
            own.arguments.push_str(more);
        }
    }
}

/// Deltas as a whole answer.
fn assembled(deltas: Vec<Delta>) -> Completion {
    let mut completion = Completion::default();
    let mut choices: BTreeMap<u64, Assembled> = BTreeMap::new();
    for delta in deltas {
        match delta {
            Delta::Begin { id, model } => (completion.id, completion.model) = (id, model),
            Delta::Usage(usage) => completion.usage = Some(usage),
            Delta::Citation { choice, citation } => {
                choices.entry(choice).or_default().choice.citations.push(citation);
            }
            Delta::Finish { choice, reason, stop_sequence } => {
                let own = &mut choices.entry(choice).or_default().choice;
                (own.finish, own.stop_sequence) = (Some(reason), stop_sequence);
            }
            Delta::Reasoning { choice, thought } => choices.entry(choice).or_default().think(thought),
            Delta::Refusal { choice, text } => {
                let output = &mut choices.entry(choice).or_default().choice.output;
                match output.last_mut() {
                    Some(Output::Refusal(last)) => last.push_str(&text),
                    _ => output.push(Output::Refusal(text)),
                }
            }
            Delta::Text { choice, text } => {
                let output = &mut choices.entry(choice).or_default().choice.output;
                match output.last_mut() {
                    Some(Output::Text(last)) => last.push_str(&text),
                    _ => output.push(Output::Text(text)),
                }
            }
            Delta::ToolArguments { choice, call, json } => {
                choices.entry(choice).or_default().argue(call, &json);
            }
            Delta::ToolCall { choice, call, id, name, signature } => {
                let own = choices.entry(choice).or_default();
                own.calls.insert(call, own.choice.output.len());
                let begun = ToolCall { id, name, arguments: String::new(), signature };
                own.choice.output.push(Output::ToolCall(begun));
            }
        }
    }
    completion.choices = choices.into_values().map(|own| own.choice).collect();
    completion
}

/// A whole answer as deltas.
fn taken_apart(completion: Completion) -> Vec<Delta> {
    let Completion { id, model, choices, .. } = completion;
    let mut deltas = vec![Delta::Begin { id, model }];
    for (choice, own) in (0_u64..).zip(choices) {
        let mut calls = 0_u64;
        for output in own.output {
            match output {
                Output::Reasoning(thought) => deltas.push(Delta::Reasoning { choice, thought }),
                Output::Refusal(text) => deltas.push(Delta::Refusal { choice, text }),
                Output::Text(text) => deltas.push(Delta::Text { choice, text }),
                Output::ToolCall(ToolCall { id, name, arguments, signature }) => {
                    let call = calls;
                    calls = calls.saturating_add(1);
                    deltas.push(Delta::ToolCall { choice, call, id, name, signature });
                    deltas.push(Delta::ToolArguments { choice, call, json: arguments });
                }
            }
        }
        let cited = own.citations.into_iter();
        deltas.extend(cited.map(|citation| Delta::Citation { choice, citation }));
        if let Some(reason) = own.finish {
            deltas.push(Delta::Finish { choice, reason, stop_sequence: own.stop_sequence });
        }
    }
    deltas
}
