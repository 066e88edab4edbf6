//! Streamed answers: events are held back until nothing that follows can change what is found in their texts, then go out
//! as they came but for what is changed in them.
//!
//! An event's pieces of text continue running texts, one for each answer, kind and call ([`Channel`]). Checks look at
//! the running text, so it does not matter how it is cut into events or the events into packets: what goes out is what the
//! same answer buffered would say. Arguments of calls, if anything looks at them, are held until the call is complete, since
//! nobody can use them before.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::{Guard, Phase, Said, spans};
use crate::content::mask::floor;
use crate::content::{Body, Change, Channel, Kind, Segment, View, calls, escaped};
use crate::error::Error;
use crate::guardrail::{Call, Hook, StreamMode};
use crate::wire::sse::{Event, Splitter};

/// How much text before what is open stays visible to the checks.
const CONTEXT: usize = 256;
/// Text that went out is thrown away in pieces of this size.
const TRIM: usize = 4096;
/// Most bytes that are held back.
const MAX_HELD: usize = 64 * 1024 * 1024;

/// A guard at a stream.
pub struct StreamGuard {
    guard: Box<Guard>,
    splitter: Splitter,
    queue: VecDeque<Held>,
    running: BTreeMap<Channel, Running>,
    held_bytes: usize,
    /// Tools that are called, by answer and call.
    names: BTreeMap<(u64, u64), String>,
    /// Calls that came whole in one event.
    whole_calls: Vec<Call>,
    assembles: bool,
}

/// An event that is held back.
struct Held {
    raw: Vec<u8>,
    data: Range<usize>,
    view: Option<View>,
    pieces: Vec<Piece>,
    /// Changes of strings that stand for themselves.
    fixed: BTreeMap<usize, Vec<Change>>,
}

/// A piece of a running text in an event.
struct Piece {
    segment: usize,
    channel: Channel,
    /// Where in the whole running text.
    at: Range<usize>,
}

/// A text that events continue.
#[derive(Default)]
struct Running {
    text: String,
    /// Where `text` begins in the whole.
    base: usize,
    /// Up to where it may go out, in the whole.
    settled: usize,
    /// Changes in order, with places in the whole.
    changes: VecDeque<Change>,
    /// Up to where it was let go although more could have changed it.
    forced: Option<usize>,
    dirty: bool,
    /// All of it, for checks that judge it as a whole.
    assembled: String,
}

impl StreamGuard {
    /// At the beginning of a stream.
    pub fn new(guard: Box<Guard>) -> Self {
        let assembles = guard.checks.iter().any(|own| own.looks_at_answers() && own.judge().is_some());
        Self {
            guard,
            splitter: Splitter::new(),
            queue: VecDeque::new(),
            running: BTreeMap::new(),
            held_bytes: 0,
            names: BTreeMap::new(),
            whole_calls: Vec::new(),
            assembles,
        }
    }

    /// What the checks have said so far.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Takes bytes of the client's stream and appends what may go out. `last` with the bytes after which none follow.
    ///
    /// # Errors
    /// [`Error::ContentRefused`]: what is held back must not go out any more.
    pub fn feed(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        self.splitter.buffer().extend_from_slice(bytes);
        loop {
            let next = self.splitter.next_event().map_err(|_| Error::UpstreamMalformed)?;
            let Some(raw) = next.map(|event| event.raw.to_vec()) else { break };
            self.take(raw)?;
        }
        if let Some(raw) = self.splitter.last_event().filter(|_| last).map(|event| event.raw.to_vec()) {
            self.take(raw)?;
        }
        if self.held_bytes > MAX_HELD {
            return Err(Error::AnswerTooLarge);
        }
        let channels: Vec<Channel> = self.running.keys().copied().collect();
        for channel in channels {
            self.settle(channel, last)?;
        }
        if last {
            self.judge()?;
        }
        self.release(out);
        Ok(())
    }

