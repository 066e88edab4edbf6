//! Part B's vTPM row: one change at a time to blob, run-time data, quote, registers and certificates.

use crate::world::{BOTH, code, guest, judge, judge_bundle, parts, policy, spec};
use attestation::claims::paravisor::{AkEndorsement, Paravisor};
use attestation::claims::{Anchor, Commitment};
use attestation::{Code, TeeType};
use simtee::azure::{AzureFault, AzureSpec};

type Edit = fn(&mut AzureSpec);
type ReportEdit = fn(&mut [u8]);

#[test]
fn good_guests_are_accepted_and_say_whom_they_trust() {
    for tee in BOTH {
        for (certified, version) in [(true, 2), (false, 1)] {
            let mut spec = spec();
            (spec.certified, spec.hcl.version) = (certified, version);
            let accepted = judge(tee, &spec, &policy()).expect("good");
            assert_eq!((accepted.hardware.tee, accepted.hardware.anchor), (tee, Anchor::Simulated));
            let parties: Vec<_> = accepted.hardware.trusted().into_iter().map(|own| own.party).collect();
            assert_eq!(parties, [if tee == TeeType::AzureSnp { "amd" } else { "intel" }, "microsoft"]);
            assert_eq!(accepted.hardware.not_proven().len(), 2);
            assert_eq!(accepted.hardware.commitment(), Commitment::TpmExtra(spec.extra_data.clone()));
            let paravisor = accepted.hardware.paravisor.expect("a paravisor");
            assert_eq!((paravisor.paravisor, paravisor.header_version), (Paravisor::Microsoft, version));
            assert_eq!((paravisor.reset_count, paravisor.restart_count), (5, 1));
            assert_eq!(paravisor.ak != AkEndorsement::RuntimeData, certified);
        }
    }
}

/// The blob's structure.
const BLOB: &[(&str, Edit)] = &[
    ("signature", |spec| spec.hcl.signature = *b"HCLB"),
    ("version 0", |spec| spec.hcl.version = 0),
    ("version 3", |spec| spec.hcl.version = 3),
    ("size", |spec| spec.hcl.size_excess = 1),
    ("request type", |spec| spec.hcl.request_type = 1),
    ("reserved", |spec| spec.hcl.reserved[15] = 1),
    ("run-time size", |spec| spec.hcl.runtime_size_excess = 1),
    ("run-time version", |spec| spec.hcl.runtime_version = 2),
    ("unknown report type", |spec| spec.hcl.report_type = Some(3)),
    ("SHA-384", |spec| spec.hcl.hash_type = 2),
    ("length", |spec| spec.hcl.length_excess = 1),
    ("length beyond the blob", |spec| spec.hcl.length_excess = u32::MAX / 2),
    ("bytes after the text", |spec| spec.hcl.tail = vec![1]),
    ("too long", |spec| spec.hcl.index_bytes = 8193),
    ("cut in the text", |spec| spec.hcl.index_bytes = 0x4d4 + 10),
    ("cut in the report", |spec| spec.hcl.index_bytes = 0x100),
];

#[test]
fn a_blob_of_another_structure_is_malformed() {
    for tee in BOTH {
        for (name, edit) in BLOB {
            let mut spec = spec();
            edit(&mut spec);
            assert_eq!(
                code(&judge(tee, &spec, &policy())),
                Some((Code::AttMalformed, false)),
                "{tee} {name}"
            );
        }
    }
}

/// Everything above the hardware, with the code that must come back.
const ROWS: &[(&str, Edit, Code)] = &[
    ("report data of another text", |spec| spec.report_data_edit = |data| data[31] ^= 1, Code::AzBinding),
    ("more in the report data", |spec| spec.report_data_edit = |data| data[63] = 1, Code::AzBinding),
    ("no text", |spec| spec.runtime_edit = |_| String::new(), Code::AttMalformed),
    ("no JSON", |spec| spec.runtime_edit = |text| text.replace('}', "]"), Code::AttMalformed),
    ("a repeated name", |spec| spec.runtime_edit = |text| repeated(&text), Code::AttMalformed),
    (
        "no attestation key",
        |spec| spec.runtime_edit = |text| text.replace("HCLAkPub", "HCLXkPub"),
        Code::AzAk,
    ),
    (
        "two attestation keys",
        |spec| spec.runtime_edit = |text| text.replace("HCLEkPub", "HCLAkPub"),
        Code::AzAk,
    ),
    ("a key that decrypts", |spec| spec.runtime_edit = |text| text.replace("sign", "decrypt"), Code::AzAk),
    ("exponent 3", |spec| spec.runtime_edit = |text| text.replacen("AQAB", "Aw", 1), Code::AzAk),
    ("another key signs", |spec| spec.fault = Some(AzureFault::AkOther), Code::AzQuote),
    ("not of the TPM", |spec| spec.attest_edit = |attest| attest[0] = 0, Code::AzQuote),
    ("not a quote", |spec| spec.attest_edit = |attest| attest[5] = 0x17, Code::AzQuote),
    ("another name", |spec| spec.attest_edit = |attest| attest[9] = 0x0c, Code::AzQuote),
    ("an unsafe clock's byte", |spec| spec.attest_edit = |attest| attest[92] = 2, Code::AzQuote),
    ("bytes left over", |spec| spec.attest_edit = |attest| attest.push(0), Code::AzQuote),
    ("bytes missing", |spec| spec.attest_edit = |attest| attest.truncate(144), Code::AzQuote),
    ("the SHA-1 bank", |spec| spec.attest_edit = |attest| attest[106] = 4, Code::AzQuote),
    ("two selections", |spec| spec.attest_edit = |attest| attest[104] = 2, Code::AzQuote),
    (
        "another digest",
        |spec| spec.attest_edit = |attest| *attest.last_mut().expect("byte") ^= 1,
        Code::AzPcr,
    ),
    ("other registers quoted", |spec| spec.attest_edit = |attest| attest[108] &= !1, Code::AzPcr),
    ("certificate of another key", |spec| spec.fault = Some(AzureFault::CertificateOther), Code::AzAk),
    ("certificate signed by itself", |spec| spec.fault = Some(AzureFault::CertificateSignature), Code::AzAk),
    ("CA signed by itself", |spec| spec.fault = Some(AzureFault::CaSignature), Code::AzAk),
    ("no CA", |spec| spec.fault = Some(AzureFault::CaNotAuthority), Code::AzAk),
    ("another root", |spec| spec.fault = Some(AzureFault::RootOther), Code::AttUntrustedRoot),
    ("ended certificate", |spec| spec.certificate_validity.1 = spec.now - 1, Code::AzAk),
    ("certificate of tomorrow", |spec| spec.certificate_validity.0 = spec.now + 1, Code::AzAk),
];

