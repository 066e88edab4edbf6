//! What an answered request leaves behind while its connection stays open, and with it the buffers that it used.

use std::time::Duration;

use postern_tests::canary::Hits;
use postern_tests::memory;

use super::channels::{CONTROL, KEPT, World};
use super::scenarios::{self, Planter, Protocol};

/// Stacks are wiped each second; our buffers when a request is over.
const WIPED_AFTER: Duration = Duration::from_secs(2);

/// What is found of requests and answers, once the control has been.
fn found(world: &World) -> Hits {
    let mut hits = world.enclave_memory().hits;
    let all = hits.len();
    hits.retain(|(place, _), _| place.scenario != CONTROL && place.scenario != KEPT);
    assert!(all > hits.len(), "control: the provider's key, which stays, is found");
    hits
}

/// The TLS library decrypts records in a buffer of its own, where the last one lies until the next one comes; the HTTP/2
/// library keeps what it has read in larger ones. Everything else is ours, and wiped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_connection_keeps_its_last_request_once_and_a_closed_one_nothing() {
    let world = World::closing_idle_after(60);
    if memory::scan(world.enclave.process.id(), &world.canaries).is_err() {
        eprintln!("skipped: only root reads the memory of a process that is closed");
        return;
    }
    for (protocol, scenario) in
        [(Protocol::Http1, "HTTP/1.1, kept open"), (Protocol::Http2, "HTTP/2, kept open")]
    {
        let kept = scenarios::answered(&world, Planter::new(&world, scenario), protocol).await;
        tokio::time::sleep(WIPED_AFTER).await;
        let hits = found(&world);
        assert!(kept.leave().await, "the connection was to stay open");
        for ((place, encoding), count) in &hits {
            assert!(!place.part.contains("answer"), "{place:?} {encoding}: {count}");
            let once = *count <= 1 || matches!(protocol, Protocol::Http2);
            assert!(once, "{place:?} {encoding}: {count} times");
        }
        // The client has left.
        tokio::time::sleep(WIPED_AFTER).await;
        let hits = found(&world);
        assert!(hits.is_empty(), "closed: {hits:?}");
    }
}
