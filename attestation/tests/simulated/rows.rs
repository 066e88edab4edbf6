//! Part B, row by row: the report is good and well signed except for one value.

use crate::world::{World, code};
use attestation::Code;
use attestation::claims::snp::AbiVersion;
use attestation::policy::Policy;
use attestation::policy::snp::{Bit, SnpPolicy};
use attestation::reference_values::{IdBlock, ReferenceValues, Release, Requirement};
use simtee::{Product, Report};

type Change = fn(&mut Report);

/// A well-formed version 2 report: what only later versions have is zero.
fn version_two(report: &mut Report) {
    (report.version, report.cpuid) = (2, [0; 3]);
    (report.launch_mitigations, report.current_mitigations) = (0, 0);
}

/// Values no policy may accept.
const FIXED: &[(&str, Change, Code)] = &[
    ("version 2", version_two, Code::SnpVersion),
    ("version 6", |report| report.version = 6, Code::SnpVersion),
    ("version 0", |report| report.version = 0, Code::SnpVersion),
    ("another signature algorithm", |report| report.signature_algorithm = 2, Code::SnpSignature),
    ("no chip id", |report| report.chip_id = [0; 64], Code::SnpChipId),
    ("unknown silicon", |report| report.cpuid = [0x1b, 0, 0], Code::SnpProductMismatch),
    ("silicon of another line", |report| report.cpuid = [0x1a, 0x02, 1], Code::SnpProductMismatch),
    ("debugging allowed", |report| report.policy |= 1 << 19, Code::SnpDebug),
    ("migration allowed", |report| report.policy |= 1 << 18, Code::SnpMigrate),
    ("a migration agent", |report| report.report_id_ma = [0; 32], Code::SnpMigrate),
    ("CXL allowed", |report| report.policy |= 1 << 21, Code::SnpCxl),
    ("policy bit 17 zero", |report| report.policy &= !(1 << 17), Code::SnpPolicyReserved),
    ("policy bit 26", |report| report.policy |= 1 << 26, Code::SnpPolicyReserved),
    ("policy bit 63", |report| report.policy |= 1 << 63, Code::SnpPolicyReserved),
    ("ABI 1.54", |report| report.policy = report.policy & !0xffff | 0x0136, Code::SnpAbi),
    ("ABI 0.255", |report| report.policy = report.policy & !0xffff | 0x00ff, Code::SnpAbi),
    ("vmpl 1", |report| report.vmpl = 1, Code::SnpVmpl),
    ("vmpl 4", |report| report.vmpl = 4, Code::SnpVmpl),
    ("asked for by the host", |report| report.vmpl = u32::MAX, Code::SnpVmpl),
    ("no alias check", |report| report.platform_info &= !(1 << 5), Code::SnpAliasCheck),
    ("trusted I/O", |report| report.platform_info |= 1 << 7, Code::SnpPlatform),
    ("platform bit 8", |report| report.platform_info |= 1 << 8, Code::SnpPlatformUnknown),
    ("platform bit 63", |report| report.platform_info |= 1 << 63, Code::SnpPlatformUnknown),
    ("host data", |report| report.host_data[31] = 1, Code::SnpHostData),
    ("an id key", |report| report.id_key_digest[0] = 1, Code::SnpIdblock),
    ("an author key", |report| report.author_key_digest[0] = 1, Code::SnpIdblock),
    ("author key enabled", |report| report.key_info |= 1, Code::SnpIdblock),
    ("a family", |report| report.family_id[0] = 1, Code::SnpImageId),
    ("an image", |report| report.image_id[0] = 1, Code::SnpImageId),
    ("KEY_INFO bit 5", |report| report.key_info |= 1 << 5, Code::SnpReserved),
    ("a byte at 0x4c", |report| report.patches.push((0x4c, vec![1])), Code::SnpReserved),
    ("a byte at 0x18b", |report| report.patches.push((0x18b, vec![1])), Code::SnpReserved),
    ("a byte at 0x19f", |report| report.patches.push((0x19f, vec![1])), Code::SnpReserved),
    ("a byte at 0x1eb", |report| report.patches.push((0x1eb, vec![1])), Code::SnpReserved),
    ("a byte at 0x1ef", |report| report.patches.push((0x1ef, vec![1])), Code::SnpReserved),
    ("a byte at 0x208", |report| report.patches.push((0x208, vec![1])), Code::SnpReserved),
    ("a byte at 0x29f", |report| report.patches.push((0x29f, vec![1])), Code::SnpReserved),
];

#[test]
fn fixed_rows_reject_by_their_code() {
    for product in [Product::Genoa, Product::Milan] {
        let world = World::new(product);
        assert!(world.appraise().is_ok(), "{product:?}");
        for (what, change, expected) in FIXED {
            let rejected = world.appraise_with(change).expect_err(what);
            assert_eq!(rejected.rejection.code, *expected, "{product:?}, {what}: {rejected}");
        }
    }
}

