//! An endorsement key with its certificate chain and revocation list, good or with one fault.

use crate::SimteeError;
use crate::authority::{Authority, ark_name, root_spec};
use crate::certificate::{CertificateSpec, DAY, Extension, Holder, endorsement_extensions};
use crate::certificate_table::{self, Kind};
use crate::keys::{Curve, RsaKey, VekKey};
use crate::product::{Line, Product, Tcb, TcbLayout};
use crate::revocation_list::RevocationListSpec;

/// Which key signs reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The chip's own key, certified by the ASK for this hardware id.
    Vcek {
        /// 64 bytes, or 8 on Turin.
        hardware_id: Vec<u8>,
    },
    /// A key loaded by the cloud provider, certified by the ASVK.
    Vlek {
        /// The provider's id, such as `CN=cc-us-east-2.amazonaws.com`.
        csp_id: String,
    },
}

/// One thing wrong with a chain. Everything else stays good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The whole chain hangs under another root with the same name.
    WrongRoot,
    /// The intermediate certificate names the root but another key signed it.
    IntermediateForged,
    /// The intermediate certificate expired yesterday.
    IntermediateExpired,
    /// The endorsement certificate expired yesterday.
    VekExpired,
    /// The endorsement certificate is valid from tomorrow.
    VekNotYetValid,
    /// The root's list names the intermediate certificate.
    IntermediateRevoked,
    /// The root's list names the endorsement certificate.
    VekRevoked,
    /// No revocation list comes with the evidence.
    CrlMissing,
    /// The revocation list should have been replaced yesterday.
    CrlExpired,
    /// The revocation list names the root but another key signed it.
    CrlForged,
    /// The endorsement key is on P-256.
    VekOnP256,
    /// The certificate's microcode version is one below the reported one.
    VekTcbMismatch,
    /// The certificate is for a chip whose id differs in the last bit.
    HardwareIdMismatch,
    /// The certificate has no hardware id and no provider id.
    HolderMissing,
    /// The certificate names another product.
    ProductNameMismatch,
    /// The other intermediate issued the endorsement certificate: ASVK for a VCEK, ASK for a VLEK.
    AskAsvkSwapped,
    /// A VLEK under the ASVK whose subject says VCEK.
    VlekNamedVcek,
    /// The microcode extension is there twice, with different values.
    DuplicateExtension,
    /// A critical extension that nobody knows.
    UnknownCriticalExtension,
    /// Another key than the certified one signs the reports.
    ReportKeyMismatch,
}

impl Fault {
    /// Every fault with the name used on the command line.
    pub const ALL: [(Self, &'static str); 20] = [
        (Self::WrongRoot, "wrong-root"),
        (Self::IntermediateForged, "intermediate-forged"),
        (Self::IntermediateExpired, "intermediate-expired"),
        (Self::VekExpired, "vek-expired"),
        (Self::VekNotYetValid, "vek-not-yet-valid"),
        (Self::IntermediateRevoked, "intermediate-revoked"),
        (Self::VekRevoked, "vek-revoked"),
        (Self::CrlMissing, "crl-missing"),
        (Self::CrlExpired, "crl-expired"),
        (Self::CrlForged, "crl-forged"),
        (Self::VekOnP256, "vek-on-p256"),
        (Self::VekTcbMismatch, "vek-tcb-mismatch"),
        (Self::HardwareIdMismatch, "hardware-id-mismatch"),
        (Self::HolderMissing, "holder-missing"),
        (Self::ProductNameMismatch, "product-name-mismatch"),
        (Self::AskAsvkSwapped, "ask-asvk-swapped"),
        (Self::VlekNamedVcek, "vlek-named-vcek"),
        (Self::DuplicateExtension, "duplicate-extension"),
        (Self::UnknownCriticalExtension, "unknown-critical-extension"),
        (Self::ReportKeyMismatch, "report-key-mismatch"),
    ];
}

impl std::str::FromStr for Fault {
    type Err = SimteeError;

    fn from_str(text: &str) -> Result<Self, SimteeError> {
        Self::ALL.into_iter().find(|(_, name)| *name == text).map(|(fault, _)| fault).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.into_iter().map(|(_, name)| name).collect();
            SimteeError::Invalid(format!("unknown fault: give one of {}", names.join(", ")))
        })
    }
}

