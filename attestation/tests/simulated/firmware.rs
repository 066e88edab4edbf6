//! Google's endorsements of firmware: read and verified rule by rule, then as the reference value of an appraisal.

use crate::world::{NOW, World};
use attestation::reference_values::{ReferenceValues, Release};
use attestation::{Code, FirmwareEndorsement, Measurement, Rejected, Sha384, TeeType, Verified};
use simtee::Product;
use simtee::google::{Golden, GoogleAuthority, bytes, number};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

static GOOGLE: LazyLock<GoogleAuthority> =
    LazyLock::new(|| GoogleAuthority::create(NOW.seconds()).expect("keys"));
static ROOT: LazyLock<Vec<u8>> = LazyLock::new(|| GOOGLE.root_certificate().expect("root"));

/// One thing done to good contents.
type Change = Box<dyn FnOnce(&mut Golden)>;

fn golden() -> Golden {
    Golden {
        issued_at: NOW.seconds() - 60,
        change: 700,
        digest: vec![0xd1; 48],
        snp: Some((3, vec![(2, vec![0x22; 48]), (4, vec![0x3e; 48])])),
        tdx: Some((5, vec![(16, vec![0x7d; 48]), (32, vec![0x7e; 48])])),
        more: Vec::new(),
    }
}

fn read(endorsement: &[u8]) -> Result<FirmwareEndorsement, Code> {
    FirmwareEndorsement::authenticate(endorsement, &ROOT).map_err(|rejection| rejection.code)
}

fn changed(change: impl FnOnce(&mut Golden)) -> Result<FirmwareEndorsement, Code> {
    let mut golden = golden();
    change(&mut golden);
    read(&GOOGLE.endorse(&golden).expect("endorsement"))
}

fn good() -> FirmwareEndorsement {
    changed(|_| ()).expect("good")
}

/// A world whose policy accepts Google's firmware.
fn world(endorsement: FirmwareEndorsement) -> World {
    let mut world = World::new(Product::Genoa);
    let release =
        Release::google_firmware_only(Arc::new(endorsement), 3, "a test".to_owned()).expect("release");
    world.policy.references = ReferenceValues::Pinned(vec![release]);
    world
}

fn code(result: Result<Verified, Rejected>) -> Code {
    result.expect_err("refused").rejection.code
}

#[test]
fn a_good_endorsement_says_what_was_put_in() {
    let endorsement = changed(|golden| golden.more = bytes(15, b"not known yet")).expect("unknown fields");
    assert_eq!(endorsement.digest(), &Sha384::new([0xd1; 48]));
    assert_eq!(endorsement.issued_at().seconds(), NOW.seconds() - 60);
    let snp = endorsement.snp(3).expect("version 3");
    assert_eq!((snp.svn, snp.policy, snp.measurements.len()), (3, 0x3_0000, 2));
    assert_eq!(snp.measurements[&4], Measurement::new([0x3e; 48]));
    let tdx = endorsement.tdx(5).expect("version 5");
    assert_eq!((tdx.svn, tdx.measurements[1].ram_gib, tdx.measurements[1].early_accept), (5, 32, true));
    assert_eq!(endorsement.snp(4).expect_err("lower").code, Code::GcpSvn);
    assert_eq!(endorsement.tdx(6).expect_err("lower").code, Code::GcpSvn);
    let neither = changed(|golden| (golden.snp, golden.tdx) = (None, None)).expect("silent");
    assert_eq!(neither.snp(0).expect_err("silent").code, Code::GcpEndorsement);
    assert_eq!(neither.tdx(0).expect_err("silent").code, Code::GcpEndorsement);
}

#[test]
fn what_is_not_exactly_an_endorsement_is_refused() {
    let long = |golden: &mut Golden| golden.more = bytes(15, &vec![0; 64 * 1024]);
    let cases: Vec<(&str, Change)> = vec![
        ("short digest", Box::new(|golden| golden.digest.truncate(47))),
        ("digest twice", Box::new(|golden| golden.more = bytes(5, &[0; 48]))),
        ("timestamp twice", Box::new(|golden| golden.more = bytes(1, &number(1, 1)))),
        ("certificate twice", Box::new(|golden| golden.more = bytes(4, &[0x30, 0]))),
        ("SEV-SNP twice", Box::new(|golden| golden.more = bytes(7, &[]))),
        ("wrong wire type", Box::new(|golden| golden.more = number(6, 1))),
        ("no provenance", Box::new(|golden| golden.change = 0)),
        ("no time", Box::new(|golden| golden.issued_at = u64::MAX)),
        ("no SNP measurement", Box::new(|golden| golden.snp = Some((3, Vec::new())))),
        ("short SNP measurement", Box::new(|golden| golden.snp = Some((3, vec![(1, vec![0; 47])])))),
        ("no processor", Box::new(|golden| golden.snp = Some((3, vec![(0, vec![0; 48])])))),
        ("processors twice", Box::new(|golden| golden.snp = Some((3, vec![(1, vec![0; 48]); 2])))),
        ("no TDX measurement", Box::new(|golden| golden.tdx = Some((5, Vec::new())))),
        ("long TDX measurement", Box::new(|golden| golden.tdx = Some((5, vec![(1, vec![0; 49])])))),
        ("too many", Box::new(|golden| golden.tdx = Some((5, vec![(1, vec![0; 48]); 1025])))),
        ("too long", Box::new(long)),
    ];
    for (why, change) in cases {
        assert_eq!(changed(change).expect_err(why), Code::GcpEndorsement, "{why}");
    }
    let good = GOOGLE.endorse(&golden()).expect("endorsement");
    for twice in [bytes(1, &[]), bytes(2, &[])] {
        assert_eq!(read(&[good.clone(), twice].concat()), Err(Code::GcpEndorsement));
    }
    // the change of process came on that day, so older firmware needs no provenance
    assert!(changed(|golden| (golden.change, golden.issued_at) = (0, 1_722_556_800)).is_ok());
}

