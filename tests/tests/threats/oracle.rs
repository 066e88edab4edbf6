//! Row 11: whatever is sent to whatever path, the hardware signs the enclave's own claims and nothing else.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use attestation::Nonce;
use attestation::binding::{BindRequest, BindResponse, ChallengeRequest};
use attestation::digest::Sha384;
use attestation::enclave_claims::{EnclaveClaims, Kind, report_data};
use attestation::evidence::EvidenceDocument;
use postern_tests::classifier::Dice;
use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::{Answer, Http1};
use postern_tests::security_processor::SecurityProcessor;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Requests made up from what a host might try.
const CASES: usize = 1500;
/// What the host wants to have signed: 64 bytes of its own.
const FOREIGN: [u8; 64] = [0xab; 64];

/// The 64 bytes of every quote that was asked for.
type Asked = Arc<Mutex<Vec<[u8; 64]>>>;

/// A processor behind a door at which everything is noted that it is asked to sign.
fn watched(folder: &Path) -> (SecurityProcessor, Asked) {
    let mut processor = SecurityProcessor::start(folder);
    let inner = std::mem::replace(&mut processor.socket, folder.join("watched.sock"));
    let listener = UnixListener::bind(&processor.socket).unwrap();
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut near in listener.incoming().flatten() {
            let (inner, noted) = (inner.clone(), Arc::clone(&noted));
            std::thread::spawn(move || {
                let mut request = [0; 72];
                near.read_exact(&mut request).unwrap();
                noted.lock().unwrap().push(request[8..].try_into().unwrap());
                let mut far = UnixStream::connect(inner).unwrap();
                far.write_all(&request).unwrap();
                std::io::copy(&mut far, &mut near)
            });
        }
    });
    (processor, asked)
}

/// What is wrong with what was signed, given every document that came back: each quote must be over claims that the
/// enclave showed, made of its own keyset and instance, with nothing of the caller's in them but a nonce that was sent.
fn foreign(asked: &[[u8; 64]], shown: &[EvidenceDocument], nonces: &BTreeSet<[u8; 32]>) -> Vec<String> {
    let mut problems = Vec::new();
    let instances: BTreeSet<_> =
        shown.iter().map(|document| EnclaveClaims::decode(&document.claims).unwrap().instance_id).collect();
    if instances.len() > 1 {
        problems.push("claims of several instances".to_owned());
    }
    for data in asked {
        let Some(document) = shown.iter().find(|one| report_data(&one.claims).as_bytes() == data) else {
            problems.push(format!("signed and shown to nobody: {}", hex::encode(data)));
            continue;
        };
        let claims = EnclaveClaims::decode(&document.claims).unwrap();
        if claims.keyset_digest != Sha384::of(&document.keyset) || claims.state_head.is_some() {
            problems.push("claims over another keyset".to_owned());
        }
        let (Kind::Challenge { nonce } | Kind::Session { nonce, .. }) = claims.kind else {
            problems.push("claims of a kind that nobody can ask for".to_owned());
            continue;
        };
        if !nonces.contains(nonce.as_bytes()) {
            problems.push(format!("a nonce that nobody sent: {}", hex::encode(nonce.as_bytes())));
        }
    }
    problems
}

/// Requests that hide foreign bytes in every place there is, changed at random.
struct Forger {
    dice: Dice,
    nonces: BTreeSet<[u8; 32]>,
    claims: Sha384,
}

impl Forger {
    fn nonce(&mut self) -> Nonce {
        let bytes: [u8; 32] = if self.dice.below(2) == 0 {
            [0xab; 32]
        } else {
            std::array::from_fn(|_| self.dice.below(256) as u8)
        };
        self.nonces.insert(bytes);
        Nonce::new(bytes)
    }

    fn body(&mut self) -> Vec<u8> {
        let nonce = self.nonce();
        let mut body = match self.dice.below(10) {
            0..=2 => ChallengeRequest { nonce }.encode(),
            3..=5 => BindRequest { nonce, evidence: true, claims: self.claims }.encode(),
            6 => BindRequest { nonce, evidence: true, claims: Sha384::of(&FOREIGN) }.encode(),
            // {1: 64 bytes}, {1: nonce, 2: 64 bytes}, {"report_data": 64 bytes}
            7 => [&[0xa1, 0x01, 0x58, 64][..], &FOREIGN].concat(),
            8 => [&[0xa2, 0x01, 0x58, 32][..], nonce.as_bytes(), &[0x02, 0x58, 64], &FOREIGN].concat(),
            _ => [&[0xa1, 0x6b][..], b"report_data", &[0x58, 64], &FOREIGN].concat(),
        };
        for _ in 0..self.dice.below(4).saturating_sub(1) {
            let at = self.dice.below(body.len());
            match self.dice.below(4) {
                0 => body[at] ^= 1 << self.dice.below(8),
                1 => body.insert(at, self.dice.below(256) as u8),
                2 => body.truncate(at.max(1)),
                _ => body.extend_from_slice(&FOREIGN[..self.dice.below(64)]),
            }
        }
        // a changed body may still be a proper request, for the nonce that it now holds
        if let Ok(request) = ChallengeRequest::decode(&body) {
            self.nonces.insert(*request.nonce.as_bytes());
        }
        if let Ok(request) = BindRequest::decode(&body) {
            self.nonces.insert(*request.nonce.as_bytes());
        }
        body
    }

