//! Finds credentials: by the formats that vendors gave their keys so that they can be found, private keys in PEM, tokens
//! that are JWTs, passwords in addresses, and random values after a telling word. How much is found and missed:
//! `tests/detection/REPORT.md`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::pii::folded::{Folding, is_fresh};
use super::pii::is_word;
use super::{Detector, Finding, GuardrailKind, Hook, Settings, Spans};
use crate::content::mask::floor;

/// The registered kind.
pub const KIND: SecretsKind = SecretsKind;

/// Longest token that is looked at.
const MAX_TOKEN: usize = 4096;
/// Longest private key.
const MAX_KEY: usize = 16 * 1024;
/// How far before a value a telling word may stand.
const REACH: usize = 40;
/// Least bits for each character of a value after a telling word.
const MIN_BITS: f64 = 2.5;

/// Kinds of secrets, by the names that the configuration uses.
const ENTITIES: [&str; 5] = ["api_key", "credential_in_url", "jwt", "private_key", "random_value"];

/// Formats of vendors' keys: how they begin, which characters follow, and how many at least and at most (the vendors'
/// documentation and secret scanning partner lists).
const FORMATS: &[(&str, Set, usize, usize)] = &[
    ("AGE-SECRET-KEY-1", Set::UpperAndDigits, 58, 58),
    ("AIza", Set::UrlSafe, 35, 35),
    ("AKIA", Set::UpperAndDigits, 16, 16),
    ("ASIA", Set::UpperAndDigits, 16, 16),
    ("EAAC", Set::AlphaNumeric, 60, 400),
    ("GOCSPX-", Set::UrlSafe, 24, 40),
    ("NRAK-", Set::UpperAndDigits, 27, 27),
    ("PMAK-", Set::UrlSafe, 50, 80),
    ("SG.", Set::Dotted, 60, 80),
    ("SK", Set::Hex, 32, 32),
    ("dapi", Set::Hex, 32, 32),
    ("dckr_pat_", Set::UrlSafe, 24, 40),
    ("dop_v1_", Set::AlphaNumeric, 64, 64),
    ("gho_", Set::AlphaNumeric, 36, 255),
    ("ghp_", Set::AlphaNumeric, 36, 255),
    ("ghr_", Set::AlphaNumeric, 36, 255),
    ("ghs_", Set::AlphaNumeric, 36, 255),
    ("ghu_", Set::AlphaNumeric, 36, 255),
    ("github_pat_", Set::UrlSafe, 60, 255),
    ("glc_", Set::AlphaNumeric, 32, 400),
    ("glpat-", Set::UrlSafe, 20, 64),
    ("glsa_", Set::UrlSafe, 36, 60),
    ("gsk_", Set::AlphaNumeric, 48, 64),
    ("hf_", Set::AlphaNumeric, 30, 40),
    ("hvs.", Set::UrlSafe, 60, 300),
    ("lin_api_", Set::AlphaNumeric, 32, 64),
    ("npm_", Set::AlphaNumeric, 36, 36),
    ("ntn_", Set::AlphaNumeric, 40, 64),
    ("pplx-", Set::AlphaNumeric, 40, 64),
    ("pscale_tkn_", Set::UrlSafe, 32, 64),
    ("pypi-", Set::UrlSafe, 80, 400),
    ("r8_", Set::AlphaNumeric, 37, 40),
    ("rk_live_", Set::AlphaNumeric, 20, 255),
    ("rk_test_", Set::AlphaNumeric, 20, 255),
    ("sbp_", Set::Hex, 40, 40),
    ("shpat_", Set::AlphaNumeric, 32, 32),
    ("sk-", Set::UrlSafe, 20, 255),
    ("sk_live_", Set::AlphaNumeric, 20, 255),
    ("sk_test_", Set::AlphaNumeric, 20, 255),
    ("sntrys_", Set::UrlSafe, 60, 300),
    ("whsec_", Set::UrlSafe, 24, 128),
    ("xai-", Set::AlphaNumeric, 60, 100),
    ("xapp-", Set::UrlSafe, 40, 255),
    ("xoxa-", Set::UrlSafe, 20, 255),
    ("xoxb-", Set::UrlSafe, 20, 255),
    ("xoxp-", Set::UrlSafe, 20, 255),
    ("xoxr-", Set::UrlSafe, 20, 255),
    ("xoxs-", Set::UrlSafe, 20, 255),
    ("ya29.", Set::UrlSafe, 40, 1024),
];

