//! The common rows: document, claims, keyset, configuration, freshness, session. And what a good result says.

use crate::world::{CONFIG, EKM, NAME, NONCE, NOW, SPKI, World, code, session_key};
use attestation::binding::session_transcript;
use attestation::claims::Anchor;
use attestation::policy::{DeploymentRule, HardwareRule, TrustAnchors};
use attestation::reference_values::ReferenceValues;
use attestation::{
    Code, EnclaveClaims, EvidenceDocument, Expected, HardwareId, Kind, Nonce, Outcome, Role, Sha256, Sha384,
    TeeType,
};
use simtee::Product;
use std::time::Duration;

#[test]
fn good_evidence_of_every_product_and_version_passes_as_simulated() {
    for (product, versions) in [(Product::Genoa, 3..=5), (Product::Turin, 3..=5), (Product::Milan, 5..=5)] {
        for version in versions {
            let world = World::with(product, version, |_| ());
            let verified =
                world.appraise().unwrap_or_else(|rejected| panic!("{product:?} v{version}: {rejected}"));
            assert!(verified.simulated());
            assert_eq!(verified.hardware().anchor, Anchor::Simulated);
            assert!(verified.checks().iter().all(|check| check.outcome == Outcome::Pass));
            assert!(verified.checks().len() > 60, "{} checks", verified.checks().len());
            assert_eq!(verified.expires_at(), NOW.plus(Duration::from_mins(10)));
            let rules: Vec<_> = verified.waivers().iter().map(|waiver| waiver.rule).collect();
            let milan = (product == Product::Milan).then_some("snp.products");
            assert_eq!(rules, ["release_manifest"].into_iter().chain(milan).collect::<Vec<_>>());
        }
    }
}

#[test]
fn without_the_named_root_simulated_evidence_is_refused() {
    let mut world = World::new(Product::Genoa);
    world.policy.trust_anchors = TrustAnchors { vendor: true, simulated_roots: Vec::new() };
    assert_eq!(code(world.appraise()), Code::AttUntrustedRoot);
    // nor does another simulated root of the same name help
    let other = crate::world::other_authority();
    world.policy.trust_anchors.simulated_roots = vec![other.ark_certificate().to_vec()];
    assert_eq!(code(world.appraise()), Code::AttUntrustedRoot);
    world.policy.trust_anchors.simulated_roots = vec![b"not a certificate".to_vec()];
    assert_eq!(code(world.appraise()), Code::PolInvalid);
}

#[test]
fn the_result_ends_with_whatever_ends_first() {
    let mut world = World::new(Product::Genoa);
    world.keyset.not_after = NOW.plus(Duration::from_mins(3));
    world.claims.keyset_digest = Sha384::of(&world.keyset.encode());
    assert_eq!(world.appraise().expect("good").expires_at(), world.keyset.not_after);
    world.policy.max_evidence_age = Duration::from_mins(2);
    assert_eq!(world.appraise().expect("good").expires_at(), NOW.plus(Duration::from_mins(2)));
}

#[test]
fn every_byte_of_claims_keyset_and_config_is_committed_to() {
    let world = World::new(Product::Genoa);
    let good = world.document();
    for at in 0..good.claims.len() {
        let mut document = good.clone();
        document.claims[at] ^= 1;
        let code = code(world.judge(&document));
        let allowed = [Code::AttClaimsMalformed, Code::AttReportData, Code::AttRole, Code::ProtoDowngrade];
        assert!(allowed.contains(&code), "claims byte {at}: {code}");
    }
    for at in 0..good.keyset.len() {
        let mut document = good.clone();
        document.keyset[at] ^= 1;
        assert_eq!(code(world.judge(&document)), Code::AttKeyset, "keyset byte {at}");
    }
    for at in 0..CONFIG.len() {
        let mut world = World { config: CONFIG.to_vec(), ..World::new(Product::Genoa) };
        world.config[at] ^= 1;
        if at == 0 {
            assert_eq!(code(world.appraise()), Code::AttConfig);
        }
    }
}

#[test]
fn each_change_to_the_claims_has_its_code() {
    type Change = fn(&mut EnclaveClaims);
    let changes: [(&str, Change, Code); 8] = [
        ("another role", |claims| claims.role = Role::PeerResponder, Code::AttRole),
        ("another kind", |claims| claims.kind = Kind::Session { nonce: NONCE, session: EKM }, Code::AttRole),
        (
            "another nonce",
            |claims| claims.kind = Kind::Challenge { nonce: Nonce::new([0; 32]) },
            Code::AttNonce,
        ),
        ("no channel T", |claims| claims.channels = vec![attestation::Channel::E], Code::ProtoDowngrade),
        (
            "only newer versions",
            |claims| (claims.min_version, claims.max_version) = (2, 3),
            Code::ProtoDowngrade,
        ),
        ("another keyset", |claims| claims.keyset_digest = Sha384::new([0; 48]), Code::AttKeyset),
        ("another configuration", |claims| claims.config_digest = Sha384::new([0; 48]), Code::AttConfig),
        ("another deployment", |claims| claims.deployment_id = [9; 32], Code::AttDeployment),
    ];
    for (what, change, expected) in changes {
        let mut world = World::new(Product::Genoa);
        world.policy.deployment = DeploymentRule::Pinned([0; 32]);
        assert!(world.appraise().is_ok());
        change(&mut world.claims);
        assert_eq!(code(world.appraise()), expected, "{what}");
    }
}

