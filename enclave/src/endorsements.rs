//! What accompanies a quote: vendor certificates, collateral and revocation lists, from the hardware or from the host.
//!
//! Untrusted bytes, passed on for the client to check. A wrong or missing one makes the client refuse.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use attestation::AzureEvidence;
use attestation::attester::Quote;
use attestation::digest::UnixTime;
use attestation::endorsements::Endorsements;
use link::EndorsementQuery;
use tokio::time::timeout;

use crate::clock::ProcessClock;
use crate::host_link::{Fetched, HostLink};

mod amd;
mod intel;

/// How long what the host fetched is passed on before it is asked for again, in seconds.
const KEPT_SECONDS: u64 = 60 * 60;
/// How long one fetch may take.
const FETCH_TIME: Duration = Duration::from_secs(10);

/// Where endorsements come from.
#[derive(Debug)]
pub struct EndorsementSource {
    host: Option<HostLink>,
    event_log: Vec<u8>,
    fetched: Mutex<Option<Kept>>,
}

/// What was fetched last.
#[derive(Clone, Debug)]
struct Kept {
    at: UnixTime,
    machine: Machine,
    endorsements: Endorsements,
}

/// Where the SEV-SNP report stands in the blob of Azure's paravisor.
const HCL_REPORT: std::ops::Range<usize> = 0x20..0x4c0;

/// Which machine of which vendor a quote is from, by its own words: enough to ask for its endorsements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    Amd(amd::Chip),
    Intel(intel::Platform),
}

impl Machine {
    fn of(quote: &[u8]) -> Option<Self> {
        let azure = AzureEvidence::decode(quote).ok();
        let quote = azure.as_ref().map_or(quote, underneath);
        amd::Chip::of_report(quote)
            .map(Self::Amd)
            .or_else(|| intel::Platform::of_quote(quote).map(Self::Intel))
    }

    async fn fetch(self, host: &HostLink) -> Endorsements {
        match self {
            Self::Amd(chip) => chip.fetch(host).await,
            Self::Intel(platform) => platform.fetch(host).await,
        }
    }

    /// Whether a client can do with these; others are asked for again at the next quote.
    fn is_served_by(self, endorsements: &Endorsements) -> bool {
        match self {
            Self::Amd(_) => !endorsements.certificates.is_empty() && !endorsements.crls.is_empty(),
            Self::Intel(_) => !endorsements.collateral.is_empty(),
        }
    }
}

/// The hardware's own evidence under Azure's paravisor.
fn underneath(azure: &AzureEvidence) -> &[u8] {
    match &azure.td_quote {
        Some(quote) => quote,
        None => azure.hcl_report.get(HCL_REPORT).unwrap_or_default(),
    }
}

impl EndorsementSource {
    /// From the hardware's own table, and for what is not in it from `host`. `event_log` goes with every TDX quote;
    /// empty for none.
    pub const fn new(host: Option<HostLink>, event_log: Vec<u8>) -> Self {
        Self { host, event_log, fetched: Mutex::new(None) }
    }

    /// The encoded `endorsements` member for one quote: as complete as can be had.
    pub async fn for_quote(&self, quote: &Quote) -> Vec<u8> {
        let mut endorsements = Endorsements::from_snp_certificate_table(&quote.auxiliary).unwrap_or_default();
        if endorsements.certificates.is_empty() || endorsements.crls.is_empty() {
            let fetched = self.ask_host(quote).await;
            if endorsements.certificates.is_empty() {
                endorsements.certificates = fetched.certificates;
            }
            if endorsements.crls.is_empty() {
                endorsements.crls = fetched.crls;
            }
            endorsements.collateral = fetched.collateral;
            endorsements.event_log = fetched.event_log;
        }
        endorsements.encode()
    }

    async fn ask_host(&self, quote: &Quote) -> Endorsements {
        let now = ProcessClock::shared().unix();
        let Some(machine) = Machine::of(&quote.bytes) else { return Endorsements::default() };
        let event_log = match machine {
            Machine::Amd(_) => Vec::new(),
            Machine::Intel(_) => self.event_log.clone(),
        };
        let Some(host) = &self.host else {
            return Endorsements { event_log, ..Endorsements::default() };
        };
        let kept = self.fetched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kept = kept
            .filter(|kept| kept.machine == machine)
            .filter(|kept| now.seconds().saturating_sub(kept.at.seconds()) < KEPT_SECONDS);
        let endorsements = if let Some(kept) = kept {
            kept.endorsements
        } else {
            let endorsements = machine.fetch(host).await;
            if machine.is_served_by(&endorsements) {
                let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
                *fetched = Some(Kept { at: now, machine, endorsements: endorsements.clone() });
            }
            endorsements
        };
        Endorsements { event_log, ..endorsements }
    }
}

/// One document, if the host has it in time.
async fn ask(host: &HostLink, query: EndorsementQuery) -> Option<Fetched> {
    timeout(FETCH_TIME, host.endorsement(query)).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_behind_azures_paravisor_is_known_by_the_report_in_the_blob() {
        let mut report = vec![0; 1184];
        report[0] = 3;
        (report[0x188], report[0x189]) = (0x19, 0x11);
        let mut azure = AzureEvidence {
            hcl_report: [vec![0; 0x20], report.clone(), vec![0; 40]].concat(),
            tpm_quote: Vec::new(),
            tpm_signature: vec![0; 256],
            pcrs: [].into(),
            ak_certificates: Vec::new(),
            td_quote: None,
        };
        let machine = Machine::of(&report);
        assert!(matches!(machine, Some(Machine::Amd(_))));
        assert_eq!(Machine::of(&azure.encode()), machine);
        // with a TD quote it is the quote that counts
        azure.td_quote = Some(b"no quote".to_vec());
        assert_eq!(Machine::of(&azure.encode()), None);
    }
}
