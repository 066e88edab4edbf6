#![no_main]
//! Whatever a TPM answers, the attester returns: evidence or an error, never a panic and never without end.
use attestation::attester::azure_vtpm::AzureVtpm;
use attestation::attester::tpm::TpmDevice;
use attestation::attester::{Attester, AttesterError};
use attestation::{AzureEvidence, ReportData};
use libfuzzer_sys::fuzz_target;
use std::io;
use std::time::Duration;

/// Answers with one slice of the input after the other: a length of 16 bits and as many bytes.
struct Script(Vec<u8>, usize);

impl TpmDevice for Script {
    fn transact(&mut self, _: &[u8]) -> io::Result<Vec<u8>> {
        let rest = self.0.get(self.1..).unwrap_or_default();
        let Some((length, rest)) = rest.split_at_checked(2) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let length = usize::from(u16::from_le_bytes([length[0], length[1]])).min(rest.len());
        self.1 += 2 + length;
        Ok(rest[..length].to_vec())
    }

    fn wait(&mut self, _: Duration) {}
}

fuzz_target!(|bytes: &[u8]| {
    let quoter = Box::new(|_: &[u8; 1024]| Err(AttesterError::Refused));
    let Ok(attester) = AzureVtpm::detect(Box::new(Script(bytes.to_vec(), 0)), quoter) else { return };
    if let Ok(quote) = attester.quote(&ReportData::new([7; 64])) {
        assert!(AzureEvidence::decode(&quote.bytes).is_ok());
    }
});
