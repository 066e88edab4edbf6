//! Puts messages, tools and parameters into a request's own bytes, where its format keeps them. Every other byte stays.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Message, Parameters, Role, Tool};
use crate::content::{Splice, escaped, spliced};
use crate::error::Error;
use crate::scan::{Field, Fields, Kind, elements};
use crate::wire::{Layout, OperationName, Wire};

/// What is to be put in.
pub(super) struct Added<'a> {
    /// Before what the client says.
    pub(super) front: &'a [Message],
    /// After it.
    pub(super) back: &'a [Message],
    pub(super) tools: &'a [Tool],
    /// Where the client says nothing.
    pub(super) parameters: &'a Parameters,
}

/// The member in which Gemini's counting has a whole request.
const NESTED: &str = "generateContentRequest";

/// The document with all of it.
///
/// # Errors
/// [`Error::FieldInvalid`], [`Error::FieldUnsupported`] where something has no place; [`Error::JsonInvalid`].
pub(super) fn put(wire: &dyn Wire, document: &[u8], added: &Added<'_>) -> Result<Vec<u8>, Error> {
    let fields = scanned(document)?;
    let edit = Edit::new(document, &fields);
    let nested = edit.find(&[NESTED])?.filter(|own| own.kind == Kind::Object);
    if let Some(own) = nested.filter(|_| wire.layout() == Layout::Gemini) {
        let inner = put(wire, own.value(document), added)?;
        return Ok(spliced(document, vec![(own.value.clone(), inner)]));
    }
    // What only counts takes no parameters.
    let counts = wire.operation() == OperationName::CountTokens;
    let none = Parameters::default();
    let parameters = if counts { &none } else { added.parameters };
    let added = &Added { parameters, ..*added };
    match wire.layout() {
        Layout::Anthropic => anthropic(edit, added),
        Layout::Chat => chat(edit, added),
        Layout::Gemini => gemini(edit, added),
        Layout::None => Ok(document.to_vec()),
        Layout::Responses => responses(edit, added),
        Layout::Text => text(edit, added),
    }
}

fn scanned(document: &[u8]) -> Result<Fields, Error> {
    let mut fields = Fields::new();
    fields.scan(document).map_err(|refusal| {
        let (line, column) = refusal.position(document);
        Error::JsonInvalid { problem: refusal.problem, line, column }
    })?;
    Ok(fields)
}

fn chat(mut edit: Edit<'_>, added: &Added<'_>) -> Result<Vec<u8>, Error> {
    let one = |own: &Message| json!({ "role": own.role, "content": own.text });
    edit.array(&["messages"], &written(added.front, one), &written(added.back, one))?;
    let tool = |own: &Tool| json!({ "type": "function", "function": described(own, "parameters") });
    edit.array(&["tools"], &written(added.tools, tool), &[])?;
    edit.parameters(
        added.parameters,
        [&["temperature"], &["top_p"], &["max_completion_tokens", "max_tokens"]],
    );
    Ok(edit.done())
}

