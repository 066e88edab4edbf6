//! Against a host that serves the simulated Intel's documents, honestly or not; judged by the client's own verifier.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use attestation::attester::Quote;
use attestation::policy::{DeploymentRule, HardwareRule, SnpPolicy, TdxPolicy, TdxReferences};
use attestation::reference_values::Requirement;
use attestation::{Code, Policy, TeeType, UnixTime, appraise_evidence};
use link::{EndorsementDocument, Reply, Request, Unavailability};
use simtee::tdx::{ProvisioningService, TdxAuthority, TdxSpec};

use super::*;
use crate::endorsements::EndorsementSource;
use crate::transport::Address;

const NOW: u64 = 1_795_219_200;

/// What the host hands over for a query: issuer chain and body, or nothing.
type Answer = Box<dyn Fn(&EndorsementQuery) -> Option<(String, Vec<u8>)> + Send>;

/// A host behind a socket in `folder`; counts what it was asked.
fn host(folder: &Path, answer: Answer) -> (HostLink, Arc<AtomicUsize>) {
    let path: PathBuf = folder.join("host.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            let query = loop {
                let mut one = [0];
                stream.read_exact(&mut one).unwrap();
                bytes.push(one[0]);
                if let Some((request, _)) = Request::decode(&bytes).unwrap() {
                    let Request::Endorsements(query) = request else {
                        panic!("only endorsements are asked for")
                    };
                    break query;
                }
            };
            counted.fetch_add(1, Ordering::SeqCst);
            let reply = match answer(&query) {
                Some((chain, body)) => {
                    let document = EndorsementDocument { issuer_chain: chain.as_bytes(), body: &body };
                    let document = document.encode().unwrap();
                    let length = u32::try_from(document.len()).unwrap();
                    [Reply::Endorsements { length }.encode(), document].concat()
                }
                None => Reply::Unavailable { reason: Unavailability::NotFound }.encode(),
            };
            stream.write_all(&reply).unwrap();
        }
    });
    (HostLink::new(Address::Unix(path)), asked)
}

/// Intel's documents by query, as an honest host passes them on.
fn honest(service: &ProvisioningService, query: &EndorsementQuery) -> Option<(String, Vec<u8>)> {
    let document = match query {
        EndorsementQuery::IntelTcbInfo { fmspc } if *fmspc == [0x90, 0xc0, 0x6f, 0, 0, 0] => {
            &service.tcb_info
        }
        EndorsementQuery::IntelQeIdentity => &service.qe_identity,
        EndorsementQuery::IntelPckCrl { ca: IntelCa::Platform } => &service.pck_crl,
        EndorsementQuery::IntelRootCrl => &service.root_crl,
        EndorsementQuery::AmdVcek { .. }
        | EndorsementQuery::AmdChain { .. }
        | EndorsementQuery::AmdCrl { .. }
        | EndorsementQuery::IntelTcbInfo { .. }
        | EndorsementQuery::IntelPckCrl { .. } => return None,
    };
    Some((document.issuer_chain.clone(), document.body.clone()))
}

fn verdict(authority: &TdxAuthority, quote: &[u8], endorsements: &[u8]) -> Result<(), Code> {
    let reason = || "this test is about collateral".to_owned();
    let floors = attestation::floors::TcbFloors::shipped().unwrap();
    let tdx = TdxPolicy {
        references: TdxReferences::Unchecked { reason: reason() },
        ..TdxPolicy::standard(Vec::new())
    };
    let hardware = HardwareRule::Any { reason: reason() };
    let snp = SnpPolicy::standard(floors);
    let types = vec![TeeType::Tdx];
    let mut policy = Policy::standard(types, Vec::new(), hardware, DeploymentRule::Unpinned, Vec::new(), snp)
        .with_tdx(tdx);
    policy.trust_anchors.simulated_roots = vec![authority.root_certificate().to_vec()];
    let any = Requirement::Waived { reason: reason() };
    appraise_evidence(TeeType::Tdx, quote, endorsements, &any, &policy, UnixTime::from_seconds(NOW))
        .map(|_| ())
        .map_err(|rejected| rejected.rejection.code)
}

