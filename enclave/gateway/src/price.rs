//! What tokens cost: prices per class of token, and the cost of one exchange, in whole nano-dollars.
//!
//! No floating point: prices are nano-dollars for a million tokens, and a cost is rounded once, at the end, half up.
//! An unknown price is the absence of a [`Price`], never a price of nothing.

use serde::{Deserialize, Serialize, Serializer};

use crate::chat::{ServiceTier, Usage};

pub mod catalogue;

/// An amount of money: nano-dollars (10⁻⁹ USD).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct NanoUsd(pub u64);

impl std::fmt::Display for NanoUsd {
    /// In dollars, all nine decimals: `0.000012500`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{:09}", self.0 / NANO, self.0 % NANO)
    }
}

/// What a million tokens cost, in nano-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

impl Rate {
    /// From dollars for a million tokens as decimal text, such as `2.50` or `0.075`: at most nine decimals, at most a
    /// million dollars.
    pub fn from_usd(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let plain = !whole.is_empty() && whole.len() <= 7 && fraction.len() <= 9;
        let complete = !text.ends_with('.');
        if !plain || !complete || !digits(whole) || !digits(fraction) {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
        let nano = whole.checked_mul(NANO)?.checked_add(fraction)?;
        (nano <= MAX_RATE).then_some(Self(nano))
    }

    /// Nano-dollars for a million tokens.
    pub const fn nano_usd_per_million(self) -> u64 {
        self.0
    }

    /// What `tokens` cost, times a million.
    fn of(self, tokens: u64) -> u128 {
        u128::from(self.0).saturating_mul(u128::from(tokens))
    }
}

/// In dollars for a million tokens, as [`Rate::from_usd`] reads it.
impl std::fmt::Display for Rate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = NanoUsd(self.0).to_string();
        out.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What each class of token costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rates {
    /// Input that is neither read from the provider's cache nor written to it.
    pub input: Rate,
    /// Input that the provider had cached.
    pub cached_input: Rate,
    /// Input that the provider wrote to its cache for the usual time.
    pub cache_write_5m: Rate,
    /// Input that the provider wrote to its cache for an hour.
    pub cache_write_1h: Rate,
    /// Output.
    pub output: Rate,
    /// Output that was reasoning.
    pub reasoning: Rate,
}

impl Rates {
    /// Rates where cached, written and reasoned tokens cost as much as others of their side.
    pub const fn flat(input: Rate, output: Rate) -> Self {
        Self {
            input,
            cached_input: input,
            cache_write_5m: input,
            cache_write_1h: input,
            output,
            reasoning: output,
        }
    }

    /// What the tokens cost, times a million. Parts that a provider reports larger than their whole count no more than
    /// the whole.
    fn of(&self, usage: &Usage) -> u128 {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let uncached = usage.input_tokens.saturating_sub(cached);
        let written = usage.cache_write_tokens.min(uncached);
        let hour = usage.cache_write_1h_tokens.min(written);
        let reasoning = usage.reasoning_tokens.min(usage.output_tokens);
        [
            self.input.of(uncached.saturating_sub(written)),
            self.cached_input.of(cached),
            self.cache_write_5m.of(written.saturating_sub(hour)),
            self.cache_write_1h.of(hour),
            self.output.of(usage.output_tokens.saturating_sub(reasoning)),
            self.reasoning.of(reasoning),
        ]
        .into_iter()
        .fold(0, u128::saturating_add)
    }
}

/// Rates for a request whose prompt is long: all of its tokens cost these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LongContext {
    /// Holds for prompts of more tokens than these, cached ones included.
    pub above_input_tokens: u64,
    /// The rates.
    #[serde(flatten)]
    pub rates: Rates,
}

/// Rates of requests that were served otherwise than usual.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TierPrice {
    /// How.
    pub tier: ServiceTier,
    /// Rates for prompts of usual length.
    #[serde(flatten)]
    pub rates: Rates,
    /// Rates for long prompts, shortest bound first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub long_context: Vec<LongContext>,
}

/// Whose word counts about what an exchange cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostSource {
    /// Ours: tokens times price.
    #[default]
    Computed,
    /// The provider's, where the answer tells; otherwise ours.
    Reported,
}

/// What one deployment's tokens cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Rates for prompts of usual length.
    #[serde(flatten)]
    pub rates: Rates,
    /// Rates for long prompts, shortest bound first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub long_context: Vec<LongContext>,
    /// Rates of other tiers of service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<TierPrice>,
    /// What every answered request costs besides its tokens.
    pub per_request: NanoUsd,
    /// What every search of the web costs that the provider did for a request.
    pub per_search: NanoUsd,
    /// Who says so.
    pub origin: Origin,
}

/// Who states a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The catalogue compiled into this program.
    Catalogue,
    /// The configuration.
    Configuration,
    /// The model runs in this program, and nobody is paid.
    Internal,
}

impl Price {
    /// Of a model in this program.
    pub const fn nothing() -> Self {
        let rates = Rates::flat(Rate(0), Rate(0));
        Self {
            rates,
            long_context: Vec::new(),
            tiers: Vec::new(),
            per_request: NanoUsd(0),
            per_search: NanoUsd(0),
            origin: Origin::Internal,
        }
    }

    /// What an exchange with that usage cost; nothing if it was served in a way whose price is not known.
    pub fn cost(&self, usage: &Usage) -> Option<NanoUsd> {
        let millionths = self.rates_for(usage.tier, usage.input_tokens)?.of(usage);
        let rounded = millionths.saturating_add(MILLION / 2) / MILLION;
        let tokens = u64::try_from(rounded).unwrap_or(u64::MAX);
        let searches = self.per_search.0.saturating_mul(usage.web_searches);
        Some(NanoUsd(tokens.saturating_add(self.per_request.0).saturating_add(searches)))
    }

    /// What an exchange would cost whose tokens are only guessed: nothing cached, nothing written, served as usual.
    pub fn estimate(&self, input_tokens: u64, output_tokens: u64) -> NanoUsd {
        self.cost(&Usage { input_tokens, output_tokens, ..Usage::default() }).unwrap_or_default()
    }

    /// A price that the configuration states without tiers holds for all of them.
    fn rates_for(&self, tier: ServiceTier, input_tokens: u64) -> Option<&Rates> {
        let own = self.tiers.iter().find(|own| own.tier == tier);
        let (rates, long_context) = match own {
            Some(own) => (&own.rates, &own.long_context),
            None if tier == ServiceTier::Standard || self.origin != Origin::Catalogue => {
                (&self.rates, &self.long_context)
            }
            None => return None,
        };
        let long = long_context.iter().rev().find(|long| input_tokens > long.above_input_tokens);
        Some(long.map_or(rates, |long| &long.rates))
    }
}

/// Whole nano-dollars of a JSON number of dollars (`0.0042`, `4.2e-3`), rounded half up; nothing for what is negative or
/// absurd. An upstream wrote it.
pub fn nano_usd_from_json(number: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(number).ok()?;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Digits after which the point of nano-dollars stands.
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(9)?;
    let Ok(point) = usize::try_from(point) else { return Some(0) };
    if point > 18 && digits.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let kept: String = digits.chars().chain(std::iter::repeat('0')).take(point.min(18)).collect();
    let up = digits.as_bytes().get(point).is_some_and(|digit| *digit >= b'5');
    let nano: u64 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    nano.checked_add(u64::from(up))
}

const NANO: u64 = 1_000_000_000;
const MILLION: u128 = 1_000_000;
/// A million dollars for a million tokens.
const MAX_RATE: u64 = 1_000_000 * NANO;

#[cfg(test)]
mod tests;