/// Which characters a key has.
#[derive(Clone, Copy)]
enum Set {
    AlphaNumeric,
    Dotted,
    Hex,
    UpperAndDigits,
    UrlSafe,
}

impl Set {
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::AlphaNumeric => byte.is_ascii_alphanumeric(),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'),
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::UpperAndDigits => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::UrlSafe => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
        }
    }
}

/// Words that tell that a value is secret, in lower case.
const TELLING: &[&str] = &[
    "-pass",
    "_pass",
    "access key",
    "access_key",
    "accesskey",
    "account_key",
    "accountkey",
    "api key",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "auth_key",
    "contrasena",
    "contraseña",
    "credential",
    "encryption_key",
    "kennwort",
    "mot de passe",
    "passphrase",
    "passwd",
    "password",
    "passwort",
    "private_key",
    "pwd",
    "secret",
    "secret key",
    "secret_key",
    "senha",
    "signing_key",
    "token",
    "密码",
    "密碼",
    "パスワード",
];

/// Makes checks for secrets.
pub struct SecretsKind;

impl GuardrailKind for SecretsKind {
    fn name(&self) -> &'static str {
        "secrets"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["entities"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input, Hook::Output]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let wanted = settings.entities.as_deref();
        let known = |name: &String| ENTITIES.contains(&name.as_str());
        if wanted.is_some_and(|names| names.is_empty() || !names.iter().all(known)) {
            return Err("'entities' of api_key, credential_in_url, jwt, private_key, random_value");
        }
        let on = |name: &str| wanted.is_none_or(|names| names.iter().any(|own| own == name));
        Ok(Detector::Spans(Box::new(Folding(Secrets { entities: ENTITIES.map(on) }))))
    }
}

struct Secrets {
    /// In the order of [`ENTITIES`].
    entities: [bool; 5],
}

impl Spans for Secrets {
    fn find(&self, text: &str, _: usize, from: usize, found: &mut Vec<Finding>) {
        let bytes = text.as_bytes();
        let mut at = from;
        while let Some(byte) = bytes.get(at).copied() {
            let rest = bytes.get(at..).unwrap_or_default();
            let hit = if byte == b'-' {
                pem(rest).map(|length| ("private_key", length))
            } else if is_word(byte) && is_fresh(text, at) {
                self.word(text, at, rest)
            } else if matches!(byte, b'+' | b'/') {
                self.encoded(text, at, rest)
            } else {
                None
            };
            match hit.filter(|(what, _)| self.wants(what)) {
                Some((what, length)) => {
                    let end = at.saturating_add(length);
                    found.push(Finding { at: at..end, what });
                    at = end;
                }
                None if is_word(byte) => {
                    at = at.saturating_add(rest.iter().take_while(|own| is_word(**own)).count());
                }
                None => at = at.saturating_add(1),
            }
        }
    }

    fn open_from(&self, text: &str, _: usize) -> usize {
        let near = floor(text, text.len().saturating_sub(MAX_TOKEN));
        let tail = text.get(near..).unwrap_or_default();
        let run =
            tail.rfind(char::is_whitespace).map_or(near, |at| near.saturating_add(at).saturating_add(1));
        let keys = floor(text, text.len().saturating_sub(MAX_KEY));
        let begun = text.get(keys..).unwrap_or_default().rfind(BEGIN).map(|at| keys.saturating_add(at));
        let unfinished = begun.filter(|at| {
            let rest = text.as_bytes().get(*at..).unwrap_or_default();
            is_key(rest).is_none_or(|key| key && end_of_key(rest).is_none())
        });
        run.min(unfinished.unwrap_or(run))
    }
}