    fn take(&mut self, raw: Vec<u8>) -> Result<(), Error> {
        self.held_bytes = self.held_bytes.saturating_add(raw.len());
        let raw = one_line(raw);
        let layout = Event { raw: &raw }.layout();
        let data = layout.data.unwrap_or(0..0);
        let text = raw.get(data.clone()).unwrap_or_default().trim_ascii();
        if text.is_empty() || text == b"[DONE]" {
            self.queue.push_back(Held { raw, data, view: None, pieces: Vec::new(), fixed: BTreeMap::new() });
            return Ok(());
        }
        let whole = raw.get(data.clone()).unwrap_or_default();
        let Ok(view) = View::of(whole, Body::Event) else { return Err(self.guard.unreadable()) };
        let ends = ends_text(whole);
        let repeats = ends && !has(whole, b"content_block_stop");
        if self.assembles && has(whole, b"functionCall") {
            let value = serde_json::from_slice(whole).unwrap_or_default();
            let found = calls::of(&value).into_iter().map(|(name, arguments)| Call { name, arguments });
            self.whole_calls.extend(found);
        }
        let mut held = Held { raw: Vec::new(), data, view: None, pieces: Vec::new(), fixed: BTreeMap::new() };
        let mut said = Said::default();
        for (number, segment) in view.segments.iter().enumerate() {
            let Some(channel) = segment.channel else {
                if segment.kind == Kind::ToolName && !repeats && !has(whole, b"functionCall") {
                    self.names.entry(segment.place).or_insert_with(|| segment.text.clone());
                }
                let changes = self.guard.alone(segment, &mut said)?;
                if !changes.is_empty() {
                    held.fixed.insert(number, changes);
                }
                continue;
            };
            if channel.kind == Kind::ToolArguments {
                self.let_go_before(channel)?;
            }
            let assembles = self.assembles;
            let running = self.running.entry(channel).or_default();
            let start = running.base.saturating_add(running.text.len());
            running.text.push_str(&segment.text);
            if assembles {
                running.assembled.push_str(&segment.text);
            }
            running.dirty = true;
            let at = start..start.saturating_add(segment.text.len());
            held.pieces.push(Piece { segment: number, channel, at });
        }
        held.raw = raw;
        held.view = Some(view);
        self.queue.push_back(held);
        if ends {
            let channels: Vec<Channel> = self.running.keys().copied().collect();
            for channel in channels {
                self.let_go(channel)?;
            }
        }
        Ok(())
    }

    /// A call begins: what was said before it need not wait for more.
    fn let_go_before(&mut self, call: Channel) -> Result<(), Error> {
        if self.running.contains_key(&call) {
            return Ok(());
        }
        let said = |own: &Channel| own.choice == call.choice && own.kind != Kind::ToolArguments;
        let channels: Vec<Channel> = self.running.keys().copied().filter(said).collect();
        channels.into_iter().try_for_each(|channel| self.let_go(channel))
    }

    fn let_go(&mut self, channel: Channel) -> Result<(), Error> {
        self.settle(channel, true)?;
        if let Some(running) = self.running.get_mut(&channel) {
            running.forced = Some(running.settled);
        }
        Ok(())
    }

    /// Finds out how far a running text may go out, and what changes in it.
    fn settle(&mut self, channel: Channel, last: bool) -> Result<(), Error> {
        let Some(mut running) = self.running.remove(&channel) else { return Ok(()) };
        let settled = if running.dirty || last { self.look(channel, &mut running, last) } else { Ok(()) };
        running.trim();
        self.running.insert(channel, running);
        settled
    }

    fn look(&mut self, channel: Channel, running: &mut Running, last: bool) -> Result<(), Error> {
        let kind = channel.kind;
        let from = running.settled.saturating_sub(running.base);
        let looks =
            self.guard.checks.iter().any(|own| own.spans().is_some() && Phase::Answer.concerns(own, kind));
        running.dirty = false;
        if kind == Kind::ToolArguments && looks {
            return if last { self.arguments(running, from) } else { Ok(()) };
        }
        let hits = self.guard.found(Phase::Answer, kind, &running.text, running.base, running.back(from));
        let mut open = if last { running.text.len() } else { self.guard.open_from(kind, running) };
        open = open.max(from);
        self.guard.late(&hits, running)?;
        let mut hits: Vec<spans::Hit> = hits.into_iter().filter(|hit| hit.at.start >= from).collect();
        open = before_clusters(&hits, open, last);
        hits.retain(|hit| hit.at.start < open);
        let mut changes =
            self.guard.decide(Phase::Answer, &running.text, hits, true, &mut Said::default())?;
        let json = kind == Kind::ToolArguments;
        let unmasked = self.guard.unmasked(&running.text, from).into_iter().filter(|own| own.at.end <= open);
        let unmasked =
            unmasked.map(|own| Change { with: if json { escaped(&own.with) } else { own.with }, ..own });
        spans::merge(&mut changes, unmasked.collect());
        running.settle(open, changes);
        Ok(())
    }