    fn request(&mut self) -> Vec<u8> {
        const PATHS: &[&str] = &[
            "/.well-known/postern/evidence",
            "/.well-known/postern/evidence",
            "/.well-known/postern/bind",
            "/.well-known/postern/bind",
            "/.well-known/postern/config",
            "/.well-known/postern/provision",
            "/.well-known/postern/quote",
            "/.well-known/postern/report",
            "/livez",
            "/readyz",
            "/v1/chat/completions",
            "/v1/models",
            "/v1/embeddings",
            "/v1/messages",
            "/v1/responses",
            "/metrics",
            "/",
        ];
        const METHODS: &[&str] =
            &["POST", "POST", "POST", "POST", "POST", "POST", "GET", "PUT", "DELETE", "OPTIONS"];
        // half of them where signing can be asked for
        let among = if self.dice.below(2) == 0 { 4 } else { PATHS.len() };
        let (path, method) = (PATHS[self.dice.below(among)], METHODS[self.dice.below(METHODS.len())]);
        let text = hex::encode(FOREIGN);
        let query =
            if self.dice.below(3) == 0 { format!("?report_data={text}&nonce={text}") } else { String::new() };
        let field = match self.dice.below(3) {
            0 => format!("x-report-data: {text}\r\nx-user-data: {text}\r\n"),
            1 => format!("postern-nonce: {text}\r\n"),
            _ => String::new(),
        };
        let body = if path.starts_with("/v1/") && self.dice.below(2) == 0 {
            format!("{{\"model\":\"builtin\",\"messages\":[],\"report_data\":\"{text}\"}}").into_bytes()
        } else {
            self.body()
        };
        let head = format!(
            "{method} {path}{query} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n{field}content-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), &body].concat()
    }
}

/// The document in an answer, if one is there.
fn document(answer: &Answer) -> Option<EvidenceDocument> {
    let inside = match BindResponse::decode(&answer.body) {
        Ok(BindResponse::Evidence(document)) => document,
        _ => answer.body.clone(),
    };
    EvidenceDocument::decode(&inside).ok()
}

async fn ask(client: &mut Http1<TlsStream<TcpStream>>, request: &[u8]) -> Option<Answer> {
    client.send(request).await.ok()?;
    client.answer().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_nothing_but_its_own_claims_is_ever_signed() {
    let folder = tempfile::tempdir().unwrap();
    let (processor, asked) = watched(folder.path());
    let inner = Arc::clone(&processor.processor);
    let enclave =
        Enclave::on(processor, &Setup { evidence_per_second: Some(10_000), ..Setup::default() }, folder);
    let mut forger = Forger { dice: Dice::new(0x0_4ac1e), nonces: BTreeSet::new(), claims: Sha384::of(b"") };
    let mut shown = Vec::new();
    let mut client = Http1::connect(enclave.address).await;
    let (mut refused, mut bound, mut lost) = (0, 0, 0);
    let at_start = std::mem::take(&mut *asked.lock().unwrap());
    for _ in 0..CASES {
        let request = forger.request();
        let before = asked.lock().unwrap().len();
        let answer = ask(&mut client, &request).await;
        let Some(document) = answer.as_ref().and_then(document) else {
            // On a busy machine the hardware may sign too late: the enclave says so, and shows nobody what was signed.
            let failed = answer.as_ref().is_none_or(|answer| answer.status == 503);
            lost += if failed { asked.lock().unwrap().len() - before } else { 0 };
            refused += usize::from(answer.as_ref().is_some_and(|answer| answer.status >= 400));
            if answer.is_none_or(|answer| answer.header("connection") == Some("close")) {
                client = Http1::connect(enclave.address).await;
            }
            continue;
        };
        bound +=
            usize::from(answer.is_some_and(|one| one.header("content-type") == Some("application/cbor")));
        forger.claims = Sha384::of(&document.claims);
        shown.push(document);
    }
    let asked = asked.lock().unwrap().clone();
    println!(
        "{CASES} requests: {} quotes, {bound} of them by bind, {lost} lost, {refused} refused",
        asked.len()
    );
    assert!(
        asked.len() > CASES / 30 && bound > CASES / 100 && refused > CASES / 4 && lost < CASES / 100,
        "the forger asks for too little"
    );
    assert_eq!(
        foreign(&asked, &shown, &forger.nonces).len(),
        lost,
        "{:?}",
        foreign(&asked, &shown, &forger.nonces)
    );
    assert!(!asked.contains(&FOREIGN));
    // at its start it asks once whether the hardware works: the same claims, over a nonce of zeros
    let mut own = EnclaveClaims::decode(&shown[0].claims).unwrap();
    own.kind = Kind::Challenge { nonce: Nonce::new([0; 32]) };
    assert_eq!(at_start, [*report_data(&own.encode()).as_bytes()]);
    // control: one quote over foreign bytes, from an interface that takes them, is noticed
    inner.quote(&FOREIGN).expect("the processor itself signs anything");
    let with_oracle = [asked.as_slice(), &[FOREIGN]].concat();
    assert_eq!(foreign(&with_oracle, &shown, &forger.nonces).len(), lost + 1);
}
