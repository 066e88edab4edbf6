//! Another implementation (the `sev` crate) reads and verifies what the simulator makes.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::Path;

use sev::certs::snp::{Chain as SevChain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::firmware::host::{CertTableEntry, CertType};
use sev::parser::ByteParser;
use simtee::{Authority, Fault, Processor, ProcessorSpec, Product, Tcb};

/// The authority of a line, made once per build folder.
fn authority(product: Product) -> Authority {
    Authority::load_or_create(Path::new(env!("CARGO_TARGET_TMPDIR")), product.line()).unwrap()
}

/// Whether the other implementation accepts report and chain.
fn accepted(processor: &Processor, report: &[u8]) -> Result<(), std::io::Error> {
    let chain = processor.chain();
    let chain = SevChain::from_der(&chain.ark, &chain.intermediate, &chain.vek)?;
    let report = AttestationReport::from_bytes(report)?;
    (&chain, &report).verify()
}

fn tcb_of(tcb: sev::firmware::host::TcbVersion) -> Tcb {
    Tcb {
        fmc: tcb.fmc.unwrap_or_default(),
        bootloader: tcb.bootloader,
        tee: tcb.tee,
        snp: tcb.snp,
        microcode: tcb.microcode,
    }
}

#[test]
fn every_product_and_version_verifies_and_reads_back() {
    for product in [Product::Milan, Product::Genoa, Product::Siena, Product::Turin] {
        let authority = authority(product);
        for version in 2..=5 {
            let mut spec = ProcessorSpec::with_version(product, version);
            spec.report.measurement = [0xab; 48];
            spec.report.host_data = [0xcd; 32];
            spec.report.launch_tcb.microcode -= 1;
            spec.report.committed_firmware.build -= 1;
            let expected = spec.report.clone();
            let processor = Processor::new(&authority, spec).unwrap();
            let quote = processor.quote(&[0x77; 64]).unwrap();
            accepted(&processor, &quote.report).unwrap();

            let read = AttestationReport::from_bytes(&quote.report).unwrap();
            assert_eq!(read.version, version);
            assert_eq!(read.policy.0, expected.policy);
            assert_eq!(read.plat_info.0, expected.platform_info);
            assert_eq!(read.report_data, [0x77; 64]);
            assert_eq!(read.measurement, expected.measurement);
            assert_eq!(read.host_data, expected.host_data);
            assert_eq!(read.chip_id, expected.chip_id);
            assert_eq!(read.report_id, expected.report_id);
            assert_eq!(tcb_of(read.reported_tcb), expected.reported_tcb);
            assert_eq!(tcb_of(read.launch_tcb), expected.launch_tcb);
            assert_eq!(tcb_of(read.current_tcb), expected.current_tcb);
            assert_eq!(tcb_of(read.committed_tcb), expected.committed_tcb);
            assert_eq!((read.current.minor, read.committed.build), (58, 4));
            if version >= 3 {
                assert_eq!(read.cpuid_fam_id, Some(product.cpuid()[0]));
                assert_eq!(read.cpuid_step, Some(product.cpuid()[2]));
            }
            if version >= 5 {
                assert_eq!(read.launch_mit_vector, Some(0x3f));
                assert_eq!(read.current_mit_vector, Some(0x3f));
            }
        }
    }
}

#[test]
fn a_vlek_chain_verifies() {
    let mut spec = ProcessorSpec::with_version(Product::Genoa, 3);
    spec.use_vlek("CN=cc-us-east-2.amazonaws.com");
    let processor = Processor::new(&authority(Product::Genoa), spec).unwrap();
    let quote = processor.quote(&[1; 64]).unwrap();
    accepted(&processor, &quote.report).unwrap();
    assert_eq!(AttestationReport::from_bytes(&quote.report).unwrap().key_info.signing_key(), 1);
}

#[test]
fn the_certificate_table_reads_back() {
    let processor = Processor::new(&authority(Product::Genoa), ProcessorSpec::new(Product::Genoa)).unwrap();
    let mut table = processor.quote(&[1; 64]).unwrap().certificate_table;
    let entries = CertTableEntry::vec_bytes_to_cert_table(&mut table).unwrap();
    assert_eq!(entries.len(), 4);
    // The other implementation takes every entry for a certificate, so the revocation list stays out.
    let entries = entries.into_iter().filter(|entry| entry.cert_type != CertType::CRL).collect();
    SevChain::from_cert_table_der(entries).unwrap().verify().unwrap();
}

#[test]
fn a_changed_report_or_a_broken_signature_chain_is_refused() {
    let authority = authority(Product::Genoa);
    let processor = Processor::new(&authority, ProcessorSpec::new(Product::Genoa)).unwrap();
    let good = processor.quote(&[1; 64]).unwrap().report;
    accepted(&processor, &good).unwrap();
    for at in [0x90, 0x1a0, 0x2a0, 0x2e8] {
        let mut changed = good.clone();
        changed[at] ^= 1;
        accepted(&processor, &changed).unwrap_err();
    }
    for fault in [Fault::IntermediateForged, Fault::ReportKeyMismatch, Fault::VekOnP256] {
        let mut spec = ProcessorSpec::new(Product::Genoa);
        spec.fault = Some(fault);
        let processor = Processor::new(&authority, spec).unwrap();
        let report = processor.quote(&[1; 64]).unwrap().report;
        assert!(accepted(&processor, &report).is_err(), "{fault:?}");
    }
}