fn repeated(text: &str) -> String {
    text.replacen("\"vm-configuration\"", "\"keys\":[],\"vm-configuration\"", 1)
}

#[test]
fn every_link_of_the_chain_is_checked() {
    for tee in BOTH {
        for (name, edit, expected) in ROWS {
            let mut spec = spec();
            edit(&mut spec);
            assert_eq!(code(&judge(tee, &spec, &policy())), Some((*expected, false)), "{tee} {name}");
        }
    }
}

#[test]
fn hardware_and_label_agree() {
    for (tee, kind, other) in
        [(TeeType::AzureSnp, 4, TeeType::AzureTdx), (TeeType::AzureTdx, 2, TeeType::AzureSnp)]
    {
        // the blob says the other hardware, or the evidence comes under the other label
        let mut relabelled = spec();
        relabelled.hcl.report_type = Some(kind);
        let found = code(&judge(tee, &relabelled, &policy())).expect("refused");
        assert!(matches!(found, (Code::AzBinding | Code::AttMalformed, false)), "{tee} {found:?}");
        let good = parts(tee, &guest(tee, &spec()));
        assert_eq!(code(&judge_bundle(other, &good, &policy())), Some((Code::AzBinding, false)));
    }
    let mut without = parts(TeeType::AzureTdx, &guest(TeeType::AzureTdx, &spec()));
    let quote = without.0.td_quote.take();
    assert_eq!(code(&judge_bundle(TeeType::AzureTdx, &without, &policy())), Some((Code::AzBinding, false)));
    let mut with = parts(TeeType::AzureSnp, &guest(TeeType::AzureSnp, &spec()));
    with.0.td_quote = quote;
    assert_eq!(code(&judge_bundle(TeeType::AzureSnp, &with, &policy())), Some((Code::AzBinding, false)));
}

/// One byte of each field of a TD report that is not the quote's.
const TD_REPORT: &[(&str, ReportEdit)] = &[
    ("type", |report| report[0] = 0),
    ("subtype", |report| report[1] = 1),
    ("version", |report| report[2] = 2),
    ("reserved", |report| report[4] = 1),
    ("CPUSVN", |report| report[16] = 1),
    ("hash of TEE_TCB_INFO", |report| report[32] ^= 1),
    ("hash of TDINFO", |report| report[80] ^= 1),
    ("report data", |report| report[128] ^= 1),
    ("reserved before the MAC", |report| report[192] = 1),
    ("valid fields", |report| report[256] ^= 1),
    ("TEE_TCB_SVN", |report| report[264] ^= 1),
    ("MRSEAM", |report| report[280] ^= 1),
    ("reserved in TEE_TCB_INFO", |report| report[494] ^= 1),
    ("reserved after it", |report| report[495] ^= 1),
    ("attributes", |report| report[512] ^= 1),
    ("MRTD", |report| report[528] ^= 1),
    ("RTMR3", |report| report[911] ^= 1),
    ("service TDs", |report| report[912] ^= 1),
    ("reserved at the end", |report| report[1023] ^= 1),
];

#[test]
fn a_td_report_of_another_td_is_refused() {
    for (name, edit) in TD_REPORT {
        let mut spec = spec();
        spec.td_report_edit = *edit;
        let found = code(&judge(TeeType::AzureTdx, &spec, &policy()));
        assert_eq!(found, Some((Code::AzBinding, false)), "{name}");
    }
}

#[test]
fn registers_that_are_handed_over_are_the_quoted_ones() {
    for tee in BOTH {
        let good = parts(tee, &guest(tee, &spec()));
        let mut other = good.clone();
        other.0.pcrs.insert(0, attestation::Sha256::new([9; 32]));
        assert_eq!(code(&judge_bundle(tee, &other, &policy())), Some((Code::AzPcr, false)));
        let mut fewer = good.clone();
        fewer.0.pcrs.remove(&0);
        assert_eq!(code(&judge_bundle(tee, &fewer, &policy())), Some((Code::AzPcr, false)));
    }
}
