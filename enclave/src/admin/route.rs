//! Every route of the admin API: the one table from which the router, the document and the test of roles are made.

use gateway::governance::ScopeKind;
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};

use super::identity::Permission;
use super::objects as of;

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes the first administrator.
    Claim,
    /// Says who asks.
    WhoAmI,
    /// Gives the document.
    Document,
    /// Lists groups.
    ListGroups(ScopeKind),
    /// Makes a group.
    CreateGroup(ScopeKind),
    /// Shows a group.
    ShowGroup(ScopeKind),
    /// Puts a group in the place of what is there.
    ReplaceGroup(ScopeKind),
    /// Removes a group.
    DeleteGroup(ScopeKind),
    /// What a group or key has spent.
    ShowBudgets(ScopeKind),
    /// Lists keys.
    ListKeys,
    /// Makes a key.
    CreateKey,
    /// Shows a key.
    ShowKey,
    /// Changes a key.
    ReplaceKey,
    /// Gives a key a new secret.
    RotateKey,
    /// Blocks, unblocks or revokes a key.
    SetKeyStatus,
    /// Revokes many keys.
    RevokeKeys,
    /// Which keys may use a model.
    ShowAccess,
    /// Lists admin keys.
    ListAdmins,
    /// Makes an admin key.
    CreateAdmin,
    /// Removes an admin key.
    DeleteAdmin,
}

impl Action {
    /// Kind of thing and verb, as the audit log names acts.
    pub const fn words(self) -> (&'static str, &'static str) {
        const fn group(kind: ScopeKind) -> &'static str {
            match kind {
                ScopeKind::Org => "organisation",
                ScopeKind::Team => "team",
                ScopeKind::User => "user",
                ScopeKind::Tag => "tag",
                ScopeKind::Key => "virtual_key",
            }
        }
        match self {
            Self::Claim => ("admin_key", "claim"),
            Self::WhoAmI => ("admin_key", "who"),
            Self::Document => ("document", "show"),
            Self::ListGroups(kind) => (group(kind), "list"),
            Self::CreateGroup(kind) => (group(kind), "create"),
            Self::ShowGroup(kind) => (group(kind), "show"),
            Self::ReplaceGroup(kind) => (group(kind), "replace"),
            Self::DeleteGroup(kind) => (group(kind), "delete"),
            Self::ShowBudgets(kind) => (group(kind), "budgets"),
            Self::ListKeys => ("virtual_key", "list"),
            Self::CreateKey => ("virtual_key", "create"),
            Self::ShowKey => ("virtual_key", "show"),
            Self::ReplaceKey => ("virtual_key", "replace"),
            Self::RotateKey => ("virtual_key", "rotate"),
            Self::SetKeyStatus => ("virtual_key", "status"),
            Self::RevokeKeys => ("virtual_key", "revoke"),
            Self::ShowAccess => ("virtual_key", "access"),
            Self::ListAdmins => ("admin_key", "list"),
            Self::CreateAdmin => ("admin_key", "create"),
            Self::DeleteAdmin => ("admin_key", "delete"),
        }
    }
}

/// How a schema is made.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One route.
#[derive(Clone, Copy)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path; `{id}` stands for one segment.
    pub path: &'static str,
    /// What it needs.
    pub needs: Permission,
    /// What it does.
    pub action: Action,
    /// What it takes.
    pub takes: Option<Shape>,
    /// What it gives; nothing for 204.
    pub gives: Option<Shape>,
    /// The status when all is well.
    pub status: u16,
    /// For people.
    pub summary: &'static str,
}

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn anything(_: &mut SchemaGenerator) -> Schema {
    Schema::from(true)
}

const fn route(
    method: &'static str,
    path: &'static str,
    needs: Permission,
    action: Action,
    (takes, gives): (Option<Shape>, Option<Shape>),
    summary: &'static str,
) -> Route {
    let status = match (gives.is_some(), action) {
        (false, _) => 204,
        (true, Action::Claim | Action::CreateGroup(_) | Action::CreateKey | Action::CreateAdmin) => 201,
        (true, _) => 200,
    };
    Route { method, path, needs, action, takes, gives, status, summary }
}

const GROUP: Option<Shape> = Some(shape::<of::GroupView>);
const GROUP_IN: Option<Shape> = Some(shape::<of::GroupInput>);
const GROUPS: Option<Shape> = Some(shape::<of::Page<of::GroupView>>);
const KEY: Option<Shape> = Some(shape::<of::KeyView>);
const KEY_IN: Option<Shape> = Some(shape::<of::KeyInput>);
const BUDGETS: Option<Shape> = Some(shape::<of::BudgetsView>);

macro_rules! group_routes {
    ($name:literal, $kind:expr, $write:expr) => {
        [
            route(
                "GET",
                concat!("/admin/v1/", $name),
                Permission::ReadGroups,
                Action::ListGroups($kind),
                (None, GROUPS),
                "List",
            ),
            route(
                "POST",
                concat!("/admin/v1/", $name),
                $write,
                Action::CreateGroup($kind),
                (GROUP_IN, GROUP),
                "Make one",
            ),
            route(
                "GET",
                concat!("/admin/v1/", $name, "/{id}"),
                Permission::ReadGroups,
                Action::ShowGroup($kind),
                (None, GROUP),
                "Show one",
            ),
            route(
                "PUT",
                concat!("/admin/v1/", $name, "/{id}"),
                $write,
                Action::ReplaceGroup($kind),
                (GROUP_IN, GROUP),
                "Put another in its place",
            ),
            route(
                "DELETE",
                concat!("/admin/v1/", $name, "/{id}"),
                $write,
                Action::DeleteGroup($kind),
                (None, None),
                "Remove one; nothing below it is good any more",
            ),
            route(
                "GET",
                concat!("/admin/v1/", $name, "/{id}/budgets"),
                Permission::ReadGroups,
                Action::ShowBudgets($kind),
                (None, BUDGETS),
                "What was spent",
            ),
        ]
    };
}

