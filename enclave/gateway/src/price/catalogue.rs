//! The price catalogue: what is publicly known of models, compiled in from `data/catalogue.json`.
//!
//! Compiled in and not fetched or signed apart: what is compiled in is measured, so a client that verifies this program
//! has verified the prices too, and there is no key to keep for them. A price changes with a release, or at once in the
//! configuration, whose digest is in the evidence. Each row names its sources; those marked `second_hand` there were not
//! compared with the provider's own page.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{LongContext, NanoUsd, Origin, Price, Rate, Rates, TierPrice};
use crate::chat::ServiceTier;

/// The catalogue's text.
pub const TEXT: &str = include_str!("../../data/catalogue.json");

/// All rows.
pub struct Catalogue {
    models: Vec<Row>,
}

/// What the catalogue knows of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it costs.
    pub price: Price,
    /// Most tokens of prompt and answer together, or of the prompt alone where the provider counts so.
    pub context_tokens: Option<u64>,
    /// Most tokens of an answer.
    pub max_output_tokens: Option<u64>,
}

/// The catalogue is not in its format. Its text is part of the program, so a test finds this, not a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl Catalogue {
    /// Reads the catalogue that is compiled in.
    ///
    /// # Errors
    /// [`Broken`]; not in a tested build.
    pub fn load() -> Result<Self, Broken> {
        let file: File = serde_json::from_str(TEXT).map_err(|_| Broken)?;
        let complete = file.models.iter().all(|row| row.known().is_some());
        if file.format == 1 && complete { Ok(Self { models: file.models }) } else { Err(Broken) }
    }

    /// What is known of a provider's model; the name must be exactly the provider's.
    pub fn find(&self, provider: &str, model: &str) -> Option<Known> {
        self.models.iter().find(|row| row.provider == provider && row.model == model)?.known()
    }
}

#[derive(Deserialize)]
struct File {
    format: u32,
    models: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    provider: String,
    model: String,
    #[serde(flatten)]
    rates: RatesText,
    #[serde(default)]
    long_context: Vec<LongText>,
    #[serde(default)]
    tiers: BTreeMap<ServiceTier, TierText>,
    per_search: Option<String>,
    context_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
}

/// Rates as text; a class without a rate of its own costs what its side costs.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RatesText {
    /// See [`Rates::input`].
    pub input: String,
    /// See [`Rates::output`].
    pub output: String,
    /// See [`Rates::cached_input`]; `input` if absent.
    pub cached_input: Option<String>,
    /// See [`Rates::cache_write_5m`]; `input` if absent.
    pub cache_write_5m: Option<String>,
    /// See [`Rates::cache_write_1h`]; `cache_write_5m` if absent.
    pub cache_write_1h: Option<String>,
    /// See [`Rates::reasoning`]; `output` if absent.
    pub reasoning: Option<String>,
}

#[derive(Deserialize)]
struct LongText {
    above_input_tokens: u64,
    #[serde(flatten)]
    rates: RatesText,
}

#[derive(Deserialize)]
struct TierText {
    #[serde(flatten)]
    rates: RatesText,
    #[serde(default)]
    long_context: Vec<LongText>,
}

impl LongText {
    fn all(texts: &[Self]) -> Option<Vec<LongContext>> {
        let one = |long: &Self| {
            let above_input_tokens = long.above_input_tokens;
            Some(LongContext { above_input_tokens, rates: long.rates.rates().ok()? })
        };
        texts.iter().map(one).collect()
    }
}

impl RatesText {
    /// The rates, or the name of the one that is no amount.
    ///
    /// # Errors
    /// The field's name.
    pub fn rates(&self) -> Result<Rates, &'static str> {
        let read = |name, text: &str| Rate::from_usd(text).ok_or(name);
        let own = |name, text: &Option<String>, other| match text {
            Some(text) => read(name, text),
            None => Ok(other),
        };
        let input = read("input", &self.input)?;
        let output = read("output", &self.output)?;
        let cache_write_5m = own("cache_write_5m", &self.cache_write_5m, input)?;
        Ok(Rates {
            input,
            cached_input: own("cached_input", &self.cached_input, input)?,
            cache_write_5m,
            cache_write_1h: own("cache_write_1h", &self.cache_write_1h, cache_write_5m)?,
            output,
            reasoning: own("reasoning", &self.reasoning, output)?,
        })
    }
}

impl Row {
    fn known(&self) -> Option<Known> {
        let tier = |(tier, text): (&ServiceTier, &TierText)| {
            let long_context = LongText::all(&text.long_context)?;
            Some(TierPrice { tier: *tier, rates: text.rates.rates().ok()?, long_context })
        };
        let per_search = self.per_search.as_deref().map_or_else(|| Some(Rate::default()), Rate::from_usd)?;
        let price = Price {
            rates: self.rates.rates().ok()?,
            long_context: LongText::all(&self.long_context)?,
            tiers: self.tiers.iter().map(tier).collect::<Option<_>>()?,
            per_request: NanoUsd(0),
            per_search: NanoUsd(per_search.nano_usd_per_million()),
            origin: Origin::Catalogue,
        };
        Some(Known { price, context_tokens: self.context_tokens, max_output_tokens: self.max_output_tokens })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_complete_and_says_where_it_comes_from() {
        assert!(Catalogue::load().is_ok());
        let file: serde_json::Value = serde_json::from_str(TEXT).expect("JSON");
        let sources = file["sources"].as_object().expect("sources");
        for source in sources.values() {
            assert!(
                source["what"].is_string() && source["as_of"].as_str().is_some_and(|date| date.len() == 10)
            );
            assert!(matches!(source["standing"].as_str(), Some("verified" | "second_hand")));
        }
        let mut seen = BTreeSet::new();
        for row in file["models"].as_array().expect("models") {
            let name = format!("{}/{}", row["provider"], row["model"]);
            let from = row["sources"].as_array().expect("sources");
            assert!(!from.is_empty(), "{name}");
            assert!(from.iter().all(|own| sources.contains_key(own.as_str().expect("text"))), "{name}");
            let bounds: Vec<u64> = row["long_context"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|long| long["above_input_tokens"].as_u64().expect("a number"))
                .collect();
            assert!(bounds.is_sorted(), "{name}");
            assert!(seen.insert(name.clone()), "{name} twice");
        }
        assert!(seen.len() > 100);
    }

    #[test]
    fn finds_exact_names_only() {
        let catalogue = Catalogue::load().expect("compiled in");
        let known = catalogue.find("anthropic", "claude-sonnet-4-5").expect("listed");
        assert_eq!(known.price.rates.input, Rate::from_usd("3").expect("a rate"));
        assert_eq!(known.price.rates.cache_write_1h, Rate::from_usd("6").expect("a rate"));
        assert!(known.context_tokens.is_some());
        assert_eq!(catalogue.find("anthropic", "claude-sonnet-4-5x"), None);
        assert_eq!(catalogue.find("openai", "claude-sonnet-4-5"), None);
    }
}
