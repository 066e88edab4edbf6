//! What accompanies a quote: vendor certificates and revocation lists, from the hardware or from the host.
//!
//! Untrusted bytes, passed on for the client to check. A wrong or missing one makes the client refuse.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use attestation::attester::Quote;
use attestation::digest::UnixTime;
use attestation::endorsements::Endorsements;
use link::{AmdProduct, ChipId, EndorsementQuery};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::time::timeout;

use crate::clock::ProcessClock;
use crate::host_link::HostLink;

/// How long what the host fetched is passed on before it is asked for again, in seconds.
const KEPT_SECONDS: u64 = 60 * 60;
/// How long one fetch may take.
const FETCH_TIME: Duration = Duration::from_secs(10);

/// Where endorsements come from.
#[derive(Debug)]
pub struct EndorsementSource {
    host: Option<HostLink>,
    fetched: Mutex<Option<(UnixTime, Endorsements)>>,
}

impl EndorsementSource {
    /// From the hardware's own table, and for what is not in it from `host`.
    pub const fn new(host: Option<HostLink>) -> Self {
        Self { host, fetched: Mutex::new(None) }
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
        }
        endorsements.encode()
    }

    async fn ask_host(&self, quote: &Quote) -> Endorsements {
        let now = ProcessClock::shared().unix();
        let (Some(host), Some(chip)) = (&self.host, Chip::of_report(&quote.bytes)) else {
            return Endorsements::default();
        };
        let kept = self.fetched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match kept {
            Some((at, kept)) if now.seconds().saturating_sub(at.seconds()) < KEPT_SECONDS => kept,
            _ => {
                let fetched = chip.fetch(host).await;
                if !fetched.certificates.is_empty() && !fetched.crls.is_empty() {
                    let mut cache = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
                    *cache = Some((now, fetched.clone()));
                }
                fetched
            }
        }
    }
}

/// What AMD's key distribution service needs to know; read from our own report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chip {
    product: AmdProduct,
    id: ChipId,
    tcb: [u8; 8],
}

impl Chip {
    /// Offsets from AMD document 56860, `ATTESTATION_REPORT`. `None` for anything but an SNP report that
    /// names its CPU (version 3 and later).
    fn of_report(report: &[u8]) -> Option<Self> {
        let byte = |offset: usize| report.get(offset).copied();
        if report.len() != 1184 || byte(0)? < 3 {
            return None;
        }
        let product = match (byte(0x188)?, byte(0x189)?) {
            (0x19, 0x00..=0x0f) => AmdProduct::Milan,
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => AmdProduct::Genoa,
            (0x1a, _) => AmdProduct::Turin,
            _ => return None,
        };
        let id = match product {
            AmdProduct::Turin => ChipId::Short(report.get(0x1a0..0x1a8)?.try_into().ok()?),
            AmdProduct::Genoa | AmdProduct::Milan => ChipId::Long(report.get(0x1a0..0x1e0)?.try_into().ok()?),
        };
        Some(Self { product, id, tcb: report.get(0x180..0x188)?.try_into().ok()? })
    }

    async fn fetch(self, host: &HostLink) -> Endorsements {
        let ask = async |query| match timeout(FETCH_TIME, host.endorsement(query)).await {
            Ok(Ok(fetched)) => Some(fetched.body),
            Ok(Err(_)) | Err(_) => None,
        };
        let product = self.product;
        let vcek = ask(EndorsementQuery::AmdVcek { product, chip_id: self.id, tcb: self.tcb }).await;
        let chain = ask(EndorsementQuery::AmdChain { product }).await.unwrap_or_default();
        let crl = ask(EndorsementQuery::AmdCrl { product }).await;
        let issuers =
            CertificateDer::pem_slice_iter(&chain).filter_map(|pem| pem.ok().map(|der| der.to_vec()));
        Endorsements {
            certificates: vcek.into_iter().chain(issuers).collect(),
            crls: crl.into_iter().collect(),
            ..Endorsements::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(family: u8, model: u8) -> Vec<u8> {
        let mut report = vec![0; 1184];
        report[0] = 3;
        (report[0x188], report[0x189]) = (family, model);
        report[0x180..0x188].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        report[0x1a0..0x1e0].fill(9);
        report
    }

    #[test]
    fn the_report_names_its_own_chip() {
        let genoa = Chip::of_report(&report(0x19, 0x11)).unwrap();
        assert_eq!(
            (genoa.product, genoa.id, genoa.tcb),
            (AmdProduct::Genoa, ChipId::Long([9; 64]), [1, 2, 3, 4, 5, 6, 7, 8])
        );
        let turin = Chip::of_report(&report(0x1a, 0x02)).unwrap();
        assert_eq!((turin.product, turin.id), (AmdProduct::Turin, ChipId::Short([9; 8])));
        assert_eq!(Chip::of_report(&report(0x17, 0x31)), None);
        assert_eq!(Chip::of_report(&[3; 1183]), None);
    }
}
