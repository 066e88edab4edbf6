//! Evidence whose fields are all good and whose structure is not, and roots.

use crate::world::{NOW, authority, code, evidence, evidence_5, judge, policy};
use attestation::Code;
use simtee::tdx::{TdxAuthority, TdxFault, TdxSpec};

#[test]
fn every_fault_has_its_code() {
    for fault in TdxFault::ALL {
        let expected = match fault {
            TdxFault::AttestationKeyOther | TdxFault::BindingTail | TdxFault::QeReportSignature => {
                Code::TdxQe
            }
            TdxFault::ChainExtra
            | TdxFault::ChainOrder
            | TdxFault::CaNotAuthority
            | TdxFault::CaSignature
            | TdxFault::PckSignature
            | TdxFault::SignerIsPck => Code::TdxChain,
            // the PCK CA's copy stands where the root should
            TdxFault::ChainShort | TdxFault::RootOther => Code::AttUntrustedRoot,
            TdxFault::CaRevoked | TdxFault::PckRevoked | TdxFault::SignerRevoked => Code::TdxRevoked,
            TdxFault::CertificationType => Code::TdxHeader,
            TdxFault::CollateralMissing | TdxFault::SignerMissing | TdxFault::TcbInfoMissing => {
                Code::TdxCollateralMissing
            }
            TdxFault::NestedSlack => Code::AttMalformed,
            TdxFault::PckCrlMissing
            | TdxFault::PckCrlOtherSigner
            | TdxFault::RootCrlMissing
            | TdxFault::RootCrlOtherSigner => Code::TdxCrlMissing,
            TdxFault::QeIdentitySignature | TdxFault::TcbInfoSignature => Code::TdxCollateral,
            TdxFault::QuoteSignature => Code::TdxSignature,
        };
        let faulty = |spec: &mut TdxSpec| spec.fault = Some(fault);
        for evidence in [evidence(faulty), evidence_5(faulty)] {
            let result = judge(&evidence, &policy());
            assert_eq!(code(&result), Some(expected), "{fault:?}");
            assert!(!result.expect_err("rejected").authentic, "{fault:?}");
        }
    }
}

#[test]
fn only_named_roots_end_a_chain() {
    let good = evidence(|_| ());
    let mut vendor = policy();
    vendor.trust_anchors.simulated_roots.clear();
    assert_eq!(code(&judge(&good, &vendor)), Some(Code::AttUntrustedRoot));
    let stranger = TdxAuthority::create().expect("keys");
    let same_name = stranger.evidence(&TdxSpec::new(NOW)).expect("evidence");
    assert_eq!(code(&judge(&same_name, &policy())), Some(Code::AttUntrustedRoot));
    let mut both = policy();
    both.trust_anchors.simulated_roots.push(stranger.root_certificate().to_vec());
    assert!(judge(&same_name, &both).is_ok());
    // one authority's collateral does not serve the other's quote
    let mixed = simtee::tdx::TdxEvidence { quote: good.quote, collateral: same_name.collateral };
    assert_eq!(code(&judge(&mixed, &both)), Some(Code::TdxChain));
    assert_ne!(authority().root_certificate(), stranger.root_certificate());
}

#[test]
fn a_signer_is_known_by_its_name() {
    let result =
        judge(&evidence(|spec| spec.signer_name = "Intel SGX PCK Certificate".to_owned()), &policy());
    assert_eq!(code(&result), Some(Code::TdxChain));
}

#[test]
fn collateral_chains_and_texts_are_read_strictly() {
    let good = evidence(|_| ());
    let text = String::from_utf8(good.collateral.clone()).expect("text");
    let changes: [(&str, &str, Code); 4] = [
        ("\\n-----END CERTIFICATE-----", "\\n\\n-----END CERTIFICATE-----", Code::TdxChain),
        ("\\\"UpToDate\\\"", "\\\"Unknown\\\"", Code::TdxCollateral),
        ("\\\"tcbType\\\":0", "\\\"tcbType\\\":-1", Code::TdxCollateral),
        ("\\\"version\\\":3", "\\\"version\\\":3,\\\"note\\\":1", Code::TdxCollateral),
    ];
    for (from, to, expected) in changes {
        assert!(text.contains(from), "{from}");
        // the PCK CRL's own chain is not read, so change every chain
        let changed = text.replace(from, to).into_bytes();
        let changed = simtee::tdx::TdxEvidence { quote: good.quote.clone(), collateral: changed };
        assert_eq!(code(&judge(&changed, &policy())), Some(expected), "{from}");
    }
}

#[test]
fn a_chain_in_the_collateral_is_never_used() {
    let good = evidence(|_| ());
    let faulty = evidence(|spec| spec.fault = Some(TdxFault::PckSignature));
    let pem = |quote: &[u8]| {
        let at = quote.windows(11).position(|window| window == b"-----BEGIN ").expect("PEM");
        String::from_utf8(quote[at..].to_vec()).expect("text").trim_end_matches('\0').replace('\n', "\\n")
    };
    let mut text = String::from_utf8(good.collateral).expect("text");
    text.insert_str(1, &format!("\"pck_certificate_chain\":\"{}\",", pem(&good.quote)));
    let mixed = simtee::tdx::TdxEvidence { quote: faulty.quote, collateral: text.into_bytes() };
    assert_eq!(code(&judge(&mixed, &policy())), Some(Code::TdxChain));
}
