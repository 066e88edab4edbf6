//! Text as a reader sees it: letters that only look like others become those, what cannot be seen goes, and what is hidden
//! in base64 is brought out. For checks that look for meaning; places in it are not places in the original.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use unicode_normalization::UnicodeNormalization;

/// Shortest run that is taken for base64.
const MIN_ENCODED: usize = 24;
/// Most text that is brought out of base64, in bytes.
const MAX_DECODED: usize = 64 * 1024;

/// Lower case, look-alikes as what they look like, no marks, nothing invisible, white space as single spaces.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    if text.is_ascii() {
        for byte in text.bytes() {
            append(&mut out, char::from(byte).to_ascii_lowercase());
        }
        return out;
    }
    // Compatibility forms (full width, ligatures, mathematical letters) by Unicode's own table (UAX 15), marks apart.
    for letter in text.nfkd().filter(|own| !is_invisible(*own)) {
        for lower in letter.to_lowercase() {
            append(&mut out, look_alike(lower));
        }
    }
    out
}

fn append(out: &mut String, letter: char) {
    if !letter.is_whitespace() {
        out.push(letter);
    } else if !out.ends_with(' ') {
        out.push(' ');
    }
}

/// The texts that base64 runs in a text hide, as [`plain`] text. Bounded.
pub fn decoded(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = MAX_DECODED;
    let part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '-' | '_');
    for run in text.split(|letter| !part(letter)).filter(|run| run.len() >= MIN_ENCODED) {
        // A run may have a letter too many before the padding.
        let whole = run.len().wrapping_sub(usize::from(run.len() % 4 == 1));
        let run = run.get(..whole).unwrap_or_default();
        let bytes = STANDARD_NO_PAD.decode(run).or_else(|_| URL_SAFE_NO_PAD.decode(run));
        let Some(text) = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()) else { continue };
        let readable = text.chars().filter(|own| !own.is_control()).count();
        if readable.saturating_mul(10) < text.chars().count().saturating_mul(9) || text.len() > left {
            continue;
        }
        left = left.saturating_sub(text.len());
        found.push(plain(&text));
    }
    found
}

/// Zero width, direction marks, variation selectors, soft hyphens, tags, and combining marks.
pub fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{300}'..='\u{36f}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The Latin letter that a small letter of another script looks like (from Unicode's confusables, UTS 39: Cyrillic, Greek
/// and Armenian letters that stand for Latin ones in most fonts).
const fn look_alike(letter: char) -> char {
    match letter {
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ё' | 'є' | 'ε' => 'e',
        'ց' => 'g',
        'һ' | 'հ' | 'н' => 'h',
        'і' | 'ї' | 'ι' | 'ı' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'ӏ' | 'ⅼ' => 'l',
        'м' => 'm',
        'ո' | 'η' | 'п' => 'n',
        'о' | 'ο' | 'օ' | 'σ' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'г' => 'r',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'ս' | 'υ' => 'u',
        'ѵ' | 'ν' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        other => other,
    }
}
