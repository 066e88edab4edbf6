//! Walks JSON once, without recursion: open containers are bits of one integer.

use std::ops::Range;

use super::signs::Watch;
use super::{Elements, Field, Kind, MAX_DEPTH, Problem, ScanError, text};

/// A position in a document that is known to be UTF-8.
pub(super) struct Cursor<'d, W> {
    bytes: &'d [u8],
    at: usize,
    surrogates: bool,
    /// No control character stands in the document.
    tidy: bool,
    watch: W,
}

impl<'d, W: Watch> Cursor<'d, W> {
    /// At the start; `surrogates` says whether lone ones are accepted, `watch` hears of strings.
    pub(super) const fn new(bytes: &'d [u8], surrogates: bool, watch: W) -> Self {
        Self { bytes, at: 0, surrogates, tidy: false, watch }
    }

    /// Says whether the document is known to have no control character.
    pub(super) fn tidy(self, tidy: bool) -> Self {
        Self { tidy, ..self }
    }

    /// The document is one object; `visit` sees each of its fields.
    pub(super) fn whole_object(
        mut self,
        mut visit: impl FnMut(Field) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        self.open(b'{')?;
        if !self.take_if(b'}') {
            loop {
                let field = self.field()?;
                visit(field)?;
                if self.end_of_element(b'}')? {
                    break;
                }
            }
        }
        self.end()
    }

    /// The document is one array; `visit` sees the span of each element.
    pub(super) fn whole_array(mut self, mut visit: impl FnMut(Range<usize>, Kind)) -> Result<(), ScanError> {
        self.open(b'[')?;
        if !self.take_if(b']') {
            loop {
                self.white_space();
                let start = self.at;
                let (kind, _) = self.value(1)?;
                visit(start..self.at, kind);
                if self.end_of_element(b']')? {
                    break;
                }
            }
        }
        self.end()
    }

    fn open(&mut self, bracket: u8) -> Result<(), ScanError> {
        self.white_space();
        match self.peek() {
            Some(byte) if byte == bracket => self.step(),
            Some(_) => {
                let other = self.at;
                self.value(0)?;
                self.end()?;
                return Err(ScanError { problem: Problem::NotExpectedKind, offset: other });
            }
            None => return self.fail(Problem::End),
        }
        self.white_space();
        Ok(())
    }

    fn end(&mut self) -> Result<(), ScanError> {
        self.white_space();
        if self.at == self.bytes.len() { Ok(()) } else { self.fail(Problem::Trailing) }
    }

    fn field(&mut self) -> Result<Field, ScanError> {
        self.white_space();
        let name_start = self.at;
        let escaped = self.name()?;
        let name = name_start..self.at;
        self.colon()?;
        self.white_space();
        let start = self.at;
        let (kind, elements) = self.value(1)?;
        Ok(Field { name, value: start..self.at, kind, elements, escaped })
    }

    /// After an element: true at the closing bracket, false after a comma.
    fn end_of_element(&mut self, close: u8) -> Result<bool, ScanError> {
        self.white_space();
        match self.peek() {
            Some(b',') => {
                self.step();
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.step();
                Ok(true)
            }
            Some(_) => self.fail(Problem::Syntax),
            None => self.fail(Problem::End),
        }
    }

    /// Passes over one value of any kind, already inside `outer` containers.
    fn value(&mut self, outer: u32) -> Result<(Kind, Elements), ScanError> {
        let limit = MAX_DEPTH.saturating_sub(outer);
        let mut nest = Nest { objects: 0, depth: 0, limit, elements: Elements::default(), began: 0 };
        let mut first = None;
        loop {
            self.white_space();
            let kind = self.scalar_or_open(&mut nest)?;
            let outermost = *first.get_or_insert(kind);
            if matches!(kind, Kind::Array | Kind::Object) && !self.take_close(&mut nest) {
                self.enter(&nest)?;
                continue;
            }
            if !self.leave(&mut nest)? {
                let elements = if outermost == Kind::Array { nest.elements } else { Elements::default() };
                return Ok((outermost, elements));
            }
        }
    }

