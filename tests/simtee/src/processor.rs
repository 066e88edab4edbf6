//! A security processor: a chain, and a template of the reports it signs.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

use crate::SimteeError;
use crate::authority::Authority;
use crate::chain::{Chain, Fault, Signer};
use crate::product::{Product, Tcb};
use crate::report::Report;

/// Everything about a processor that can be chosen. [`ProcessorSpec::new`] gives good values.
#[derive(Clone, Debug)]
pub struct ProcessorSpec {
    /// The kind of processor.
    pub product: Product,
    /// Which key signs, and whom it is certified for.
    pub signer: Signer,
    /// TCB version in the endorsement certificate.
    pub certificate_tcb: Tcb,
    /// Template of the reports. Only the report data is filled in per request.
    pub report: Report,
    /// One thing wrong with the chain.
    pub fault: Option<Fault>,
}

impl ProcessorSpec {
    /// An up-to-date processor that signs version 5 reports with its VCEK; hardware id and report id
    /// are random.
    pub fn new(product: Product) -> Self {
        Self::with_version(product, 5)
    }

    /// The same with another report version (2 to 5).
    pub fn with_version(product: Product, version: u32) -> Self {
        let mut spec = Self {
            product,
            signer: Signer::Vcek { hardware_id: Vec::new() },
            certificate_tcb: product.current_tcb(),
            report: Report::new(product, version),
            fault: None,
        };
        // A failing generator leaves fixed bytes, which serve as well: nothing here is secret.
        let _filled = SystemRandom::new().fill(&mut spec.report.report_id);
        let mut id = vec![0xc1; product.hardware_id_length()];
        let _filled = SystemRandom::new().fill(&mut id);
        spec.set_hardware_id(&id);
        spec
    }

    /// Makes the certificate and the reports name this chip. Shorter ids are zero padded in reports.
    pub fn set_hardware_id(&mut self, id: &[u8]) {
        self.signer = Signer::Vcek { hardware_id: id.to_vec() };
        self.report.chip_id = [0; 64];
        for (target, byte) in self.report.chip_id.iter_mut().zip(id) {
            *target = *byte;
        }
    }

    /// Signs with a VLEK of this cloud provider: no chip identity, key info says VLEK.
    pub fn use_vlek(&mut self, csp_id: &str) {
        self.signer = Signer::Vlek { csp_id: csp_id.to_owned() };
        self.report.chip_id = [0; 64];
        self.report.key_info = 1 << 2;
    }

    /// Sets the TCB version of the certificate and all four of the reports.
    pub fn set_tcb(&mut self, tcb: Tcb) {
        self.certificate_tcb = tcb;
        self.report.set_tcb(tcb);
    }
}

/// A report and what a host hands over with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The signed report: 1184 bytes.
    pub report: Vec<u8>,
    /// The certificate table.
    pub certificate_table: Vec<u8>,
}

/// A running security processor.
#[derive(Debug)]
pub struct Processor {
    chain: Chain,
    report: Report,
    certificate_table: Vec<u8>,
}

impl Processor {
    /// Starts a processor whose key `authority` certifies. Signs with RSA-4096, so takes some
    /// milliseconds.
    pub fn new(authority: &Authority, spec: ProcessorSpec) -> Result<Self, SimteeError> {
        if authority.line() != spec.product.line() {
            return Err(SimteeError::Invalid(format!(
                "the authority is {}'s: the product needs {}'s",
                authority.line().name(),
                spec.product.line().name()
            )));
        }
        let chain = Chain::issue(authority, spec.product, &spec.signer, spec.certificate_tcb, spec.fault)?;
        let certificate_table = chain.certificate_table();
        Ok(Self { chain, report: spec.report, certificate_table })
    }

    /// A signed report with this report data, and the certificate table.
    pub fn quote(&self, report_data: &[u8; 64]) -> Result<Quote, SimteeError> {
        self.quote_with(report_data, |_| {})
    }

    /// The same, with a last change to the report before it is signed. The chain stays.
    pub fn quote_with(
        &self,
        report_data: &[u8; 64],
        change: impl FnOnce(&mut Report),
    ) -> Result<Quote, SimteeError> {
        let mut report = self.report.clone();
        report.report_data = *report_data;
        change(&mut report);
        let report = report.sign(&self.chain.key)?;
        Ok(Quote { report, certificate_table: self.certificate_table.clone() })
    }

    /// The key that it derives for its guest, over measurement and guest policy (`MSG_KEY_REQ`). Stays the same over restarts
    /// of the processor with this chip id. Not secret, as nothing here is.
    pub fn derived_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        let material = [
            b"simulated derived key".as_slice(),
            &self.report.chip_id,
            &self.report.policy.to_be_bytes(),
            &self.report.measurement,
        ];
        key.copy_from_slice(digest(&SHA256, &material.concat()).as_ref());
        key
    }

    /// The key and its certificates.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The template of the reports.
    pub fn report(&self) -> &Report {
        &self.report
    }
}
