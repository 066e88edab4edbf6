//! What may be spent in a window of time. Whole numbers throughout: nano-dollars, tokens, requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pattern::{self, Pattern};
use super::policy::Flaw;
use super::window::Window;

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Money, in nano-dollars.
    NanoUsd,
    /// Requests.
    Requests,
    /// Tokens of prompts and answers together.
    Tokens,
}

/// What to do when a request could cost more than is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Shortens the longest answer that the upstream may give, as long as it stays useful.
    #[default]
    Elastic,
    /// Refuses it.
    Strict,
}

/// What to do when nothing is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Requests go on, and somebody is told.
    AllowAndAlert,
    /// Requests are refused, and answers that overrun are cut.
    #[default]
    Reject,
}

/// What a request for a model without a price does to a budget of money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPrice {
    /// It is refused.
    #[default]
    Reject,
    /// It counts for nothing.
    Zero,
}

/// What holds while the sealed store cannot be reached and the leased part is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreFailure {
    /// Requests are refused.
    #[default]
    Closed,
    /// Requests go on, up to the whole limit on each replica.
    Open,
}

/// A limit on spending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Its name, unique within the policy; 1 to 64 bytes.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$"))]
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// Most that may be spent in a window, in its unit.
    #[schemars(range(max = 9_000_000_000_000_000_000_u64))]
    pub limit: u64,
    /// The window.
    pub window: Window,
    /// Percentages of the limit at which somebody is told, once in a window; 1 to 100.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub soft_percent: Vec<u8>,
    /// What to do when a request could cost more than is left.
    #[serde(default)]
    pub fit: Fit,
    /// What to do when nothing is left.
    #[serde(default)]
    pub action: Action,
    /// Models whose requests count, by the name that clients ask for; all unless stated.
    #[serde(default)]
    pub models: Option<Vec<Pattern>>,
    /// See [`UnknownPrice`].
    #[serde(default)]
    pub unknown_price: UnknownPrice,
    /// See [`OnStoreFailure`].
    #[serde(default)]
    pub on_store_failure: OnStoreFailure,
}

/// Largest limit: sums of several stay within 64 bits.
pub const MAX_LIMIT: u64 = 9_000_000_000_000_000_000;

impl Budget {
    /// Whether it is complete and bounded.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), Flaw> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let flaw = |expected| Err(Flaw { field: "budgets", expected });
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            return flaw("names of 1 to 64 characters of A-Z a-z 0-9 . _ -");
        }
        if self.limit > MAX_LIMIT || !self.window.is_sound() {
            return flaw("a limit of at most 9000000000000000000 and a window within its bounds");
        }
        if self.soft_percent.len() > 8 || self.soft_percent.iter().any(|percent| !(1..=100).contains(percent))
        {
            return flaw("at most 8 percentages of 1 to 100");
        }
        Ok(())
    }

    /// Whether a request for that model counts.
    pub fn counts(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|own| pattern::any(own, model))
    }

    /// Whether it says more than `outer` does of the same thing.
    pub fn exceeds(&self, outer: &Self) -> bool {
        self.unit == outer.unit
            && self.window == outer.window
            && outer.models.is_none()
            && outer.action == Action::Reject
            && self.limit > outer.limit
    }

    /// So many hundredths of the limit.
    pub fn share(&self, percent: u8) -> u64 {
        let part = u128::from(self.limit).saturating_mul(u128::from(percent)).wrapping_div(100);
        u64::try_from(part).unwrap_or(u64::MAX)
    }
}
