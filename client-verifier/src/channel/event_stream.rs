//! Whether an event stream has said that it is complete. Looks at line beginnings only and keeps at most one short
//! line prefix between pieces, however the stream is cut.

/// The event that ends a stream, by the API that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// `event: message_stop` (Anthropic Messages).
    MessageStop,
    /// `data: [DONE]` (OpenAI chat and those like it).
    Done,
    /// None: the end of the body in HTTP's framing, which a gateway sends for a whole answer only (Gemini).
    Framing,
    /// `event: response.completed`, `.failed` or `.incomplete` (OpenAI Responses).
    Response,
}

impl Terminal {
    /// The API that answers at `path`.
    pub fn of_path(path: &str) -> Self {
        if path.ends_with(":streamGenerateContent") {
            return Self::Framing;
        }
        match path.trim_end_matches('/') {
            "/v1/messages" => Self::MessageStop,
            "/v1/responses" => Self::Response,
            _ => Self::Done,
        }
    }

    fn lines(self) -> &'static [&'static [u8]] {
        match self {
            Self::MessageStop => &[b"event: message_stop", b"event:message_stop"],
            Self::Done => &[b"data: [DONE]", b"data:[DONE]"],
            Self::Framing => &[],
            Self::Response => &[
                b"event: response.completed",
                b"event: response.failed",
                b"event: response.incomplete",
                b"event:response.completed",
                b"event:response.failed",
                b"event:response.incomplete",
            ],
        }
    }
}

/// Reads a stream piece by piece.
#[derive(Debug)]
pub struct EventStream {
    terminal: Terminal,
    /// The line so far, as long as it may still be a terminal line.
    line: Vec<u8>,
    /// The rest of this line cannot matter.
    skip: bool,
    complete: bool,
}

impl EventStream {
    /// Before the first byte.
    pub fn new(terminal: Terminal) -> Self {
        Self { terminal, line: Vec::with_capacity(LONGEST_LINE), skip: false, complete: false }
    }

    /// Reads the next piece, cut anywhere.
    pub fn feed(&mut self, mut piece: &[u8]) {
        while !self.complete && !piece.is_empty() {
            let mut parts = piece.splitn(2, |byte| matches!(byte, b'\n' | b'\r'));
            self.feed_line_part(parts.next().unwrap_or_default());
            let rest = parts.next();
            if rest.is_some() {
                self.complete = !self.skip && self.terminal.lines().contains(&self.line.as_slice());
                self.line.clear();
                self.skip = false;
            }
            piece = rest.unwrap_or_default();
        }
    }

    /// Whether the terminal event has come.
    pub fn is_complete(&self) -> bool {
        self.complete || self.terminal == Terminal::Framing
    }

    fn feed_line_part(&mut self, part: &[u8]) {
        if self.skip {
            return;
        }
        if self.line.len() + part.len() > LONGEST_LINE {
            self.skip = true;
        } else {
            self.line.extend_from_slice(part);
        }
    }
}

/// Longer lines are not terminal.
const LONGEST_LINE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(terminal: Terminal, text: &str) -> bool {
        let mut whole = EventStream::new(terminal);
        whole.feed(text.as_bytes());
        for cut in 0..=text.len() {
            let mut stream = EventStream::new(terminal);
            stream.feed(&text.as_bytes()[..cut]);
            stream.feed(&text.as_bytes()[cut..]);
            assert_eq!(stream.is_complete(), whole.is_complete(), "cut at {cut}");
        }
        let mut bytes = EventStream::new(terminal);
        text.bytes().for_each(|byte| bytes.feed(&[byte]));
        assert_eq!(bytes.is_complete(), whole.is_complete());
        whole.is_complete()
    }

    #[test]
    fn a_stream_is_complete_after_its_terminal_event_only() {
        assert!(complete(Terminal::Done, "data: {\"x\":1}\n\ndata: [DONE]\n\n"));
        assert!(complete(Terminal::Done, "data: {}\r\n\r\ndata: [DONE]\r\n\r\n"));
        assert!(complete(Terminal::Done, "data:[DONE]\n"));
        assert!(!complete(Terminal::Done, "data: {\"x\":1}\n\n"));
        assert!(!complete(Terminal::Done, "data: [DONE"));
        assert!(!complete(Terminal::Done, "data: [DONE]"));
        assert!(!complete(Terminal::Done, "data: {\"text\":\"data: [DONE]\"}\n\n"));
        assert!(!complete(Terminal::Done, ""));
        assert!(complete(Terminal::MessageStop, "event: message_stop\ndata: {}\n\n"));
        assert!(!complete(Terminal::MessageStop, "data: [DONE]\n\n"));
        assert!(complete(Terminal::of_path("/v1beta/models/m:streamGenerateContent"), "data: {}\n\n"));
        assert!(complete(Terminal::Response, "event: response.completed\ndata: {}\n\n"));
    }

    #[test]
    fn the_path_names_the_api() {
        assert_eq!(Terminal::of_path("/v1/messages"), Terminal::MessageStop);
        assert_eq!(Terminal::of_path("/v1/responses"), Terminal::Response);
        assert_eq!(Terminal::of_path("/v1/chat/completions"), Terminal::Done);
    }
}
