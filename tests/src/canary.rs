//! Texts that occur nowhere else, planted in requests and answers, and looked for where they must not be.
//!
//! All canaries of a run begin with the same random letters, so that one fast search for each encoding finds every
//! one of them; which one it is, and where it was planted, is looked up afterwards. They are letters and digits, so
//! JSON escaping and URL encoding leave them as they are.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem::Finder;
use ring::rand::{SecureRandom, SystemRandom};

/// Where one canary was planted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What was going on.
    pub scenario: &'static str,
    /// Which part of a message.
    pub part: &'static str,
}

/// Canaries found in one search: place and encoding, and how often.
pub type Hits = BTreeMap<(Place, &'static str), usize>;

/// All canaries of one run.
#[derive(Debug)]
pub struct Canaries {
    prefix: String,
    /// What finds the letters that all begin with, in each of [`ENCODINGS`].
    common: Vec<Finder<'static>>,
    planted: Mutex<Vec<(String, Place)>>,
}

/// A way to write a text, as a function from text to the bytes that any context leaves unchanged.
type Encode = fn(&str) -> Vec<u8>;

/// Every encoding that is searched for.
pub const ENCODINGS: &[(&str, Encode)] = &[
    ("as it is, JSON-escaped or URL-encoded", |text| text.as_bytes().to_vec()),
    ("Base64, first alignment", |text| in_base64(text, 0)),
    ("Base64, second alignment", |text| in_base64(text, 1)),
    ("Base64, third alignment", |text| in_base64(text, 2)),
    ("hex", |text| hex::encode(text).into_bytes()),
    ("hex, capitals", |text| hex::encode_upper(text).into_bytes()),
    ("percent-encoded throughout", |text| each(text, |out, byte| write!(out, "%{byte:02X}"))),
    ("escaped as \\u throughout", |text| each(text, |out, byte| write!(out, "\\u{byte:04x}"))),
    ("UTF-16, little endian", |text| text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ("backwards", |text| text.bytes().rev().collect()),
];

impl Canaries {
    /// None planted yet; the letters they begin with are fresh.
    pub fn new() -> Self {
        let prefix = format!("Zq{}", letters(10));
        let common = ENCODINGS.iter().map(|(_, encode)| Finder::new(&encode(&prefix)).into_owned()).collect();
        Self { prefix, common, planted: Mutex::default() }
    }

    /// A new canary for this place: 24 letters and digits.
    pub fn plant(&self, scenario: &'static str, part: &'static str) -> String {
        let text = format!("{}{}", self.prefix, letters(12));
        self.planted.lock().unwrap().push((text.clone(), Place { scenario, part }));
        text
    }

    /// How many were planted.
    pub fn count(&self) -> usize {
        self.planted.lock().unwrap().len()
    }

    /// Searches `bytes` for every canary in every encoding.
    pub fn search(&self, bytes: &[u8]) -> Hits {
        let mut hits = Hits::new();
        for ((name, encode), common) in ENCODINGS.iter().zip(&self.common) {
            let backwards = *name == "backwards";
            let mut whole = None;
            for at in common.find_iter(bytes) {
                // Encoded only once something was found, which is rare.
                let whole = whole.get_or_insert_with(|| self.encoded(*encode));
                let found = whole.iter().find(|(encoded, _)| {
                    // Written backwards the common letters come last.
                    let before = encoded.len() - common.needle().len();
                    let from = if backwards { at.checked_sub(before) } else { Some(at) };
                    from.is_some_and(|from| bytes[from..].starts_with(encoded))
                });
                if let Some((_, place)) = found {
                    *hits.entry((place.clone(), *name)).or_default() += 1;
                }
            }
        }
        hits
    }

    fn encoded(&self, encode: Encode) -> Vec<(Vec<u8>, Place)> {
        let planted = self.planted.lock().unwrap();
        planted.iter().map(|(text, place)| (encode(text), place.clone())).collect()
    }
}

impl Default for Canaries {
    fn default() -> Self {
        Self::new()
    }
}

/// All hits together.
pub fn total(hits: &Hits) -> usize {
    hits.values().sum()
}

/// The characters of the Base64 text that do not depend on what stands `before` bytes before it or after.
fn in_base64(text: &str, before: usize) -> Vec<u8> {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(text.as_bytes());
    let encoded = STANDARD_NO_PAD.encode(&bytes);
    let first = (before * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    encoded.as_bytes()[first..last].to_vec()
}

fn each(text: &str, one: impl Fn(&mut String, u8) -> std::fmt::Result) -> Vec<u8> {
    let mut out = String::new();
    for byte in text.bytes() {
        one(&mut out, byte).expect("strings take everything");
    }
    out.into_bytes()
}

fn letters(count: usize) -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut random = vec![0; count];
    SystemRandom::new().fill(&mut random).expect("the system has randomness");
    random.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_is_found_wherever_it_stands() {
        let canaries = Canaries::new();
        let (first, second) = (canaries.plant("s", "first"), canaries.plant("s", "second"));
        assert_eq!(total(&canaries.search(b"nothing here")), 0);
        for (name, encode) in ENCODINGS {
            let bytes = [b"before ".as_slice(), &encode(&first), b" between ", &encode(&second)].concat();
            let hits = canaries.search(&bytes);
            assert_eq!(total(&hits), 2, "{name}");
            assert!(hits.keys().all(|(_, encoding)| encoding == name), "{hits:?}");
        }
        for before in 0..3 {
            let text = STANDARD_NO_PAD.encode(format!("{}{first}--", &"abc"[..before]));
            assert_eq!(total(&canaries.search(text.as_bytes())), 1, "Base64 after {before} bytes");
        }
        // half of one is none
        assert_eq!(total(&canaries.search(&first.as_bytes()[..20])), 0);
    }
}
