//! An enclave whose keys have budgets, and its administrator.

use std::net::SocketAddr;

use postern_tests::enclave::{Enclave, Setup};
use postern_tests::http1::{Http1, chat, post_with};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

/// Makes the first administrator.
const CLAIM: &str = "the code of these tests";
/// An enclave that issues keys, with these variables in its environment.
pub(super) fn governed(environment: Vec<(&'static str, String)>) -> Enclave {
    let claim = hex::encode(digest(&SHA256, CLAIM.as_bytes()));
    let gateway = format!(
        "[gateway.admission]\nvirtual_keys = true\n[state]\n[admin]\naddress = \"tcp:127.0.0.1:0\"\nclaim_sha256 = \"{claim}\""
    );
    Enclave::with(&Setup { gateway, environment, ..Setup::default() })
}

/// The administrator of an enclave.
pub(super) struct Admin {
    address: SocketAddr,
    secret: String,
}

impl Admin {
    pub(super) async fn of(enclave: &Enclave) -> Self {
        let address = enclave.process.said("admin").trim_start_matches("tcp:").parse().unwrap();
        let mut admin = Self { address, secret: String::new() };
        let claimed = admin.post("claim", &json!({ "code": CLAIM })).await;
        claimed["secret"].as_str().unwrap().clone_into(&mut admin.secret);
        admin
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        // The claim is made without a credential.
        let fields = if self.secret.is_empty() {
            String::new()
        } else {
            format!("authorization: Bearer {}\r\n", self.secret)
        };
        self.ask(&post_with(&format!("/admin/v1/{path}"), &fields, &body.to_string())).await
    }

    async fn ask(&self, request: &[u8]) -> Value {
        let mut client = Http1::connect(self.address).await;
        client.send(request).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
        answer.json()
    }

    /// A key of a team that may make so many requests in each window.
    pub(super) async fn key(&self, limit: u64, window: &str) -> String {
        let policy = json!({ "allowed_models": ["*"] });
        let budget =
            json!({ "name": "b", "unit": "requests", "limit": limit, "window": { "every": window } });
        let team =
            json!({ "id": "t", "org": "o", "policy": { "allowed_models": ["*"], "budgets": [budget] } });
        self.post("orgs", &json!({ "id": "o", "policy": policy })).await;
        self.post("teams", &team).await;
        let key = json!({ "owner": { "org": "o", "team": "t" }, "policy": policy });
        self.post("keys", &key).await["secret"].as_str().unwrap().to_owned()
    }

    /// What the team has spent.
    pub(super) async fn spent(&self) -> Value {
        let head = format!(
            "GET /admin/v1/teams/t/budgets HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n",
            self.secret
        );
        self.ask(head.as_bytes()).await["budgets"][0]["spent"].clone()
    }
}

/// A request with this key.
pub(super) fn request(key: &str) -> Vec<u8> {
    let fields = format!("authorization: Bearer {key}\r\n");
    post_with("/v1/chat/completions", &fields, &chat("fake", false).to_string())
}

/// The status that a request with this key gets.
pub(super) async fn status(address: SocketAddr, key: &str) -> u16 {
    let mut client = Http1::connect(address).await;
    client.send(&request(key)).await.unwrap();
    client.answer().await.unwrap().status
}
