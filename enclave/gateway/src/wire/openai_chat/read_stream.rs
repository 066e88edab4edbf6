//! An upstream's stream of chunks in canonical deltas.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::annotations;
use crate::chat::conversation::Thought;
use crate::chat::tool_names::ToolNames;
use crate::chat::{Delta, FinishReason, ServiceTier, Usage};
use crate::scan::Fields;
use crate::wire::dialect::{ReadStream, StreamFailure};
use crate::wire::json::Loose;
use crate::wire::openai_shape::status_in;
use crate::wire::openai_shape::usage_object;
use crate::wire::sse::{Event, Splitter};

/// Most answers and most tool calls of one answer that are kept track of.
const MAX_COUNT: usize = 1024;

/// Reads chunks until `[DONE]`.
pub(super) struct Reader {
    splitter: Splitter,
    state: State,
}

/// Apart from the splitter, so that an event can be borrowed meanwhile.
struct State {
    names: ToolNames,
    joined: Vec<u8>,
    usage: Fields,
    id: String,
    begun: bool,
    over: bool,
    choices: Vec<Choice>,
}

#[derive(Default)]
struct Choice {
    calls: Vec<Call>,
    finished: bool,
}

/// One tool call; begun as soon as its name is known.
struct Call {
    /// As the upstream counts.
    index: u64,
    id: String,
    begun: bool,
    /// Arguments that came before the name.
    early: String,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    /// Read from the first chunk only.
    #[serde(default, borrow)]
    id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    model: Option<&'a RawValue>,
    #[serde(default)]
    choices: Option<Vec<ChoiceMember>>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
    /// Read beside usage only.
    #[serde(default, borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(default, borrow)]
    x_groq: Option<GroqMember<'a>>,
    /// Perplexity's, on every chunk; read from the one with the finish.
    #[serde(default, borrow)]
    search_results: Option<&'a RawValue>,
    #[serde(default, borrow)]
    citations: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct GroqMember<'a> {
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChoiceMember {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    delta: Option<DeltaMember>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct DeltaMember {
    #[serde(default)]
    content: Option<Loose>,
    #[serde(default)]
    refusal: Option<Loose>,
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<Loose>,
    #[serde(default)]
    tool_calls: Option<Vec<CallMember>>,
    #[serde(default)]
    annotations: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct CallMember {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<CalledMember>,
    #[serde(default)]
    extra_content: Option<super::ExtraRead>,
}

#[derive(Deserialize)]
struct CalledMember {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<Loose>,
}

impl Reader {
    pub(super) fn new(names: ToolNames) -> Self {
        let state = State {
            names,
            joined: Vec::new(),
            usage: Fields::for_answers(),
            id: String::new(),
            begun: false,
            over: false,
            choices: Vec::new(),
        };
        Self { splitter: Splitter::new(), state }
    }
}

impl ReadStream for Reader {
    fn feed(&mut self, bytes: &[u8], deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        self.splitter.buffer().extend_from_slice(bytes);
        while !self.state.over {
            match self.splitter.next_event() {
                Ok(Some(event)) => self.state.event(event, deltas)?,
                Ok(None) => break,
                Err(_) => return Err(StreamFailure::Malformed),
            }
        }
        Ok(())
    }

    fn finish(&mut self, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        if let Some(event) = self.splitter.last_event() {
            // Half an event is a stream cut off, whatever it looks like.
            self.state.event(event, deltas).map_err(|failure| {
                if failure == StreamFailure::Malformed { StreamFailure::Truncated } else { failure }
            })?;
        }
        if self.state.over { Ok(()) } else { Err(StreamFailure::Truncated) }
    }

    fn is_over(&self) -> bool {
        self.state.over
    }
}

impl State {
    fn event(&mut self, event: Event<'_>, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let layout = event.layout();
        let mut joined = std::mem::take(&mut self.joined);
        let data = event.data(&layout, &mut joined).trim_ascii();
        let outcome = if data.is_empty() {
            Ok(())
        } else if data == b"[DONE]" {
            self.over = true;
            Ok(())
        } else {
            self.chunk(data, layout.named_error, deltas)
        };
        self.joined = joined;
        outcome
    }

    fn chunk(&mut self, data: &[u8], is_error: bool, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let chunk: Chunk<'_> = serde_json::from_slice(data).map_err(|_| StreamFailure::Malformed)?;
        if is_error || chunk.error.is_some() {
            let error = chunk.error.map(|own| own.get().as_bytes());
            return Err(StreamFailure::Reported { status: status_in(error.unwrap_or_default()) });
        }
        if !std::mem::replace(&mut self.begun, true) {
            let text =
                |own: Option<&RawValue>| own.and_then(|own| serde_json::from_str::<String>(own.get()).ok());
            self.id = text(chunk.id).unwrap_or_default();
            deltas.push(Delta::Begin { id: self.id.clone(), model: text(chunk.model).unwrap_or_default() });
        }
        for choice in chunk.choices.into_iter().flatten() {
            let finishes = choice.finish_reason.as_deref().is_some_and(|word| !word.is_empty());
            if finishes && choice.index == 0 && self.choices.first().is_none_or(|own| !own.finished) {
                let found = annotations::found(chunk.search_results, chunk.citations);
                deltas.extend(found.into_iter().map(|citation| Delta::Citation { choice: 0, citation }));
            }
            self.choice(choice, deltas)?;
        }
        let beside = chunk.x_groq.and_then(|own| own.usage);
        if let Some(own) = chunk.usage.or(beside) {
            let usage = usage_object(own.get().as_bytes(), &mut self.usage);
            let word = chunk.service_tier.map_or("", RawValue::get).trim_matches('"');
            let tier = ServiceTier::from_word(if word == "null" { b"" } else { word.as_bytes() });
            let usage = usage.map_err(|_| StreamFailure::Malformed)?;
            deltas.extend(usage.map(|usage| Delta::Usage(Usage { tier, ..usage })));
        }
        Ok(())
    }

    fn choice(&mut self, member: ChoiceMember, deltas: &mut Vec<Delta>) -> Result<(), StreamFailure> {
        let choice = member.index;
        let place = usize::try_from(choice).ok().filter(|place| *place < MAX_COUNT);
        let place = place.ok_or(StreamFailure::Malformed)?;
        if self.choices.len() <= place {
            self.choices.resize_with(place.saturating_add(1), Choice::default);
        }
        let Self { choices, names, id, .. } = self;
        let Some(state) = choices.get_mut(place) else { return Ok(()) };
        if let Some(delta) = member.delta {
            let some = |text: Option<Loose>| text.map(|own| own.0).filter(|text| !text.is_empty());
            if let Some(text) = some(delta.reasoning_content) {
                deltas.push(Delta::Reasoning { choice, thought: Thought { text, ..Thought::default() } });
            }
            deltas.extend(some(delta.content).map(|text| Delta::Text { choice, text }));
            deltas.extend(some(delta.refusal).map(|text| Delta::Refusal { choice, text }));
            let cited = annotations::citations(delta.annotations.as_deref());
            deltas.extend(cited.map(|citation| Delta::Citation { choice, citation }));
            for call in delta.tool_calls.into_iter().flatten() {
                state.call(call, Place { choice, id, names }, deltas)?;
            }
        }
        match member.finish_reason.as_deref() {
            None | Some("") => Ok(()),
            // OpenRouter's way to report a failure inside a stream.
            Some("error") => Err(StreamFailure::Reported { status: 502 }),
            Some(_) if state.finished => Ok(()),
            Some(word) => {
                state.finished = true;
                let reason: FinishReason = super::finish(word, !state.calls.is_empty());
                deltas.push(Delta::Finish { choice, reason, stop_sequence: None });
                Ok(())
            }
        }
    }
}

/// Where a tool call stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    choice: u64,
    /// The answer's id.
    id: &'a str,
    names: &'a ToolNames,
}

impl Choice {
    /// Takes one fragment. Some vendors give no index, others the same one to every call: an id that is new begins a
    /// new call in any case.
    fn call(
        &mut self,
        member: CallMember,
        at: Place<'_>,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), StreamFailure> {
        let own_id = member.id.filter(|id| !id.is_empty());
        let (name, arguments) = member.function.map_or((None, None), |own| (own.name, own.arguments));
        let name = name.filter(|name| !name.is_empty());
        let last = self.calls.len().checked_sub(1);
        let same_index = |call: &Call| member.index.is_none_or(|index| call.index == index);
        let known = self.calls.iter().rposition(same_index).filter(|place| {
            let known_id = self.calls.get(*place).map(|call| call.id.as_str());
            own_id.as_deref().is_none_or(|id| known_id == Some(id))
        });
        let place = match known.or_else(|| last.filter(|_| own_id.is_none() && name.is_none())) {
            Some(place) => place,
            None if self.calls.len() >= MAX_COUNT => return Err(StreamFailure::Malformed),
            None => {
                let place = self.calls.len();
                let id = own_id.unwrap_or_else(|| super::made_up_call_id(at.id, place));
                let index = member.index.unwrap_or(u64::MAX);
                self.calls.push(Call { index, id, begun: false, early: String::new() });
                place
            }
        };
        let Some(call) = self.calls.get_mut(place) else { return Ok(()) };
        let (choice, number) = (at.choice, u64::try_from(place).unwrap_or(u64::MAX));
        let mut json = arguments.map(|own| own.0).unwrap_or_default();
        if !call.begun {
            let Some(name) = name else {
                call.early.push_str(&json);
                return Ok(());
            };
            call.begun = true;
            let (id, name) = (call.id.clone(), at.names.original(&name).to_owned());
            let signature = member.extra_content.and_then(super::ExtraRead::signature);
            deltas.push(Delta::ToolCall { choice, call: number, id, name, signature });
            json.insert_str(0, &std::mem::take(&mut call.early));
        }
        if !json.is_empty() {
            deltas.push(Delta::ToolArguments { choice, call: number, json });
        }
        Ok(())
    }
}
