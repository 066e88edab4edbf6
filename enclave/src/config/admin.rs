//! `[admin]`: who may administer.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Address, address};

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
    pub jwks: String,
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
