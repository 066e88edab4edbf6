//! What goes into the admin API and comes out of it.

use std::collections::BTreeMap;

use gateway::governance::Policy;
use gateway::governance::record::{GroupRecord, KeyRecord, Owner, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::identity::{AdminKeyRecord, Reach, Role};

/// Most bytes of a name.
pub const MAX_NAME: usize = 128;

/// A group to be made or put in the place of another.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupInput {
    /// Unique within its kind; must be the path's where the path names one.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._@-]{1,64}$"))]
    pub id: String,
    /// What people call it.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub name: String,
    /// The organisation of a team or user. Other kinds have none.
    #[serde(default)]
    pub org: Option<String>,
    /// The team of a user.
    #[serde(default)]
    pub team: Option<String>,
    /// Nothing below it is good while this is set.
    #[serde(default)]
    pub blocked: bool,
    /// What everything below it may do.
    #[serde(default)]
    pub policy: Policy,
}

/// A group.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct GroupView {
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

impl From<GroupRecord> for GroupView {
    fn from(own: GroupRecord) -> Self {
        let GroupRecord { id, name, org, team, blocked, policy, created_by, created_at_ms } = own;
        Self { id, name, org, team, blocked, policy, created_by, created_at_ms }
    }
}

/// A key to be made or changed.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    /// What people call it.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub name: String,
    /// Whom it belongs to.
    pub owner: Owner,
    /// From when on it is refused, milliseconds since 1970.
    #[serde(default)]
    pub expires_at_ms: Option<u64>,
    /// What it may do, within what its owners may. A key that states no models has none.
    #[serde(default)]
    pub policy: Policy,
    /// For reports, budgets of tags, and acting on many keys at once.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub tags: Vec<String>,
    /// Words of your own.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub metadata: BTreeMap<String, String>,
}

/// A key, without its secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct KeyView {
    /// Public part of its secrets; the same after each rotation.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whom it belongs to.
    pub owner: Owner,
    /// Whether it is good.
    pub status: Status,
    /// From when on it is refused, milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// What it may do, within what its owners may.
    pub policy: Policy,
    /// Its tags.
    pub tags: Vec<String>,
    /// The operator's own words.
    pub metadata: BTreeMap<String, String>,
    /// Who made it.
    pub created_by: String,
    /// When, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Its secrets, oldest first: during a rotation there are two.
    pub secrets: Vec<SecretView>,
}

/// What may be known of a secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SecretView {
    /// Counts from 1.
    pub version: u32,
    /// When it was made: its age.
    pub created_at_ms: u64,
    /// Until when it is good, if it has been replaced.
    pub valid_until_ms: Option<u64>,
}

impl From<KeyRecord> for KeyView {
    fn from(own: KeyRecord) -> Self {
        let secret = |own: gateway::governance::record::SecretVersion| SecretView {
            version: own.version,
            created_at_ms: own.created_at_ms,
            valid_until_ms: own.valid_until_ms,
        };
        Self {
            id: own.id,
            name: own.name,
            owner: own.owner,
            status: own.status,
            expires_at_ms: own.expires_at_ms,
            policy: own.policy,
            tags: own.tags,
            metadata: own.metadata,
            created_by: own.created_by,
            created_at_ms: own.created_at_ms,
            secrets: own.secrets.into_iter().map(secret).collect(),
        }
    }
}

/// A key that was just made or got a new secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Minted {
    /// The secret. Shown this once; nobody can show it again. Null when the same request is answered a second time.
    pub secret: Option<String>,
    /// The key.
    pub key: KeyView,
}

/// How a key gets a new secret.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// How long the secret before stays good, in seconds; at most 30 days.
    #[schemars(range(max = 2_592_000))]
    pub grace_seconds: u32,
}

/// Whether a key is good.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusInput {
    /// What it becomes. What is revoked stays revoked.
    pub status: Status,
}

/// Which keys to revoke: all that fit everything that is stated.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Of this organisation.
    pub org: Option<String>,
    /// Of this team.
    pub team: Option<String>,
    /// Of this user.
    pub user: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
}

/// How many were revoked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Revoked {
    /// Their ids.
    pub revoked: Vec<String>,
}

/// An admin key to be made.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminKeyInput {
    /// What people call it.
    #[schemars(length(max = 128))]
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Where it holds.
    #[serde(default)]
    pub reach: Reach,
    /// What it may hand on at most; everything within its reach unless stated.
    #[serde(default)]
    pub ceiling: Option<Policy>,
    /// Until when it is good, milliseconds since 1970.
    #[serde(default)]
    pub expires_at_ms: Option<u64>,
}

/// An admin key, without its secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AdminKeyView {
    /// Public part of its secret.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Where it holds.
    pub reach: Reach,
    /// Until when it is good.
    pub expires_at_ms: Option<u64>,
    /// Who made it.
    pub created_by: String,
    /// When, milliseconds since 1970.
    pub created_at_ms: u64,
}

impl From<AdminKeyRecord> for AdminKeyView {
    fn from(own: AdminKeyRecord) -> Self {
        let AdminKeyRecord { id, name, role, reach, expires_at_ms, created_by, created_at_ms, .. } = own;
        Self { id, name, role, reach, expires_at_ms, created_by, created_at_ms }
    }
}

/// An admin key that was just made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MintedAdmin {
    /// The secret. Shown this once. Null when the same request is answered a second time.
    pub secret: Option<String>,
    /// The key.
    pub key: AdminKeyView,
}

/// The one-time code whose hash is in the configuration.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimInput {
    /// The code.
    #[schemars(length(max = 256))]
    pub code: String,
}

/// Who asks.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WhoAmI {
    /// For records.
    pub id: String,
    /// The role.
    pub role: Role,
    /// Where it holds.
    pub reach: Reach,
}

/// What was spent of one budget.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BudgetView {
    /// The budget, with its rule.
    pub budget: gateway::governance::Budget,
    /// Spent in the window, by all replicas, as far as this one knows.
    pub spent: u64,
    /// Held by requests in flight on this replica.
    pub reserved: u64,
    /// What this replica may still spend before it asks the store for more.
    pub leased: Option<u64>,
}

/// What was spent of all budgets of a scope.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BudgetsView {
    /// Each of them.
    pub budgets: Vec<BudgetView>,
}

/// Keys that may use a model.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AccessView {
    /// Their ids.
    pub keys: Vec<String>,
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next begins: the value for `after`; null on the last page.
    pub next: Option<String>,
}
