//! `[admin]`: who may administer.

use std::collections::{BTreeMap, BTreeSet};

use gateway::config::SecretReference;
use serde::Deserialize;

use super::{Address, ServiceUrl, address};

/// `[admin]`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// Where administrators are served, as `listen.address` is written. Attested as that one is.
    #[serde(deserialize_with = "address")]
    pub address: Address,
    /// SHA-256 of the code that makes the first administrator, once; lower-case hex. Clients see it, so nobody can put
    /// another in its place.
    #[serde(default)]
    pub claim_sha256: Option<String>,
    /// Identity providers whose tokens are taken.
    #[serde(default)]
    pub oidc: Vec<OidcConfig>,
    /// Who is told when a budget crosses one of its thresholds.
    #[serde(default)]
    pub webhooks: Vec<WebhookConfig>,
}

/// `[[admin.webhooks]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where notices are posted. Nobody but the configuration chooses it, and clients see it.
    pub url: ServiceUrl,
    /// Reference to the secret that signs them: 32 bytes or more, which the receiver has too.
    pub secret: SecretReference,
}

/// Most receivers.
const MAX_WEBHOOKS: usize = 16;

impl AdminConfig {
    /// What is wrong with it, if anything: the key, and what it must be.
    pub(super) fn problem(&self) -> Option<(&'static str, &'static str)> {
        let hex = |own: &String| attestation::digest::Sha256::from_hex(own).is_ok();
        if !self.claim_sha256.as_ref().is_none_or(hex) {
            return Some(("admin.claim_sha256", "64 lower-case hexadecimal digits"));
        }
        if self.claim_sha256.is_none() && self.oidc.is_empty() {
            return Some(("admin", "claim_sha256 or an identity provider: nobody could administer"));
        }
        if self.oidc.iter().any(|own| own.jwks.is_some() == own.jwks_url.is_some()) {
            return Some(("admin.oidc", "either 'jwks' or 'jwks_url' in each"));
        }
        let distinct: BTreeSet<String> = self.webhooks.iter().map(|own| own.url.to_string()).collect();
        if self.webhooks.len() > MAX_WEBHOOKS || distinct.len() < self.webhooks.len() {
            return Some(("admin.webhooks", "at most 16, each with an address of its own"));
        }
        None
    }

    /// Whether anything of it is reached over the network.
    pub fn is_networked(&self) -> bool {
        !self.webhooks.is_empty() || self.oidc.iter().any(|own| own.jwks_url.is_some())
    }

    /// What clients may know.
    pub(super) fn public(&self) -> serde_json::Value {
        let keys = |own: &OidcConfig| own.jwks_url.as_ref().map(ToString::to_string);
        serde_json::json!({
            "claim_sha256": self.claim_sha256,
            "oidc": self.oidc.iter().map(|own| own.issuer.as_str()).collect::<Vec<_>>(),
            "oidc_keys_from": self.oidc.iter().filter_map(keys).collect::<Vec<_>>(),
            "webhooks": self.webhooks.iter().map(|own| own.url.to_string()).collect::<Vec<_>>(),
        })
    }
}

/// `[[admin.oidc]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// `iss` of its tokens, exactly.
    pub issuer: String,
    /// `aud` that its tokens must have.
    pub audience: String,
    /// Its keys, a JSON Web Key Set (RFC 7517) as text.
    #[serde(default)]
    pub jwks: Option<String>,
    /// Or where its keys are fetched, again and again: `jwks_uri` of its discovery document. The host carries the bytes;
    /// the certificate is checked here.
    #[serde(default)]
    pub jwks_url: Option<ServiceUrl>,
    /// Where in a token the role is: a JSON pointer; `/role` unless stated.
    #[serde(default = "role_pointer")]
    pub role: String,
    /// Where the organisation is; `/org` unless stated.
    #[serde(default = "org_pointer")]
    pub org: String,
    /// Where the team is; `/team` unless stated.
    #[serde(default = "team_pointer")]
    pub team: String,
    /// Our roles by the provider's own words; a role's own name unless stated.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
}

fn role_pointer() -> String {
    "/role".to_owned()
}

fn org_pointer() -> String {
    "/org".to_owned()
}

fn team_pointer() -> String {
    "/team".to_owned()
}