#[test]
fn fields_that_a_version_does_not_have_must_be_zero() {
    for version in [3, 4] {
        let world = World::with(Product::Genoa, version, |_| ());
        for change in
            [(|report| report.launch_mitigations = 1) as Change, |report| report.current_mitigations = 1]
        {
            assert_eq!(code(world.appraise_with(change)), Code::SnpReserved, "version {version}");
        }
    }
}

#[test]
fn version_two_takes_its_product_from_the_chain_when_the_policy_says_so() {
    let mut world = World::with(Product::Genoa, 2, |_| ());
    assert_eq!(code(world.appraise()), Code::SnpVersion);
    world.policy.snp.versions.push(2);
    // its silicon is not signed, so every line of the product counts, and one of Genoa's is denied
    assert_eq!(code(world.appraise()), Code::SnpProductDenied);
    crate::world::floors_mut(&mut world.policy).lines.retain(|line| line.denied.is_none());
    let verified = world.appraise().expect("named loosening");
    assert!(verified.waivers().iter().any(|waiver| waiver.rule == "snp.report_version"));
    assert_eq!(code(world.appraise_with(|report| report.cpuid = [0x19, 0x11, 1])), Code::SnpReserved);
}

#[test]
fn milan_is_denied_unless_its_risk_is_accepted() {
    let mut world = World::new(Product::Milan);
    assert!(world.appraise().is_ok());
    world.policy.snp.products.pop();
    assert_eq!(code(world.appraise()), Code::SnpProductDenied);
    let siena = World::new(Product::Siena);
    assert_eq!(code(siena.appraise()), Code::SnpProductDenied, "no floor known for AMD-SB-3027");
}

#[test]
fn each_bit_rule_is_tri_state() {
    type Rule = fn(&mut SnpPolicy) -> &mut Bit;
    type Flip = fn(&mut Report, bool);
    fn set(word: &mut u64, bit: u32, on: bool) {
        *word = *word & !(1 << bit) | u64::from(on) << bit;
    }
    let rows: [(&str, Rule, Flip, Code); 14] = [
        ("smt", |p| &mut p.guest_policy.smt, |r, on| set(&mut r.policy, 16, on), Code::SnpSmt),
        (
            "socket",
            |p| &mut p.guest_policy.single_socket,
            |r, on| set(&mut r.policy, 20, on),
            Code::SnpSingleSocket,
        ),
        ("xts", |p| &mut p.guest_policy.mem_aes_256_xts, |r, on| set(&mut r.policy, 22, on), Code::SnpXts),
        ("rapl", |p| &mut p.guest_policy.rapl_dis, |r, on| set(&mut r.policy, 23, on), Code::SnpRapl),
        (
            "hiding",
            |p| &mut p.guest_policy.ciphertext_hiding,
            |r, on| set(&mut r.policy, 24, on),
            Code::SnpCth,
        ),
        (
            "swap",
            |p| &mut p.guest_policy.page_swap_disable,
            |r, on| set(&mut r.policy, 25, on),
            Code::SnpPageSwap,
        ),
        ("smt on", |p| &mut p.platform.smt, |r, on| set(&mut r.platform_info, 0, on), Code::SnpSmt),
        ("tsme", |p| &mut p.platform.tsme, |r, on| set(&mut r.platform_info, 1, on), Code::SnpPlatform),
        ("ecc", |p| &mut p.platform.ecc, |r, on| set(&mut r.platform_info, 2, on), Code::SnpPlatform),
        ("rapl off", |p| &mut p.platform.rapl_dis, |r, on| set(&mut r.platform_info, 3, on), Code::SnpRapl),
        (
            "hiding on",
            |p| &mut p.platform.ciphertext_hiding,
            |r, on| set(&mut r.platform_info, 4, on),
            Code::SnpCth,
        ),
        (
            "alias",
            |p| &mut p.platform.alias_check,
            |r, on| set(&mut r.platform_info, 5, on),
            Code::SnpAliasCheck,
        ),
        ("iommu", |p| &mut p.platform.iommu, |r, on| set(&mut r.platform_info, 6, on), Code::SnpIommu),
        ("tio", |p| &mut p.platform.tio, |r, on| set(&mut r.platform_info, 7, on), Code::SnpPlatform),
    ];
    let mut world = World::new(Product::Turin);
    let standard = world.policy.snp.clone();
    for (what, rule, flip, expected) in rows {
        for (wanted, on) in [
            (Bit::Any, false),
            (Bit::Any, true),
            (Bit::Required, true),
            (Bit::Required, false),
            (Bit::Forbidden, false),
            (Bit::Forbidden, true),
        ] {
            world.policy.snp = standard.clone();
            *rule(&mut world.policy.snp) = wanted;
            if what == "alias" && wanted != Bit::Required {
                continue; // no channel may do without it
            }
            let result = world.appraise_with(|report| flip(report, on));
            if wanted.accepts(on) {
                result.unwrap_or_else(|rejected| panic!("{what} {wanted:?} {on}: {rejected}"));
            } else {
                assert_eq!(code(result), expected, "{what} {wanted:?} {on}");
            }
        }
    }
}