fn anthropic(mut edit: Edit<'_>, added: &Added<'_>) -> Result<Vec<u8>, Error> {
    let block = |own: &Message| json!({ "type": "text", "text": own.text });
    let (before, front) = (of_system(added.front, block), of_others(added.front, plain_message));
    let (after, back) = (of_system(added.back, block), of_others(added.back, plain_message));
    match edit.find(&["system"])?.filter(|own| own.kind == Kind::String) {
        Some(own) if !before.is_empty() || !after.is_empty() => {
            let text = own.value(edit.document);
            // The API refuses blocks without text.
            let own_block = format!(r#"{{"type":"text","text":{}}}"#, String::from_utf8_lossy(text));
            let middle = (text != b"\"\"").then_some(own_block);
            let blocks: Vec<String> = before.into_iter().chain(middle).chain(after).collect();
            edit.splices.push((own.value.clone(), list(&blocks)));
        }
        Some(_) => {}
        None => edit.array(&["system"], &before, &after)?,
    }
    edit.array(&["messages"], &front, &back)?;
    edit.array(&["tools"], &written(added.tools, |own| described(own, "input_schema")), &[])?;
    edit.parameters(added.parameters, [&["temperature"], &["top_p"], &["max_tokens"]]);
    Ok(edit.done())
}

fn responses(mut edit: Edit<'_>, added: &Added<'_>) -> Result<Vec<u8>, Error> {
    let input = edit.find(&["input"])?.filter(|own| own.kind != Kind::Null);
    // A request must have an input; instructions alone are none.
    let alone = input.is_none() && added.front.iter().chain(added.back).all(|own| own.role == Role::System);
    let (instructions, front): (Vec<&Message>, Vec<&Message>) =
        added.front.iter().partition(|own| own.role == Role::System && !alone);
    if !instructions.is_empty() {
        let said: Vec<&str> = instructions.iter().map(|own| own.text.as_str()).collect();
        edit.text("instructions", &said.join(BREAK))?;
    }
    let front: Vec<String> = front.into_iter().map(|own| plain_message(own).to_string()).collect();
    let back = written(added.back, plain_message);
    match input.filter(|own| own.kind == Kind::String) {
        Some(own) if !front.is_empty() || !back.is_empty() => {
            let text = String::from_utf8_lossy(own.value(edit.document));
            let item = format!(r#"{{"role":"user","content":{text}}}"#);
            let items: Vec<String> = front.into_iter().chain([item]).chain(back).collect();
            edit.splices.push((own.value.clone(), list(&items)));
        }
        Some(_) => {}
        None => edit.array(&["input"], &front, &back)?,
    }
    let tool = |own: &Tool| {
        // Unless told otherwise the API rewrites schemas, and refuses those that it cannot.
        let also = [("type", Value::from("function")), ("strict", false.into())];
        with(described(own, "parameters"), also)
    };
    edit.array(&["tools"], &written(added.tools, tool), &[])?;
    edit.parameters(added.parameters, [&["temperature"], &["top_p"], &["max_output_tokens"]]);
    Ok(edit.done())
}

fn gemini(mut edit: Edit<'_>, added: &Added<'_>) -> Result<Vec<u8>, Error> {
    const SYSTEM: &[&str] = &["systemInstruction", "system_instruction"];
    let part = |own: &Message| json!({ "text": own.text });
    let content = |own: &Message| {
        let role = if own.role == Role::Assistant { "model" } else { "user" };
        json!({ "role": role, "parts": [part(own)] })
    };
    let (before, front) = (of_system(added.front, part), of_others(added.front, content));
    let (after, back) = (of_system(added.back, part), of_others(added.back, content));
    if !before.is_empty() || !after.is_empty() {
        edit.inside(SYSTEM, |inner| inner.array(&["parts"], &before, &after))?;
    }
    edit.array(&["contents"], &front, &back)?;
    if !added.tools.is_empty() {
        let tools: Vec<Value> =
            added.tools.iter().map(|own| described(own, "parametersJsonSchema")).collect();
        edit.array(&["tools"], &[json!({ "functionDeclarations": tools }).to_string()], &[])?;
    }
    if *added.parameters != Parameters::default() {
        edit.inside(&["generationConfig", "generation_config"], |inner| {
            let names: [&[&str]; 3] =
                [&["temperature"], &["topP", "top_p"], &["maxOutputTokens", "max_output_tokens"]];
            inner.parameters(added.parameters, names);
            Ok(())
        })?;
    }
    Ok(edit.done())
}

/// Between texts that become one.
const BREAK: &str = "\n\n";

fn text(mut edit: Edit<'_>, added: &Added<'_>) -> Result<Vec<u8>, Error> {
    if !added.tools.is_empty() {
        return Err(Error::FieldUnsupported { param: "prompt" });
    }
    let said = |all: &[Message]| all.iter().map(|own| own.text.as_str()).collect::<Vec<_>>().join(BREAK);
    let (front, back) = (said(added.front), said(added.back));
    let around = |own: &[u8]| {
        let inside = String::from_utf8_lossy(own.get(1..own.len().saturating_sub(1)).unwrap_or_default());
        let parts = [Cow::Owned(escaped(&front)), inside, Cow::Owned(escaped(&back))];
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).filter(|part| !part.is_empty()).collect();
        format!("\"{}\"", parts.join(&escaped(BREAK)))
    };
    let expected = "a string or an array of strings";
    match edit.find(&["prompt"])? {
        None => edit.new.push(format!("\"prompt\":{}", around(b"\"\""))),
        Some(own) => {
            let value = own.value(edit.document);
            let with = match own.kind {
                Kind::Null => around(b"\"\"").into_bytes(),
                Kind::String => around(value).into_bytes(),
                Kind::Array => {
                    let mut texts = Some(Vec::new());
                    let read = elements(value, |element, kind| {
                        texts = texts.take().filter(|_| kind == Kind::String);
                        if let Some(texts) = &mut texts {
                            texts.push(around(element));
                        }
                    });
                    let texts = texts.filter(|_| read.is_ok());
                    list(&texts.ok_or(Error::FieldInvalid { param: "prompt", expected })?)
                }
                Kind::False | Kind::Number | Kind::Object | Kind::True => {
                    return Err(Error::FieldInvalid { param: "prompt", expected });
                }
            };
            edit.splices.push((own.value.clone(), with));
        }
    }
    edit.parameters(added.parameters, [&["temperature"], &["top_p"], &["max_tokens"]]);
    Ok(edit.done())
}

fn plain_message(own: &Message) -> Value {
    json!({ "role": own.role, "content": own.text })
}

fn described(own: &Tool, schema: &str) -> Value {
    // Read when the configuration was.
    let parameters = serde_json::from_str::<Value>(&own.parameters).unwrap_or_default();
    let tool = json!({ "name": own.name, schema: parameters });
    with(tool, own.description.iter().map(|own| ("description", own.as_str().into())))
}

fn with(mut object: Value, members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    if let Some(own) = object.as_object_mut() {
        own.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    object
}

fn written<T>(all: &[T], one: impl Fn(&T) -> Value) -> Vec<String> {
    all.iter().map(|own| one(own).to_string()).collect()
}

fn of_system(all: &[Message], one: impl Fn(&Message) -> Value) -> Vec<String> {
    all.iter().filter(|own| own.role == Role::System).map(|own| one(own).to_string()).collect()
}

fn of_others(all: &[Message], one: impl Fn(&Message) -> Value) -> Vec<String> {
    all.iter().filter(|own| own.role != Role::System).map(|own| one(own).to_string()).collect()
}

fn list(items: &[String]) -> Vec<u8> {
    format!("[{}]", items.join(",")).into_bytes()
}

/// Changes of one object, member by member.
struct Edit<'d> {
    document: &'d [u8],
    fields: &'d Fields,
    splices: Vec<Splice>,
    /// Members that it does not have yet.
    new: Vec<String>,
}

impl<'d> Edit<'d> {
    const fn new(document: &'d [u8], fields: &'d Fields) -> Self {
        Self { document, fields, splices: Vec::new(), new: Vec::new() }
    }

    /// The member with one of these names. Two of them are refused: which one counts would be the provider's choice, and
    /// what was put into the other would be lost.
    fn find(&self, names: &[&'static str]) -> Result<Option<&'d Field>, Error> {
        let mut found = names.iter().filter_map(|name| self.fields.find(self.document, name));
        let first = found.next();
        match found.next() {
            Some(_) => Err(Error::FieldInvalid { param: first_of(names), expected: "one spelling of it" }),
            None => Ok(first),
        }
    }

    fn array(&mut self, names: &[&'static str], front: &[String], back: &[String]) -> Result<(), Error> {
        if front.is_empty() && back.is_empty() {
            return Ok(());
        }
        let all = || [front, back].concat();
        let Some(field) = self.find(names)? else {
            let value = String::from_utf8_lossy(&list(&all())).into_owned();
            self.new.push(format!("\"{}\":{value}", first_of(names)));
            return Ok(());
        };
        match field.kind {
            Kind::Null => self.splices.push((field.value.clone(), list(&all()))),
            Kind::Array => {
                let (open, close) = (field.value.start.saturating_add(1), field.value.end.saturating_sub(1));
                let some = field.elements.count > 0;
                if !front.is_empty() {
                    let comma = if some { "," } else { "" };
                    self.splices.push((open..open, format!("{}{comma}", front.join(",")).into_bytes()));
                }
                if !back.is_empty() {
                    let comma = if some || !front.is_empty() { "," } else { "" };
                    self.splices.push((close..close, format!("{comma}{}", back.join(",")).into_bytes()));
                }
            }
            Kind::False | Kind::Number | Kind::Object | Kind::String | Kind::True => {
                return Err(Error::FieldInvalid { param: first_of(names), expected: "an array" });
            }
        }
        Ok(())
    }

    /// Puts a text before the text of a member.
    fn text(&mut self, name: &'static str, front: &str) -> Result<(), Error> {
        let front = escaped(front);
        let Some(field) = self.find(&[name])? else {
            self.new.push(format!("\"{name}\":\"{front}\""));
            return Ok(());
        };
        match field.kind {
            Kind::Null => self.splices.push((field.value.clone(), format!("\"{front}\"").into_bytes())),
            Kind::String => {
                let open = field.value.start.saturating_add(1);
                let between = if field.value(self.document) == b"\"\"" { "" } else { BREAK };
                self.splices.push((open..open, format!("{front}{}", escaped(between)).into_bytes()));
            }
            Kind::Array | Kind::False | Kind::Number | Kind::Object | Kind::True => {
                return Err(Error::FieldInvalid { param: name, expected: "a string" });
            }
        }
        Ok(())
    }

    /// Changes an object inside.
    fn inside(
        &mut self,
        names: &[&'static str],
        change: impl FnOnce(&mut Edit<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let field = self.find(names)?;
        let inner = match field.map(|own| own.kind) {
            None | Some(Kind::Null) => b"{}".as_slice(),
            Some(Kind::Object) => field.map(|own| own.value(self.document)).unwrap_or_default(),
            Some(_) => return Err(Error::FieldInvalid { param: first_of(names), expected: "an object" }),
        };
        let fields = scanned(inner)?;
        let mut edit = Edit::new(inner, &fields);
        change(&mut edit)?;
        let inner = edit.done();
        match field {
            Some(own) => self.splices.push((own.value.clone(), inner)),
            None => self.new.push(format!("\"{}\":{}", first_of(names), String::from_utf8_lossy(&inner))),
        }
        Ok(())
    }

    /// Numbers for members that are not there, under the first of their names.
    fn parameters(&mut self, own: &Parameters, names: [&[&'static str]; 3]) {
        let longest = own.max_output_tokens.map(|own| own.to_string());
        for (value, names) in [own.temperature.clone(), own.top_p.clone(), longest].into_iter().zip(names) {
            let Some(value) = value else { continue };
            let there = names.iter().filter_map(|name| self.fields.find(self.document, name));
            let mut there = there.collect::<Vec<_>>().into_iter();
            match there.next() {
                None => self.new.push(format!("\"{}\":{value}", first_of(names))),
                Some(field) if field.kind == Kind::Null && there.next().is_none() => {
                    self.splices.push((field.value.clone(), value.into_bytes()));
                }
                Some(_) => {}
            }
        }
    }

    /// The object with all changes.
    fn done(mut self) -> Vec<u8> {
        if !self.new.is_empty() {
            let open = memchr::memchr(b'{', self.document).map_or(0, |at| at.saturating_add(1));
            let comma = if self.fields.iter().next().is_some() { "," } else { "" };
            self.splices.insert(0, (open..open, format!("{}{comma}", self.new.join(",")).into_bytes()));
        }
        spliced(self.document, self.splices)
    }
}

fn first_of(names: &[&'static str]) -> &'static str {
    names.first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::named;

    fn put_in(wire: &str, document: &str) -> String {
        let message = |role, text: &str| Message { role, text: text.to_owned() };
        let front = [message(Role::System, "a\"b"), message(Role::User, "c")];
        let back = [message(Role::System, "d")];
        let parameters = Parameters { temperature: Some("0.5".to_owned()), ..Parameters::default() };
        let added = Added { front: &front, back: &back, tools: &[], parameters: &parameters };
        let put = put(named(wire).expect("a format"), document.as_bytes(), &added);
        put.map_or_else(|error| error.code().to_owned(), |own| String::from_utf8(own).expect("text"))
    }

    #[test]
    fn only_what_is_put_in_changes() {
        for (wire, before, after) in [
            (
                "openai_chat",
                r#"{ "x" : 1.0, "messages" : [ {"role":"user", "content":"\u0068i"} ] }"#,
                r#"{"temperature":0.5, "x" : 1.0, "messages" : [{"content":"a\"b","role":"system"},{"content":"c","role":"user"}, {"role":"user", "content":"\u0068i"} ,{"content":"d","role":"system"}] }"#,
            ),
            (
                "anthropic_messages",
                r#"{"temperature":null,"system":"\u0068i","messages":[]}"#,
                r#"{"temperature":0.5,"system":[{"text":"a\"b","type":"text"},{"type":"text","text":"\u0068i"},{"text":"d","type":"text"}],"messages":[{"content":"c","role":"user"}]}"#,
            ),
            (
                "anthropic_count_tokens",
                r#"{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]}"#,
                r#"{"messages":[{"content":"c","role":"user"}],"system":[{"text":"a\"b","type":"text"},{"type":"text","text":"s","cache_control":{"type":"ephemeral"}},{"text":"d","type":"text"}]}"#,
            ),
            (
                "openai_responses",
                r#"{"instructions":"\u0068i","input":"x","temperature":1}"#,
                r#"{"instructions":"a\"b\n\n\u0068i","input":[{"content":"c","role":"user"},{"role":"user","content":"x"},{"content":"d","role":"system"}],"temperature":1}"#,
            ),
            (
                "gemini",
                r#"{"system_instruction":{"parts":[{"text":"s"}]},"generation_config":{"topK":1}}"#,
                r#"{"contents":[{"parts":[{"text":"c"}],"role":"user"}],"system_instruction":{"parts":[{"text":"a\"b"},{"text":"s"},{"text":"d"}]},"generation_config":{"temperature":0.5,"topK":1}}"#,
            ),
            (
                "gemini_count_tokens",
                r#"{"generateContentRequest":{"model":"m","contents":[]}}"#,
                r#"{"generateContentRequest":{"systemInstruction":{"parts":[{"text":"a\"b"},{"text":"d"}]},"model":"m","contents":[{"parts":[{"text":"c"}],"role":"user"}]}}"#,
            ),
            (
                "openai_completions",
                r#"{"prompt":["\u0068i",""],"temperature":0}"#,
                r#"{"prompt":["a\"b\n\nc\n\n\u0068i\n\nd","a\"b\n\nc\n\nd"],"temperature":0}"#,
            ),
            (
                "openai_chat",
                "{}",
                r#"{"messages":[{"content":"a\"b","role":"system"},{"content":"c","role":"user"},{"content":"d","role":"system"}],"temperature":0.5}"#,
            ),
            ("openai_completions", r#"{"prompt":[1]}"#, "invalid_value"),
            ("openai_chat", r#"{"messages":{}}"#, "invalid_value"),
            ("openai_chat", "[]", "invalid_json"),
        ] {
            assert_eq!(put_in(wire, before), after, "{wire}");
        }
    }
}
