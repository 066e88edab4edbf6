//! Strings inside JSON: where they end, and what they say.

use super::{Problem, ScanError};

/// Refuses bytes that are not UTF-8, and a byte order mark. True if no control character stands anywhere, white space
/// between values included: how programs write JSON, and what makes strings quicker to pass.
pub(super) fn check_utf8(document: &[u8]) -> Result<bool, ScanError> {
    if document.starts_with(b"\xef\xbb\xbf") {
        return Err(ScanError { problem: Problem::Syntax, offset: 0 });
    }
    // Without branches, so that it becomes vector instructions.
    let look = |(high, control), byte: &u8| (high | *byte, control | u8::from(*byte < 0x20));
    let (high, control) = document.iter().fold((0, 0), look);
    if high >= 0x80
        && let Err(error) = std::str::from_utf8(document)
    {
        return Err(ScanError { problem: Problem::Utf8, offset: error.valid_up_to() });
    }
    Ok(control == 0)
}

/// How many bytes from the start are neither a quote, a backslash nor a control character; `tidy` says that there are
/// none of the last.
///
/// The first words of eight bytes are decided with integer arithmetic, since most strings and most runs between escapes
/// are short. What comes after is looked for with vector instructions: by the search library in a tidy document, which
/// passes lines of a hundred characters twice as fast, and otherwise in blocks of 64 bytes (`benches/scan.rs`).
pub(super) fn plain_run(bytes: &[u8], tidy: bool) -> usize {
    let words = if tidy { TIDY_WORDS } else { SHORT_WORDS };
    let (head, rest) = bytes.split_at_checked(words.wrapping_mul(8)).unwrap_or((bytes, &[]));
    let found = first_special(head);
    if found < head.len() || rest.is_empty() {
        return found;
    }
    if tidy {
        return head.len().saturating_add(memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len()));
    }
    let (blocks, _) = rest.as_chunks::<64>();
    let clean = blocks.iter().take_while(|block| !any_special(block)).count().saturating_mul(64);
    let tail = rest.get(clean..).unwrap_or_default();
    head.len().saturating_add(clean).saturating_add(first_special(tail))
}

/// The place of the first special byte, or the length.
fn first_special(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut done: usize = 0;
    for word in words {
        let hits = special_bits(u64::from_le_bytes(*word));
        if hits != 0 {
            return done.saturating_add(first_byte(hits));
        }
        done = done.saturating_add(8);
    }
    let special = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
    done.saturating_add(rest.iter().position(special).unwrap_or(rest.len()))
}

/// Without branches, so that it becomes vector instructions.
fn any_special(block: &[u8; 64]) -> bool {
    let one = |byte: &u8| u8::from(*byte == b'"') | u8::from(*byte == b'\\') | u8::from(*byte < 0x20);
    block.iter().fold(0, |seen, byte| seen | one(byte)) != 0
}

/// In a valid document: the length of a string's content, up to its closing quote.
pub(super) fn string_end(body: &[u8]) -> usize {
    let mut at: usize = 0;
    while let Some(next) = memchr::memchr2(b'"', b'\\', body.get(at..).unwrap_or_default()) {
        at = at.saturating_add(next);
        if body.get(at) == Some(&b'"') {
            return at;
        }
        at = at.saturating_add(2);
    }
    body.len()
}

/// Decodes one backslash sequence at the start of `bytes`: the character and the bytes it took.
pub(super) fn escape(bytes: &[u8]) -> Result<(char, usize), Problem> {
    let plain = match bytes.get(1) {
        None => return Err(Problem::End),
        Some(b'u') => return unicode_escape(bytes),
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(_) => return Err(Problem::Escape),
    };
    Ok((plain, 2))
}

/// A string's content (no quotes) with its escapes resolved; nothing if it is not valid.
pub fn unescape(raw: &[u8]) -> Option<String> {
    let mut text = String::new();
    unescape_into(raw, &mut text).then_some(text)
}

/// The same, appended to `text` so that callers can reuse memory. False if the string is not valid.
pub fn unescape_into(raw: &[u8], text: &mut String) -> bool {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, after) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        let (Ok(before), Ok((decoded, length))) = (std::str::from_utf8(before), escape(after)) else {
            return false;
        };
        text.push_str(before);
        text.push(decoded);
        rest = after.get(length..).unwrap_or_default();
    }
    std::str::from_utf8(rest).map(|last| text.push_str(last)).is_ok()
}

/// The same for texts of which some were cut between the halves of a surrogate pair: what is not valid becomes U+FFFD.
pub fn unescape_lossy(raw: &[u8], text: &mut String) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, after) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        text.push_str(&String::from_utf8_lossy(before));
        let (decoded, length) = match escape(after) {
            Ok(found) => found,
            Err(_) if is_hex_escape(after) => (char::REPLACEMENT_CHARACTER, 6),
            Err(_) => (char::REPLACEMENT_CHARACTER, 2),
        };
        text.push(decoded);
        rest = after.get(length..).unwrap_or_default();
    }
    text.push_str(&String::from_utf8_lossy(rest));
}

fn unicode_escape(bytes: &[u8]) -> Result<(char, usize), Problem> {
    let first = hex4(bytes.get(2..))?;
    if let Some(single) = char::from_u32(first) {
        return Ok((single, 6));
    }
    match (bytes.get(6), bytes.get(7)) {
        (None, _) | (Some(b'\\'), None) => return Err(Problem::End),
        (Some(b'\\'), Some(b'u')) => {}
        _ => return Err(Problem::Escape),
    }
    let second = hex4(bytes.get(8..))?;
    let pair = char::decode_utf16([first, second].map(|unit| u16::try_from(unit).unwrap_or(0))).next();
    pair.and_then(Result::ok).map(|decoded| (decoded, 12)).ok_or(Problem::Escape)
}

/// Whether the bytes begin with a backslash, `u` and four hexadecimal digits.
pub(super) fn is_hex_escape(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\\u") && hex4(bytes.get(2..)).is_ok()
}

fn hex4(bytes: Option<&[u8]>) -> Result<u32, Problem> {
    let bytes = bytes.unwrap_or_default();
    let mut value: u32 = 0;
    for place in 0..4 {
        let byte = bytes.get(place).ok_or(Problem::End)?;
        let digit = char::from(*byte).to_digit(16).ok_or(Problem::Escape)?;
        value = value.wrapping_shl(4) | digit;
    }
    Ok(value)
}

/// The top bit of each byte of the result says that this byte is special; exact up to and including the first one.
const fn special_bits(word: u64) -> u64 {
    let quote = word ^ 0x2222_2222_2222_2222;
    let slash = word ^ 0x5c5c_5c5c_5c5c_5c5c;
    let found = zero_bits(quote) | zero_bits(slash) | (word.wrapping_sub(0x2020_2020_2020_2020) & !word);
    found & HIGH
}

const fn zero_bits(word: u64) -> u64 {
    word.wrapping_sub(0x0101_0101_0101_0101) & !word
}

fn first_byte(hits: u64) -> usize {
    usize::try_from(hits.trailing_zeros().wrapping_shr(3)).unwrap_or(0)
}

const HIGH: u64 = 0x8080_8080_8080_8080;
/// Words looked at one by one before blocks pay.
const SHORT_WORDS: usize = 32;
/// The same before a search pays.
const TIDY_WORDS: usize = 2;