    fn scalar_or_open(&mut self, nest: &mut Nest) -> Result<Kind, ScanError> {
        match self.peek() {
            Some(b'"') => {
                self.step();
                self.string().map(|_| Kind::String)
            }
            Some(b'{') => self.push(nest, true).map(|()| Kind::Object),
            Some(b'[') => self.push(nest, false).map(|()| Kind::Array),
            Some(b't') => self.word(b"true").map(|()| Kind::True),
            Some(b'f') => self.word(b"false").map(|()| Kind::False),
            Some(b'n') => self.word(b"null").map(|()| Kind::Null),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Kind::Number),
            Some(_) => self.fail(Problem::Syntax),
            None => self.fail(Problem::End),
        }
    }

    fn push(&mut self, nest: &mut Nest, object: bool) -> Result<(), ScanError> {
        if nest.depth >= nest.limit {
            return self.fail(Problem::TooDeep);
        }
        nest.objects = nest.objects.wrapping_shl(1) | u128::from(object);
        nest.depth = nest.depth.saturating_add(1);
        self.step();
        self.white_space();
        if nest.depth == 1 {
            nest.began = self.at;
        }
        Ok(())
    }

    /// Right after an opening bracket: closes it again if the container is empty.
    fn take_close(&mut self, nest: &mut Nest) -> bool {
        let empty = self.take_if(nest.close());
        if empty {
            nest.pop();
        }
        empty
    }

    /// Before an element: an object wants a name first.
    fn enter(&mut self, nest: &Nest) -> Result<(), ScanError> {
        if nest.in_object() {
            self.white_space();
            self.name()?;
            self.colon()?;
        }
        Ok(())
    }

    /// After a complete value: closes what ends here; true when another element follows, false at the very end.
    fn leave(&mut self, nest: &mut Nest) -> Result<bool, ScanError> {
        while nest.depth > 0 {
            if nest.depth == 1 {
                nest.count(self.at);
            }
            if !self.end_of_element(nest.close())? {
                self.enter(nest)?;
                return Ok(true);
            }
            nest.pop();
        }
        Ok(false)
    }

    fn name(&mut self) -> Result<bool, ScanError> {
        match self.peek() {
            Some(b'"') => {
                self.step();
                self.string()
            }
            Some(_) => self.fail(Problem::Syntax),
            None => self.fail(Problem::End),
        }
    }

    fn colon(&mut self) -> Result<(), ScanError> {
        self.white_space();
        match self.peek() {
            Some(b':') => {
                self.step();
                Ok(())
            }
            Some(_) => self.fail(Problem::Syntax),
            None => self.fail(Problem::End),
        }
    }

    /// After the opening quote, to after the closing one; says whether there was a backslash.
    fn string(&mut self) -> Result<bool, ScanError> {
        let (start, mut escaped) = (self.at, false);
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            self.at = self.at.saturating_add(text::plain_run(rest, self.tidy));
            match self.peek() {
                Some(b'"') => {
                    let place = start..self.at;
                    let content = self.bytes.get(place.clone()).unwrap_or_default();
                    self.watch.string(content, place, escaped);
                    self.step();
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    let rest = self.bytes.get(self.at..).unwrap_or_default();
                    match text::escape(rest) {
                        Ok((_, length)) => self.at = self.at.saturating_add(length),
                        Err(_) if self.surrogates && text::is_hex_escape(rest) => {
                            self.at = self.at.saturating_add(6);
                        }
                        Err(problem) => return self.fail(problem),
                    }
                }
                Some(_) => return self.fail(Problem::ControlCharacter),
                None => return self.fail(Problem::End),
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), ScanError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(word) {
            self.at = self.at.saturating_add(word.len());
            return Ok(());
        }
        let same = rest.iter().zip(word).take_while(|(left, right)| left == right).count();
        self.at = self.at.saturating_add(same);
        self.fail(if self.at == self.bytes.len() { Problem::End } else { Problem::Syntax })
    }

    /// RFC 8259 section 6: `-`? (0 | 1-9 digits) (. digits)? ([eE] [+-]? digits)?
    fn number(&mut self) -> Result<(), ScanError> {
        self.take_if(b'-');
        if !self.take_if(b'0') {
            self.digits()?;
        }
        if self.take_if(b'.') {
            self.digits()?;
        }
        if self.take_if(b'e') || self.take_if(b'E') {
            let _signed = self.take_if(b'+') || self.take_if(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at = self.at.saturating_add(count);
        match (count, self.peek()) {
            (0, None) => self.fail(Problem::End),
            (0, Some(_)) => self.fail(Problem::Syntax),
            _ => Ok(()),
        }
    }

    fn white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.step();
        }
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.step();
        }
        there
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    const fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    const fn fail<T>(&self, problem: Problem) -> Result<T, ScanError> {
        Err(ScanError { problem, offset: self.at })
    }
}

/// Which containers are open: one bit each, set for an object.
struct Nest {
    objects: u128,
    depth: u32,
    limit: u32,
    /// Of the outermost container.
    elements: Elements,
    /// Where the current one of them began.
    began: usize,
}

impl Nest {
    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    const fn close(&self) -> u8 {
        if self.in_object() { b'}' } else { b']' }
    }

    /// An element of the outermost container ends here.
    fn count(&mut self, at: usize) {
        self.elements.count = self.elements.count.saturating_add(1);
        let length = u32::try_from(at.saturating_sub(self.began)).unwrap_or(u32::MAX);
        self.elements.longest = self.elements.longest.max(length);
        self.began = at.saturating_add(1);
    }

    const fn pop(&mut self) {
        self.objects = self.objects.wrapping_shr(1);
        self.depth = self.depth.saturating_sub(1);
    }
}
