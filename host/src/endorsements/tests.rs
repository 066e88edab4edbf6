//! Against a vendor on loopback that counts its visitors and answers as told.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use link::{AmdProduct, IntelCa};

use super::*;
use crate::log::Level;

const CRL: EndorsementQuery = EndorsementQuery::AmdCrl { product: AmdProduct::Genoa };

/// A vendor; the answer is chosen by the path.
struct Vendor {
    base: String,
    visits: Arc<AtomicUsize>,
}

impl Vendor {
    fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&visits);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                counted.fetch_add(1, Ordering::SeqCst);
                // A client that hung up is part of some tests.
                drop(stream.write_all(&answer(first.split(' ').nth(1).unwrap())));
            }
        });
        Self { base, visits }
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn service(base: &str, folder: &Path, refresh: u64, stale: u64) -> Endorsements {
    let text = format!(
        "cache = {folder:?}\namd_kds = \"{base}\"\nintel_pcs = \"{base}\"\nintel_certificates = \"{base}\"\n\
         fetch_seconds = 1\nrefresh_seconds = {refresh}\nstale_seconds = {stale}"
    );
    Endorsements::new(&toml::from_str(&text).unwrap(), Arc::new(Log::silent(Level::Warn))).unwrap()
}

fn parts(document: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let document = EndorsementDocument::decode(document).unwrap();
    (document.issuer_chain.to_vec(), document.body.to_vec())
}

#[tokio::test]
async fn fetched_once_then_cached_even_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let vendor = Vendor::start(|path| http("200 OK", "", path.as_bytes()));
    for _ in 0..3 {
        let service = service(&vendor.base, folder.path(), 60, 60);
        for _ in 0..3 {
            let body = b"/vcek/v1/Genoa/crl".to_vec();
            assert_eq!(parts(&service.get(&CRL).await.unwrap()), (Vec::new(), body));
        }
    }
    assert_eq!(vendor.visits(), 1);
}

#[tokio::test]
async fn many_callers_make_one_fetch() {
    let folder = tempfile::tempdir().unwrap();
    let vendor = Vendor::start(|_| {
        thread::sleep(Duration::from_millis(100));
        http("200 OK", "", b"list")
    });
    let service = Arc::new(service(&vendor.base, folder.path(), 60, 60));
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let service = Arc::clone(&service);
            tokio::spawn(async move { service.get(&CRL).await.unwrap() })
        })
        .collect();
    for caller in callers {
        assert_eq!(parts(&caller.await.unwrap()).1, b"list");
    }
    assert_eq!(vendor.visits(), 1);
}

#[tokio::test]
async fn lists_are_refreshed_and_a_chip_certificate_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let vendor = Vendor::start(|_| http("200 OK", "", b"bytes"));
    let service = service(&vendor.base, folder.path(), 0, 60);
    let vcek = EndorsementQuery::AmdVcek {
        product: AmdProduct::Turin,
        chip_id: link::ChipId::Short([1; 8]),
        tcb: [0; 8],
    };
    for (query, visits) in [(CRL, 2), (vcek, 3)] {
        service.get(&query).await.unwrap();
        service.get(&query).await.unwrap();
        assert_eq!(vendor.visits(), visits);
    }
}

#[tokio::test]
async fn an_old_document_serves_while_the_vendor_is_away_but_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let vendor = Vendor::start(|_| http("200 OK", "", b"old"));
    service(&vendor.base, folder.path(), 0, 60).get(&CRL).await.unwrap();
    let nobody = "http://127.0.0.1:1";
    let stale = service(nobody, folder.path(), 0, 60).get(&CRL).await.unwrap();
    assert_eq!(parts(&stale).1, b"old");
    let too_old = service(nobody, folder.path(), 0, 0).get(&CRL).await;
    assert_eq!(too_old, Err(Unavailability::Failed));
}

