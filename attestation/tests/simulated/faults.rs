//! One thing wrong with the chain or its revocation list, for each layout.

use crate::world::{NOW, World, code};
use attestation::Code;
use attestation::policy::HardwareRule;
use attestation::policy::snp::{RevocationRule, SigningKeyRule};
use simtee::{Fault, Product};
use std::time::Duration;

/// What each fault must be called.
const fn expected(fault: Fault) -> &'static [Code] {
    match fault {
        Fault::WrongRoot => &[Code::AttUntrustedRoot],
        Fault::IntermediateForged
        | Fault::IntermediateExpired
        | Fault::VekExpired
        | Fault::VekNotYetValid
        | Fault::VekOnP256
        | Fault::HolderMissing
        | Fault::AskAsvkSwapped
        | Fault::DuplicateExtension
        | Fault::UnknownCriticalExtension => &[Code::SnpChain],
        Fault::IntermediateRevoked | Fault::VekRevoked => &[Code::SnpRevoked],
        Fault::CrlMissing | Fault::CrlExpired | Fault::CrlForged => &[Code::SnpCrlMissing],
        Fault::VekTcbMismatch => &[Code::SnpVekTcb],
        Fault::ProductNameMismatch => &[Code::SnpProductMismatch],
        // under the ASVK it is a VLEK whatever its subject says, and a VLEK names no chip
        Fault::HardwareIdMismatch | Fault::VlekNamedVcek => &[Code::SnpChipId],
        Fault::ReportKeyMismatch => &[Code::SnpSignature],
    }
}

#[test]
fn every_chain_fault_is_refused_by_its_name() {
    for product in [Product::Genoa, Product::Turin, Product::Milan] {
        for (fault, name) in Fault::ALL {
            let rejected = World::faulty(product, fault).appraise().expect_err(name);
            assert!(expected(fault).contains(&rejected.rejection.code), "{product:?} {name}: {rejected}");
            assert!(!rejected.authentic, "{name} is a matter of authenticity");
        }
    }
}

#[test]
fn offline_grace_is_seven_days_and_never_replaces_a_list() {
    let grace = || RevocationRule::OfflineGrace { reason: "no network".to_owned() };
    let mut world = World::faulty(Product::Genoa, Fault::CrlExpired);
    world.policy.snp.revocation = grace();
    let verified = world.appraise().expect("expired yesterday");
    assert!(verified.waivers().iter().any(|waiver| waiver.rule == "snp.revocation"));
    // the list ended a day before `NOW`: its eighth day is too late (the keyset's end is moved along)
    world.now = NOW.plus(Duration::from_hours(7 * 24));
    world.keyset.not_after = world.now;
    world.claims.keyset_digest = attestation::Sha384::of(&world.keyset.encode());
    crate::world::floors_mut(&mut world.policy).valid_until = world.now;
    assert_eq!(code(world.appraise()), Code::SnpCrlMissing);
    let mut world = World::faulty(Product::Genoa, Fault::CrlMissing);
    world.policy.snp.revocation = grace();
    assert_eq!(code(world.appraise()), Code::SnpCrlMissing);
}