/// The key that signs reports and the DER that proves it.
#[derive(Debug)]
pub struct Chain {
    /// Signs the reports.
    pub key: VekKey,
    /// Root certificate.
    pub ark: Vec<u8>,
    /// ASK certificate, or ASVK for a VLEK.
    pub intermediate: Vec<u8>,
    /// Endorsement certificate.
    pub vek: Vec<u8>,
    /// Revocation list of the root.
    pub crl: Option<Vec<u8>>,
    vek_kind: Kind,
}

impl Chain {
    /// Makes an endorsement key for `product` at `tcb` and certifies it.
    pub fn issue(
        authority: &Authority,
        product: Product,
        signer: &Signer,
        tcb: Tcb,
        fault: Option<Fault>,
    ) -> Result<Self, SimteeError> {
        let issuing = Issuing { authority, product, signer, tcb, fault };
        let certified = VekKey::generate(issuing.curve())?;
        let (ark_key, ark) = issuing.root()?;
        let spec = issuing.intermediate_spec();
        let intermediate = spec.issue(match fault {
            Some(Fault::IntermediateForged) => &authority.asvk,
            _ => ark_key,
        })?;
        let vek = issuing.vek_spec(&spec.subject, &certified).issue(issuing.intermediate_key())?;
        let crl = issuing.revocation_list(ark_key, &spec.serial)?;
        let key = match fault {
            Some(Fault::ReportKeyMismatch) => VekKey::generate(Curve::P384)?,
            _ => certified,
        };
        let vek_kind = match signer {
            Signer::Vcek { .. } => Kind::Vcek,
            Signer::Vlek { .. } => Kind::Vlek,
        };
        Ok(Self { key, ark, intermediate, vek, crl, vek_kind })
    }

    /// The certificate table a guest gets with its report.
    pub fn certificate_table(&self) -> Vec<u8> {
        let mut blobs: Vec<(Kind, &[u8])> =
            vec![(self.vek_kind, &self.vek), (Kind::Ask, &self.intermediate), (Kind::Ark, &self.ark)];
        if let Some(crl) = &self.crl {
            blobs.push((Kind::Crl, crl));
        }
        certificate_table::encode(&blobs)
    }
}

/// What one chain is made for.
struct Issuing<'a> {
    authority: &'a Authority,
    product: Product,
    signer: &'a Signer,
    tcb: Tcb,
    fault: Option<Fault>,
}

impl<'a> Issuing<'a> {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn curve(&self) -> Curve {
        if self.has(Fault::VekOnP256) { Curve::P256 } else { Curve::P384 }
    }

    /// Whether the ASVK issues the endorsement certificate.
    fn under_asvk(&self) -> bool {
        let regular = matches!(self.signer, Signer::Vlek { .. }) || self.has(Fault::VlekNamedVcek);
        regular != self.has(Fault::AskAsvkSwapped)
    }

    fn root(&self) -> Result<(&'a RsaKey, Vec<u8>), SimteeError> {
        let authority = self.authority;
        if self.has(Fault::WrongRoot) {
            // Any key will do that is neither the root's nor the intermediate's.
            let key = if self.under_asvk() { &authority.ask } else { &authority.asvk };
            let certificate = root_spec(authority.line(), key, authority.now).issue(key)?;
            return Ok((key, certificate));
        }
        Ok((&authority.ark, authority.ark_certificate().to_vec()))
    }

