//! Splits a byte stream into server-sent events (WHATWG HTML, section 9.2.6), whatever the pieces it arrives in.
//!
//! Line ends may be LF, CRLF or CR; an event may be cut at any byte. Events come out as their original bytes, so that
//! forwarding them changes nothing. A pending event is bounded by [`MAX_EVENT`].

use std::ops::Range;

/// Longest event accepted, in bytes with its line ends.
pub const MAX_EVENT: usize = 4 * 1024 * 1024;

/// Collects bytes and gives out complete events. Keeps its buffer, so a steady stream allocates nothing.
#[derive(Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Where the pending event begins.
    start: usize,
    /// Where the pending event's current line begins.
    line: usize,
    /// How far the current line was searched for its end.
    searched: usize,
    /// Whether the line before ended in a bare CR.
    bare_cr: bool,
    /// Whether the pending event has a line that is not empty.
    any_line: bool,
}

/// One complete event, or a block of comments.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// Original bytes, with the empty line that ends it (absent only at the end of the stream).
    pub raw: &'a [u8],
}

/// An event grew over [`MAX_EVENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// What the lines of an event amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Where the data stands in `raw`, when it is one line.
    pub data: Option<Range<usize>>,
    /// How many `data` lines there are.
    pub data_lines: usize,
    /// Whether a comment line is among them.
    pub comment: bool,
    /// Whether the event is named `error`.
    pub named_error: bool,
    /// Whether the empty line that ends the event is there.
    pub terminated: bool,
}

impl Splitter {
    /// An empty splitter.
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), start: 0, line: 0, searched: 0, bare_cr: false, any_line: false }
    }

    /// The buffer to append received bytes to; earlier bytes must stay as they are.
    pub const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The next complete event, if there is one.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, TooLong> {
        match self.next_span()? {
            Some(span) => Ok(Some(Event { raw: self.buffer.get(span).unwrap_or_default() })),
            None => Ok(None),
        }
    }

    /// What is left when the stream has ended: an event that lacks its empty line, if any.
    pub fn last_event(&mut self) -> Option<Event<'_>> {
        let span = self.start..self.buffer.len();
        (self.start, self.line, self.searched) = (span.end, span.end, span.end);
        let raw = self.buffer.get(span).unwrap_or_default();
        raw.iter().any(|byte| !matches!(byte, b'\r' | b'\n')).then_some(Event { raw })
    }

    fn next_span(&mut self) -> Result<Option<Range<usize>>, TooLong> {
        while let Some((content_end, next)) = self.line_end() {
            let empty = content_end == self.line;
            let bare_cr =
                next.saturating_sub(content_end) == 1 && self.buffer.get(content_end) == Some(&b'\r');
            (self.line, self.searched) = (next, next);
            self.bare_cr = bare_cr;
            if !empty {
                self.any_line = true;
            } else if self.any_line {
                let span = self.start..next;
                self.start = next;
                self.any_line = false;
                return if span.len() > MAX_EVENT { Err(TooLong) } else { Ok(Some(span)) };
            }
        }
        if self.buffer.len().saturating_sub(self.start) > MAX_EVENT {
            return Err(TooLong);
        }
        self.compact();
        Ok(None)
    }

    /// End of the current line: where its content ends and where the next line begins. Nothing if that needs more
    /// bytes. The answer never depends on where the input was cut: a CR that may be half of a CRLF waits for its
    /// neighbour, except that an empty line after a bare-CR line ends at its CR.
    fn line_end(&mut self) -> Option<(usize, usize)> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = memchr::memchr2(b'\n', b'\r', rest) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched.saturating_add(at);
        let after = end.saturating_add(1);
        self.searched = end;
        if self.buffer.get(end) == Some(&b'\n') || (self.bare_cr && end == self.line) {
            return Some((end, after));
        }
        match self.buffer.get(after) {
            Some(b'\n') => Some((end, after.saturating_add(1))),
            Some(_) => Some((end, after)),
            None => None,
        }
    }

    /// Drops the bytes of events already given out.
    fn compact(&mut self) {
        if self.start == 0 {
            return;
        }
        self.buffer.drain(..self.start);
        self.line = self.line.saturating_sub(self.start);
        self.searched = self.searched.saturating_sub(self.start);
        self.start = 0;
    }
}

impl<'a> Event<'a> {
    /// Looks at the event's lines.
    pub fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        let mut any_line = false;
        for line in self.lines() {
            let text = self.raw.get(line.clone()).unwrap_or_default();
            if text.is_empty() {
                layout.terminated |= any_line;
                continue;
            }
            any_line = true;
            if text.first() == Some(&b':') {
                layout.comment = true;
            } else if let Some(value) = field_value(text, b"data") {
                layout.data_lines = layout.data_lines.saturating_add(1);
                layout.data =
                    (layout.data_lines == 1).then(|| line.end.saturating_sub(value.len())..line.end);
            } else if let Some(value) = field_value(text, b"event") {
                layout.named_error = value == b"error";
            }
        }
        layout
    }

    /// The data: the one line's bytes in place, or several lines joined in `scratch`.
    pub fn data<'s>(&self, layout: &Layout, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        if let Some(span) = &layout.data {
            return self.raw.get(span.clone()).unwrap_or_default();
        }
        scratch.clear();
        for (place, value) in self.data_values().enumerate() {
            if place > 0 {
                scratch.push(b'\n');
            }
            scratch.extend_from_slice(value);
        }
        scratch
    }

    /// Appends the event without its comment lines, and with an empty line at its end in any case.
    pub fn append_without_comments(&self, out: &mut Vec<u8>) {
        for line in self.lines() {
            let text = self.raw.get(line).unwrap_or_default();
            if !text.is_empty() && text.first() != Some(&b':') {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
        }
        out.push(b'\n');
    }

    fn data_values(&self) -> impl Iterator<Item = &'a [u8]> {
        let raw = self.raw;
        self.lines().filter_map(move |line| field_value(raw.get(line)?, b"data"))
    }

    /// Spans of the lines' contents.
    fn lines(&self) -> Lines<'a> {
        Lines { raw: self.raw, at: 0 }
    }
}

/// The value of a `name: value` line of that name, without the one space after the colon.
fn field_value<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

struct Lines<'a> {
    raw: &'a [u8],
    at: usize,
}

impl Iterator for Lines<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let rest = self.raw.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let Some(length) = memchr::memchr2(b'\n', b'\r', rest) else {
            self.at = self.raw.len();
            return Some(start..self.at);
        };
        let end = start.saturating_add(length);
        let crlf = rest.get(length..).is_some_and(|tail| tail.starts_with(b"\r\n"));
        self.at = end.saturating_add(if crlf { 2 } else { 1 });
        Some(start..end)
    }
}

#[cfg(test)]
mod tests;
