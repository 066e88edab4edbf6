//! Services that the configuration names: a receiver of notices about budgets, and an identity provider's keys.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use postern_tests::administered::Administered;
use postern_tests::enclave::Setup;
use postern_tests::http1::{Http1, chat};
use postern_tests::upstream::{Received, Step, Upstream, whole};
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

const SECRET: &str = "whsec-CANARY-0123456789abcdef0123456789";

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

async fn ask(world: &Administered, key: &str) -> u16 {
    let mut client = Http1::connect(world.enclave.address).await;
    client.post_as(key, "/v1/chat/completions", &chat("builtin", false)).await.status
}

/// Whether a notice is signed as Standard Webhooks says, and new.
fn holds(notice: &Received) -> bool {
    let field = |name: &str| notice.header(name).unwrap().to_owned();
    let time = field("webhook-timestamp");
    let signed = [field("webhook-id").as_bytes(), b".", time.as_bytes(), b".", &notice.body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = STANDARD.decode(field("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    let is_new = time.parse::<u64>().unwrap().abs_diff(seconds()) < 60;
    is_new && hmac::verify(&key, &signed, &signature).is_ok()
}

/// ST-02, ST-20: told signed, told again until it is taken, and never sent elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_20_a_crossed_threshold_is_told_to_the_configured_receiver_alone() {
    let receiver = Upstream::start();
    let tries = AtomicUsize::new(0);
    receiver.plan(move |_| {
        let answer = match tries.fetch_add(1, Ordering::Relaxed) {
            0 => {
                b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:9/stolen\r\ncontent-length: 0\r\n\r\n"
                    .to_vec()
            }
            1 => whole(500, &json!({})),
            _ => whole(200, &json!({})),
        };
        vec![Step::Send(answer), Step::Close]
    });
    let port = receiver.address.port();
    let admin =
        format!("[[admin.webhooks]]\nurl = \"http://127.0.0.1:{port}/hook\"\nsecret = \"file:DISK/hook\"\n");
    let setup = Setup { led_to: Some(receiver.address), ..Setup::default() };
    let world = Administered::start(&admin, setup, |disk| std::fs::write(disk.join("hook"), SECRET).unwrap());
    let policy = json!({ "allowed_models": ["*"] });
    let mut team = json!({ "id": "search", "org": "acme", "policy": policy });
    team["policy"]["budgets"] = json!([{
        "name": "calls", "unit": "requests", "limit": 320, "window": { "every": "lifetime" }, "soft_percent": [5]
    }]);
    let make = |path: &str, what: &Value| world.administer(&["create", path, "-"], Some(what));
    make("orgs", &json!({ "id": "acme", "policy": policy }));
    make("teams", &team);
    let owner = json!({ "org": "acme", "team": "search" });
    let made = make("keys", &json!({ "owner": owner, "policy": policy }));
    let key = made["secret"].as_str().unwrap();
    // nobody but the configuration says where notices go
    let elsewhere = json!({ "owner": owner, "policy": policy, "webhook": "http://169.254.169.254/" });
    assert!(!world.postern_admin(&["create", "keys", "-"], Some(&elsewhere)).status.success());

    let mut served = 0;
    while served < 16 {
        match ask(&world, key).await {
            200 => served += 1,
            // More of the budget is being leased.
            503 => tokio::time::sleep(Duration::from_millis(50)).await,
            other => panic!("{other}"),
        }
    }
    let started = std::time::Instant::now();
    while receiver.received().len() < 3 {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", receiver.received());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let received = receiver.received();
    assert_eq!(received.len(), 3, "taken is taken");
    for notice in &received {
        assert_eq!(notice.line, "POST /hook");
        assert!(holds(notice));
        assert_eq!(notice.header("webhook-id"), received[0].header("webhook-id"));
        let told = String::from_utf8(notice.body.clone()).unwrap();
        assert!(!told.contains("Say hello") && !told.contains(&key[5..]) && !told.contains("CANARY"));
    }
    let told = received[2].json();
    assert_eq!(told["type"], "budget.threshold_crossed");
    let data = &told["data"];
    assert_eq!([&data["scope"], &data["id"], &data["budget"]], ["team", "search", "calls"]);
    assert_eq!([&data["percent"], &data["spent"], &data["limit"]], [5, 16, 320]);
}

/// A token of the identity provider, signed with this key.
fn token(pair: &Ed25519KeyPair, kid: &str) -> String {
    let part = |document: Value| URL_SAFE_NO_PAD.encode(document.to_string());
    let claims = json!({ "iss": "https://idp.example", "aud": "postern", "sub": "ada", "exp": seconds() + 300,
        "role": "auditor" });
    let signed = format!("{}.{}", part(json!({ "alg": "EdDSA", "kid": kid })), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_judged_by_the_keys_that_the_provider_serves() {
    let pair = |seed: u8| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let (own, other) = (pair(1), pair(2));
    let x = URL_SAFE_NO_PAD.encode(own.public_key());
    let provider = Upstream::start();
    provider.plan(move |_| {
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x });
        vec![Step::Send(whole(200, &json!({ "keys": [key] }))), Step::Close]
    });
    let admin = format!(
        "[[admin.oidc]]\nissuer = \"https://idp.example\"\naudience = \"postern\"\njwks_url = \"http://127.0.0.1:{}/keys\"\n",
        provider.address.port()
    );
    let setup = Setup { led_to: Some(provider.address), ..Setup::default() };
    let world = Administered::start(&admin, setup, |_| {});
    let whoami = async |token: &str| {
        let mut client = Http1::connect(world.admin).await;
        let request = format!(
            "GET /admin/v1/whoami HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        client.send(request.as_bytes()).await.unwrap();
        client.answer().await.unwrap()
    };
    let known = whoami(&token(&own, "k1")).await;
    assert_eq!((known.status, &known.json()["role"]), (200, &json!("auditor")));
    for (signer, kid) in [(&other, "k1"), (&other, "k2"), (&own, "k2")] {
        assert_eq!(whoami(&token(signer, kid)).await.status, 401, "{kid}");
    }
    let fetches = provider.received();
    assert_eq!(fetches.len(), 1, "made-up tokens do not make it ask again");
    assert_eq!(fetches[0].line, "GET /keys");
}
