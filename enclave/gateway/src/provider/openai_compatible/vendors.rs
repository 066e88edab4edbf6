//! The table: addresses, authentication and [`Quirks`] of every compatible vendor.
//!
//! Vendors whose enclaves can be verified stand here like any other: this program does not verify them yet, so nothing
//! sent to them counts as attested, and the configuration cannot say so either.

use super::quirks::{AsksForUsage, NONE, Quirks};
use crate::provider::Authentication;
use crate::wire::dialect::Weight;

/// One vendor.
pub struct Vendor {
    /// `gen_ai.provider.name`.
    pub name: &'static str,
    /// Public address, up to and including the version.
    pub base_url: Option<&'static str>,
    /// How the credential is sent.
    pub authentication: Authentication,
    /// Has the Responses API beside chat completions.
    pub responses: bool,
    /// Says in `usage` what an answer cost.
    pub reports_cost: bool,
    /// For which models it has the older completions API.
    pub completions: Completions,
    /// What its API takes otherwise than `OpenAI`'s.
    pub quirks: Quirks,
}

/// For which models a vendor has the completions API; for all others a prompt becomes a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completions {
    /// For all.
    All,
    /// For those of `OpenAI`'s that only complete: it refuses models that chat.
    Instruct,
    /// For none.
    None,
}

impl Completions {
    /// Whether it has it for the model of that name.
    pub fn for_model(self, model: &str) -> bool {
        match self {
            Self::All => true,
            Self::Instruct => model.contains("instruct") || ["babbage-002", "davinci-002"].contains(&model),
            Self::None => false,
        }
    }
}

/// Every compatible vendor; addresses from the vendors' own API references.
pub const VENDORS: &[Vendor] = &[
    Vendor {
        completions: Completions::All,
        quirks: CEREBRAS,
        ..vendor("cerebras", "https://api.cerebras.ai/v1")
    },
    Vendor { completions: Completions::All, ..vendor("deepinfra", "https://api.deepinfra.com/v1/openai") },
    Vendor { quirks: OLD_LIMIT, ..vendor("deepseek", "https://api.deepseek.com/v1") },
    Vendor { completions: Completions::All, ..vendor("fireworks", "https://api.fireworks.ai/inference/v1") },
    Vendor { quirks: GROQ, ..vendor("groq", "https://api.groq.com/openai/v1") },
    Vendor { quirks: MISTRAL, ..vendor("mistral_ai", "https://api.mistral.ai/v1") },
    vendor("near_ai", "https://cloud-api.near.ai/v1"),
    Vendor { completions: Completions::All, ..vendor("nebius", "https://api.studio.nebius.com/v1") },
    own("ollama"),
    Vendor {
        completions: Completions::Instruct,
        responses: true,
        ..vendor("openai", "https://api.openai.com/v1")
    },
    // Any other: llama.cpp, a private gateway. The configuration names the address.
    own("openai_compatible"),
    Vendor {
        completions: Completions::All,
        reports_cost: true,
        ..vendor("openrouter", "https://openrouter.ai/api/v1")
    },
    Vendor { quirks: PERPLEXITY, reports_cost: true, ..vendor("perplexity", "https://api.perplexity.ai") },
    vendor("redpill", "https://api.redpill.ai/v1"),
    vendor("sambanova", "https://api.sambanova.ai/v1"),
    Vendor { quirks: SALTED, ..own("sglang") },
    // Its router sets a salt of its own and drops ours.
    vendor("tinfoil", "https://inference.tinfoil.sh/v1"),
    Vendor {
        completions: Completions::All,
        quirks: OLD_LIMIT,
        ..vendor("together", "https://api.together.xyz/v1")
    },
    Vendor { quirks: SALTED, ..own("vllm") },
    Vendor { responses: true, reports_cost: true, ..vendor("x_ai", "https://api.x.ai/v1") },
];

const fn vendor(name: &'static str, base_url: &'static str) -> Vendor {
    Vendor {
        name,
        base_url: Some(base_url),
        authentication: Authentication::Bearer,
        responses: false,
        reports_cost: false,
        completions: Completions::None,
        quirks: NONE,
    }
}

/// A server that one runs oneself.
const fn own(name: &'static str) -> Vendor {
    Vendor {
        name,
        base_url: None,
        authentication: Authentication::OptionalBearer,
        responses: false,
        reports_cost: false,
        completions: Completions::All,
        quirks: NONE,
    }
}

/// A prompt cache that all of its clients share, unless they are told apart.
const SALTED: Quirks = Quirks { cache_salt: true, ..NONE };

/// The answer's limit has its older name only.
const OLD_LIMIT: Quirks = Quirks { renames: &[("max_completion_tokens", "max_tokens")], ..NONE };

/// "Extra inputs are not permitted": unknown fields are refused, not ignored. Usage is on the last chunk by itself.
const MISTRAL: Quirks = Quirks {
    renames: &[("max_completion_tokens", "max_tokens"), ("seed", "random_seed")],
    refuses: &[
        ("logit_bias", Weight::Meaning),
        ("logprobs", Weight::Meaning),
        ("top_logprobs", Weight::Meaning),
        ("metadata", Weight::Hint),
        ("prompt_cache_key", Weight::Hint),
        ("safety_identifier", Weight::Hint),
        ("service_tier", Weight::Hint),
        ("store", Weight::Hint),
        ("user", Weight::Hint),
    ],
    most: &[("temperature", "1.5")],
    usage: AsksForUsage::Never,
    ..NONE
};

/// "The following fields are currently not supported and will result in a 400 error".
const GROQ: Quirks = Quirks {
    refuses: &[
        ("logit_bias", Weight::Meaning),
        ("logprobs", Weight::Meaning),
        ("n", Weight::Meaning),
        ("top_logprobs", Weight::Meaning),
    ],
    ..NONE
};

/// The fields that its compatibility page lists as answered with 400.
const CEREBRAS: Quirks = Quirks {
    refuses: &[
        ("frequency_penalty", Weight::Meaning),
        ("logit_bias", Weight::Meaning),
        ("presence_penalty", Weight::Meaning),
        ("service_tier", Weight::Hint),
    ],
    ..NONE
};

/// Usage comes on every chunk by itself; tools and several choices do not exist.
const PERPLEXITY: Quirks = Quirks {
    renames: &[("max_completion_tokens", "max_tokens")],
    refuses: &[
        ("logit_bias", Weight::Meaning),
        ("n", Weight::Meaning),
        ("tool_choice", Weight::Meaning),
        ("tools", Weight::Meaning),
        ("metadata", Weight::Hint),
        ("service_tier", Weight::Hint),
        ("store", Weight::Hint),
        ("user", Weight::Hint),
    ],
    usage: AsksForUsage::Never,
    ..NONE
};
