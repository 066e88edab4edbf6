//! Walks a body and collects its segments with their places. Trusts nothing: what is not JSON is [`Unreadable`].

use std::ops::Range;

use super::rules::{Itself, Place, carries};
use super::{Body, Channel, Form, Inner, Kind, Segment, Unreadable, View};
use crate::scan;

/// Deepest nesting, as the scanner's.
const MAX_DEPTH: u32 = scan::MAX_DEPTH;
/// Shortest number that can be an identity: a telephone number, a card.
const MIN_DIGITS: usize = 7;

struct Walk<'d> {
    bytes: &'d [u8],
    body: Body,
    document: usize,
    view: View,
}

/// One member of an object.
struct Member {
    name: Range<usize>,
    value: Range<usize>,
}

pub(super) fn walk(document: &[u8], body: Body) -> Result<View, Unreadable> {
    let view = View::default();
    let mut walk = Walk { bytes: document, body, document: 0, view };
    let value = walk.whole()?;
    walk.value(value, Place::root(body), &[])?;
    Ok(walk.view)
}

pub(super) fn arguments(document: &[u8]) -> Result<View, Unreadable> {
    let mut walk = Walk { bytes: document, body: Body::Request, document: 0, view: View::default() };
    let value = walk.whole()?;
    let root = Place::root(Body::Answer);
    walk.value(value, Place { kind: Kind::ToolArguments, free: true, ..root }, &[])?;
    Ok(walk.view)
}