    /// A call is complete: its arguments are looked at as the JSON that they are.
    fn arguments(&mut self, running: &mut Running, from: usize) -> Result<(), Error> {
        let text = running.text.get(from..).unwrap_or_default().to_owned();
        let mut said = Said::default();
        let mut changes = Vec::new();
        if let Ok(view) = View::of_arguments(text.as_bytes()) {
            let mut own = BTreeMap::new();
            for (number, segment) in view.segments.iter().enumerate() {
                own.insert(number, self.guard.alone(segment, &mut said)?);
            }
            own.retain(|_, changes| !changes.is_empty());
            for (at, with) in view.edits(&own) {
                let at = from.saturating_add(at.start)..from.saturating_add(at.end);
                changes.push(Change { at, with: String::from_utf8_lossy(&with).into_owned() });
            }
        } else {
            let whole = Segment::assembled(Kind::ToolArguments, text);
            for Change { at, with } in self.guard.alone(&whole, &mut said)? {
                let at = from.saturating_add(at.start)..from.saturating_add(at.end);
                changes.push(Change { at, with: escaped(&with) });
            }
        }
        let end = running.text.len();
        running.settle(end, changes);
        Ok(())
    }

    /// What judges answers as a whole, at the end of the stream.
    fn judge(&mut self) -> Result<(), Error> {
        if !self.assembles {
            return Ok(());
        }
        let said: Vec<Segment> = self
            .running
            .iter()
            .map(|(channel, own)| Segment::assembled(channel.kind, own.assembled.clone()))
            .collect();
        let segments: Vec<&Segment> = said.iter().collect();
        let mut calls = std::mem::take(&mut self.whole_calls);
        for ((choice, call), name) in &self.names {
            let channel = Channel { kind: Kind::ToolArguments, choice: *choice, call: *call };
            let text = self.running.get(&channel).map(|own| own.assembled.clone()).unwrap_or_default();
            calls.push(Call { name: name.clone(), arguments: calls::parsed(&text.into()) });
        }
        for hook in [Hook::Output, Hook::ToolCall] {
            let mut labels = Said::default();
            self.guard.judge(hook, &segments, &calls, Some(StreamMode::Window), &mut labels)?;
            self.guard.judge(hook, &segments, &calls, Some(StreamMode::Detect), &mut labels)?;
        }
        Ok(())
    }

    /// Appends the events at the front of which all text may go out.
    fn release(&mut self, out: &mut Vec<u8>) {
        while let Some(front) = self.queue.front() {
            let settled = |piece: &Piece| {
                self.running.get(&piece.channel).is_none_or(|own| piece.at.end <= own.settled)
            };
            if !front.pieces.iter().all(settled) {
                return;
            }
            let Some(held) = self.queue.pop_front() else { return };
            self.held_bytes = self.held_bytes.saturating_sub(held.raw.len());
            self.append(held, out);
        }
    }

    fn append(&mut self, held: Held, out: &mut Vec<u8>) {
        let Held { raw, data, view, pieces, fixed: mut changes } = held;
        let Some(view) = view else {
            out.extend_from_slice(&raw);
            return;
        };
        for piece in pieces {
            let Some(running) = self.running.get_mut(&piece.channel) else { continue };
            let own = running.changes_in(&piece.at);
            if !own.is_empty() {
                changes.insert(piece.segment, own);
            }
            running.forget(piece.at.end);
        }
        if changes.is_empty() && !(view.has_probabilities() && self.guard.hides()) {
            out.extend_from_slice(&raw);
            return;
        }
        out.extend_from_slice(raw.get(..data.start).unwrap_or_default());
        out.extend_from_slice(&view.rewritten(raw.get(data.clone()).unwrap_or_default(), &changes));
        out.extend_from_slice(raw.get(data.end..).unwrap_or_default());
    }
}

impl Guard {
    /// From where text is open for any check that looks here, or for a placeholder.
    fn open_from(&self, kind: Kind, running: &Running) -> usize {
        let looking = self.checks.iter().filter(|own| Phase::Answer.concerns(own, kind));
        // What only detects holds nothing back.
        let open = looking
            .filter(|own| own.stream != StreamMode::Detect)
            .filter_map(|own| own.spans())
            .map(|own| own.open_from(&running.text, running.base))
            .min();
        open.unwrap_or(running.text.len()).min(self.masks.open_from(&running.text))
    }

