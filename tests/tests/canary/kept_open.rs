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

/// Our buffers are wiped when a request is over, and so is the TLS library's, on both legs. The HTTP/2 library keeps what it
/// has read in buffers that nobody else can reach.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_of_http1_keeps_nothing_and_a_closed_one_neither() {
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
            let is_request = !place.part.contains("answer");
            assert!(matches!(protocol, Protocol::Http2) && is_request, "{place:?} {encoding}: {count}");
        }
        // The client has left.
        tokio::time::sleep(WIPED_AFTER).await;
        let hits = found(&world);
        assert!(hits.is_empty(), "closed: {hits:?}");
    }
}
