//! The attester over the simulated TPM, command by command: its evidence is accepted, and what goes wrong is told apart.

use crate::world::{AZURE, BOTH, DATA, guest, judge_bundle, parts, policy, spec};
use attestation::attester::azure_vtpm::AzureVtpm;
use attestation::attester::tpm::{DeviceFile, TpmDevice};
use attestation::attester::{Attester, AttesterError};
use attestation::{AzureEvidence, TeeType};
use simtee::azure::VirtualTpm;
use simtee::azure::virtual_tpm::{AK_CERTIFICATE_INDEX, HCL_INDEX};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a test does to the traffic.
#[derive(Default)]
struct Script {
    /// Errors of the next transactions.
    errors: Vec<io::ErrorKind>,
    /// A last change to every response.
    edit: Option<fn(&mut Vec<u8>)>,
    waits: Vec<Duration>,
}

struct Wire {
    tpm: VirtualTpm<'static>,
    script: Arc<Mutex<Script>>,
}

impl TpmDevice for Wire {
    fn transact(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        let mut script = self.script.lock().expect("script");
        if let Some(kind) = script.errors.pop() {
            return Err(kind.into());
        }
        let mut response = self.tpm.execute(command).expect("a response");
        if let Some(edit) = script.edit {
            edit(&mut response);
        }
        Ok(response)
    }

    fn wait(&mut self, time: Duration) {
        self.script.lock().expect("script").waits.push(time);
    }
}