#[test]
fn claims_that_hardware_did_not_sign_are_refused() {
    let world = World::new(Product::Genoa);
    let mut document = world.document();
    let mut claims = world.claims.clone();
    claims.instance_id = [2; 16];
    document.claims = claims.encode();
    assert_eq!(code(world.judge(&document)), Code::AttReportData);
    // a report over other data, however well signed
    let other = world.document_with(|report| report.report_data = [7; 64]);
    assert_eq!(code(world.judge(&other)), Code::AttReportData);
}

#[test]
fn the_keyset_must_be_current() {
    for (left, expected) in [
        (Duration::ZERO, None),
        (Duration::from_hours(2), None),
        (Duration::from_secs(2 * 3600 + 1), Some(Code::AttKeysetExpired)),
    ] {
        let mut world = World::new(Product::Genoa);
        world.keyset.not_after = NOW.plus(left);
        world.claims.keyset_digest = Sha384::of(&world.keyset.encode());
        assert_eq!(world.appraise().err().map(|rejected| rejected.rejection.code), expected, "{left:?}");
    }
    let mut world = World::new(Product::Genoa);
    world.now = world.keyset.not_after.plus(Duration::from_secs(1));
    assert_eq!(code(world.appraise()), Code::AttKeysetExpired);
}

#[test]
fn configuration_rules_hold_over_the_attested_bytes() {
    let mut world = World::new(Product::Genoa);
    world.config = br#"{"content_logging":true,"debug":false}"#.to_vec();
    assert_eq!(code(world.appraise()), Code::AttConfig, "not the attested configuration");
    world.claims.config_digest = Sha384::of(&world.config);
    let rejected = world.appraise().expect_err("logging is on");
    assert_eq!(rejected.rejection.code, Code::CfgRule);
    assert!(rejected.rejection.expected.contains("/content_logging"), "{rejected}");
}

#[test]
fn hardware_measurement_and_tee_lists_are_exact() {
    let mut world = World::new(Product::Genoa);
    world.policy.hardware = HardwareRule::Listed(vec![HardwareId::try_from(&[9; 64][..]).expect("id")]);
    assert_eq!(code(world.appraise()), Code::AttHardwareId);
    world.policy.hardware = HardwareRule::Any { reason: "test".to_owned() };
    let verified = world.appraise().expect("any hardware");
    assert!(verified.waivers().iter().any(|waiver| waiver.rule == "hardware"));

    let mut world = World::new(Product::Genoa);
    let result = world.appraise_with(|report| report.measurement[0] ^= 1);
    assert_eq!(code(result), Code::AttMeasurement);
    world.policy.references = ReferenceValues::Pinned(Vec::new());
    assert_eq!(code(world.appraise()), Code::PolEmptyAllowlist);

    let mut world = World::new(Product::Genoa);
    world.policy.tee_types = vec![TeeType::Tdx];
    world.policy.tdx = some_tdx();
    assert_eq!(code(world.appraise()), Code::AttTeeType);
    world.policy.tee_types = Vec::new();
    assert_eq!(code(world.appraise()), Code::PolEmptyAllowlist);
}

/// Rules for TDX that accept something, so that the policy means something.
fn some_tdx() -> attestation::policy::TdxPolicy {
    let zero = attestation::Measurement::new([0; 48]);
    let xfam = attestation::claims::tdx::Xfam(3);
    let release = attestation::policy::TdxRelease::pinned("any", zero, [zero; 3], xfam);
    attestation::policy::TdxPolicy::standard(vec![release])
}

#[test]
fn a_report_in_the_place_of_azures_evidence_is_refused() {
    let mut world = World::new(Product::Genoa);
    world.policy.tee_types = TeeType::ALL.to_vec();
    world.policy.tdx = some_tdx();
    let values = [4, 7, 9, 11].map(|register| (register, Sha256::new([0; 32])));
    let release = attestation::policy::PcrRelease { name: "any".to_owned(), values: values.into() };
    world.policy.azure.pcrs = attestation::policy::PcrRule::Pinned(vec![release]);
    for tee in [TeeType::AzureSnp, TeeType::AzureTdx] {
        let mut document = world.document();
        document.cpu.tee = tee;
        assert_eq!(code(world.judge(&document)), Code::AttMalformed);
    }
}