const BEGIN: &str = "-----BEGIN ";

impl Secrets {
    fn wants(&self, what: &str) -> bool {
        ENTITIES.iter().zip(self.entities).any(|(own, wanted)| wanted && *own == what)
    }

    /// Base64 that begins with a sign: long, so that it is no path.
    fn encoded(&self, text: &str, at: usize, rest: &[u8]) -> Option<(&'static str, usize)> {
        let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        let begins = before.is_none_or(|before| matches!(before, b' ' | b'"' | b'\'' | b'=' | b':'));
        let length = if begins && self.wants("random_value") { random(rest)? } else { return None };
        (length >= 32 && is_told(text, at)).then_some(("random_value", length))
    }

    /// What begins with the word here.
    fn word(&self, text: &str, at: usize, rest: &[u8]) -> Option<(&'static str, usize)> {
        let first = *rest.first()?;
        // In the order of their first letters.
        let from = FORMATS.partition_point(|(begin, ..)| begin.as_bytes().first() < Some(&first));
        let near =
            FORMATS.iter().skip(from).take_while(|(begin, ..)| begin.as_bytes().first() == Some(&first));
        let by_format = near.filter_map(|(begin, set, least, most)| {
            let key = rest.strip_prefix(begin.as_bytes())?;
            let length = key.iter().take(most.saturating_add(1)).take_while(|byte| set.has(**byte)).count();
            (length >= *least && length <= *most).then(|| begin.len().saturating_add(length))
        });
        if let Some(length) = by_format.max().or_else(|| telegram(rest)) {
            return Some(("api_key", length));
        }
        if let Some(length) = jwt(rest) {
            return Some(("jwt", length));
        }
        if let Some(length) = credential_in_url(rest) {
            return Some(("credential_in_url", length));
        }
        let value = if self.wants("random_value") { random(rest) } else { None };
        value.filter(|_| is_told(text, at)).map(|length| ("random_value", length))
    }
}

/// A key of Telegram's bots: the bot's number, a colon, and 35 characters that begin with two As.
fn telegram(rest: &[u8]) -> Option<usize> {
    let digits = rest.iter().take(11).take_while(|byte| byte.is_ascii_digit()).count();
    let key = rest.get(digits..)?.strip_prefix(b":AA").filter(|_| (8..=10).contains(&digits))?;
    let length = key.iter().take(34).take_while(|byte| Set::UrlSafe.has(**byte)).count();
    (length == 33).then(|| digits.saturating_add(36))
}

/// A private key in PEM (RFC 7468), to its end or as far as a key can go.
fn pem(rest: &[u8]) -> Option<usize> {
    if !is_key(rest)? {
        return None;
    }
    let whole = end_of_key(rest);
    let part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=-:,.\\ \r\n\t".contains(byte);
    whole.or_else(|| Some(rest.iter().take(MAX_KEY).take_while(part).count()))
}

/// Whether these bytes begin a private key; nothing if they end before that is said.
fn is_key(rest: &[u8]) -> Option<bool> {
    let Some(name) = rest.strip_prefix(BEGIN.as_bytes()) else { return Some(false) };
    let head = name.get(..name.len().min(64)).unwrap_or_default();
    match memchr::memmem::find(head, b"-----") {
        Some(end) => {
            Some(memchr::memmem::find(head.get(..end).unwrap_or_default(), b"PRIVATE KEY").is_some())
        }
        None if head.len() < 64 => None,
        None => Some(false),
    }
}

fn end_of_key(rest: &[u8]) -> Option<usize> {
    let seen = rest.get(..rest.len().min(MAX_KEY))?;
    let end = memchr::memmem::find(seen, b"-----END ")?;
    let name = seen.get(end.saturating_add(9)..)?;
    let close = memchr::memmem::find(name.get(..name.len().min(64))?, b"-----")?;
    Some(end.saturating_add(9).saturating_add(close).saturating_add(5))
}

