//! Finds addresses on the web whose hosts are not allowed: what a model may link to, or embed as a picture that carries data
//! out.

use super::{Detector, Finding, GuardrailKind, Hook, Settings, Spans};
use crate::content::mask::floor;

/// The registered kind.
pub const KIND: UrlAllowListKind = UrlAllowListKind;

/// Longest address that is looked at.
const MAX_URL: usize = 2048;

/// Makes lists of allowed hosts.
pub struct UrlAllowListKind;

impl GuardrailKind for UrlAllowListKind {
    fn name(&self) -> &'static str {
        "url_allow_list"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["hosts"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Output]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let hosts: Vec<String> =
            settings.hosts.iter().flatten().map(|own| own.trim_matches('.').to_ascii_lowercase()).collect();
        let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        if hosts.is_empty() || hosts.iter().any(|own| own.is_empty() || !own.bytes().all(name)) {
            return Err("at least one of 'hosts', names such as example.com");
        }
        Ok(Detector::Spans(Box::new(UrlAllowList { hosts })))
    }
}

struct UrlAllowList {
    hosts: Vec<String>,
}

impl Spans for UrlAllowList {
    fn find(&self, text: &str, _: usize, from: usize, found: &mut Vec<Finding>) {
        let bytes = text.as_bytes();
        let mut at = from;
        while let Some(step) = memchr::memchr2(b'/', b'.', bytes.get(at..).unwrap_or_default()) {
            let sign = at.saturating_add(step);
            let Some((start, host)) = address(text, sign, from) else {
                at = sign.saturating_add(1);
                continue;
            };
            let part = |letter: &char| !letter.is_whitespace() && !"<>\"'`)]}|\\^".contains(*letter);
            let rest = text.get(start..).unwrap_or_default();
            let length: usize = rest.chars().take(MAX_URL).take_while(part).map(char::len_utf8).sum();
            let end = start.saturating_add(length).max(host);
            if !self.allows(text.get(host..end).unwrap_or_default()) {
                found.push(Finding { at: start..end, what: "url" });
            }
            at = end.max(sign.saturating_add(1));
        }
    }

    fn open_from(&self, text: &str, _: usize) -> usize {
        let near = floor(text, text.len().saturating_sub(MAX_URL.saturating_mul(4)));
        let tail = text.get(near..).unwrap_or_default();
        tail.rfind(char::is_whitespace).map_or(near, |at| near.saturating_add(at).saturating_add(1))
    }
}

impl UrlAllowList {
    /// Whether the host of an address without its scheme is one of the list, or below one.
    fn allows(&self, address: &str) -> bool {
        // What a browser takes for the end of the host, a backslash included.
        let authority = address.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host =
            host.split(':').next().unwrap_or_default().trim_end_matches(['.', ',', ';', '!', '*', '_']);
        let host = host.to_ascii_lowercase();
        self.hosts.iter().any(|own| {
            host == *own || host.strip_suffix(own.as_str()).is_some_and(|before| before.ends_with('.'))
        })
    }
}

/// Where an address begins whose scheme ends, or whose `www.` ends, at the sign; and where its host begins.
fn address(text: &str, sign: usize, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let before = bytes.get(from..sign)?;
    if bytes.get(sign) == Some(&b'.') {
        let three = before.len().checked_sub(3)?;
        let www = before.get(three..)?.eq_ignore_ascii_case(b"www");
        let alone = three
            .checked_sub(1)
            .and_then(|own| before.get(own))
            .is_none_or(|own| !own.is_ascii_alphanumeric() && *own != b'/');
        return (www && alone).then(|| (from.saturating_add(three), from.saturating_add(three)));
    }
    if bytes.get(sign.saturating_add(1)) != Some(&b'/') {
        return None;
    }
    let host = sign.saturating_add(2);
    // "//host" alone is taken for the scheme of the page that shows it.
    let Some(name) = before.strip_suffix(b":") else {
        let opens = before
            .last()
            .is_none_or(|own| matches!(own, b'(' | b'"' | b'\'' | b'=' | b'<') || own.is_ascii_whitespace());
        let named = bytes.get(host).is_some_and(u8::is_ascii_alphanumeric);
        return (opens && named).then_some((sign, host));
    };
    let letters = name.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'+').count();
    (letters > 0).then(|| (from.saturating_add(name.len().saturating_sub(letters)), host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_the_list_pass() {
        let settings = Settings { hosts: Some(vec!["example.com".to_owned()]), ..Settings::default() };
        let Ok(Detector::Spans(check)) = KIND.configure(&settings) else { panic!("finds places") };
        let found = |text: &str| {
            let mut all = Vec::new();
            check.find(text, 0, 0, &mut all);
            all.into_iter().map(|own| text[own.at].to_owned()).collect::<Vec<_>>()
        };
        assert!(found("see https://example.com/a, http://www.example.com. and www.example.com").is_empty());
        assert!(found("a/b and 1.5 and x.y // comment").is_empty());
        assert_eq!(found("![x](https://evil.example/?q=1)"), ["https://evil.example/?q=1"]);
        assert_eq!(found("https://example.com@evil.example/"), ["https://example.com@evil.example/"]);
        assert_eq!(found("https://notexample.com"), ["https://notexample.com"]);
        assert_eq!(found("<img src=\"//evil.example/x\">"), ["//evil.example/x"]);
        assert_eq!(found("www.evil.example"), ["www.evil.example"]);
        assert_eq!(found("https://evil.example\\@example.com"), ["https://evil.example"]);
    }
}