    /// Refuses what began in text that was let go and ends after it: its first half is out, its second is not.
    fn late(&mut self, hits: &[spans::Hit], running: &mut Running) -> Result<(), Error> {
        let Some(forced) = running.forced else { return Ok(()) };
        let seam = forced.saturating_sub(running.base);
        let over = |hit: &&spans::Hit| hit.at.start < seam && hit.at.end > seam;
        let hits: Vec<spans::Hit> =
            hits.iter().filter(over).map(|hit| spans::Hit { at: hit.at.clone(), ..*hit }).collect();
        if running.text.len() > seam.saturating_add(CONTEXT) {
            running.forced = None;
        }
        self.decide(Phase::Answer, &running.text, hits, false, &mut Said::default()).map(drop)
    }
}

impl Running {
    /// From where to look: after text that was let go early, what reaches back into it counts as well.
    fn back(&self, from: usize) -> usize {
        if self.forced.is_some() { floor(&self.text, from.saturating_sub(CONTEXT)) } else { from }
    }

    fn settle(&mut self, open: usize, changes: Vec<Change>) {
        let whole = |at: usize| self.base.saturating_add(at);
        let changes = changes
            .into_iter()
            .map(|own| Change { at: whole(own.at.start)..whole(own.at.end), with: own.with });
        let changes: Vec<Change> = changes.collect();
        self.settled = whole(open);
        self.changes.extend(changes);
    }

    /// The changes in a piece. What stands for a place over several pieces stands in the first.
    fn changes_in(&self, piece: &Range<usize>) -> Vec<Change> {
        let touches = |own: &&Change| own.at.start < piece.end && own.at.end > piece.start;
        let cut = |own: &Change| {
            let begins = own.at.start >= piece.start;
            let at = own.at.start.max(piece.start).saturating_sub(piece.start)
                ..own.at.end.min(piece.end).saturating_sub(piece.start);
            Change { at, with: if begins { own.with.clone() } else { String::new() } }
        };
        self.changes.iter().filter(touches).map(cut).collect()
    }

    fn forget(&mut self, before: usize) {
        while self.changes.front().is_some_and(|own| own.at.end <= before) {
            self.changes.pop_front();
        }
    }

    fn trim(&mut self) {
        let done = self.settled.saturating_sub(self.base).saturating_sub(CONTEXT);
        if done > TRIM {
            let cut = floor(&self.text, done);
            self.text.drain(..cut);
            self.base = self.base.saturating_add(cut);
        }
    }
}

/// Places that touch are settled together: none of them before the last is.
fn before_clusters(hits: &[spans::Hit], open: usize, last: bool) -> usize {
    if last {
        return open;
    }
    let mut cluster = 0..0;
    for hit in hits {
        if hit.at.start < cluster.end {
            cluster.end = cluster.end.max(hit.at.end);
        } else {
            cluster = hit.at.clone();
        }
        if cluster.start < open && cluster.end > open {
            return cluster.start;
        }
    }
    open
}

/// Whether an event says that texts or calls are complete. Inside of strings the quotes would be escaped.
fn ends_text(data: &[u8]) -> bool {
    has(data, b"\"content_block_stop\"") || has(data, b".done\"") || has(data, b"\"response.completed\"") || {
        let reason = |name: &[u8]| {
            memchr::memmem::find(data, name).and_then(|at| data.get(at.saturating_add(name.len())..))
        };
        let told = |rest: &[u8]| {
            rest.trim_ascii_start().starts_with(b":")
                && !rest.get(1..).unwrap_or_default().trim_ascii_start().starts_with(b"null")
        };
        reason(b"\"finish_reason\"").is_some_and(told) || reason(b"\"finishReason\"").is_some_and(told)
    }
}

fn has(data: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(data, part).is_some()
}

/// The event with its data in one line: line breaks in JSON are white space.
fn one_line(raw: Vec<u8>) -> Vec<u8> {
    let event = Event { raw: &raw };
    let layout = event.layout();
    if layout.data_lines < 2 {
        return raw;
    }
    let mut scratch = Vec::new();
    let data = event.data(&layout, &mut scratch).to_vec();
    let mut out: Vec<u8> = Vec::with_capacity(raw.len());
    for line in raw.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()) {
        if !line.starts_with(b"data") {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
    }
    out.extend_from_slice(b"data: ");
    out.extend(data.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
    out.extend_from_slice(b"\n\n");
    out
}
