//! Finds a deployment's price, and checks one that the configuration states.

use std::sync::Arc;

use super::value;
use crate::config::{ConfigError, DeploymentConfig, PriceConfig};
use crate::price::catalogue::{Known, RatesText};
use crate::price::{LongContext, NanoUsd, Origin, Price, Rate};

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
    let wrong = |key: &str| value(format!("deployments.{name}.price.{key}"), AMOUNT.to_owned());
    let rates = RatesText {
        input: own.input.clone(),
        output: own.output.clone(),
        cached_input: own.cached_input.clone(),
        cache_write_5m: own.cache_write_5m.clone(),
        cache_write_1h: own.cache_write_1h.clone(),
        reasoning: own.reasoning.clone(),
    };
    let mut long_context: Vec<LongContext> = Vec::with_capacity(own.long_context.len());
    for (place, long) in own.long_context.iter().enumerate() {
        let rates = RatesText {
            input: long.input.clone(),
            output: long.output.clone(),
            cached_input: long.cached_input.clone(),
            cache_write_5m: long.cache_write_5m.clone(),
            cache_write_1h: long.cache_write_1h.clone(),
            reasoning: long.reasoning.clone(),
        };
        let above_input_tokens = long.above_input_tokens;
        if long_context.last().is_some_and(|before| before.above_input_tokens >= above_input_tokens) {
            let path = format!("deployments.{name}.price.long_context[{place}].above_input_tokens");
            return Err(value(path, "more than the one before".to_owned()));
        }
        let rates = rates.rates().map_err(|key| wrong(&format!("long_context[{place}].{key}")))?;
        long_context.push(LongContext { above_input_tokens, rates });
    }
    let per_request = match &own.per_request {
        Some(text) => Rate::from_usd(text).ok_or_else(|| wrong("per_request"))?,
        None => Rate::default(),
    };
    Ok(Price {
        rates: rates.rates().map_err(wrong)?,
        long_context,
        per_request: NanoUsd(per_request.nano_usd_per_million()),
        origin: Origin::Configuration,
    })
}

const AMOUNT: &str = "dollars as decimal text such as \"2.50\", with at most nine decimals";