#[test]
fn hardened_wants_what_the_table_says() {
    let hardened = |world: &World| -> Policy {
        let snp = SnpPolicy::hardened(crate::world::floors());
        Policy { snp, ..world.policy.clone() }
    };
    let good: Change = |report| {
        report.policy = report.policy & !(1 << 16) | 1 << 23 | 1 << 24 | 1 << 25;
        report.platform_info = report.platform_info & !1 | 1 << 3 | 1 << 4 | 1 << 6;
    };
    let mut world = World::new(Product::Turin);
    world.policy = hardened(&world);
    assert!(world.appraise_with(good).is_ok());
    let worse: [(&str, Change, Code); 9] = [
        ("smt allowed", |report| report.policy |= 1 << 16, Code::SnpSmt),
        ("smt on", |report| report.platform_info |= 1, Code::SnpSmt),
        ("rapl allowed", |report| report.policy &= !(1 << 23), Code::SnpRapl),
        ("rapl on", |report| report.platform_info &= !(1 << 3), Code::SnpRapl),
        ("hiding not asked for", |report| report.policy &= !(1 << 24), Code::SnpCth),
        ("hiding off", |report| report.platform_info &= !(1 << 4), Code::SnpCth),
        ("swapping allowed", |report| report.policy &= !(1 << 25), Code::SnpPageSwap),
        ("iommu unsafe", |report| report.platform_info &= !(1 << 6), Code::SnpIommu),
        ("ABI 1.57", |report| report.policy = report.policy & !0xffff | 0x0139, Code::SnpAbi),
    ];
    for (what, change, expected) in worse {
        let result = world.appraise_with(|report| {
            good(report);
            change(report);
        });
        assert_eq!(code(result), expected, "{what}");
    }
    let mut old = World::with(Product::Turin, 4, |_| ());
    old.policy = hardened(&old);
    assert_eq!(code(old.appraise_with(good)), Code::SnpVersion);
}

#[test]
fn unknown_platform_bits_pass_only_when_listed() {
    let mut world = World::new(Product::Genoa);
    world.policy.snp.platform.unknown_accepted = 1 << 8;
    assert!(world.appraise_with(|report| report.platform_info |= 1 << 8).is_ok());
    assert_eq!(code(world.appraise_with(|report| report.platform_info |= 1 << 9)), Code::SnpPlatformUnknown);
}

#[test]
fn a_release_fixes_id_block_svn_ids_and_host_data() {
    let mut world = World::new(Product::Genoa);
    let ReferenceValues::Pinned(releases) = &mut world.policy.references else { panic!("pinned") };
    let release: &mut Release = &mut releases[0];
    release.guest_svn = Requirement::AtLeast(3);
    release.family_id = Requirement::Exactly([1; 16]);
    release.image_id = Requirement::OneOf(vec![[2; 16], [3; 16]]);
    release.host_data = Requirement::Exactly([4; 32]);
    release.id_block = IdBlock::Keys { id_key_digest: [5; 48], author_key_digest: Some([6; 48]) };
    let good: Change = |report| {
        report.guest_svn = 3;
        report.family_id = [1; 16];
        report.image_id = [3; 16];
        report.host_data = [4; 32];
        report.id_key_digest = [5; 48];
        report.author_key_digest = [6; 48];
        report.key_info |= 1;
    };
    assert!(world.appraise_with(good).is_ok());
    let worse: [(&str, Change, Code); 7] = [
        ("svn 2", |report| report.guest_svn = 2, Code::SnpSvn),
        ("another family", |report| report.family_id = [0; 16], Code::SnpImageId),
        ("another image", |report| report.image_id = [0; 16], Code::SnpImageId),
        ("other host data", |report| report.host_data = [0; 32], Code::SnpHostData),
        ("another id key", |report| report.id_key_digest = [0; 48], Code::SnpIdblock),
        ("another author key", |report| report.author_key_digest = [0; 48], Code::SnpIdblock),
        ("author key off", |report| report.key_info &= !1, Code::SnpIdblock),
    ];
    for (what, change, expected) in worse {
        let result = world.appraise_with(|report| {
            good(report);
            change(report);
        });
        assert_eq!(code(result), expected, "{what}");
    }
}

#[test]
fn another_vmpl_is_accepted_only_exactly() {
    let mut world = World::new(Product::Genoa);
    world.policy.snp.vmpl = Requirement::Exactly(2);
    assert_eq!(code(world.appraise()), Code::SnpVmpl);
    assert!(world.appraise_with(|report| report.vmpl = 2).is_ok());
    world.policy.snp.abi = Requirement::AtLeast(AbiVersion { major: 1, minor: 59 });
    assert_eq!(code(world.appraise_with(|report| report.vmpl = 2)), Code::SnpAbi);
}
