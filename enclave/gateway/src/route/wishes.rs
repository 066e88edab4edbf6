//! What a client may ask of routing in its request's head. Every wish can only tighten what the configuration allows.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cache::wanted::{CacheUse, Wanted};
use crate::deployment::Exposure;
use crate::error::Error;
use crate::wire::RequestHead;
use crate::wire::hops::Hops;

mod foreign;

mod body;

/// Longest value of a header that is looked at.
const MAX_VALUE: usize = 8 * 1024;
/// Longest name of a part of a cache.
const MAX_NAMESPACE: usize = 128;
/// Longest time that can be asked for.
const MAX_MS: u64 = 3_600_000;
/// Headers whose value keeps a conversation at one deployment, the first that is there: our own, then those of coding
/// tools. They correlate and never authorise.
const AFFINITY: [&str; 7] = [
    "postern-session-id",
    "x-claude-code-session-id",
    "session-id",
    "thread-id",
    "x-session-affinity",
    "helicone-session-id",
    "x-bf-session-id",
];

/// What a client prefers where the configuration leaves the choice open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The cheapest for this request.
    Price,
    /// The quickest.
    Speed,
}

/// The wishes of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `postern-exposure-max`: content may be exposed so far and no further.
    pub exposure_max: Option<Exposure>,
    /// `postern-timeout-ms`: for everything; shortens only.
    pub timeout: Option<Duration>,
    /// `postern-ttft-timeout-ms`: to the first content; shortens only.
    pub first_content: Option<Duration>,
    /// `postern-retries`: so many attempts after the first; lowers only.
    pub retries: Option<u32>,
    /// `postern-no-fallback`: no other deployment than the first.
    pub no_fallback: bool,
    /// `postern-explain`: say how it was decided. Needs a permission of the key.
    pub explain: bool,
    /// The conversation's name, if it has one.
    pub affinity: Option<String>,
    /// `postern-metadata`: pairs such as `team=red, tier=1`.
    pub metadata: BTreeMap<String, String>,
    /// `postern-tags`: words between commas; also the `tags` in a body's `metadata`.
    pub tags: Vec<String>,
    /// The gateways that it has come by.
    pub hops: Hops,
    /// `postern-cache`, `postern-cache-ttl`, `postern-cache-namespace` and `cache-control`. Said twice, what uses less of
    /// the caches counts.
    pub cache: Wanted,
    /// Guardrails that the body asks for; it can only add.
    pub guardrails: Vec<String>,
    /// Models that the body names to be tried after the one it asks for.
    pub instead: Vec<String>,
    /// An order that the body asks for.
    pub sort: Option<Sort>,
    /// Headers that the configuration's expressions read, names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Wishes {
    /// Reads a head; `wanted` are the headers that expressions read. A value that is not understood is refused: ignoring
    /// a wish to tighten would loosen.
    pub fn read(head: &RequestHead<'_>, wanted: &[String]) -> Result<Self, Error> {
        let mut wishes = Self::default();
        let mut affinity = AFFINITY.len();
        for (name, value) in head.headers {
            if let Some(own) = name.get(..8).filter(|start| start.eq_ignore_ascii_case("postern-")) {
                wishes.take(name.get(own.len()..).unwrap_or_default(), value)?;
            } else if name.eq_ignore_ascii_case("cache-control") {
                wishes.cache.control(text(value).unwrap_or("no-store"));
            } else {
                foreign::take(&mut wishes, name, value)?;
            }
            let rank = AFFINITY.iter().position(|own| own.eq_ignore_ascii_case(name));
            if let Some(rank) = rank.filter(|rank| *rank < affinity) {
                affinity = rank;
                wishes.affinity =
                    text(value).filter(|text| !text.is_empty() && text.len() <= 256).map(str::to_owned);
            }
            if let Some(wanted) = wanted.iter().find(|wanted| wanted.eq_ignore_ascii_case(name)) {
                wishes.headers.insert(wanted.clone(), text(value).unwrap_or_default().to_owned());
            }
        }
        Ok(wishes)
    }

    /// What of the wishes can change the answer, as a text that differs where they do: which models may answer, and in
    /// which order.
    pub fn variant(&self) -> String {
        format!("{:?}", (&self.instead, self.sort, &self.headers))
    }

    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        let wrong = |param, expected| Error::FieldInvalid { param, expected };
        let value = text(value).ok_or_else(|| wrong("postern-*", "at most 8192 visible characters"))?;
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "exposure-max" => {
                let expected = "'attested', 'contract_zdr' or 'provider_visible'";
                let asked =
                    Exposure::from_name(value).ok_or_else(|| wrong("postern-exposure-max", expected))?;
                // Said twice, the tighter one holds.
                self.exposure_max = Some(self.exposure_max.map_or(asked, |other| other.min(asked)));
            }
            "timeout-ms" => self.timeout = Some(milliseconds(value, "postern-timeout-ms")?),
            "ttft-timeout-ms" => self.first_content = Some(milliseconds(value, "postern-ttft-timeout-ms")?),
            "retries" => {
                let retries = value.parse().map_err(|_| wrong("postern-retries", "a number"))?;
                self.retries = Some(retries);
            }
            "no-fallback" => self.no_fallback = boolean(value, "postern-no-fallback")?,
            "explain" => self.explain = boolean(value, "postern-explain")?,
            "cache" => {
                let expected = "'use', 'read-only', 'refresh' or 'off'";
                let asked = CacheUse::from_word(value).ok_or_else(|| wrong("postern-cache", expected))?;
                self.cache.narrow(asked);
            }
            "cache-ttl" => {
                let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                let expected = "a number of seconds, at least 1";
                self.cache.no_longer_than(seconds.ok_or_else(|| wrong("postern-cache-ttl", expected))?);
            }
            "cache-namespace" => {
                let fits = !value.is_empty() && value.len() <= MAX_NAMESPACE;
                let expected = "1 to 128 characters";
                let name = fits.then_some(value).ok_or_else(|| wrong("postern-cache-namespace", expected))?;
                self.cache.namespace = Some(name.to_owned());
            }
            "metadata" => self.metadata.extend(pairs(value)?),
            "tags" => self.tags.extend(words(value)),
            _ => {}
        }
        Ok(())
    }
}