#[test]
fn a_vlek_is_accepted_only_with_its_provider_and_without_a_chip_list() {
    const AWS: &str = "CN=cc-us-east-2.amazonaws.com";
    let mut world = World::with(Product::Genoa, 5, |spec| spec.use_vlek(AWS));
    let any = || HardwareRule::Any { reason: "a VLEK names no chip".to_owned() };
    assert_eq!(code(world.appraise()), Code::SnpSigningKey);
    world.policy.snp.signing_key = SigningKeyRule::Vlek { csp_id: "CN=other".to_owned() };
    world.policy.hardware = any();
    assert_eq!(code(world.appraise()), Code::SnpCspId);
    world.policy.snp.signing_key = SigningKeyRule::Vlek { csp_id: AWS.to_owned() };
    let verified = world.appraise().expect("good VLEK");
    assert_eq!(verified.hardware().hardware_id, None);
    let parties: Vec<_> = verified.hardware().trusted().into_iter().map(|own| own.party).collect();
    assert_eq!(parties, ["amd", AWS]);
    assert!(verified.hardware().not_proven().contains(&"which processor it is"));
    assert!(verified.waivers().iter().any(|waiver| waiver.rule == "snp.signing_key"));
    let chip = attestation::HardwareId::try_from(&[0; 64][..]).expect("id");
    world.policy.hardware = HardwareRule::Listed(vec![chip]);
    assert_eq!(code(world.appraise()), Code::AttHardwareId);
    // a policy that wants the provider's key refuses the chip's
    let mut world = World::new(Product::Genoa);
    world.policy.snp.signing_key = SigningKeyRule::Vlek { csp_id: AWS.to_owned() };
    assert_eq!(code(world.appraise()), Code::SnpSigningKey);
}

#[test]
fn the_report_and_the_certificate_must_agree_on_the_kind_of_key() {
    let world = World::new(Product::Genoa);
    let rejected = world.appraise_with(|report| report.key_info = 1 << 2).expect_err("says VLEK");
    assert_eq!(rejected.rejection.code, Code::SnpSigningKey);
    assert!(rejected.authentic);
    for key in 2..7 {
        assert_eq!(code(world.appraise_with(|report| report.key_info = key << 2)), Code::SnpSigningKey);
    }
    assert_eq!(code(world.appraise_with(|report| report.key_info = 7 << 2)), Code::SnpMasked);
    assert_eq!(code(world.appraise_with(|report| report.key_info = 1 << 1)), Code::SnpMasked);
}

#[test]
fn surplus_and_missing_certificates_are_refused() {
    use attestation::endorsements::Endorsements;
    let world = World::new(Product::Genoa);
    let document = world.document();
    let all = Endorsements::decode(&document.endorsements).expect("own");
    let with = |certificates: Vec<Vec<u8>>| {
        let mut document = document.clone();
        document.endorsements =
            Endorsements { certificates, crls: all.crls.clone(), ..Endorsements::default() }.encode();
        world.judge(&document)
    };
    let [vek, ask, ark] = &all.certificates[..] else { panic!("three certificates") };
    assert!(with(vec![ark.clone(), vek.clone(), ask.clone()]).is_ok(), "order does not matter");
    assert!(with(vec![vek.clone(), ask.clone()]).is_ok(), "the root need not come along");
    assert_eq!(code(with(vec![ask.clone(), ark.clone()])), Code::SnpVekMissing);
    assert_eq!(code(with(vec![vek.clone(), ark.clone()])), Code::SnpChain);
    assert_eq!(code(with(vec![vek.clone(), vek.clone(), ask.clone()])), Code::SnpChain);
    assert_eq!(code(with(vec![vek.clone(), ask.clone(), ask.clone()])), Code::SnpChain);
    assert_eq!(code(with(vec![vek.clone(), ask.clone(), ark.clone(), ark.clone()])), Code::SnpChain);
    assert_eq!(code(with(Vec::new())), Code::SnpVekMissing);
}

#[test]
fn the_work_of_one_appraisal_is_bounded() {
    use attestation::endorsements::Endorsements;
    let other = crate::world::other_authority();
    let mut world = World::new(Product::Genoa);
    let mut document = world.document();
    let mut endorsements = Endorsements::decode(&document.endorsements).expect("own");
    endorsements.certificates.pop(); // without its root, each trusted root of that name has to be tried
    document.endorsements = endorsements.encode();
    assert!(world.judge(&document).is_ok());
    let own = world.policy.trust_anchors.simulated_roots.remove(0);
    world.policy.trust_anchors.simulated_roots = vec![other.ark_certificate().to_vec(); 20];
    world.policy.trust_anchors.simulated_roots.push(own);
    assert_eq!(code(world.judge(&document)), Code::AttWorkLimit);
}
