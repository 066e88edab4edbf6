//! Administrators at work over the real programs: `postern admin`, a client with an issued key, and an auditor afterwards.

use std::time::{Duration, Instant};

use postern_tests::administered::Administered;
use postern_tests::enclave::Setup;
use postern_tests::http1::{Http1, chat};
use postern_tests::upstream::{Step, chunk, event, stream_head};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_sees_every_act_and_who_called_what() {
    let gateway = r#"
[gateway.deployments.placed]
provider = "builtin"
model = "postern-builtin"
region = "eu-north-1"
[gateway.models.placed]
deployments = ["placed"]
"#;
    let setup = Setup { gateway: gateway.to_owned(), ..Setup::default() };
    let world = Administered::start("", setup, |_| {});
    let policy = json!({ "allowed_models": ["*"] });
    let make = |path: &str, what: Value| world.administer(&["create", path, "-"], Some(&what));
    make("orgs", json!({ "id": "acme", "policy": policy }));
    make("teams", json!({ "id": "search", "org": "acme", "policy": policy }));
    make("users", json!({ "id": "ada", "org": "acme", "team": "search", "policy": policy }));
    let owner = json!({ "org": "acme", "team": "search", "user": "ada" });
    let made = make("keys", json!({ "owner": owner, "name": "CANARY-NAME", "policy": policy }));
    let id = made["key"]["id"].as_str().unwrap();
    let secret = world.administer(&["rotate", id], None)["secret"].as_str().unwrap().to_owned();

    let ask = async |key: &str| {
        let mut client = Http1::connect(world.enclave.address).await;
        client.post_as(key, "/v1/chat/completions", &chat("placed", false)).await.status
    };
    assert_eq!(ask(&secret).await, 200);
    world.administer(&["revoke", id], None);
    assert_eq!(ask(&secret).await, 401, "at once");
    let refused = world.postern_admin(&["rotate", id], None);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("revoked"));

    check_acts(&world, id);
    check_call(&world, id);
    // nothing of it is told anywhere that must not be
    let all = json!(world.audited(&[])).to_string();
    assert!(!all.contains("CANARY") && !all.contains(&secret[20..]) && !all.contains(&world.root[20..]));
    let shown = world.audited(&["--status", "begun", "--who", "acme"]);
    assert_eq!(shown[0]["action"], json!("organisation.create"));
    assert!(!world.enclave.process.stderr().contains("CANARY"));
}

/// A stream of words without an end, ten a second.
fn endless() -> Vec<Step> {
    let mut steps = vec![Step::Send(stream_head())];
    for _ in 0..600 {
        steps.push(Step::Send(chunk(&event("word "))));
        steps.push(Step::Wait(Duration::from_millis(100)));
    }
    steps
}

