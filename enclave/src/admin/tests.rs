use audit::entry::{Entry, Event};
use audit::tile::{Named, entries_path, read_entries};
use gateway::governance::ScopeKind;
use gateway::governance::secret::{PublicId, Purpose};
use ring::digest;
use serde_json::{Value, json};
use state::{RecordId, RootKey, Table};

use super::identity::{AdminKeyRecord, Reach, Role};
use super::*;
use crate::audit_log::Opened;

const CODE: &str = "one-time-code-of-the-operator";

struct World {
    api: AdminApi,
    root: String,
}

fn at(milliseconds: u64) -> Now {
    Now { unix_ms: 1_800_000_000_000 + milliseconds, monotonic: Duration::from_millis(milliseconds) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

async fn unclaimed(log: Option<Arc<AuditLog>>) -> AdminApi {
    let store = Store::memory(&RootKey::new([3; 32]));
    let (governor, _) = Governor::open(store, [1; 16]).await.unwrap();
    let config = AdminConfig {
        address: "tcp:127.0.0.1:0".parse().unwrap(),
        claim_sha256: Some(hex(digest::digest(&digest::SHA256, CODE.as_bytes()).as_ref())),
        oidc: Vec::new(),
        webhooks: Vec::new(),
    };
    AdminApi::new(Arc::new(governor), &config, log).unwrap()
}

/// An organisation `acme` with teams `search` and `ads`, a user `ada` of `search`, and the first administrator.
async fn world() -> World {
    world_that_writes(None).await
}

async fn world_that_writes(log: Option<Arc<AuditLog>>) -> World {
    let api = unclaimed(log).await;
    let claimed = call(&api, "POST /admin/v1/claim", None, &[], &json!({ "code": CODE })).await;
    let root = claimed.1["secret"].as_str().unwrap().to_owned();
    let world = World { api, root };
    let policy = json!({ "allowed_models": ["*"] });
    for (path, body) in [
        ("orgs", json!({ "id": "acme", "policy": policy })),
        ("orgs", json!({ "id": "other", "policy": policy })),
        ("teams", json!({ "id": "search", "org": "acme", "policy": policy })),
        ("teams", json!({ "id": "ads", "org": "acme", "policy": policy })),
        ("users", json!({ "id": "ada", "org": "acme", "team": "search", "policy": policy })),
    ] {
        let (status, answer) = world.root(&format!("POST /admin/v1/{path}"), &body).await;
        assert_eq!(status, 201, "{answer}");
    }
    world
}

async fn answer(
    api: &AdminApi,
    what: &str,
    key: Option<&str>,
    headers: &[(&str, &str)],
    body: &Value,
) -> AdminAnswer {
    let (method, target) = what.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut all: Vec<(String, Vec<u8>)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    all.extend(key.map(|key| ("authorization".to_owned(), format!("Bearer {key}").into_bytes())));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    api.answer(&AdminRequest { method, path, query, headers: &all, body: body.as_bytes() }, at(0)).await
}

async fn call(
    api: &AdminApi,
    what: &str,
    key: Option<&str>,
    headers: &[(&str, &str)],
    body: &Value,
) -> (u16, Value) {
    let answer = answer(api, what, key, headers, body).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

impl World {
    async fn root(&self, what: &str, body: &Value) -> (u16, Value) {
        self.by(&self.root, what, body).await
    }

    async fn by(&self, key: &str, what: &str, body: &Value) -> (u16, Value) {
        call(&self.api, what, Some(key), &[], body).await
    }

    /// Changes with the `ETag` that is there now.
    async fn change(&self, key: &str, what: &str, body: &Value) -> (u16, Value) {
        let (_, path) = what.split_once(' ').unwrap();
        let shown = answer(&self.api, &format!("GET {path}"), Some(&self.root), &[], &Value::Null).await;
        let etag = shown.headers.iter().find(|(name, _)| *name == "etag").map(|(_, value)| value.clone());
        call(&self.api, what, Some(key), &[("if-match", &etag.unwrap_or_default())], body).await
    }

    async fn admin(&self, role: Role, reach: &Value, ceiling: Option<Value>) -> String {
        let mut body = json!({ "name": "a", "role": role, "reach": reach });
        if let Some(ceiling) = ceiling {
            body["ceiling"] = ceiling;
        }
        let (status, made) = self.root("POST /admin/v1/admin-keys", &body).await;
        assert_eq!(status, 201, "{made}");
        made["secret"].as_str().unwrap().to_owned()
    }

    async fn key(&self, team: &str) -> (String, String) {
        let body = json!({ "owner": { "org": "acme", "team": team }, "policy": { "allowed_models": ["gpt-*"] }, "tags": ["batch"] });
        let (status, made) = self.root("POST /admin/v1/keys", &body).await;
        assert_eq!(status, 201, "{made}");
        (made["key"]["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    }

    fn lets_in(&self, secret: &str) -> bool {
        self.api.governor.governance().find(secret.as_bytes(), at(0)).is_some()
    }
}

#[tokio::test]
async fn the_claim_code_works_once_and_for_its_owner() {
    let api = unclaimed(None).await;
    let claim = |code: &str| json!({ "code": code });
    assert_eq!(call(&api, "POST /admin/v1/claim", None, &[], &claim("guess")).await.0, 403);
    assert_eq!(call(&api, "POST /admin/v1/claim", None, &[], &claim(CODE)).await.0, 201);
    let (status, problem) = call(&api, "POST /admin/v1/claim", None, &[], &claim(CODE)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("already_claimed")));
}

#[tokio::test]
async fn a_key_is_made_shown_once_rotated_blocked_and_revoked_at_once() {
    let world = world().await;
    let (id, first) = world.key("search").await;
    assert!(world.lets_in(&first));
    let (_, shown) = world.root(&format!("GET /admin/v1/keys/{id}"), &Value::Null).await;
    assert!(!shown.to_string().contains(&first) && shown["secrets"][0]["version"] == 1, "{shown}");

    let rotated =
        world.root(&format!("POST /admin/v1/keys/{id}/rotate"), &json!({ "grace_seconds": 60 })).await;
    let second = rotated.1["secret"].as_str().unwrap().to_owned();
    assert!(world.lets_in(&first) && world.lets_in(&second), "both during the grace");
    let rotated = world.root(&format!("POST /admin/v1/keys/{id}/rotate"), &json!({})).await;
    let third = rotated.1["secret"].as_str().unwrap().to_owned();
    assert!(!world.lets_in(&first) && !world.lets_in(&second) && world.lets_in(&third));

    let status = format!("POST /admin/v1/keys/{id}/status");
    world.root(&status, &json!({ "status": "blocked" })).await;
    assert!(!world.lets_in(&third));
    world.root(&status, &json!({ "status": "active" })).await;
    assert!(world.lets_in(&third));
    world.root(&status, &json!({ "status": "revoked" })).await;
    assert!(!world.lets_in(&third));
    assert_eq!(world.root(&status, &json!({ "status": "active" })).await.0, 409, "for good");

    let (_, many) = world.key("search").await;
    let (_, others) = world.key("ads").await;
    let (_, revoked) =
        world.root("POST /admin/v1/keys/revoke", &json!({ "team": "search", "tag": "batch" })).await;
    assert_eq!(revoked["revoked"].as_array().unwrap().len(), 1);
    assert!(!world.lets_in(&many) && world.lets_in(&others));
    let (_, access) = world.root("GET /admin/v1/access?model=gpt-4", &Value::Null).await;
    assert_eq!(access["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_group_closes_everything_below_it() {
    let world = world().await;
    let (_, secret) = world.key("search").await;
    let body =
        json!({ "id": "search", "org": "acme", "blocked": true, "policy": { "allowed_models": ["*"] } });
    assert_eq!(world.change(&world.root, "PUT /admin/v1/teams/search", &body).await.0, 200);
    assert!(!world.lets_in(&secret));
    let body = json!({ "id": "search", "org": "acme", "policy": { "allowed_models": ["*"] } });
    world.change(&world.root, "PUT /admin/v1/teams/search", &body).await;
    assert!(world.lets_in(&secret));
    assert_eq!(world.change(&world.root, "DELETE /admin/v1/orgs/acme", &Value::Null).await.0, 204);
    assert!(!world.lets_in(&secret));
}

/// ST-05: every route with every role; the table of permissions and nothing else decides.
#[tokio::test]
async fn every_route_refuses_every_role_that_lacks_its_permission() {
    let world = world().await;
    let (_, inference) = world.key("search").await;
    let reach = |role| match role {
        Role::PlatformAdmin | Role::Auditor => json!({}),
        Role::OrgAdmin => json!({ "org": "acme" }),
        Role::TeamAdmin => json!({ "org": "acme", "team": "search" }),
        Role::Developer => json!({ "org": "acme", "team": "search", "user": "ada" }),
    };
    for role in Role::ALL {
        let key = world.admin(role, &reach(role), None).await;
        for route in route::routes() {
            let what = format!("{} {}", route.method, route.path.replace("{id}", "nothing-there"));
            let nobody = call(&world.api, &what, None, &[], &json!({})).await.0;
            let with_inference_key = call(&world.api, &what, Some(&inference), &[], &json!({})).await.0;
            if route.needs != Permission::Anyone {
                assert_eq!((nobody, with_inference_key), (401, 401), "{what}");
            }
            let (status, problem) = call(&world.api, &what, Some(&key), &[], &json!({})).await;
            let refused = status == 403 && problem["code"] == "forbidden";
            assert_eq!(refused, !role.may(route.needs), "{role:?} {what}: {status} {problem}");
            assert!(!matches!(status, 401 | 500..=599), "{role:?} {what}: {status}");
        }
    }
    // What each role may, in one place to be looked at.
    let rights = |role: Role| route::routes().filter(|own| role.may(own.needs)).count();
    assert_eq!(Role::ALL.map(rights), [20, 12, 30, 39, 27]);
}

/// ST-18: what is out of reach looks like what is not there.
#[tokio::test]
async fn what_belongs_to_others_is_not_found() {
    let world = world().await;
    let lead = world.admin(Role::TeamAdmin, &json!({ "org": "acme", "team": "search" }), None).await;
    let (own, _) = world.key("search").await;
    let (theirs, secret) = world.key("ads").await;
    for (what, body) in [
        (format!("GET /admin/v1/keys/{theirs}"), Value::Null),
        (format!("GET /admin/v1/keys/{theirs}/budgets"), Value::Null),
        (format!("POST /admin/v1/keys/{theirs}/rotate"), json!({})),
        (format!("POST /admin/v1/keys/{theirs}/status"), json!({ "status": "revoked" })),
        ("GET /admin/v1/teams/ads".to_owned(), Value::Null),
        ("GET /admin/v1/orgs/other".to_owned(), Value::Null),
        ("GET /admin/v1/teams/ads/budgets".to_owned(), Value::Null),
    ] {
        let (status, problem) = world.by(&lead, &what, &body).await;
        let missing =
            world.by(&lead, &what.replace(&theirs, "AAAAAAAAAAAA").replace("ads", "none"), &body).await;
        assert_eq!((status, &problem), (404, &missing.1), "{what}");
    }
    let put = json!({ "owner": { "org": "acme", "team": "search" } });
    assert_eq!(world.change(&lead, &format!("PUT /admin/v1/keys/{theirs}"), &put).await.0, 404);
    assert!(world.lets_in(&secret));
    let (_, listed) = world.by(&lead, "GET /admin/v1/keys", &Value::Null).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["items"][0]["id"], json!(own));
    let (_, revoked) = world.by(&lead, "POST /admin/v1/keys/revoke", &json!({ "org": "acme" })).await;
    assert_eq!(revoked["revoked"], json!([own]), "only within his reach");
    assert!(world.lets_in(&secret));
}

/// ST-06: nobody hands on what he does not have.
#[tokio::test]
async fn nobody_gives_more_than_he_has() {
    let world = world().await;
    let ceiling = json!({ "allowed_models": ["gpt-*"], "max_parallel": 5, "guardrails": ["pii"], "blocked_models": ["gpt-5"] });
    let reach = json!({ "org": "acme", "team": "search" });
    let lead = world.admin(Role::TeamAdmin, &reach, Some(ceiling)).await;
    let own = json!({ "org": "acme", "team": "search" });
    for (owner, policy, code) in [
        (json!({ "org": "acme", "team": "ads" }), json!({}), "exceeds_creator"),
        (json!({ "org": "acme" }), json!({}), "exceeds_creator"),
        (own.clone(), json!({ "allowed_models": ["*"] }), "exceeds_creator"),
        (own.clone(), json!({ "allowed_models": ["gpt-4"], "max_parallel": 6 }), "exceeds_creator"),
        (own.clone(), json!({ "allowed_ips": ["10.0.0.0/8"] }), "invalid"),
    ] {
        let (_, problem) =
            world.by(&lead, "POST /admin/v1/keys", &json!({ "owner": owner, "policy": policy })).await;
        assert_eq!(problem["code"], json!(code), "{owner} {policy}");
    }
    let body = json!({ "owner": own, "policy": { "allowed_models": ["gpt-*"] } });
    let (_, made) = world.by(&lead, "POST /admin/v1/keys", &body).await;
    let policy = &made["key"]["policy"];
    assert_eq!(
        (&policy["guardrails"], &policy["blocked_models"], &policy["max_parallel"]),
        (&json!(["pii"]), &json!(["gpt-5"]), &json!(5)),
        "what the ceiling demands comes along"
    );
    let user = json!({ "id": "bob", "org": "acme", "team": "search", "policy": { "allowed_models": ["*"] } });
    assert_eq!(world.by(&lead, "POST /admin/v1/users", &user).await.0, 403);
}

/// ST-06: a secret is a right, so it goes to nobody who could not have given it.
#[tokio::test]
async fn st_06_nobody_rotates_his_way_to_more_than_he_has() {
    let world = world().await;
    let reach = json!({ "org": "acme", "team": "search" });
    let ceiling = json!({ "allowed_models": ["gpt-4*"], "guardrails": ["pii"] });
    let lead = world.admin(Role::TeamAdmin, &reach, Some(ceiling)).await;
    let (id, secret) = world.key("search").await;
    for policy in [
        json!({ "allowed_models": ["gpt-*"], "guardrails": ["pii"] }),
        json!({ "allowed_models": ["gpt-4*"] }),
    ] {
        let body = json!({ "owner": reach, "policy": policy });
        assert_eq!(world.change(&world.root, &format!("PUT /admin/v1/keys/{id}"), &body).await.0, 200);
        let (status, problem) =
            world.by(&lead, &format!("POST /admin/v1/keys/{id}/rotate"), &json!({})).await;
        assert_eq!((status, &problem["code"]), (403, &json!("exceeds_creator")), "{policy}");
        assert!(world.lets_in(&secret), "nothing has changed");
    }
    // What takes nothing is his to do, and so is a key within his ceiling.
    let status = format!("POST /admin/v1/keys/{id}/status");
    assert_eq!(world.by(&lead, &status, &json!({ "status": "blocked" })).await.0, 200);
    let body = json!({ "owner": reach, "policy": { "allowed_models": ["gpt-4*"] } });
    let (_, own) = world.by(&lead, "POST /admin/v1/keys", &body).await;
    let rotate = format!("POST /admin/v1/keys/{}/rotate", own["key"]["id"].as_str().unwrap());
    assert_eq!(world.by(&lead, &rotate, &json!({})).await.0, 200);
}

/// ST-07, ST-18: an answer that was kept for one is never another's, and is lost with the right to ask.
#[tokio::test]
async fn st_18_an_idempotency_key_gives_nobody_what_he_may_not_have() {
    let world = world().await;
    let body = json!({ "owner": { "org": "acme", "team": "ads" }, "policy": { "allowed_models": ["*"] } });
    let again = [("idempotency-key", "a-key-of-the-caller")];
    let made = call(&world.api, "POST /admin/v1/keys", Some(&world.root), &again, &body).await;
    assert_eq!(made.0, 201);
    let auditor = world.admin(Role::Auditor, &json!({}), None).await;
    let lead = world.admin(Role::TeamAdmin, &json!({ "org": "acme", "team": "search" }), None).await;
    for (key, status) in [(auditor.as_str(), 403), (lead.as_str(), 403), ("psta_nobody", 401)] {
        let (found, problem) = call(&world.api, "POST /admin/v1/keys", Some(key), &again, &body).await;
        assert_eq!(found, status, "{problem}");
        assert!(!problem.to_string().contains(made.1["key"]["id"].as_str().unwrap()));
    }
    assert_eq!(call(&world.api, "POST /admin/v1/keys", None, &again, &body).await.0, 401);
    let id = &lead["psta_".len()..][..12];
    assert_eq!(world.root(&format!("DELETE /admin/v1/admin-keys/{id}"), &Value::Null).await.0, 204);
    assert_eq!(call(&world.api, "POST /admin/v1/keys", Some(&lead), &again, &body).await.0, 401);
}

#[tokio::test]
async fn a_request_sent_again_is_answered_again_and_not_done_again() {
    let world = world().await;
    let body = json!({ "owner": { "org": "acme" }, "policy": { "allowed_models": ["*"] } });
    let again = [("idempotency-key", "a-key-of-the-caller")];
    let first = call(&world.api, "POST /admin/v1/keys", Some(&world.root), &again, &body).await;
    let second = call(&world.api, "POST /admin/v1/keys", Some(&world.root), &again, &body).await;
    assert_eq!((first.0, second.0, &first.1["key"]), (201, 201, &second.1["key"]));
    assert!(first.1["secret"].is_string() && second.1["secret"].is_null(), "a secret is shown once");
    let other = json!({ "owner": { "org": "acme" }, "name": "another" });
    assert_eq!(call(&world.api, "POST /admin/v1/keys", Some(&world.root), &again, &other).await.0, 422);
    let auditor = world.admin(Role::PlatformAdmin, &json!({}), None).await;
    let third = call(&world.api, "POST /admin/v1/keys", Some(&auditor), &again, &body).await;
    assert_ne!(third.1["key"]["id"], first.1["key"]["id"], "of each caller his own");
    let (_, listed) = world.root("GET /admin/v1/keys", &Value::Null).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_remembered_of_requests_expires_and_goes() {
    let world = world().await;
    let (day, body) = (24 * 60 * 60 * 1000, json!({ "owner": { "org": "acme" } }).to_string());
    let make = async |key: &str, when: u64| {
        let headers = [
            ("authorization".to_owned(), format!("Bearer {}", world.root).into_bytes()),
            ("idempotency-key".to_owned(), key.as_bytes().to_vec()),
        ];
        let (method, path) = ("POST", "/admin/v1/keys");
        let request = AdminRequest { method, path, query: None, headers: &headers, body: body.as_bytes() };
        let answer = world.api.answer(&request, at(when)).await;
        serde_json::from_slice::<Value>(&answer.body).unwrap()["key"]["id"].to_string()
    };
    let places = async || crate::governance::all(world.api.store(), Table::IdempotencyKeys).await.unwrap();
    let first = make("first-key", 0).await;
    assert_eq!(make("first-key", day).await, first);
    let later = make("first-key", day + 1).await;
    assert_ne!(later, first, "a day is over");
    // many keys share places without taking each other's
    let mut made = Vec::new();
    for number in 0..300 {
        made.push(make(&format!("key-number-{number}"), 2 * day).await);
    }
    for (number, id) in made.iter().enumerate() {
        assert_eq!(make(&format!("key-number-{number}"), 2 * day).await, *id);
    }
    assert_eq!(make("first-key", 2 * day).await, later);
    repeats::sweep(world.api.store(), at(2 * day + 2)).await.unwrap();
    assert!((200..=300).contains(&places().await.len()), "{}", places().await.len());
    assert_ne!(make("first-key", 2 * day + 2).await, later);
    repeats::sweep(world.api.store(), at(4 * day)).await.unwrap();
    assert!(places().await.is_empty());
}

#[tokio::test]
async fn changes_need_what_was_read() {
    let world = world().await;
    let (id, _) = world.key("search").await;
    let path = format!("/admin/v1/keys/{id}");
    let body = json!({ "owner": { "org": "acme", "team": "search" }, "name": "new" });
    let put = format!("PUT {path}");
    assert_eq!(world.root(&put, &body).await.0, 428);
    let by = |etag: &'static str| {
        let (put, body) = (put.clone(), body.clone());
        let world = &world;
        async move { call(&world.api, &put, Some(&world.root), &[("if-match", etag)], &body).await.0 }
    };
    assert_eq!((by("*").await, by("\"v9\"").await), (400, 412));
    assert_eq!((by("\"v1\"").await, by("\"v1\"").await), (200, 412));
}

#[tokio::test]
async fn lists_come_in_pages_and_bad_input_is_refused() {
    let world = world().await;
    for _ in 0..7 {
        world.key("search").await;
    }
    let (mut seen, mut next) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let (status, page) = world.root(&format!("GET /admin/v1/keys?limit=3{next}"), &Value::Null).await;
        assert_eq!(status, 200, "{page}");
        for item in page["items"].as_array().unwrap() {
            assert!(seen.insert(item["id"].to_string()), "twice");
        }
        match page["next"].as_str() {
            Some(after) => next = format!("&after={after}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 7);
    for (what, body) in [
        ("GET /admin/v1/keys?limit=0", Value::Null),
        ("GET /admin/v1/keys?limit=101", Value::Null),
        ("GET /admin/v1/keys?sort=name;drop", Value::Null),
        ("GET /admin/v1/orgs/acme?x=1", Value::Null),
        ("POST /admin/v1/orgs", json!({ "id": "../acme" })),
        ("POST /admin/v1/orgs", json!({ "id": "a", "org": "acme" })),
        ("POST /admin/v1/orgs", json!({ "id": "a", "unknown": 1 })),
        ("POST /admin/v1/teams", json!({ "id": "a" })),
        ("POST /admin/v1/teams", json!({ "id": "a", "org": "missing" })),
        ("POST /admin/v1/keys", json!({ "owner": { "org": "acme", "team": "missing" } })),
        ("POST /admin/v1/keys", json!({ "owner": { "org": "other", "team": "search" } })),
        ("POST /admin/v1/keys", json!({ "owner": { "org": "acme" }, "tags": ["a b"] })),
        ("POST /admin/v1/keys/revoke", json!({})),
        (
            "POST /admin/v1/admin-keys",
            json!({ "name": "x", "role": "team_admin", "reach": { "org": "acme" } }),
        ),
    ] {
        let (status, problem) = world.root(what, &body).await;
        assert_eq!((status, &problem["code"]), (400, &json!("invalid")), "{what} {body}");
    }
    for (what, status) in [
        ("GET /admin/v1/keys/", 404),
        ("GET /admin/v1//keys", 404),
        ("GET /admin/v1/./keys", 404),
        ("GET /admin/v1/keys/%2e%2e", 404),
        ("GET /admin/v1/keys/..", 404),
        ("PATCH /admin/v1/keys", 405),
        ("GET /v1/models", 404),
    ] {
        assert_eq!(world.root(what, &Value::Null).await.0, status, "{what}");
    }
}

/// A log on a disk of its own.
fn log() -> (tempfile::TempDir, Arc<AuditLog>) {
    let folder = tempfile::tempdir().unwrap();
    let root = RootKey::new([6; 32]);
    let opened = Opened::open(folder.path(), &root, "postern/00/a".to_owned(), "a").unwrap();
    let log = opened.start(&root, Arc::default(), [1; 16], None, || "cf".to_owned()).unwrap();
    (folder, Arc::new(log))
}

/// Acts in the log, from this entry on.
async fn acts(log: &AuditLog, from: u64) -> (String, Vec<Admin>) {
    let size = log.head().tree_size;
    assert!(size <= 256, "one bundle");
    let named = Named::parse(&entries_path(0, size)).unwrap();
    let bundle = log.read(named).await.unwrap().unwrap();
    let lines = read_entries(&bundle, size).unwrap();
    let lines = &lines[usize::try_from(from).unwrap()..];
    let text = lines.iter().map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\n");
    let admin = |line: &&[u8]| match Entry::parse(line).unwrap().event {
        Event::Admin(admin) => Some(*admin),
        Event::Call(_) | Event::Lost { .. } | Event::Opened { .. } | Event::Stopped { .. } => None,
    };
    (text, lines.iter().filter_map(admin).collect())
}

#[tokio::test]
async fn every_act_is_in_the_log_before_it_is_answered_and_without_its_secrets() {
    let (_folder, log) = log();
    let world = world_that_writes(Some(Arc::clone(&log))).await;
    let from = log.head().tree_size;
    let (id, secret) = world.key("search").await;
    assert_eq!(log.head().tree_size, from + 2, "on the disk with the answer");
    call(&world.api, "POST /admin/v1/keys", None, &[], &json!({ "owner": { "org": "acme" } })).await;
    world.root(&format!("POST /admin/v1/keys/{id}/status"), &json!({ "status": "revoked" })).await;
    world.root(&format!("POST /admin/v1/keys/{id}/rotate"), &json!({})).await;
    world.root("GET /admin/v1/keys", &Value::Null).await;
    let auditor = world.admin(Role::Auditor, &json!({}), None).await;
    world.by(&auditor, "DELETE /admin/v1/orgs/acme", &Value::Null).await;
    let (text, acts) = acts(&log, from).await;
    let told: Vec<_> = acts.iter().map(|own| (own.action.as_str(), own.result.as_str())).collect();
    assert_eq!(
        told,
        [
            ("virtual_key.create", "begun"),
            ("virtual_key.create", "done"),
            ("virtual_key.create", "unauthenticated"),
            ("virtual_key.status", "begun"),
            ("virtual_key.status", "done"),
            ("virtual_key.rotate", "revoked"),
            ("admin_key.create", "begun"),
            ("admin_key.create", "done"),
            ("organisation.delete", "forbidden"),
        ]
    );
    let root = &world.root["psta_".len()..][..12];
    for (act, actor, role) in [(0, root, "platform_admin"), (2, "-", "none")] {
        assert_eq!((acts[act].actor.as_str(), acts[act].role.as_str()), (actor, role));
    }
    assert_eq!((acts[8].role.as_str(), acts[8].object_id.as_deref()), ("auditor", Some("acme")));
    let versions = |act: usize| (acts[act].version_before, acts[act].version_after);
    assert_eq!([versions(0), versions(1), versions(3), versions(4)], {
        [(None, None), (None, Some(1)), (Some(1), None), (None, Some(2))]
    });
    assert_eq!((acts[0].object_id.as_deref(), acts[1].begun), (Some(id.as_str()), Some(from)));
    let change = |act: usize, field: &str| {
        let own = acts[act].changed.iter().find(|own| own.field == field).unwrap();
        (own.before.clone().unwrap_or_default(), own.after.clone().unwrap_or_default())
    };
    assert_eq!(acts[3].changed.len(), 1, "only what differs");
    assert_eq!(change(3, "status"), ("active".to_owned(), "revoked".to_owned()));
    assert_eq!(change(0, "owner.team").1, "search");
    assert!(change(0, "policy.allowed_models").1.starts_with("hmac:") && !text.contains("gpt-"));
    assert!(!text.contains(&secret[20..]) && !text.contains(&world.root[20..]));
}

#[tokio::test]
async fn strangers_cannot_fill_the_log() {
    let (_folder, log) = log();
    let world = world_that_writes(Some(Arc::clone(&log))).await;
    let from = log.head().tree_size;
    for _ in 0..20 {
        assert_eq!(world.by("psta_no", "POST /admin/v1/keys", &json!({})).await.0, 401);
    }
    world.root("POST /admin/v1/keys/AAAAAAAAAAAA/rotate", &json!({})).await;
    let (_, acts) = acts(&log, from).await;
    assert_eq!(acts.len(), 3, "two in a burst, and whoever is known always");
    assert_eq!((acts[2].result.as_str(), acts[2].unwritten), ("not_found", 18), "the others are counted");
}

#[tokio::test]
async fn nothing_is_done_without_the_log() {
    let (_folder, log) = log();
    let world = world_that_writes(Some(Arc::clone(&log))).await;
    let (id, secret) = world.key("search").await;
    log.stop(None);
    let revoke = format!("POST /admin/v1/keys/{id}/status");
    let (status, problem) = world.root(&revoke, &json!({ "status": "revoked" })).await;
    assert_eq!((status, &problem["code"]), (503, &json!("audit_stalled")));
    assert!(world.lets_in(&secret));
}

#[tokio::test]
async fn many_keys_at_once_are_written_down_one_by_one() {
    let (_folder, log) = log();
    let world = world_that_writes(Some(Arc::clone(&log))).await;
    let (one, _) = world.key("search").await;
    let (other, _) = world.key("search").await;
    let from = log.head().tree_size;
    world.root("POST /admin/v1/keys/revoke", &json!({ "team": "search" })).await;
    let (_, acts) = acts(&log, from).await;
    let mut ids: Vec<_> = acts[..2].iter().map(|own| own.object_id.clone().unwrap()).collect();
    ids.sort_unstable();
    let mut expected = [one, other];
    expected.sort_unstable();
    assert_eq!((acts.len(), &ids[..]), (3, &expected[..]));
    assert_eq!((acts[2].begun, acts[2].result.as_str()), (Some(from), "done"));
}

#[tokio::test]
async fn an_admin_key_is_none_for_inference_and_ends_when_it_is_removed() {
    let world = world().await;
    assert!(!world.lets_in(&world.root));
    let key = world.admin(Role::Auditor, &json!({}), None).await;
    assert_eq!(world.by(&key, "GET /admin/v1/whoami", &Value::Null).await.1["role"], json!("auditor"));
    let id = &key["psta_".len()..][..12];
    let own = &world.root["psta_".len()..][..12];
    assert_eq!(world.root(&format!("DELETE /admin/v1/admin-keys/{own}"), &Value::Null).await.0, 409);
    assert_eq!(world.root(&format!("DELETE /admin/v1/admin-keys/{id}"), &Value::Null).await.0, 204);
    assert_eq!(world.by(&key, "GET /admin/v1/whoami", &Value::Null).await.0, 401);
    // The stored tag is no credential, and neither is a secret of the right form that nobody made.
    let store = world.api.store();
    let record = store.get(Table::AdminKeys, &RecordId::new(own).unwrap()).await.unwrap().unwrap();
    let record: AdminKeyRecord = serde_json::from_slice(&record.value).unwrap();
    assert_eq!(world.by(&hex(&record.tag), "GET /admin/v1/whoami", &Value::Null).await.0, 401);
    let (_, forged) = gateway::governance::secret::mint(
        Purpose::Administration,
        PublicId::parse(own),
        [5; gateway::governance::secret::ENTROPY],
    );
    assert_eq!(world.by(forged.expose(), "GET /admin/v1/whoami", &Value::Null).await.0, 401);
    assert!(!Reach::default().fits(Role::TeamAdmin));
}

/// Two replicas over one store: what one changes, the other obeys; budgets are shared and never overspent.
#[tokio::test]
async fn replicas_share_keys_revocations_and_budgets() {
    let world = world().await;
    let store = world.api.store().clone();
    let (other, cursor) = Governor::open(store.clone(), [2; 16]).await.unwrap();
    let other = Arc::new(other);
    let follower = Arc::clone(&other);
    let following = async move { follower.follow(cursor).await };
    let story = async {
        let (id, secret) = world.key("search").await;
        let known = |there: bool| {
            let other = &other;
            let secret = secret.clone();
            async move {
                for _ in 0..100 {
                    if other.governance().find(secret.as_bytes(), at(0)).is_some() == there {
                        return true;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                false
            }
        };
        assert!(known(true).await, "within a second");
        let body = json!({ "id": "search", "org": "acme", "policy": { "allowed_models": ["*"], "budgets": [
            { "name": "b", "unit": "requests", "limit": 320, "window": { "every": "lifetime" } }
        ] } });
        assert_eq!(world.change(&world.root, "PUT /admin/v1/teams/search", &body).await.0, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.api.governor.settle(true).await;
        other.settle(true).await;
        for governor in [&world.api.governor, &other] {
            let leased = governor
                .governance()
                .with_meters(ScopeKind::Team, "search", |own| own.first().map(|own| own.grant))
                .flatten();
            assert_eq!(leased, Some(gateway::governance::meters::Grant::Slice(20)));
        }
        let (_, shown) = world.root("GET /admin/v1/teams/search/budgets", &Value::Null).await;
        assert_eq!(shown["budgets"][0]["leased"], json!(20), "{shown}");
        world.root(&format!("POST /admin/v1/keys/{id}/status"), &json!({ "status": "revoked" })).await;
        assert!(known(false).await, "revoked everywhere within a second");
        // A start from the store alone knows the same.
        let (third, _) = Governor::open(store, [3; 16]).await.unwrap();
        assert!(third.governance().find(secret.as_bytes(), at(0)).is_none());
        world.api.governor.release().await;
    };
    tokio::select! {
        () = following => {}
        () = story => {}
    }
}
