//! Rows 23 and 24: the host sends again what a client once sent, to have it carried out and paid for again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::governed::{Admin, governed, request, status};

/// Requests that the key is good for.
const BUDGET: u64 = 3;
/// Its window.
const LIFETIME: &str = "lifetime";
/// How often everything is sent again.
const TIMES: usize = 100;

/// A relay that keeps what clients say.
async fn recorder(enclave: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let said = Arc::<Mutex<Vec<u8>>>::default();
    let kept = Arc::clone(&said);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_enclave, mut to_enclave) = TcpStream::connect(enclave).await.unwrap().into_split();
            let kept = Arc::clone(&kept);
            tokio::spawn(async move { tokio::io::copy(&mut from_enclave, &mut to_client).await });
            tokio::spawn(async move {
                let mut piece = [0; 4096];
                while let Ok(count @ 1..) = from_client.read(&mut piece).await {
                    kept.lock().unwrap().extend_from_slice(&piece[..count]);
                    to_enclave.write_all(&piece[..count]).await.unwrap();
                }
            });
        }
    });
    (address, said)
}

/// Sends all of it on a new connection, and reads until the far end has had enough, or has nothing more to say.
async fn send_again(to: SocketAddr, bytes: Vec<u8>) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let _may_be_cut = stream.write_all(&bytes).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ended = tokio::time::timeout(Duration::from_secs(2), reading).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_23_what_was_recorded_is_carried_out_once_and_paid_for_once() {
    let enclave = governed(Vec::new());
    let admin = Admin::of(&enclave).await;
    let key = admin.key(BUDGET, LIFETIME).await;
    let (relay, said) = recorder(enclave.address).await;
    assert_eq!(status(relay, &key).await, 200);
    let recorded = said.lock().unwrap().clone();
    assert_eq!((enclave.upstream.received().len(), admin.spent().await), (1, json!(1)));
    let mut again: JoinSet<()> = (0..TIMES).map(|_| send_again(enclave.address, recorded.clone())).collect();
    while again.join_next().await.is_some() {}
    assert_eq!(enclave.upstream.received().len(), 1, "a recording was carried out");
    assert_eq!(admin.spent().await, json!(1), "a recording was paid for");
    // What is left of the budget is the client's, and it does end.
    for _ in 1..BUDGET {
        assert_eq!(status(relay, &key).await, 200);
    }
    assert_eq!(status(relay, &key).await, 429, "control: a budget that does not count proves nothing");
    // control: without TLS the same trick works
    let before = enclave.upstream.received().len();
    for _ in 0..2 {
        send_again(enclave.upstream.address, request(&key)).await;
    }
    assert_eq!(enclave.upstream.received().len(), before + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_24_what_was_recorded_means_nothing_to_the_next_process() {
    let first = governed(Vec::new());
    let key = Admin::of(&first).await.key(BUDGET, LIFETIME).await;
    let (relay, said) = recorder(first.address).await;
    assert_eq!(status(relay, &key).await, 200);
    let recorded = said.lock().unwrap().clone();
    drop(first);
    let next = governed(Vec::new());
    let own = Admin::of(&next).await.key(BUDGET, LIFETIME).await;
    for _ in 0..10 {
        send_again(next.address, recorded.clone()).await;
    }
    assert_eq!(next.upstream.received().len(), 0, "a recording of another life was carried out");
    assert_eq!(status(next.address, &own).await, 200, "control: it serves");
}
