//! AMD: the chip's certificate, its issuers and their revocation list, from the Key Distribution Service.

use attestation::endorsements::Endorsements;
use link::{AmdProduct, ChipId, EndorsementQuery};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::ask;
use crate::host_link::HostLink;

/// What AMD's key distribution service needs to know; read from our own report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chip {
    product: AmdProduct,
    id: ChipId,
    tcb: [u8; 8],
}

impl Chip {
    /// Offsets from AMD document 56860, `ATTESTATION_REPORT`. `None` for anything but an SNP report that
    /// names its CPU (version 3 and later).
    pub(super) fn of_report(report: &[u8]) -> Option<Self> {
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

    pub(super) async fn fetch(self, host: &HostLink) -> Endorsements {
        let product = self.product;
        let vcek = EndorsementQuery::AmdVcek { product, chip_id: self.id, tcb: self.tcb };
        let vcek = ask(host, vcek).await.map(|fetched| fetched.body);
        let chain = ask(host, EndorsementQuery::AmdChain { product }).await.map(|fetched| fetched.body);
        let crl = ask(host, EndorsementQuery::AmdCrl { product }).await.map(|fetched| fetched.body);
        let chain = chain.unwrap_or_default();
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