/// A JSON web token (RFC 7519): three parts in base64, the first of which is a JSON object with `alg`.
fn jwt(rest: &[u8]) -> Option<usize> {
    if !rest.starts_with(b"eyJ") {
        return None;
    }
    let part = |byte: &&u8| Set::UrlSafe.has(**byte);
    let header = rest.iter().take(MAX_TOKEN).take_while(part).count();
    let decoded = URL_SAFE_NO_PAD.decode(rest.get(..header)?).ok()?;
    memchr::memmem::find(&decoded, b"\"alg\"")?;
    let whole = rest.iter().take(MAX_TOKEN).take_while(|byte| Set::Dotted.has(**byte)).count();
    let dots = memchr::memchr_iter(b'.', rest.get(..whole)?).count();
    (dots >= 2 && whole > header.saturating_add(20)).then_some(whole)
}

/// An address with a password: `scheme://name:password@`.
fn credential_in_url(rest: &[u8]) -> Option<usize> {
    let scheme =
        rest.iter().take(16).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'+').count();
    let after = rest.get(scheme..)?.strip_prefix(b"://")?;
    let part = |byte: &&u8| byte.is_ascii_graphic() && !b"/@\"'<>`".contains(byte);
    let user = after.iter().take(256).take_while(part).count();
    let colon = memchr::memchr(b':', after.get(..user)?)?;
    let password = user.saturating_sub(colon).saturating_sub(1);
    let told = after.get(user) == Some(&b'@') && password >= 3;
    told.then(|| scheme.saturating_add(3).saturating_add(user).saturating_add(1))
}

/// Whether a telling word and a sign that a value follows stand right before: `"api_key": "`, `PASSWORD=`, `token is `.
fn is_told(text: &str, at: usize) -> bool {
    let start = floor(text, at.saturating_sub(REACH));
    let before = text.get(start..at).unwrap_or_default().to_ascii_lowercase();
    let sign = before.trim_end_matches([' ', '"', '\'', '`', '\\', '(']);
    let scheme = ["basic", "bearer"].iter().any(|word| sign.ends_with(word)) && before.contains("auth");
    let ends = |name: &str| TELLING.iter().any(|word| name.ends_with(word));
    if let Some(named) = sign.strip_suffix([':', '=']) {
        return ends(named.trim_end().trim_end_matches(['"', '\'', '`', '\\']));
    }
    // `the password for staging is`: a word or two between.
    if let Some(named) = sign.strip_suffix(" is") {
        let mut words = named.rsplit(' ');
        return words
            .by_ref()
            .take(4)
            .any(|word| matches!(word, "credential" | "passphrase" | "password" | "secret"))
            || ends(named);
    }
    let flag = sign.rsplit(' ').next().is_some_and(|word| word.starts_with("--"))
        && before.ends_with(' ')
        && ends(sign);
    scheme || flag || sign.ends_with("bearer")
}

/// A value that looks drawn: eight characters or more, letters and digits or signs, many different ones.
fn random(rest: &[u8]) -> Option<usize> {
    let part = |byte: &&u8| byte.is_ascii_graphic() && !b"\"'`<>,;()[]{}\\".contains(byte);
    let mut length = rest.iter().take(256).take_while(part).count();
    while rest.get(..length)?.last().is_some_and(|last| matches!(last, b'.' | b'!' | b'?' | b':')) {
        length = length.saturating_sub(1);
    }
    if length < 8 {
        return None;
    }
    let value = rest.get(..length)?;
    let letters = value.iter().any(u8::is_ascii_alphabetic);
    let others = value.iter().any(|byte| !byte.is_ascii_alphabetic() && !matches!(byte, b'_' | b'-' | b'.'));
    // Paths are not values; base64 has slashes too, and capitals, small letters and digits beside them.
    let mixed = value.iter().any(u8::is_ascii_uppercase)
        && value.iter().any(u8::is_ascii_lowercase)
        && value.iter().any(u8::is_ascii_digit);
    let path = memchr::memchr_iter(b'/', value).count() > 1 && (!mixed || value.contains(&b'.'));
    // Long ones may be of letters alone, if they are not a name in camel case.
    let share = |of: fn(&u8) -> bool| value.iter().filter(|byte| of(byte)).count().saturating_mul(10);
    let third = length.saturating_mul(3);
    let drawn =
        length >= 20 && share(u8::is_ascii_uppercase) >= third && share(u8::is_ascii_lowercase) >= third;
    (letters && (others || drawn) && !path && bits(value) >= MIN_BITS).then_some(length)
}