/// An attester over the TPM of a good guest, with the script of its wire.
fn attester(
    tee: TeeType,
    edit: impl FnOnce(&mut VirtualTpm<'static>),
) -> (Result<AzureVtpm, AttesterError>, Arc<Mutex<Script>>) {
    let good = guest(tee, &spec());
    let mut tpm = AZURE.tpm(&spec(), good.hcl_report.clone()).expect("TPM");
    edit(&mut tpm);
    let script = Arc::new(Mutex::new(Script::default()));
    let report: [u8; 1024] = good.hcl_report[0x20..0x420].try_into().expect("report");
    let quoter = move |asked: &[u8; 1024]| {
        assert_eq!(*asked, report, "asked for the report in the blob");
        good.td_quote.clone().ok_or(AttesterError::Refused)
    };
    let device = Wire { tpm, script: Arc::clone(&script) };
    (AzureVtpm::detect(Box::new(device), Box::new(quoter)), script)
}

#[test]
fn evidence_of_the_attester_is_accepted_on_both_kinds_of_hardware() {
    for tee in BOTH {
        let (attester, _) = attester(tee, |_| ());
        let attester = attester.expect("an Azure guest");
        assert_eq!(attester.tee(), tee);
        let quote = attester.quote(&DATA).expect("a quote");
        let bundle = AzureEvidence::decode(&quote.bytes).expect("a bundle");
        assert_eq!((bundle.td_quote.is_some(), bundle.pcrs.len()), (tee == TeeType::AzureTdx, 24));
        // the simulated CA is none that the attester knows
        assert_eq!(bundle.ak_certificates, Vec::<Vec<u8>>::new());
        // collateral and certificates of the same machine; its report is made anew for each guest
        let mut judged = parts(tee, &guest(tee, &spec()));
        judged.0 = bundle;
        let accepted = judge_bundle(tee, &judged, &policy());
        assert!(accepted.is_ok(), "{tee}: {:?}", accepted.err().map(|rejected| rejected.rejection));
    }
}

#[test]
fn a_register_that_changes_in_between_is_noticed_and_a_busy_tpm_asked_again() {
    let (attester, _) = attester(TeeType::AzureSnp, |tpm| tpm.extend_after_quote = Some(10));
    let quote = attester.expect("detected").quote(&DATA).expect("the second attempt is undisturbed");
    let bundle = AzureEvidence::decode(&quote.bytes).expect("a bundle");
    assert_ne!(bundle.pcrs[&10], attestation::Sha256::new([10; 32]));

    let (attester, script) = self::attester(TeeType::AzureSnp, |tpm| tpm.refusals = vec![0x922, 0x908]);
    assert!(attester.is_ok());
    let waits = std::mem::take(&mut script.lock().expect("script").waits);
    assert_eq!(waits, [10, 20].map(Duration::from_millis));
    script.lock().expect("script").errors = vec![io::ErrorKind::ResourceBusy; 99];
    assert_eq!(attester.expect("detected").quote(&DATA), Err(AttesterError::Busy));
    assert_eq!(script.lock().expect("script").waits.len(), 5);
}

#[test]
fn what_is_missing_is_named() {
    let unavailable = |edit: fn(&mut VirtualTpm<'static>)| {
        let (attester, _) = attester(TeeType::AzureSnp, edit);
        matches!(attester, Err(AttesterError::Unavailable(_)))
    };
    assert!(unavailable(|tpm| drop(tpm.indexes.remove(&HCL_INDEX))));
    assert!(unavailable(|tpm| tpm.indexes.get_mut(&HCL_INDEX).expect("blob")[0x4c8] = 3));
    assert!(unavailable(|tpm| tpm.indexes.get_mut(&HCL_INDEX).expect("blob").truncate(40)));
    let open = DeviceFile::open(std::path::Path::new("/nonexistent/tpmrm0"));
    assert!(matches!(open, Err(AttesterError::Unavailable(_))));
    let (certified, _) = attester(TeeType::AzureSnp, |tpm| drop(tpm.indexes.remove(&AK_CERTIFICATE_INDEX)));
    assert!(certified.expect("detected").quote(&DATA).is_ok(), "a certificate need not be there");
    let (refused, _) = attester(TeeType::AzureSnp, |tpm| tpm.refusals = vec![0x101]);
    let refused = refused.expect_err("refused");
    assert_eq!(refused, AttesterError::Tpm { doing: "reading an index's size", code: 0x101 });
    assert_eq!(refused.to_string(), "reading an index's size: the TPM answered 0x101");
}

#[test]
fn a_quote_over_its_limit_is_not_passed_on() {
    let blob = guest(TeeType::AzureTdx, &spec()).hcl_report;
    let script = Arc::new(Mutex::new(Script::default()));
    let device = Wire { tpm: AZURE.tpm(&spec(), blob).expect("TPM"), script };
    let attester = AzureVtpm::detect(Box::new(device), Box::new(|_| Ok(vec![0; 40_000]))).expect("detected");
    assert_eq!(attester.quote(&DATA), Err(AttesterError::Malformed("a part over its limit")));
}

#[test]
fn broken_responses_are_malformed() {
    let (attester, script) = attester(TeeType::AzureSnp, |_| ());
    let attester = attester.expect("detected");
    let edits: [fn(&mut Vec<u8>); 5] = [
        |response| response.truncate(9),
        |response| response.push(0),
        |response| response.truncate(response.len() - 1),
        |response| response[1] ^= 3,
        |response| response[2..6].copy_from_slice(&[0xff; 4]),
    ];
    for edit in edits {
        script.lock().expect("script").edit = Some(edit);
        assert!(matches!(attester.quote(&DATA), Err(AttesterError::Malformed(_))));
    }
    script.lock().expect("script").edit = None;
    assert!(attester.quote(&DATA).is_ok());
    let (huge, _) =
        self::attester(TeeType::AzureSnp, |tpm| drop(tpm.indexes.insert(HCL_INDEX, vec![0; 9000])));
    assert_eq!(huge.err(), Some(AttesterError::Malformed("an index over its limit")));
}

#[test]
fn no_response_of_a_tpm_makes_the_attester_panic() {
    let (attester, script) = attester(TeeType::AzureSnp, |_| ());
    let attester = attester.expect("detected");
    for at in 0..64_usize {
        // every byte of every response, one after the other
        static AT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        AT.store(at, std::sync::atomic::Ordering::Relaxed);
        script.lock().expect("script").edit = Some(|response| {
            if let Some(byte) = response.get_mut(AT.load(std::sync::atomic::Ordering::Relaxed)) {
                *byte ^= 0xff;
            }
        });
        drop(attester.quote(&DATA));
    }
}