#[tokio::test]
async fn what_the_host_fetches_from_intel_makes_a_quote_acceptable() {
    let folder = tempfile::tempdir().unwrap();
    let authority = TdxAuthority::create().unwrap();
    let evidence = authority.evidence(&TdxSpec::new(NOW)).unwrap();
    let service = ProvisioningService::of(&evidence).unwrap();
    let (host, asked) = host(folder.path(), Box::new(move |query| honest(&service, query)));
    let source = EndorsementSource::new(Some(host), Vec::new());
    let quote = Quote { bytes: evidence.quote.clone(), auxiliary: Vec::new() };
    let endorsements = source.for_quote(&quote).await;
    assert_eq!(verdict(&authority, &evidence.quote, &endorsements), Ok(()));
    // once an hour is enough
    assert_eq!(source.for_quote(&quote).await, endorsements);
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    // control: without the host the same quote is refused
    let alone = EndorsementSource::new(None, Vec::new()).for_quote(&quote).await;
    assert_eq!(verdict(&authority, &evidence.quote, &alone), Err(Code::TdxCollateralMissing));
}

#[tokio::test]
async fn what_a_hostile_host_hands_over_is_judged_by_the_client() {
    type Change = fn(&EndorsementQuery, (String, Vec<u8>)) -> Option<(String, Vec<u8>)>;
    let cases: [(&str, Change, Code); 5] = [
        ("withheld", |_, _| None, Code::TdxCollateralMissing),
        (
            "no revocation list",
            |query, given| (*query != EndorsementQuery::IntelRootCrl).then_some(given),
            Code::TdxCollateralMissing,
        ),
        (
            "a level was raised",
            |_, (chain, body)| {
                let text = String::from_utf8_lossy(&body).replace("OutOfDate", "UpToDate");
                Some((chain, if body.starts_with(b"{") { text.into_bytes() } else { body }))
            },
            Code::TdxCollateral,
        ),
        ("another signer's chain", |_, (_, body)| Some((String::new(), body)), Code::TdxCollateralMissing),
        ("an HTML page", |_, (chain, _)| Some((chain, b"<html>".to_vec())), Code::TdxCollateralMissing),
    ];
    for (name, change, code) in cases {
        let folder = tempfile::tempdir().unwrap();
        let authority = TdxAuthority::create().unwrap();
        let evidence = authority.evidence(&TdxSpec::new(NOW)).unwrap();
        let service = ProvisioningService::of(&evidence).unwrap();
        let answer: Answer = Box::new(move |query| change(query, honest(&service, query)?));
        let source = EndorsementSource::new(Some(host(folder.path(), answer).0), Vec::new());
        let quote = Quote { bytes: evidence.quote.clone(), auxiliary: Vec::new() };
        let endorsements = source.for_quote(&quote).await;
        assert_eq!(verdict(&authority, &evidence.quote, &endorsements), Err(code), "{name}");
    }
}

#[tokio::test]
async fn the_event_log_goes_with_a_tdx_quote_only() {
    let authority = TdxAuthority::create().unwrap();
    let evidence = authority.evidence(&TdxSpec::new(NOW)).unwrap();
    let source = EndorsementSource::new(None, b"a log".to_vec());
    let tdx = Quote { bytes: evidence.quote, auxiliary: Vec::new() };
    let decoded = Endorsements::decode(&source.for_quote(&tdx).await).unwrap();
    assert_eq!((decoded.event_log, decoded.collateral), (b"a log".to_vec(), Vec::new()));
    let other = Quote { bytes: vec![3; 1184], auxiliary: Vec::new() };
    assert_eq!(Endorsements::decode(&source.for_quote(&other).await).unwrap().event_log, Vec::<u8>::new());
}