/// Shannon's entropy of the characters, in bits for each.
fn bits(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 128];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.wrapping_add(1);
        }
    }
    let all = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    let share = |count: &u32| f64::from(*count) / all;
    -counts.iter().filter(|count| **count > 0).map(|count| share(count) * share(count).log2()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(&'static str, String)> {
        let Ok(Detector::Spans(secrets)) = KIND.configure(&Settings::default()) else {
            panic!("finds places")
        };
        let mut all = Vec::new();
        secrets.find(text, 0, 0, &mut all);
        all.into_iter().map(|own| (own.what, text[own.at].to_owned())).collect()
    }

    const JWT: &str =
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

    #[test]
    fn each_kind_is_found() {
        let key = format!("ghp_{}", "a1B2".repeat(9));
        assert_eq!(found(&format!("use {key}, please")), [("api_key", key)]);
        assert_eq!(found("AKIAIOSFODNN7EXAMPLE"), [("api_key", "AKIAIOSFODNN7EXAMPLE".to_owned())]);
        assert_eq!(found(&format!("Authorization: Bearer {JWT}")), [("jwt", JWT.to_owned())]);
        let pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49\n-----END EC PRIVATE KEY-----";
        assert_eq!(found(&format!("key:\n{pem}\nend")), [("private_key", pem.to_owned())]);
        let url = "postgres://app:hunter22@";
        assert_eq!(found(&format!("{url}db.example/x")), [("credential_in_url", url.to_owned())]);
        assert_eq!(found("password = \"Tr0ub4dor&3x\""), [("random_value", "Tr0ub4dor&3x".to_owned())]);
        assert_eq!(
            found("{\"api_key\": \"9f8e7d6c5b4a39281706\"}"),
            [("random_value", "9f8e7d6c5b4a39281706".to_owned())]
        );
    }

    #[test]
    fn what_is_no_secret_is_left_alone() {
        for text in [
            "the password is wrong, try again",
            "token: string",
            "sk-learn and risk-based",
            "AKIA is a prefix",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "commit 550e8400e29b41d4a716446655440000",
            "secret = os.environ[\"SECRET\"]",
            "see https://example.com:8080/path",
            "eyJust a word",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn nothing_is_settled_that_more_text_could_change() {
        let Ok(Detector::Spans(secrets)) = KIND.configure(&Settings::default()) else {
            panic!("finds places")
        };
        let text = format!(
            "key AKIAIOSFODNN7EXAMPLE and {JWT} then\n-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\npassword: Tr0ub4dor&3x done. "
        );
        let mut whole = Vec::new();
        secrets.find(&text, 0, 0, &mut whole);
        assert_eq!(whole.len(), 4, "{whole:?}");
        for cut in 0..text.len() {
            let part = &text[..cut];
            let open = secrets.open_from(part, 0);
            let mut seen = Vec::new();
            secrets.find(part, 0, 0, &mut seen);
            let settled =
                |all: &[Finding]| all.iter().filter(|own| own.at.start < open).cloned().collect::<Vec<_>>();
            assert_eq!(settled(&seen), settled(&whole), "{part}");
        }
    }
}