fn text(value: &[u8]) -> Option<&str> {
    let value = std::str::from_utf8(value).ok().filter(|text| text.len() <= MAX_VALUE)?;
    Some(value.trim())
}

fn boolean(value: &str, param: &'static str) -> Result<bool, Error> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Error::FieldInvalid { param, expected: "true or false" }),
    }
}

fn milliseconds(value: &str, param: &'static str) -> Result<Duration, Error> {
    let ms = value.parse().ok().filter(|ms| (1..=MAX_MS).contains(ms));
    ms.map(Duration::from_millis).ok_or(Error::FieldInvalid { param, expected: "1 to 3600000" })
}

fn words(value: &str) -> impl Iterator<Item = String> + '_ {
    value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned)
}

fn pairs(value: &str) -> Result<Vec<(String, String)>, Error> {
    let expected = "pairs such as 'team=red, tier=1', or a JSON object of strings";
    let wrong = || Error::FieldInvalid { param: "postern-metadata", expected };
    if value.starts_with('{') {
        let object: BTreeMap<String, String> = serde_json::from_str(value).map_err(|_| wrong())?;
        return Ok(object.into_iter().collect());
    }
    let pair = |word: String| {
        let (name, value) = word.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    words(value).map(|word| pair(word).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &[u8])]) -> Result<Wishes, Error> {
        let head = RequestHead { method: "POST", path: "/", query: None, headers };
        Wishes::read(&head, &["x-team".to_owned()])
    }

    #[test]
    fn wishes_are_read_and_mistakes_refused() {
        let wishes = read(&[
            ("Postern-Exposure-Max", b"contract_zdr"),
            ("postern-exposure-max", b"attested"),
            ("postern-timeout-ms", b" 1500 "),
            ("postern-retries", b"0"),
            ("postern-tags", b"a, b"),
            ("postern-metadata", b"team=red, tier = 1"),
            ("X-Team", b"blue"),
            ("X-Other", b"x"),
            ("thread-id", b"later"),
            ("postern-session-id", b"mine"),
        ])
        .unwrap();
        assert_eq!(wishes.exposure_max, Some(Exposure::Attested), "the tighter one");
        assert_eq!(wishes.timeout, Some(Duration::from_millis(1500)));
        assert_eq!((wishes.retries, wishes.tags.len()), (Some(0), 2));
        assert_eq!(wishes.metadata["tier"], "1");
        assert_eq!((wishes.headers["x-team"].as_str(), wishes.headers.len()), ("blue", 1));
        assert_eq!(wishes.affinity.as_deref(), Some("mine"), "our own header comes first");
        for (name, value) in [
            ("postern-exposure-max", "public"),
            ("postern-timeout-ms", "0"),
            ("postern-timeout-ms", "-1"),
            ("postern-retries", "many"),
            ("postern-explain", "yes"),
            ("postern-no-fallback", ""),
            ("postern-metadata", "x"),
            ("postern-metadata", "{\"a\":1}"),
        ] {
            assert!(read(&[(name, value.as_bytes())]).is_err(), "{name}: {value}");
        }
    }
}
