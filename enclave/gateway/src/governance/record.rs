//! What the sealed store keeps of keys and groups. No secret: tags under the pepper at most.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::Policy;
use super::secret::TAG;

/// A key, without its secrets' bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Public part of its secrets; the same after each rotation.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whom it belongs to.
    pub owner: Owner,
    /// Who made it.
    pub created_by: String,
    /// When, milliseconds since 1970.
    pub created_at_ms: u64,
    /// From when on it is refused.
    pub expires_at_ms: Option<u64>,
    /// Whether it is good.
    pub status: Status,
    /// Its secrets, oldest first; more than one during a rotation.
    pub secrets: Vec<SecretVersion>,
    /// What it may do, within what its owners may.
    pub policy: Policy,
    /// For reports, and for acting on many keys at once.
    pub tags: Vec<String>,
    /// Words of the operator's own.
    pub metadata: BTreeMap<String, String>,
}

/// Whom a key belongs to: groups by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The organisation.
    pub org: String,
    /// The team.
    #[serde(default)]
    pub team: Option<String>,
    /// The user; nobody for a service.
    #[serde(default)]
    pub user: Option<String>,
}

/// Whether a key is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is.
    Active,
    /// Not for now.
    Blocked,
    /// Never again.
    Revoked,
}

/// One secret of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// Counts from 1.
    pub version: u32,
    /// See [`super::secret::Pepper::tag`].
    pub tag: [u8; TAG],
    /// When it was made.
    pub created_at_ms: u64,
    /// Until when it is good; for ever while it is the newest.
    pub valid_until_ms: Option<u64>,
}

/// An organisation, team or user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Unique within its kind.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The organisation of a team or user.
    pub org: Option<String>,
    /// The team of a user.
    pub team: Option<String>,
    /// Nothing below it is good while this is set.
    pub blocked: bool,
    /// What everything below it may do.
    pub policy: Policy,
    /// Who made it.
    pub created_by: String,
    /// When, milliseconds since 1970.
    pub created_at_ms: u64,
}