    fn intermediate_key(&self) -> &'a RsaKey {
        if self.under_asvk() { &self.authority.asvk } else { &self.authority.ask }
    }

    fn intermediate_spec(&self) -> CertificateSpec {
        let authority = self.authority;
        let mut spec = if self.under_asvk() { authority.asvk_spec() } else { authority.ask_spec() };
        if self.has(Fault::IntermediateExpired) {
            spec.not_before = authority.now - 400 * DAY;
            spec.not_after = authority.now - DAY;
        }
        spec
    }

    fn vek_spec(&self, issuer: &str, key: &VekKey) -> CertificateSpec {
        let now = self.authority.now;
        let vlek = matches!(self.signer, Signer::Vlek { .. });
        let (not_before, not_after) = match self.fault {
            Some(Fault::VekExpired) => (now - 400 * DAY, now - DAY),
            Some(Fault::VekNotYetValid) => (now + DAY, now + 400 * DAY),
            _ => (now - DAY, now + if vlek { 365 * DAY } else { 7 * 365 * DAY }),
        };
        CertificateSpec {
            // AMD numbers every endorsement certificate 0; one that is revoked by number needs its own.
            serial: if self.has(Fault::VekRevoked) { REVOKED_VEK_SERIAL.to_vec() } else { vec![0] },
            issuer: issuer.to_owned(),
            subject: if vlek { "SEV-VLEK" } else { "SEV-VCEK" }.to_owned(),
            not_before,
            not_after,
            public_info: key.public_info().to_vec(),
            extensions: self.vek_extensions(),
            trailer: vlek,
        }
    }

    fn vek_extensions(&self) -> Vec<Extension> {
        let mut tcb = self.tcb;
        if self.has(Fault::VekTcbMismatch) {
            tcb.microcode = tcb.microcode.wrapping_sub(1);
        }
        let product_name = self.product_name();
        let layout = self.product.tcb_layout();
        let structure_version = u8::from(layout == TcbLayout::Turin);
        let mut extensions =
            endorsement_extensions(structure_version, product_name, tcb, layout, &self.holder());
        match self.fault {
            Some(Fault::HolderMissing) => drop(extensions.pop()),
            Some(Fault::DuplicateExtension) => {
                extensions
                    .push(Extension::amd(&[3, 8], crate::der::unsigned(&[tcb.microcode.wrapping_add(1)])));
            }
            Some(Fault::UnknownCriticalExtension) => {
                extensions.push(Extension::new(&[1, 3, 6, 1, 4, 1, 3704, 99], true, crate::der::null()));
            }
            _ => {}
        }
        extensions
    }

    /// The product name in the certificate: a Milan VCEK names the stepping, all others only the line.
    fn product_name(&self) -> &'static str {
        let wrong = self.has(Fault::ProductNameMismatch);
        match (self.product.line(), self.signer) {
            (Line::Genoa, _) if wrong => Line::Turin.name(),
            _ if wrong => Line::Genoa.name(),
            (Line::Milan, Signer::Vcek { .. }) => "Milan-B0",
            (line, _) => line.name(),
        }
    }

    fn holder(&self) -> Holder {
        match self.signer {
            Signer::Vcek { .. } if self.has(Fault::VlekNamedVcek) => {
                Holder::Provider("CN=cc-us-east-2.amazonaws.com".to_owned())
            }
            Signer::Vcek { hardware_id } => {
                let mut id = hardware_id.clone();
                if let Some(last) = id.last_mut().filter(|_| self.has(Fault::HardwareIdMismatch)) {
                    *last ^= 1;
                }
                Holder::Chip(id)
            }
            Signer::Vlek { csp_id } => Holder::Provider(csp_id.clone()),
        }
    }

    fn revocation_list(
        &self,
        ark_key: &RsaKey,
        intermediate_serial: &[u8],
    ) -> Result<Option<Vec<u8>>, SimteeError> {
        let now = self.authority.now;
        let mut spec = RevocationListSpec {
            issuer: ark_name(self.authority.line()),
            issuer_info: ark_key.public_info().to_vec(),
            this_update: now - DAY,
            next_update: now + 365 * DAY,
            revoked: Vec::new(),
            number: 1,
        };
        match self.fault {
            Some(Fault::CrlMissing) => return Ok(None),
            Some(Fault::CrlExpired) => {
                spec.this_update = now - 400 * DAY;
                spec.next_update = now - DAY;
            }
            Some(Fault::IntermediateRevoked) => spec.revoked.push(intermediate_serial.to_vec()),
            Some(Fault::VekRevoked) => spec.revoked.push(REVOKED_VEK_SERIAL.to_vec()),
            _ => {}
        }
        let signer = if self.has(Fault::CrlForged) { self.intermediate_key() } else { ark_key };
        spec.issue(signer).map(Some)
    }
}

/// Serial number of an endorsement certificate that is going to be revoked.
const REVOKED_VEK_SERIAL: [u8; 2] = [0x5e, 0xed];
