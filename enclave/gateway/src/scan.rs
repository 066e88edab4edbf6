//! Finds the top-level fields of a JSON object in the original bytes, and proves that the whole document is JSON.
//!
//! Trusts nothing. Builds no tree: the only allocation is the field table, which callers reuse. What it refuses beyond
//! RFC 8259: invalid UTF-8, a byte order mark, lone surrogates, nesting deeper than [`MAX_DEPTH`], duplicate top-level
//! names (parsers disagree about which one wins), and top-level names longer than [`MAX_NAME`] bytes.

use std::ops::Range;

mod text;

mod signs;

mod cursor;

pub use signs::{LONG_STRING, Sign, Signs};
pub use text::{unescape, unescape_into, unescape_lossy};

use cursor::Cursor;

/// Deepest nesting of arrays and objects accepted, counting the outermost as one.
pub const MAX_DEPTH: u32 = 128;
/// Longest top-level field name accepted, in bytes as written.
pub const MAX_NAME: usize = 256;
/// Most top-level fields accepted in one object.
pub const MAX_FIELDS: usize = 256;

/// What a value is, from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `[...]`
    Array,
    /// `false`
    False,
    /// `null`
    Null,
    /// A number in JSON's grammar, of any size.
    Number,
    /// `{...}`
    Object,
    /// `"..."`
    String,
    /// `true`
    True,
}

/// Why a document was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A raw control character inside a string.
    ControlCharacter,
    /// The same name twice at the top level.
    DuplicateName,
    /// The document ends inside a value.
    End,
    /// A backslash sequence that JSON does not have, or a lone surrogate.
    Escape,
    /// A top-level name longer than [`MAX_NAME`].
    LongName,
    /// More than [`MAX_FIELDS`] top-level names.
    ManyFields,
    /// The outermost value is not the expected kind.
    NotExpectedKind,
    /// A byte that cannot stand here.
    Syntax,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// Something after the outermost value.
    Trailing,
    /// Not UTF-8.
    Utf8,
}

impl Problem {
    /// A fixed text that contains nothing of the document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ControlCharacter => "raw control character in a string",
            Self::DuplicateName => "duplicate field name",
            Self::End => "unexpected end",
            Self::Escape => "invalid escape sequence in a string",
            Self::LongName => "field name too long",
            Self::ManyFields => "too many fields",
            Self::NotExpectedKind => "not an object",
            Self::Syntax => "unexpected character",
            Self::TooDeep => "nested too deeply",
            Self::Trailing => "unexpected data after the end",
            Self::Utf8 => "invalid UTF-8",
        }
    }
}

/// A refusal and where it happened; carries no byte of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanError {
    /// Why.
    pub problem: Problem,
    /// Byte offset into the document, at most its length.
    pub offset: usize,
}

impl ScanError {
    /// Line and column (both from 1, the column in bytes) of the offset, for people.
    pub fn position(&self, document: &[u8]) -> (usize, usize) {
        let before = document.get(..self.offset).unwrap_or(document);
        let line = memchr::memchr_iter(b'\n', before).count().saturating_add(1);
        let start = memchr::memrchr(b'\n', before).map_or(0, |at| at.saturating_add(1));
        (line, before.len().saturating_sub(start).saturating_add(1))
    }
}

/// One top-level field: where its name and its value stand in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name with its quotes.
    pub name: Range<usize>,
    /// The value, without surrounding white space.
    pub value: Range<usize>,
    /// What the value is.
    pub kind: Kind,
    /// What the value holds if it is an array; nothing otherwise.
    pub elements: Elements,
    /// Whether the name contains a backslash.
    escaped: bool,
}

/// The elements of an array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    /// How many.
    pub count: u32,
    /// Bytes of the longest.
    pub longest: u32,
}

/// The top-level fields of one object, in order. Reuse one table for many documents: it keeps its memory.
#[derive(Debug, Default)]
pub struct Fields {
    entries: Vec<Field>,
    surrogates: bool,
    signs: Option<Signs>,
}

impl Fields {
    /// An empty table with room for a usual request.
    pub fn new() -> Self {
        Self { entries: Vec::with_capacity(16), surrogates: false, signs: None }
    }

    /// A table for requests: takes note of [`Signs`].
    pub fn for_requests() -> Self {
        Self { signs: Some(Signs::default()), ..Self::new() }
    }

    /// A table for upstream answers, which are forwarded and not decoded: accepts lone surrogates in strings, since
    /// some servers cut text between the halves of a pair.
    pub fn for_answers() -> Self {
        Self { surrogates: true, ..Self::new() }
    }

    /// Scans a whole document that must be one object, replacing what the table held.
    pub fn scan(&mut self, document: &[u8]) -> Result<(), ScanError> {
        let tidy = text::check_utf8(document)?;
        self.scan_checked(document, tidy)
    }

    /// The same for bytes already known to be UTF-8 (part of a document scanned before).
    pub fn scan_utf8(&mut self, document: &[u8]) -> Result<(), ScanError> {
        self.scan_checked(document, false)
    }