const ORGS: [Route; 6] = group_routes!("orgs", ScopeKind::Org, Permission::WriteOrgs);
const TEAMS: [Route; 6] = group_routes!("teams", ScopeKind::Team, Permission::WriteTeams);
const USERS: [Route; 6] = group_routes!("users", ScopeKind::User, Permission::WriteUsers);
const TAGS: [Route; 6] = group_routes!("tags", ScopeKind::Tag, Permission::WriteOrgs);

const OTHERS: [Route; 15] = [
    route(
        "POST",
        "/admin/v1/claim",
        Permission::Anyone,
        Action::Claim,
        (Some(shape::<of::ClaimInput>), Some(shape::<of::MintedAdmin>)),
        "Make the first administrator, once",
    ),
    route(
        "GET",
        "/admin/v1/whoami",
        Permission::Know,
        Action::WhoAmI,
        (None, Some(shape::<of::WhoAmI>)),
        "Who asks",
    ),
    route(
        "GET",
        "/admin/v1/openapi.json",
        Permission::Know,
        Action::Document,
        (None, Some(anything)),
        "This document",
    ),
    route(
        "GET",
        "/admin/v1/keys",
        Permission::ReadKeys,
        Action::ListKeys,
        (None, Some(shape::<of::Page<of::KeyView>>)),
        "List keys",
    ),
    route(
        "POST",
        "/admin/v1/keys",
        Permission::WriteKeys,
        Action::CreateKey,
        (KEY_IN, Some(shape::<of::Minted>)),
        "Make a key; its secret is shown this once",
    ),
    route(
        "POST",
        "/admin/v1/keys/revoke",
        Permission::WriteKeys,
        Action::RevokeKeys,
        (Some(shape::<of::Selection>), Some(shape::<of::Revoked>)),
        "Revoke all keys that fit",
    ),
    route("GET", "/admin/v1/keys/{id}", Permission::ReadKeys, Action::ShowKey, (None, KEY), "Show a key"),
    route(
        "PUT",
        "/admin/v1/keys/{id}",
        Permission::WriteKeys,
        Action::ReplaceKey,
        (KEY_IN, KEY),
        "Change a key",
    ),
    route(
        "POST",
        "/admin/v1/keys/{id}/rotate",
        Permission::WriteKeys,
        Action::RotateKey,
        (Some(shape::<of::Rotation>), Some(shape::<of::Minted>)),
        "Give a key a new secret",
    ),
    route(
        "POST",
        "/admin/v1/keys/{id}/status",
        Permission::WriteKeys,
        Action::SetKeyStatus,
        (Some(shape::<of::StatusInput>), KEY),
        "Block, unblock or revoke a key",
    ),
    route(
        "GET",
        "/admin/v1/keys/{id}/budgets",
        Permission::ReadKeys,
        Action::ShowBudgets(ScopeKind::Key),
        (None, BUDGETS),
        "What a key has spent",
    ),
    route(
        "GET",
        "/admin/v1/access",
        Permission::ReadKeys,
        Action::ShowAccess,
        (None, Some(shape::<of::AccessView>)),
        "Which keys may use a model",
    ),
    route(
        "GET",
        "/admin/v1/admin-keys",
        Permission::ReadAdmins,
        Action::ListAdmins,
        (None, Some(shape::<of::Page<of::AdminKeyView>>)),
        "List admin keys",
    ),
    route(
        "POST",
        "/admin/v1/admin-keys",
        Permission::WriteAdmins,
        Action::CreateAdmin,
        (Some(shape::<of::AdminKeyInput>), Some(shape::<of::MintedAdmin>)),
        "Make an admin key; its secret is shown this once",
    ),
    route(
        "DELETE",
        "/admin/v1/admin-keys/{id}",
        Permission::WriteAdmins,
        Action::DeleteAdmin,
        (None, None),
        "Remove an admin key",
    ),
];

/// Every route there is.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    OTHERS.iter().chain(&ORGS).chain(&TEAMS).chain(&USERS).chain(&TAGS)
}

/// A route that a request asks for.
#[derive(Clone, Copy)]
pub struct Matched<'p> {
    /// The route.
    pub route: &'static Route,
    /// What stands for `{id}`.
    pub id: &'p str,
}

/// Why no route was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// No such path.
    Path,
    /// The path has these methods and not the one that was asked.
    Method(Vec<&'static str>),
}

/// Finds the route. Paths are compared exactly: nothing is decoded or normalised, so nothing that looks different means
/// the same. A fixed segment wins over `{id}`.
///
/// # Errors
/// [`Unmatched`].
pub fn find<'p>(method: &str, path: &'p str) -> Result<Matched<'p>, Unmatched> {
    let fitting = || routes().filter_map(|route| fits(route.path, path).map(|id| Matched { route, id }));
    let fixed = fitting().any(|own| own.route.path == path);
    let candidates = || fitting().filter(|own| !fixed || own.route.path == path);
    match candidates().find(|own| own.route.method == method) {
        Some(found) => Ok(found),
        None if fitting().next().is_some() => {
            Err(Unmatched::Method(candidates().map(|own| own.route.method).collect()))
        }
        None => Err(Unmatched::Path),
    }
}

fn fits<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let mut id = "";
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(id),
            (Some("{id}"), Some(segment)) if is_id(segment) => id = segment,
            (Some(own), Some(segment)) if own == segment => {}
            _ => return None,
        }
    }
}

/// Whether it can be the id of something.
pub fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.bytes().all(|byte| byte == b'.')
}
