//! The enclave needs nothing of its machine but two sockets: in namespaces of its own it serves as it does elsewhere.

use postern_tests::enclave::{Enclave, Setup, can_isolate};
use postern_tests::http1::{Http1, chat};

/// Which namespace of that kind a process is in.
fn namespace(process: &str, kind: &str) -> String {
    let link = std::fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap();
    link.display().to_string()
}

#[tokio::test]
async fn an_enclave_without_network_or_rights_serves_through_its_sockets() {
    if !can_isolate() {
        eprintln!("skipped: this machine does not let the test make namespaces");
        return;
    }
    let enclave = Enclave::with(&Setup { isolated: true, ..Setup::default() });
    let id = enclave.process.id().to_string();
    for kind in ["user", "net", "mnt"] {
        assert_ne!(namespace(&id, kind), namespace("self", kind), "it shares {kind} with its machine");
    }
    let devices = std::fs::read_to_string(format!("/proc/{id}/net/dev")).unwrap();
    let names: Vec<_> = devices.lines().filter_map(|line| line.split_once(':')).collect();
    assert!(names.len() == 1 && names[0].0.trim() == "lo", "{devices}");
    let routes = std::fs::read_to_string(format!("/proc/{id}/net/route")).unwrap();
    assert!(routes.lines().count() <= 1, "there is a way out: {routes}");
    let mut client = Http1::connect(enclave.address).await;
    for stream in [false, true] {
        let answer = client.post("/v1/chat/completions", &chat("fake", stream)).await;
        assert!(answer.status == 200 && answer.complete, "{}", answer.text());
    }
    assert!(!enclave.upstream.received().is_empty(), "it reached its provider through the host");
    // control: an ordinary one is where this test is
    let ordinary = Enclave::start();
    assert_eq!(namespace(&ordinary.process.id().to_string(), "net"), namespace("self", "net"));
}
