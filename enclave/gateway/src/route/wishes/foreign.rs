//! Headers that clients of other gateways send already, and what they mean here. Sources: the documentation of `LiteLLM`,
//! Portkey, Cloudflare's AI Gateway, Helicone and Bifrost.
//!
//! What only tightens or names counts as our own header would. What would choose an upstream, its credential or the headers
//! that it gets is refused: whoever sends it expects it to count. Anything else of theirs means nothing here.

use super::Wishes;
use crate::cache::wanted::CacheUse;
use crate::error::Error;

/// What a header of another gateway means.
enum Meaning {
    /// So many attempts in all.
    Attempts,
    /// If it is true or false, as stated, this much of the cache.
    Cache(bool, CacheUse),
    /// Pairs for metadata, as a JSON object whose values need not be texts.
    Metadata,
    /// What this header of ours means, without `postern-`.
    Ours(&'static str),
    /// It would redirect.
    Redirects,
    /// What this header of ours means, in seconds.
    Seconds(&'static str),
}

const HEADERS: &[(&str, Meaning)] = &[
    ("cf-aig-cache-key", Meaning::Ours("cache-namespace")),
    ("cf-aig-cache-ttl", Meaning::Ours("cache-ttl")),
    ("cf-aig-max-attempts", Meaning::Attempts),
    ("cf-aig-metadata", Meaning::Metadata),
    ("cf-aig-request-timeout", Meaning::Ours("timeout-ms")),
    ("cf-aig-skip-cache", Meaning::Cache(true, CacheUse::Off)),
    ("helicone-cache-enabled", Meaning::Cache(false, CacheUse::Off)),
    ("helicone-cache-seed", Meaning::Ours("cache-namespace")),
    ("x-bf-cache-key", Meaning::Ours("cache-namespace")),
    ("x-litellm-api-base", Meaning::Redirects),
    ("x-litellm-num-retries", Meaning::Ours("retries")),
    ("x-litellm-spend-logs-metadata", Meaning::Metadata),
    ("x-litellm-stream-timeout", Meaning::Seconds("ttft-timeout-ms")),
    ("x-litellm-tags", Meaning::Ours("tags")),
    ("x-litellm-timeout", Meaning::Seconds("timeout-ms")),
    ("x-portkey-cache-force-refresh", Meaning::Cache(true, CacheUse::Refresh)),
    ("x-portkey-cache-namespace", Meaning::Ours("cache-namespace")),
    ("x-portkey-custom-host", Meaning::Redirects),
    ("x-portkey-forward-headers", Meaning::Redirects),
    ("x-portkey-metadata", Meaning::Metadata),
    ("x-portkey-request-timeout", Meaning::Ours("timeout-ms")),
];

/// Beginnings of headers whose end is a name of metadata.
const PAIRS: [&str; 2] = ["helicone-property-", "x-bf-dim-"];

/// A configuration of Portkey's. One written in the header says where to call; the name of a stored one means nothing here.
const CONFIG: &str = "x-portkey-config";

/// Takes a header, if it is one of another gateway's.
pub(super) fn take(wishes: &mut Wishes, name: &str, value: &[u8]) -> Result<(), Error> {
    if let Some((own, meaning)) = HEADERS.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
        return mean(wishes, own, meaning, value);
    }
    if name.eq_ignore_ascii_case(CONFIG) && value.trim_ascii().starts_with(b"{") {
        return Err(Error::FieldUnsupported { param: CONFIG });
    }
    let pair = PAIRS.iter().find_map(|own| {
        let (start, rest) = name.split_at_checked(own.len())?;
        (start.eq_ignore_ascii_case(own) && !rest.is_empty()).then_some(rest)
    });
    if let Some((name, value)) = pair.zip(super::text(value)) {
        wishes.metadata.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    Ok(())
}

fn mean(wishes: &mut Wishes, param: &'static str, meaning: &Meaning, value: &[u8]) -> Result<(), Error> {
    let wrong = |expected| Error::FieldInvalid { param, expected };
    let text = super::text(value).ok_or_else(|| wrong("at most 8192 visible characters"))?;
    match meaning {
        Meaning::Attempts => {
            let attempts: u32 = text.parse().map_err(|_| wrong("a number"))?;
            wishes.retries = Some(attempts.saturating_sub(1));
        }
        Meaning::Cache(when, asked) => {
            if super::boolean(&text.to_ascii_lowercase(), param)? == *when {
                wishes.cache.narrow(*asked);
            }
        }
        Meaning::Metadata => {
            let object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(text).map_err(|_| wrong("a JSON object"))?;
            let plain =
                |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            wishes.metadata.extend(object.iter().map(|(name, value)| (name.clone(), plain(value))));
        }
        Meaning::Ours(own) => return wishes.take(own, value),
        Meaning::Redirects => return Err(Error::FieldUnsupported { param }),
        Meaning::Seconds(own) => {
            let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0 && *seconds <= 3600.0);
            let seconds = seconds.ok_or_else(|| wrong("seconds, at most 3600"))?;
            return wishes.take(own, format!("{:.0}", (seconds * 1000.0).max(1.0)).as_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::RequestHead;

    fn read(headers: &[(&str, &[u8])]) -> Result<Wishes, Error> {
        Wishes::read(&RequestHead { method: "POST", path: "/", query: None, headers }, &[])
    }

    #[test]
    fn what_clients_of_other_gateways_send_means_the_same_here() {
        for (headers, wanted) in [
            ([("X-LiteLLM-Timeout", "1.5"), ("x-litellm-num-retries", "0")], (Some(1500), Some(0))),
            ([("x-portkey-request-timeout", "1500"), ("cf-aig-max-attempts", "3")], (Some(1500), Some(2))),
            ([("cf-aig-request-timeout", "20"), ("x-portkey-config", "pc-stored-1")], (Some(20), None)),
        ] {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            let wishes = read(&headers).unwrap();
            assert_eq!((wishes.timeout, wishes.retries), (wanted.0.map(Duration::from_millis), wanted.1));
        }
        let wishes = read(&[
            ("x-litellm-tags", b"a, b"),
            ("x-litellm-stream-timeout", b"2"),
            ("x-portkey-metadata", br#"{"team":"red","tier":1}"#),
            ("Helicone-Property-App", b"mail"),
            ("x-bf-dim-Region", b"eu"),
            ("helicone-session-id", b"s-1"),
        ])
        .unwrap();
        assert_eq!(wishes.tags, ["a", "b"]);
        assert_eq!(wishes.first_content, Some(Duration::from_secs(2)));
        let metadata: Vec<_> =
            wishes.metadata.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(metadata, ["app=mail", "region=eu", "team=red", "tier=1"]);
        assert_eq!(wishes.affinity.as_deref(), Some("s-1"));
        for (name, value, asked) in [
            ("cf-aig-skip-cache", "true", CacheUse::Off),
            ("cf-aig-skip-cache", "false", CacheUse::Use),
            ("Helicone-Cache-Enabled", "False", CacheUse::Off),
            ("helicone-cache-enabled", "true", CacheUse::Use),
            ("x-portkey-cache-force-refresh", "True", CacheUse::Refresh),
        ] {
            assert_eq!(read(&[(name, value.as_bytes())]).unwrap().cache, asked.into(), "{name}: {value}");
        }
    }

    #[test]
    fn what_would_redirect_and_what_is_not_understood_is_refused() {
        for (name, value, code) in [
            ("x-portkey-custom-host", "https://evil.example", "unsupported_parameter"),
            ("x-portkey-forward-headers", "cookie", "unsupported_parameter"),
            ("x-portkey-config", r#" {"provider":"openai"}"#, "unsupported_parameter"),
            ("x-litellm-api-base", "https://evil.example", "unsupported_parameter"),
            ("x-litellm-timeout", "soon", "invalid_value"),
            ("x-litellm-timeout", "inf", "invalid_value"),
            ("x-portkey-metadata", "[]", "invalid_value"),
            ("cf-aig-max-attempts", "-1", "invalid_value"),
        ] {
            let refused = read(&[(name, value.as_bytes())]).err();
            assert_eq!(refused.map(|error| error.code()), Some(code), "{name}: {value}");
        }
    }
}
