//! The host in the operator's place: its own secrets, an old message, a message for another enclave, another channel.

use std::collections::BTreeMap;

use attestation::provisioning::{MEDIA_TYPE, PATH, ProvisioningReceipt};
use attestation::{Sha384, Verified};
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use postern_client::provisioning::{OperatorKey, Package, provision, seal};
use postern_client::{VerifiedChannel, full_body};
use postern_tests::enclave::{Enclave, Setup};
use postern_tests::policies;
use zeroize::Zeroizing;

const GATEWAY: &str = r#"
[gateway.deployments.paid]
provider = "openai_compatible"
model = "real-model"
base_url = "http://UPSTREAM/v1"
credential = "sealed:vendor"
[gateway.models.paid]
deployments = ["paid"]
"#;

fn enclave_of(operator: &OperatorKey) -> Enclave {
    let process = format!("[provisioning]\noperator = \"{}\"\n", operator.public());
    Enclave::with(&Setup { process, gateway: GATEWAY.to_owned(), ..Setup::default() })
}

fn package(number: u64) -> Package {
    let secrets = BTreeMap::from([("vendor".to_owned(), Zeroizing::new(b"sk-1".to_vec()))]);
    Package { secrets, number, ..Package::default() }
}

async fn provisioning_channel(enclave: &Enclave) -> VerifiedChannel {
    let verifier = policies::provisioning_verifier(enclave.address, policies::of(enclave));
    verifier.connect().await.unwrap()
}

/// Posts a message and returns status and body.
async fn post(channel: &mut VerifiedChannel, message: &[u8]) -> (u16, Bytes) {
    let request = Request::post(PATH).header("content-type", MEDIA_TYPE);
    let request = request.body(full_body(message.to_vec())).unwrap();
    channel.ready().await.unwrap();
    let answer = channel.send(request).await.map_err(|failure| failure.error).unwrap();
    let status = answer.status().as_u16();
    (status, answer.into_body().collect().await.unwrap().to_bytes())
}

/// The same where it must be refused: status and code.
async fn refused(channel: &mut VerifiedChannel, message: &[u8]) -> (u16, String) {
    let (status, body) = post(channel, message).await;
    assert!(status != 200, "it was taken");
    // {1: code ...}: a map, the key 1, a text of less than 24 bytes
    let length = usize::from(body[2] & 0x1f);
    (status, String::from_utf8(body[3..3 + length].to_vec()).unwrap())
}

fn sealed(verified: &Verified, operator: &OperatorKey, number: u64) -> Vec<u8> {
    seal(verified, operator, &package(number)).unwrap()
}

#[tokio::test]
async fn the_host_cannot_give_secrets_of_its_own() {
    let (operator, host) = (OperatorKey::generate().unwrap(), OperatorKey::generate().unwrap());
    let enclave = enclave_of(&operator);
    let mut channel = provisioning_channel(&enclave).await;
    let message = sealed(channel.verified(), &host, 1);
    assert_eq!(refused(&mut channel, &message).await, (403, "PROV_SIGNATURE".to_owned()));
    enclave.process.waits_to_say(r#""event":"provisioning_refused","reason":"PROV_SIGNATURE""#, 1);

    // The control: the same message by the operator.
    let message = sealed(channel.verified(), &operator, 1);
    let (status, body) = post(&mut channel, &message).await;
    assert_eq!(status, 200);
    let receipt = ProvisioningReceipt::decode(&body).unwrap();
    let receipt_key = channel.verified().keyset().rck.unwrap();
    receipt.verify(&Sha384::of(&message), &receipt_key).unwrap();
}

#[tokio::test]
async fn the_host_cannot_name_itself_as_operator_unseen() {
    let (operator, host) = (OperatorKey::generate().unwrap(), OperatorKey::generate().unwrap());
    let enclave = enclave_of(&host);
    let verifier = || policies::provisioning_verifier(enclave.address, policies::of(&enclave));
    let error = provision(&verifier(), &operator, &package(1)).await.unwrap_err();
    assert_eq!(error.code(), "PROV_OPERATOR");
    assert!(provision(&verifier(), &host, &package(1)).await.is_ok(), "the control: whoever is named gives");
}

#[tokio::test]
async fn a_message_is_taken_once_and_by_one_enclave() {
    let operator = OperatorKey::generate().unwrap();
    let (enclave, other) = (enclave_of(&operator), enclave_of(&operator));
    let mut channel = provisioning_channel(&enclave).await;
    let message = sealed(channel.verified(), &operator, 5);
    let mut elsewhere = provisioning_channel(&other).await;
    assert_eq!(refused(&mut elsewhere, &message).await, (409, "EVIDENCE_UNKNOWN".to_owned()));
    assert_eq!(post(&mut channel, &message).await.0, 200, "the control: where it belongs it is taken");
    assert_eq!(refused(&mut channel, &message).await, (409, "PROV_REPLAYED".to_owned()));
    let older = sealed(channel.verified(), &operator, 4);
    assert_eq!(refused(&mut channel, &older).await, (409, "PROV_REPLAYED".to_owned()));
    let newer = sealed(channel.verified(), &operator, 6);
    assert_eq!(post(&mut channel, &newer).await.0, 200);
}

#[tokio::test]
async fn secrets_are_taken_on_a_channel_for_them_under_evidence_for_them() {
    let operator = OperatorKey::generate().unwrap();
    let enclave = enclave_of(&operator);
    let mut ordinary = policies::verifier(enclave.address, policies::of(&enclave)).connect().await.unwrap();
    let mut channel = provisioning_channel(&enclave).await;
    let good = sealed(channel.verified(), &operator, 1);
    assert_eq!(refused(&mut ordinary, &good).await, (404, "NOT_FOUND".to_owned()));
    let wrong_role = sealed(ordinary.verified(), &operator, 1);
    assert_eq!(refused(&mut channel, &wrong_role).await, (409, "EVIDENCE_UNKNOWN".to_owned()));
    let mut changed = good.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    assert_eq!(refused(&mut channel, &changed).await, (403, "PROV_SIGNATURE".to_owned()));
    assert_eq!(refused(&mut channel, &good[..40]).await, (400, "PROV_MALFORMED".to_owned()));
    assert_eq!(post(&mut channel, &good).await.0, 200, "the control");

    // And a provisioning channel carries nothing else.
    let request = Request::get("/v1/models").body(postern_client::empty_body()).unwrap();
    let got = super::ask(&mut channel, request).await;
    assert_eq!(got.answer.map(|(status, _)| status), Some(404));
}