#[tokio::test]
async fn a_failing_vendor_is_left_alone_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let vendor = Vendor::start(|path| match path {
        path if path.contains("Milan") => http("429 Too Many Requests", "retry-after: 30\r\n", b""),
        _ => http("500 Internal Server Error", "", b""),
    });
    let service = service(&vendor.base, folder.path(), 60, 60);
    for _ in 0..3 {
        assert_eq!(service.get(&CRL).await, Err(Unavailability::Failed));
    }
    assert_eq!(vendor.visits(), 1);
    let other = EndorsementQuery::AmdCrl { product: AmdProduct::Milan };
    assert_eq!(service.get(&other).await, Err(Unavailability::Busy), "another document is asked for");
    assert_eq!(vendor.visits(), 2);
}

#[tokio::test]
async fn intel_documents_bring_their_chain() {
    let folder = tempfile::tempdir().unwrap();
    let vendor = Vendor::start(|path| {
        let header = match path {
            path if path.starts_with("/tdx/certification/v4/tcb") => "TCB-Info-Issuer-Chain",
            path if path.starts_with("/tdx/certification/v4/qe") => "SGX-Enclave-Identity-Issuer-Chain",
            path if path.contains("ca=platform") => "SGX-PCK-CRL-Issuer-Chain",
            _ => "X-Other",
        };
        http("200 OK", &format!("{header}: -----BEGIN%20A%0A\r\n"), b"{}")
    });
    let service = service(&vendor.base, folder.path(), 60, 60);
    let with_chain = [
        EndorsementQuery::IntelTcbInfo { fmspc: [1; 6] },
        EndorsementQuery::IntelQeIdentity,
        EndorsementQuery::IntelPckCrl { ca: IntelCa::Platform },
    ];
    for query in with_chain {
        let found = service.get(&query).await.unwrap();
        assert_eq!(parts(&found), (b"-----BEGIN A\n".to_vec(), b"{}".to_vec()));
    }
    let root = service.get(&EndorsementQuery::IntelRootCrl).await.unwrap();
    assert_eq!(parts(&root).0, b"");
    let without = service.get(&EndorsementQuery::IntelPckCrl { ca: IntelCa::Processor }).await;
    assert_eq!(without, Err(Unavailability::Failed), "a chain that is missing is a failure");
}

#[tokio::test]
async fn hostile_answers_are_bounded() {
    let answers: [(Vec<u8>, Unavailability); 8] = [
        (http("404 Not Found", "", b""), Unavailability::NotFound),
        (http("302 Found", "location: http://127.0.0.1:1/\r\n", b""), Unavailability::Failed),
        (http("200 OK", "", &vec![0; 256 * 1024 + 1]), Unavailability::TooLarge),
        (http("200 OK", "", &vec![0; 256 * 1024]), Unavailability::TooLarge),
        (http("200 OK", &format!("x: {}\r\n", "a".repeat(1 << 20)), b"x"), Unavailability::Failed),
        (http("200 OK", "", b""), Unavailability::Failed),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort".to_vec(), Unavailability::Failed),
        (b"not HTTP at all\r\n\r\n".to_vec(), Unavailability::Failed),
    ];
    for (answer, reason) in answers {
        let folder = tempfile::tempdir().unwrap();
        let vendor = Vendor::start(move |_| answer.clone());
        let service = service(&vendor.base, folder.path(), 60, 60);
        assert_eq!(service.get(&CRL).await, Err(reason));
    }
}

#[tokio::test]
async fn a_silent_vendor_costs_the_time_limit() {
    let folder = tempfile::tempdir().unwrap();
    let vendor = Vendor::start(|_| {
        thread::sleep(Duration::from_secs(3));
        Vec::new()
    });
    let service = service(&vendor.base, folder.path(), 60, 60);
    let before = Instant::now();
    assert_eq!(service.get(&CRL).await, Err(Unavailability::TimedOut));
    assert!(before.elapsed() < Duration::from_millis(2500));
}

#[test]
fn a_bad_base_or_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let log = || Arc::new(Log::silent(Level::Warn));
    let text = format!("cache = {:?}\nintel_pcs = \"ftp://x\"", folder.path());
    let error = Endorsements::new(&toml::from_str(&text).unwrap(), log()).unwrap_err();
    assert_eq!(error, EndorsementsError::Url("endorsements.intel_pcs"));
    let error = Endorsements::new(&toml::from_str("cache = \"/proc/none\"").unwrap(), log()).unwrap_err();
    assert!(matches!(error, EndorsementsError::Cache(folder, _) if folder == "/proc/none"));
}