    fn scan_checked(&mut self, document: &[u8], tidy: bool) -> Result<(), ScanError> {
        let Self { entries, surrogates, signs } = self;
        entries.clear();
        let push = |field| push(entries, document, field);
        match signs {
            None => Cursor::new(document, *surrogates, ()).tidy(tidy).whole_object(push),
            Some(signs) => {
                signs.clear();
                Cursor::new(document, *surrogates, signs).tidy(tidy).whole_object(push)
            }
        }
    }

    /// What was noted of the document; nothing unless the table is one [for requests](Self::for_requests).
    pub const fn signs(&self) -> Option<&Signs> {
        self.signs.as_ref()
    }

    /// The field of that name.
    pub fn find(&self, document: &[u8], name: &str) -> Option<&Field> {
        self.entries.iter().find(|field| field.is(document, name))
    }

    /// All fields, in the document's order.
    pub fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.entries.iter()
    }

    /// What to delete so that the object loses `field` and stays valid: the member and one comma, nothing else.
    pub fn member_span(&self, field: &Field) -> Range<usize> {
        let place = self.entries.iter().position(|entry| entry.name == field.name);
        let next = place.and_then(|at| self.entries.get(at.saturating_add(1)));
        if let Some(next) = next {
            return field.name.start..next.name.start;
        }
        let previous = place.and_then(|at| at.checked_sub(1)).and_then(|at| self.entries.get(at));
        previous.map_or(field.name.start..field.value.end, |entry| entry.value.end..field.value.end)
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = &'a Field;
    type IntoIter = std::slice::Iter<'a, Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Field {
    /// Whether the (unescaped) name is `name`.
    pub fn is(&self, document: &[u8], name: &str) -> bool {
        let written = inner(document, &self.name);
        if self.escaped {
            unescape(written).is_some_and(|own| own == name)
        } else {
            written == name.as_bytes()
        }
    }

    /// Which of some names the (unescaped) name is.
    pub fn known<'n>(&self, document: &[u8], names: &[&'n str]) -> Option<&'n str> {
        let written = inner(document, &self.name);
        if self.escaped {
            let own = unescape(written)?;
            return names.iter().copied().find(|name| own == *name);
        }
        names.iter().copied().find(|name| written == name.as_bytes())
    }

    /// The value's bytes.
    pub fn value<'d>(&self, document: &'d [u8]) -> &'d [u8] {
        document.get(self.value.clone()).unwrap_or_default()
    }

    /// A string value without its quotes, escapes still in place; nothing if it is not a string.
    pub fn raw_string<'d>(&self, document: &'d [u8]) -> Option<&'d [u8]> {
        (self.kind == Kind::String).then(|| inner(document, &self.value))
    }

    /// A number that is a plain non-negative integer.
    pub fn unsigned(&self, document: &[u8]) -> Option<u64> {
        if self.kind != Kind::Number {
            return None;
        }
        self.value(document).iter().try_fold(0_u64, |sum, byte| {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
            sum.checked_mul(10)?.checked_add(u64::from(digit))
        })
    }

    fn same_name(&self, document: &[u8], other: &Self) -> bool {
        let (mine, theirs) = (inner(document, &self.name), inner(document, &other.name));
        if self.escaped || other.escaped { unescape(mine) == unescape(theirs) } else { mine == theirs }
    }
}

fn push(entries: &mut Vec<Field>, document: &[u8], field: Field) -> Result<(), ScanError> {
    let fail = |problem| Err(ScanError { problem, offset: field.name.start.min(document.len()) });
    if field.name.len() > MAX_NAME.saturating_add(2) {
        return fail(Problem::LongName);
    }
    if entries.len() >= MAX_FIELDS {
        return fail(Problem::ManyFields);
    }
    if entries.iter().any(|entry| entry.same_name(document, &field)) {
        return fail(Problem::DuplicateName);
    }
    entries.push(field);
    Ok(())
}

/// Visits the elements of an array that stands at `array` in a document scanned before.
pub fn elements(array: &[u8], mut visit: impl FnMut(&[u8], Kind)) -> Result<(), ScanError> {
    // Surrogates were judged when the whole document was scanned.
    Cursor::new(array, true, ()).whole_array(|value, kind| visit(array.get(value).unwrap_or_default(), kind))
}

/// Visits every string of a valid document, names and values at every depth, without quotes, escapes in place.
pub fn strings(document: &[u8], mut visit: impl FnMut(&[u8])) {
    let mut rest = document;
    while let Some(open) = memchr::memchr(b'"', rest) {
        let body = rest.get(open.saturating_add(1)..).unwrap_or_default();
        let end = text::string_end(body);
        visit(body.get(..end).unwrap_or_default());
        rest = body.get(end.saturating_add(1)..).unwrap_or_default();
    }
}

/// The span without its first and last byte: a string without its quotes.
fn inner<'d>(document: &'d [u8], span: &Range<usize>) -> &'d [u8] {
    document.get(span.start.saturating_add(1)..span.end.saturating_sub(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