#[test]
fn every_link_to_the_named_root_is_checked() {
    let root = || ROOT.clone();
    let sign =
        |certificate: &[u8]| GOOGLE.sign(&golden().encode(certificate), &GOOGLE.signer).expect("signed");
    let good = sign(&GOOGLE.signer_certificate().expect("certificate"));
    assert!(read(&good).is_ok());
    let by_root = GOOGLE.certificate("root", "signer", &GOOGLE.signer, &GOOGLE.root, false, 1);
    assert!(read(&sign(&by_root.expect("certificate"))).is_ok());
    for (why, certificate) in [
        ("signed by itself", GOOGLE.certificate("root", "signer", &GOOGLE.signer, &GOOGLE.signer, false, 1)),
        ("another issuer", GOOGLE.certificate("other", "signer", &GOOGLE.signer, &GOOGLE.root, false, 1)),
        ("an authority", GOOGLE.certificate("root", "signer", &GOOGLE.signer, &GOOGLE.root, true, 1)),
        ("not a certificate", Ok(vec![0x30, 0])),
    ] {
        assert_eq!(read(&sign(&certificate.expect(why))), Err(Code::GcpChain), "{why}");
    }
    let certificate = GOOGLE.signer_certificate().expect("certificate");
    let other_key = GOOGLE.sign(&golden().encode(&certificate), &GOOGLE.root).expect("signed");
    assert_eq!(read(&other_key), Err(Code::GcpSignature));
    let authenticate = |root: &[u8]| FirmwareEndorsement::authenticate(&good, root).map_err(|own| own.code);
    let leaf = GOOGLE.certificate("root", "root", &GOOGLE.root, &GOOGLE.root, false, 1).expect("leaf");
    let crossed = GOOGLE.certificate("above", "root", &GOOGLE.root, &GOOGLE.root, true, 1).expect("crossed");
    let forged = GOOGLE.certificate("root", "root", &GOOGLE.root, &GOOGLE.signer, true, 1).expect("forged");
    let longer = [root(), vec![0]].concat();
    for root in [&leaf[..], &crossed, &forged, &longer, &[]] {
        assert_eq!(authenticate(root), Err(Code::GcpChain));
    }
}

#[test]
fn no_part_and_no_flipped_bit_is_accepted() {
    let good = GOOGLE.endorse(&golden()).expect("endorsement");
    for end in 0..good.len() {
        assert!(read(&good[..end]).is_err(), "{end}");
    }
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped).is_err(), "bit {bit}");
    }
    let envelope = [good, vec![0]].concat();
    assert_eq!(read(&envelope), Err(Code::GcpEndorsement));
}

#[test]
fn endorsed_firmware_is_accepted_and_said_to_be_no_more_than_that() {
    let mut world = world(good());
    let verified = world.appraise().expect("endorsed");
    let firmware = verified.hardware().firmware.expect("firmware");
    assert!(firmware.firmware_only && firmware.digest == Sha384::new([0xd1; 48]));
    let parties: Vec<_> = verified.hardware().trusted().into_iter().map(|own| own.party).collect();
    assert_eq!(parties, ["amd", "google"]);
    assert!(verified.hardware().not_proven().iter().any(|open| open.contains("not the kernel")));
    let waived = |waiver: &&attestation::policy::Waiver| waiver.rule == "snp.firmware_only";
    assert_eq!(verified.waivers().iter().find(waived).map(|own| own.reason.as_str()), Some("a test"));
    assert!(verified.checks().iter().any(|check| check.id == "gcp.endorsement"));
    // an Azure paravisor could be played by whoever chooses the kernel
    world.policy.tee_types.push(TeeType::AzureSnp);
    assert_eq!(code(world.appraise()), Code::PolInvalid);
    // a pinned release trusts nobody else
    let pinned = World::new(Product::Genoa).appraise().expect("pinned");
    assert_eq!(pinned.hardware().firmware, None);
}

#[test]
fn another_measurement_and_another_time_are_refused() {
    let other = changed(|golden| golden.snp = Some((3, vec![(4, vec![0x3f; 48])]))).expect("endorsement");
    assert_eq!(code(world(other).appraise()), Code::AttMeasurement);
    let future = changed(|golden| golden.issued_at = NOW.seconds() + 1).expect("endorsement");
    let rejected = world(future).appraise().expect_err("made later");
    assert_eq!(rejected.rejection.code, Code::GcpStale);
    let short = GOOGLE.certificate("root", "signer", &GOOGLE.signer, &GOOGLE.root, false, 0);
    let ends_now = GOOGLE.sign(&golden().encode(&short.expect("certificate")), &GOOGLE.signer);
    let endorsement = read(&ends_now.expect("signed")).expect("authentic");
    let mut world = world(endorsement);
    assert_eq!(world.appraise().expect("its last second").expires_at(), *NOW);
    world.now = NOW.plus(Duration::from_secs(1));
    assert_eq!(code(world.appraise()), Code::GcpStale);
}