impl Walk<'_> {
    fn get(&self, span: &Range<usize>) -> &[u8] {
        self.bytes.get(span.clone()).unwrap_or_default()
    }

    /// The document's one value.
    fn whole(&self) -> Result<Range<usize>, Unreadable> {
        let start = self.white(0);
        let end = self.end_of(start)?;
        if self.white(end) == self.bytes.len() { Ok(start..end) } else { Err(Unreadable) }
    }

    fn white(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let blank = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        at.saturating_add(rest.iter().take_while(|byte| blank(byte)).count())
    }

    /// Where the value that begins here ends.
    fn end_of(&self, start: usize) -> Result<usize, Unreadable> {
        match self.bytes.get(start) {
            Some(b'"') => self.end_of_string(start),
            Some(b'[' | b'{') => self.end_of_container(start),
            Some(_) => {
                let rest = self.bytes.get(start..).unwrap_or_default();
                let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                let length = rest.iter().take_while(|byte| part(byte)).count();
                if length == 0 { Err(Unreadable) } else { Ok(start.saturating_add(length)) }
            }
            None => Err(Unreadable),
        }
    }

    fn end_of_string(&self, quote: usize) -> Result<usize, Unreadable> {
        let mut at = quote.saturating_add(1);
        loop {
            let next = memchr::memchr2(b'"', b'\\', self.bytes.get(at..).unwrap_or_default());
            at = at.saturating_add(next.ok_or(Unreadable)?);
            if self.bytes.get(at) == Some(&b'"') {
                return Ok(at.saturating_add(1));
            }
            at = at.saturating_add(2);
        }
    }

    fn end_of_container(&self, start: usize) -> Result<usize, Unreadable> {
        let mut at = start;
        let mut open: u32 = 0;
        loop {
            match self.bytes.get(at).ok_or(Unreadable)? {
                b'"' => {
                    at = self.end_of_string(at)?;
                    continue;
                }
                b'[' | b'{' => open = open.saturating_add(1),
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            at = at.saturating_add(1);
            if open == 0 {
                return Ok(at);
            }
        }
    }

    fn value(&mut self, at: Range<usize>, place: Place, name: &[u8]) -> Result<(), Unreadable> {
        if place.depth > MAX_DEPTH {
            return Err(Unreadable);
        }
        match self.bytes.get(at.start) {
            Some(b'{') => self.object(&at, place),
            Some(b'[') => self.array(&at, place, name),
            Some(b'"') => {
                let raw = at.start.saturating_add(1)..at.end.saturating_sub(1);
                self.text(raw, place, name);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => {
                let digits = self.get(&at).iter().filter(|byte| byte.is_ascii_digit()).count();
                if digits >= MIN_DIGITS && place.free {
                    let text = String::from_utf8_lossy(self.get(&at)).into_owned();
                    self.push(at, text, place, name, Form::Number);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn object(&mut self, at: &Range<usize>, place: Place) -> Result<(), Unreadable> {
        let members = self.members(at)?;
        let itself = self.itself(&members);
        let mut place = place.told(&itself);
        if let Some(number) = self.number(&members, &[b"index", b"output_index"]).filter(|_| !place.free) {
            // The root's number is that of a block or item; others are those of answers and their calls.
            if place.depth == 0 || place.delta {
                place.call = number;
            } else {
                place.choice = number;
            }
        }
        let itself = self.itself(&members);
        let told: Vec<Place> =
            members.iter().map(|own| place.member(self.get(&own.name), &itself, self.body)).collect();
        for (Member { name, value }, inside) in members.into_iter().zip(told) {
            let written = self.get(&name).to_vec();
            if written == b"logprobs" && !place.free {
                self.logprobs(value);
                continue;
            }
            if place.free || !is_plain_name(&written) {
                let kind = if place.free { place.kind } else { Kind::Identifier };
                let text = decoded(&written);
                self.push(name, text, Place { kind, ..place }, &written, Form::Name);
            }
            self.value(value, inside, &written)?;
        }
        Ok(())
    }

    /// Log probabilities say the text again, token by token: they can only be left out.
    fn logprobs(&mut self, value: Range<usize>) {
        let empty: &[u8] = match self.bytes.get(value.start) {
            Some(b'[') => b"[]",
            Some(b'{') => b"null",
            _ => return,
        };
        if self.document == 0 && self.body != Body::Request && self.get(&value) != empty {
            self.view.probabilities.push((value, empty.into()));
        }
    }

    fn itself<'s>(&'s self, members: &[Member]) -> Itself<'s> {
        let mut itself = Itself::default();
        for Member { name, value } in members {
            let text = || self.get(value).strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
            match self.get(name) {
                b"type" => itself.kind = text().unwrap_or_default(),
                b"role" => itself.role = text().unwrap_or_default(),
                b"thought" => itself.thought = self.get(value) == b"true",
                b"media_type" | b"mimeType" | b"mime_type" => itself.has_media_type = true,
                _ => {}
            }
        }
        itself
    }

    fn number(&self, members: &[Member], names: &[&[u8]]) -> Option<u64> {
        let own = members.iter().find(|own| names.contains(&self.get(&own.name)))?;
        std::str::from_utf8(self.get(&own.value)).ok()?.parse().ok()
    }

    fn members(&self, at: &Range<usize>) -> Result<Vec<Member>, Unreadable> {
        let mut members = Vec::with_capacity(8);
        let mut next = self.white(at.start.saturating_add(1));
        while self.bytes.get(next) != Some(&b'}') {
            if self.bytes.get(next) != Some(&b'"') {
                return Err(Unreadable);
            }
            let name_end = self.end_of_string(next)?;
            let name = next.saturating_add(1)..name_end.saturating_sub(1);
            let colon = self.white(name_end);
            if self.bytes.get(colon) != Some(&b':') {
                return Err(Unreadable);
            }
            let start = self.white(colon.saturating_add(1));
            let value = start..self.end_of(start)?;
            next = self.white(value.end);
            members.push(Member { name, value });
            if self.bytes.get(next) == Some(&b',') {
                next = self.white(next.saturating_add(1));
            }
        }
        Ok(members)
    }

    fn array(&mut self, at: &Range<usize>, place: Place, name: &[u8]) -> Result<(), Unreadable> {
        let mut next = self.white(at.start.saturating_add(1));
        let mut count = 0_usize;
        while self.bytes.get(next) != Some(&b']') {
            let value = next..self.end_of(next)?;
            if self.is_token(&value, place, name) {
                return Err(Unreadable);
            }
            next = self.white(value.end);
            if self.bytes.get(next) == Some(&b',') {
                next = self.white(next.saturating_add(1));
            }
            let mut inside = Place { depth: place.depth.saturating_add(1), turns: false, ..place };
            if place.turns {
                inside.turn = count;
            }
            if name == b"tool_calls" {
                inside.call = u64::try_from(count).unwrap_or(u64::MAX);
            }
            self.value(value, inside, name)?;
            count = count.saturating_add(1);
        }
        Ok(())
    }

    /// A prompt may be given in numbers of a model's vocabulary, which nobody here can read.
    fn is_token(&self, value: &Range<usize>, place: Place, name: &[u8]) -> bool {
        let is_number = matches!(self.bytes.get(value.start), Some(b'-' | b'0'..=b'9'));
        is_number && self.body == Body::Request && !place.free && matches!(name, b"input" | b"prompt")
    }

    fn text(&mut self, raw: Range<usize>, place: Place, name: &[u8]) {
        if place.kind == Kind::Media || name == b"url" || name == b"image_url" {
            let written = self.get(&raw);
            if is_encoded(written) || written.starts_with(b"data:") {
                self.push(raw, String::new(), Place { kind: Kind::Media, ..place }, name, Form::Text);
                return;
            }
        }
        let place = if place.kind == Kind::Media { Place { kind: Kind::Other, ..place } } else { place };
        let text = decoded(self.get(&raw));
        if place.json && self.document == 0 && self.inner(&text, &raw, place) {
            return;
        }
        self.push(raw, text, place, name, Form::Text);
    }

    /// Reads JSON inside a string; false if it is none.
    fn inner(&mut self, source: &str, raw: &Range<usize>, place: Place) -> bool {
        if !source.trim_start().starts_with(['{', '[']) {
            return false;
        }
        let view = View::default();
        let document = self.view.inner.len().saturating_add(1);
        let mut walk = Walk { bytes: source.as_bytes(), body: self.body, document, view };
        let inside = Place { free: true, json: false, depth: 0, ..place };
        let read = walk.whole().and_then(|value| walk.value(value, inside, &[]));
        if read.is_err() {
            return false;
        }
        let segments = walk.view.segments;
        self.view.segments.extend(segments);
        self.view.inner.push(Inner { source: source.to_owned(), raw: raw.clone() });
        true
    }

    fn push(&mut self, raw: Range<usize>, text: String, place: Place, name: &[u8], form: Form) {
        let channel = self.channel(place, name, form);
        self.view.segments.push(Segment {
            kind: place.kind,
            role: place.role,
            turn: place.turn,
            channel,
            place: (place.choice, place.call),
            text,
            member: String::from_utf8_lossy(name).into_owned(),
            raw,
            document: self.document,
            form,
        });
    }

    /// The running text that this string of an event continues.
    fn channel(&self, place: Place, name: &[u8], form: Form) -> Option<Channel> {
        if self.body != Body::Event || form != Form::Text || place.free {
            return None;
        }
        let adds = match place.kind {
            Kind::Identifier | Kind::Media | Kind::Other | Kind::ToolDefinition | Kind::ToolName => false,
            Kind::Reasoning | Kind::Text => carries(name) && (place.delta || place.adds && name == b"text"),
            Kind::ToolArguments | Kind::ToolResult => carries(name) && place.delta,
        };
        let call = if place.kind == Kind::ToolArguments { place.call } else { 0 };
        adds.then_some(Channel { kind: place.kind, choice: place.choice, call })
    }
}

/// Names that no one hides anything in.
fn is_plain_name(name: &[u8]) -> bool {
    name.len() <= 40 && name.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
}

/// Nothing but base64: what a picture is written in.
fn is_encoded(raw: &[u8]) -> bool {
    let part =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'\\');
    raw.iter().all(part)
}

/// A string's content; halves of surrogate pairs become U+FFFD.
fn decoded(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    if scan::unescape_into(raw, &mut text) {
        return text;
    }
    text.clear();
    scan::unescape_lossy(raw, &mut text);
    text
}