#[test]
fn hardware_binding_names_this_connection() {
    let mut world = World::new(Product::Turin);
    world.claims.kind = Kind::Session { nonce: NONCE, session: EKM };
    world.expected = Expected::Session { role: Role::Gateway, nonce: NONCE, ekm: EKM };
    assert!(world.appraise().is_ok());
    world.expected = Expected::Session { role: Role::Gateway, nonce: NONCE, ekm: [0; 32] };
    assert_eq!(code(world.appraise()), Code::BindSession);
    world.expected = Expected::Session { role: Role::Gateway, nonce: Nonce::new([0; 32]), ekm: EKM };
    assert_eq!(code(world.appraise()), Code::AttNonce);
    world.claims.kind = Kind::Challenge { nonce: NONCE };
    assert_eq!(code(world.appraise()), Code::AttRole);
}

#[test]
fn only_the_attested_tls_key_and_session_signature_bind() {
    let verified = World::new(Product::Genoa).appraise().expect("good");
    assert_eq!(verified.check_tls_key(&SPKI, NAME), Ok(()));
    assert_eq!(verified.check_tls_key(&SPKI, "GATEWAY.example"), Ok(()));
    for (spki, name) in [(Sha256::new([0; 32]), NAME), (SPKI, "other.example")] {
        assert_eq!(verified.check_tls_key(&spki, name).expect_err("other").code, Code::BindSpki);
    }
    let transcript = session_transcript(Role::Gateway, &NONCE, &EKM, verified.claims_sha384(), &SPKI);
    let signature: [u8; 64] = session_key().sign(&transcript).as_ref().try_into().expect("64 bytes");
    let bound = verified.check_session(Role::Gateway, &NONCE, &EKM, &SPKI, &signature).expect("bound");
    assert_eq!((bound.spki(), bound.expires_at()), (&SPKI, verified.expires_at()));
    let other = Nonce::new([0; 32]);
    for (error, expected) in [
        (verified.check_session(Role::Gateway, &other, &EKM, &SPKI, &signature), Code::BindSession),
        (verified.check_session(Role::Gateway, &NONCE, &[0; 32], &SPKI, &signature), Code::BindSession),
        (
            verified.check_session(Role::Gateway, &NONCE, &EKM, &Sha256::new([0; 32]), &signature),
            Code::BindSession,
        ),
        (verified.check_session(Role::Gateway, &NONCE, &EKM, &SPKI, &[0; 64]), Code::BindSession),
        (verified.check_session(Role::PeerResponder, &NONCE, &EKM, &SPKI, &signature), Code::AttRole),
    ] {
        assert_eq!(error.expect_err("not bound").code, expected);
    }
}

#[test]
fn malformed_documents_are_refused_before_anything_else() {
    let world = World::new(Product::Genoa);
    let good = world.document().encode();
    assert_eq!(code(world.judge_bytes(&[])), Code::AttMalformed);
    assert_eq!(code(world.judge_bytes(&[good.clone(), vec![0]].concat())), Code::AttMalformed);
    assert_eq!(code(world.judge_bytes(&vec![0x80; EvidenceDocument::MAX_BYTES + 1])), Code::AttMalformed);
    for cut in (0..good.len()).step_by(97) {
        assert_eq!(code(world.judge_bytes(&good[..cut])), Code::AttMalformed, "cut at {cut}");
    }
    let mut short = world.document();
    short.cpu.bytes.pop();
    assert_eq!(code(world.judge(&short)), Code::AttMalformed);
    let mut bomb = world.document();
    bomb.endorsements = attestation::endorsements::Endorsements {
        certificates: vec![vec![0x30; 8192]; 8],
        crls: vec![vec![0x30; 30_000]; 4],
        ..Default::default()
    }
    .encode();
    assert!(matches!(code(world.judge(&bomb)), Code::SnpChain | Code::AttMalformed));
}

#[test]
fn an_explanation_shows_every_failure_at_once() {
    let mut world = World::new(Product::Genoa);
    world.policy.hardware = HardwareRule::Listed(vec![HardwareId::try_from(&[9; 64][..]).expect("id")]);
    world.now = NOW.plus(Duration::from_hours(3));
    let document = world.document_with(|report| {
        report.policy |= 1 << 19;
        report.vmpl = 1;
        report.measurement[0] ^= 1;
    });
    let explained =
        attestation::explain(&document.encode(), &world.config, &world.expected, &world.policy, world.now)
            .expect_err("rejected");
    assert_eq!(explained.rejection.code, Code::SnpVmpl);
    let failed: Vec<_> = explained
        .checks
        .iter()
        .filter(|check| check.outcome == Outcome::Fail)
        .map(|check| check.id)
        .collect();
    assert_eq!(failed, ["snp.vmpl", "snp.debug", "hardware_id", "snp.measurement", "keyset_not_after"]);
    let good = World::new(Product::Genoa);
    let document = good.document().encode();
    assert!(attestation::explain(&document, &good.config, &good.expected, &good.policy, good.now).is_ok());
}
