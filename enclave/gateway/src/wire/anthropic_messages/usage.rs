//! Anthropic's token counts. Input excludes what was read from or written to the cache; in a stream all counts are
//! cumulative, and an event may repeat some of them or leave some out.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::chat::{ServiceTier, Usage};
use crate::wire::Malformed;

/// Counts so far. Since they only grow, a later one that is smaller was left out and not counted back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    any: bool,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    cache_write_1h: u64,
    searches: u64,
    tier: ServiceTier,
}

#[derive(Deserialize)]
struct ServerTools {
    web_search_requests: Option<u64>,
}

#[derive(Deserialize)]
struct Member<'a> {
    #[serde(borrow)]
    service_tier: Option<Cow<'a, str>>,
    server_tool_use: Option<ServerTools>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<Split>,
}

#[derive(Deserialize)]
struct Split {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

impl Counts {
    /// Takes the counts of one `usage` object.
    pub fn take(&mut self, object: &[u8]) -> Result<(), Malformed> {
        let Some(member) = serde_json::from_slice::<Option<Member<'_>>>(object).map_err(|_| Malformed)?
        else {
            return Ok(());
        };
        let mut raise = |own: &mut u64, reported: Option<u64>| {
            self.any |= reported.is_some();
            *own = (*own).max(reported.unwrap_or(0));
        };
        raise(&mut self.input, member.input_tokens);
        raise(&mut self.output, member.output_tokens);
        raise(&mut self.cache_read, member.cache_read_input_tokens);
        raise(&mut self.cache_write, member.cache_creation_input_tokens);
        raise(&mut self.searches, member.server_tool_use.and_then(|own| own.web_search_requests));
        if let Some(word) = member.service_tier {
            self.tier = ServiceTier::from_word(word.as_bytes());
        }
        if let Some(split) = member.cache_creation {
            raise(&mut self.cache_write_1h, split.ephemeral_1h_input_tokens);
            // The total counts; the split may lag behind it, never the other way round.
            let sum = split.ephemeral_5m_input_tokens.unwrap_or(0).saturating_add(self.cache_write_1h);
            raise(&mut self.cache_write, Some(sum));
        }
        Ok(())
    }

    /// The same in the sense that all dialects share; nothing if nothing was reported.
    pub fn total(&self) -> Option<Usage> {
        let input = self.input.saturating_add(self.cache_read).saturating_add(self.cache_write);
        self.any.then(|| Usage {
            input_tokens: input,
            output_tokens: self.output,
            total_tokens: input.saturating_add(self.output),
            cached_input_tokens: self.cache_read,
            cache_write_tokens: self.cache_write,
            cache_write_1h_tokens: self.cache_write_1h.min(self.cache_write),
            web_searches: self.searches,
            tier: self.tier,
            ..Usage::default()
        })
    }
}

/// A usage object as it is written.
#[derive(Serialize)]
pub(super) struct WrittenUsage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation: WrittenSplit,
    output_tokens: u64,
}

#[derive(Serialize)]
struct WrittenSplit {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

impl WrittenUsage {
    /// From the shared sense.
    pub(super) const fn new(usage: &Usage) -> Self {
        let (read, write) = (usage.cached_input_tokens, usage.cache_write_tokens);
        Self {
            input_tokens: usage.input_tokens.saturating_sub(read).saturating_sub(write),
            cache_creation_input_tokens: write,
            cache_read_input_tokens: read,
            cache_creation: WrittenSplit {
                ephemeral_5m_input_tokens: write.saturating_sub(usage.cache_write_1h_tokens),
                ephemeral_1h_input_tokens: usage.cache_write_1h_tokens,
            },
            output_tokens: usage.output_tokens,
        }
    }
}