/// What a platform team wants to see: a job that runs away is cut where its budget ends, in the middle of its answer, and one
/// whose key is revoked is cut at once; both are in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runaway_stream_is_cut_where_its_budget_ends_and_a_revoked_one_at_once() {
    let world = Administered::start("", Setup::default(), |_| {});
    world.enclave.upstream.plan(|_| endless());
    let everything = json!({ "allowed_models": ["*"] });
    let make = |path: &str, what: Value| world.administer(&["create", path, "-"], Some(&what));
    make("orgs", json!({ "id": "acme", "policy": everything }));
    // Room for three dozen tokens, of which a prompt takes some.
    let budget = json!({ "name": "small", "unit": "tokens", "limit": 60, "window": { "every": "lifetime" } });
    let small = json!({ "allowed_models": ["*"], "budgets": [budget] });
    make("teams", json!({ "id": "batch", "org": "acme", "policy": small }));
    make("teams", json!({ "id": "search", "org": "acme", "policy": everything }));
    let key = |team: &str| {
        let made = make("keys", json!({ "owner": { "org": "acme", "team": team }, "policy": everything }));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&made["key"]["id"]), text(&made["secret"]))
    };
    let (runaway, revoked) = (key("batch"), key("search"));
    let mut stream = chat("fake", true);
    // The job says that it wants little, and its provider does not heed it.
    stream["max_tokens"] = 4.into();
    let ask = |secret: String| {
        let (address, body) = (world.enclave.address, stream.clone());
        tokio::spawn(async move {
            let mut client = Http1::connect(address).await;
            client.post_as(&secret, "/v1/chat/completions", &body).await
        })
    };

    // The first looks may find that more of the budget is still being leased.
    let cut = ask(runaway.1.clone()).await.unwrap();
    assert_eq!(cut.status, 200, "{}", cut.text());
    let told = cut.text();
    assert!(told.contains("budget_exceeded") && !told.contains("[DONE]"), "{told}");
    let words = told.matches("word ").count();
    assert!((4..60).contains(&words), "{words} words");
    let again = ask(runaway.1).await.unwrap();
    assert_eq!((again.status, again.code()), (429, "budget_exceeded".to_owned()));

    let running = ask(revoked.1.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!running.is_finished(), "the control: it would go on");
    world.administer(&["revoke", &revoked.0], None);
    let since = Instant::now();
    let cut = running.await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    let told = cut.text();
    assert!(told.contains("word ") && told.contains("invalid_api_key") && !told.contains("[DONE]"), "{told}");
    assert_eq!(ask(revoked.1).await.unwrap().status, 401);

    let calls = world.audited(&["--what", "call"]);
    let of =
        |id: &str| calls.iter().find(|own| own["key"] == json!(id) && own["attempts"] == json!(1)).unwrap();
    for (id, error) in [(&runaway.0, "budget_exceeded"), (&revoked.0, "invalid_api_key")] {
        let call = of(id);
        assert_eq!((&call["outcome"], &call["error"]), (&json!("broken"), &json!(error)), "{call}");
    }
}

fn check_acts(world: &Administered, id: &str) {
    let acts = world.audited(&["--what", "virtual_key.*"]);
    let told: Vec<_> = acts.iter().map(|own| [&own["action"], &own["result"]]).collect();
    let wanted = [
        ["virtual_key.create", "begun"],
        ["virtual_key.create", "done"],
        ["virtual_key.rotate", "begun"],
        ["virtual_key.rotate", "done"],
        ["virtual_key.status", "begun"],
        ["virtual_key.status", "done"],
        ["virtual_key.rotate", "revoked"],
    ];
    assert_eq!(json!(told), json!(wanted));
    for act in &acts {
        assert_eq!((&act["actor"], &act["object_id"]), (&json!(world.root[5..17]), &json!(id)));
    }
    assert_eq!(acts[4]["changed"], json!([{ "field": "status", "before": "active", "after": "revoked" }]));
    assert_eq!((&acts[4]["version_before"], &acts[5]["version_after"]), (&json!(2), &json!(3)));
}

/// The nine fields of C-078, and what auditors ask besides.
fn check_call(world: &Administered, id: &str) {
    let calls = world.audited(&["--what", "call", "--who", "search"]);
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    for (field, value) in [
        ("key", json!(id)),
        ("key_version", json!(2)),
        ("principal", json!("ada")),
        ("team", json!("search")),
        ("organisation", json!("acme")),
        ("model", json!("placed")),
        ("deployment", json!("placed")),
        ("region", json!("eu-north-1")),
        ("exposure", json!("attested")),
        ("outcome", json!("complete")),
        ("finish_reason", json!("stop")),
    ] {
        assert_eq!(call[field], value, "{field}: {call}");
    }
    for field in ["prompt_hmac", "response_hmac", "config"] {
        assert!(call[field].as_str().unwrap().len() >= 64, "{field}: {call}");
    }
    assert!(call["duration_us"].as_u64().unwrap() > 0 && call["tokens"]["input"].as_u64().unwrap() > 0);
}
