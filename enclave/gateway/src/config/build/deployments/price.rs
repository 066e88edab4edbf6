//! Finds a deployment's price, and checks one that the configuration states.

use std::sync::Arc;

use super::value;
use crate::chat::ServiceTier;
use crate::config::{ConfigError, DeploymentConfig, LongContextConfig, PriceConfig};
use crate::price::catalogue::{Known, RatesText};
use crate::price::{LongContext, NanoUsd, Origin, Price, Rate, TierPrice};

/// The rates of any of the tables that state some.
macro_rules! rates {
    ($own:expr) => {
        RatesText {
            input: $own.input.clone(),
            output: $own.output.clone(),
            cached_input: $own.cached_input.clone(),
            cache_write_5m: $own.cache_write_5m.clone(),
            cache_write_1h: $own.cache_write_1h.clone(),
            reasoning: $own.reasoning.clone(),
        }
    };
}

/// The price that the configuration states, or else the catalogue's; nobody is paid for what runs in here.
pub(super) fn of(
    name: &str,
    own: &DeploymentConfig,
    internal: bool,
    known: Option<&Known>,
) -> Result<Option<Arc<Price>>, ConfigError> {
    Ok(match &own.price {
        Some(own) => Some(Arc::new(stated(name, own)?)),
        None if internal => Some(Arc::new(Price::nothing())),
        None => known.map(|known| Arc::new(known.price.clone())),
    })
}

fn stated(name: &str, own: &PriceConfig) -> Result<Price, ConfigError> {
    let path = format!("deployments.{name}.price");
    let amount = |key: &str, text: &Option<String>| match text.as_deref().map(Rate::from_usd) {
        None => Ok(NanoUsd(0)),
        Some(Some(amount)) => Ok(NanoUsd(amount.nano_usd_per_million())),
        Some(None) => Err(value(format!("{path}.{key}"), AMOUNT.to_owned())),
    };
    let rates = rates!(own);
    let stated = [
        (ServiceTier::Batch, "batch", &own.tiers.batch),
        (ServiceTier::Flex, "flex", &own.tiers.flex),
        (ServiceTier::Priority, "priority", &own.tiers.priority),
    ];
    let mut tiers = Vec::with_capacity(stated.len());
    for (tier, word, text) in stated {
        let Some(text) = text else { continue };
        let path = format!("{path}.tiers.{word}");
        let rates = rates!(text).rates().map_err(|key| value(format!("{path}.{key}"), AMOUNT.to_owned()))?;
        tiers.push(TierPrice { tier, rates, long_context: long_context(&path, &text.long_context)? });
    }
    Ok(Price {
        rates: rates.rates().map_err(|key| value(format!("{path}.{key}"), AMOUNT.to_owned()))?,
        long_context: long_context(&path, &own.long_context)?,
        tiers,
        per_request: amount("per_request", &own.per_request)?,
        per_search: amount("per_search", &own.per_search)?,
        origin: Origin::Configuration,
    })
}

fn long_context(path: &str, texts: &[LongContextConfig]) -> Result<Vec<LongContext>, ConfigError> {
    let mut all: Vec<LongContext> = Vec::with_capacity(texts.len());
    for (place, long) in texts.iter().enumerate() {
        let path = format!("{path}.long_context[{place}]");
        let above_input_tokens = long.above_input_tokens;
        if all.last().is_some_and(|before| before.above_input_tokens >= above_input_tokens) {
            return Err(value(format!("{path}.above_input_tokens"), "more than the one before".to_owned()));
        }
        let rates = rates!(long).rates().map_err(|key| value(format!("{path}.{key}"), AMOUNT.to_owned()))?;
        all.push(LongContext { above_input_tokens, rates });
    }
    Ok(all)
}

const AMOUNT: &str = "dollars as decimal text such as \"2.50\", with at most nine decimals";
