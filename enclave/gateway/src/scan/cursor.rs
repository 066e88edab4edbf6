//! Walks JSON once, without recursion: open containers are bits of one integer.

use std::ops::Range;

use super::{Field, Kind, MAX_DEPTH, Problem, ScanError, text};

/// A position in a document that is known to be UTF-8.
pub(super) struct Cursor<'d> {
    bytes: &'d [u8],
    at: usize,
    surrogates: bool,
}

impl<'d> Cursor<'d> {
    /// At the start; `surrogates` says whether lone ones are accepted.
    pub(super) const fn new(bytes: &'d [u8], surrogates: bool) -> Self {
        Self { bytes, at: 0, surrogates }
    }

    pub(super) const fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The document is one object; `visit` sees each of its fields.
    pub(super) fn whole_object(
        mut self,
        mut visit: impl FnMut(&Self, Field) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        self.open(b'{')?;
        if !self.take_if(b'}') {
            loop {
                let field = self.field()?;
                visit(&self, field)?;
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
                let kind = self.value(1)?;
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
        let kind = self.value(1)?;
        Ok(Field { name, value: start..self.at, kind, escaped })
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
    fn value(&mut self, outer: u32) -> Result<Kind, ScanError> {
        let mut nest = Nest { objects: 0, depth: 0, limit: MAX_DEPTH.saturating_sub(outer) };
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
                return Ok(outermost);
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
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            self.at = self.at.saturating_add(text::plain_run(rest));
            match self.peek() {
                Some(b'"') => {
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
}

impl Nest {
    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    const fn close(&self) -> u8 {
        if self.in_object() { b'}' } else { b']' }
    }

    const fn pop(&mut self) {
        self.objects = self.objects.wrapping_shr(1);
        self.depth = self.depth.saturating_sub(1);
    }
}
