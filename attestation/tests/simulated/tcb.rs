//! TCB rows: every component below its floor in each of reported, committed and launch; order; dates; layouts.

use crate::world::{NOW, World, code, floors_mut};
use attestation::Code;
use attestation::policy::snp::{FloorRule, ProvisionalRule};
use simtee::{Product, Report, Tcb, TcbLayout};
use std::time::Duration;

type Lower = fn(&mut Tcb);

/// Exactly the shipped floor of each simulated line.
const fn floor(product: Product) -> Tcb {
    match product {
        Product::Milan => Tcb { fmc: 0, bootloader: 0, tee: 0, snp: 0x17, microcode: 0xdb },
        Product::Genoa | Product::Siena => Tcb { fmc: 0, bootloader: 0, tee: 0, snp: 0x1b, microcode: 0x56 },
        Product::Turin => Tcb { fmc: 0, bootloader: 0, tee: 0, snp: 4, microcode: 0x51 },
    }
}

/// A world whose chip is at `tcb` in every respect.
fn at(product: Product, tcb: Tcb) -> World {
    World::with(product, 5, |spec| spec.set_tcb(tcb))
}

#[test]
fn each_component_one_below_its_floor_is_refused_in_each_field() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        // raised floors, so that every component has one
        let base = Tcb {
            fmc: if product == Product::Turin { 3 } else { 0 },
            bootloader: 3,
            tee: 3,
            ..floor(product)
        };
        let mut components: Vec<(&str, Lower)> = vec![
            ("bootloader", |tcb| tcb.bootloader -= 1),
            ("tee", |tcb| tcb.tee -= 1),
            ("snp", |tcb| tcb.snp -= 1),
            ("microcode", |tcb| tcb.microcode -= 1),
        ];
        if product == Product::Turin {
            components.push(("fmc", |tcb| tcb.fmc -= 1));
        }
        let raise = |world: &mut World| {
            for line in &mut floors_mut(&mut world.policy).lines {
                line.tcb.bootloader = 3;
                line.tcb.tee = 3;
                line.tcb.fmc = line.tcb.fmc.map(|_| 3);
            }
        };
        let mut exact = at(product, base);
        raise(&mut exact);
        exact.appraise().unwrap_or_else(|rejected| panic!("{product:?} at its floor: {rejected}"));
        for (name, lower) in components {
            let mut low = base;
            lower(&mut low);
            // reported follows the certificate; committed below current counts as provisional
            let mut reported = at(product, low);
            reported.policy.snp.provisional = ProvisionalRule::Accepted { reason: "test".to_owned() };
            raise(&mut reported);
            let lifted = |report: &mut Report| {
                (report.current_tcb, report.committed_tcb, report.launch_tcb) = (base, base, base);
            };
            assert_floor(reported.appraise_with(lifted), name, "cpu.report.reported_tcb");
            let lowered = |report: &mut Report| (report.current_tcb, report.launch_tcb) = (base, base);
            assert_floor(reported.appraise_with(lowered), name, "cpu.report.reported_tcb");
            assert_floor(
                exact.appraise_with(|report| report.launch_tcb = low),
                name,
                "cpu.report.launch_tcb",
            );
        }
    }
}

#[track_caller]
fn assert_floor(result: Result<attestation::Verified, attestation::Rejected>, component: &str, field: &str) {
    let rejection = result.expect_err(component).rejection;
    assert_eq!((rejection.code, rejection.field), (Code::SnpTcbFloor, field), "{component}: {rejection}");
    assert!(rejection.expected.starts_with(component), "{rejection}");
}

#[test]
fn reported_above_committed_is_refused() {
    let mut world = at(Product::Genoa, floor(Product::Genoa));
    world.policy.snp.provisional = ProvisionalRule::Accepted { reason: "test".to_owned() };
    let low = Tcb { snp: 0x1a, ..floor(Product::Genoa) };
    let rejected =
        world.appraise_with(|report| report.committed_tcb = low).expect_err("reported above committed");
    assert_eq!(rejected.rejection.code, Code::SnpTcbOrder);
}

#[test]
fn levels_that_contradict_each_other_are_refused() {
    let high = Tcb { snp: 0xff, ..Product::Genoa.current_tcb() };
    let world = World::new(Product::Genoa);
    assert_eq!(code(world.appraise_with(|report| report.committed_tcb = high)), Code::SnpTcbOrder);
    assert_eq!(code(world.appraise_with(|report| report.reported_tcb = high)), Code::SnpVekTcb);
    let above = World::with(Product::Genoa, 5, |spec| spec.certificate_tcb = high);
    let rejected =
        above.appraise_with(|report| report.reported_tcb = high).expect_err("reported above current");
    assert_eq!(rejected.rejection.code, Code::SnpTcbOrder);
    assert_eq!(
        code(world.appraise_with(|report| report.committed_firmware.build = 0xff)),
        Code::SnpTcbOrder,
        "firmware committed above current"
    );
}

#[test]
fn provisional_firmware_needs_a_named_loosening() {
    let higher = Tcb { snp: 0xff, ..Product::Genoa.current_tcb() };
    let mut world = World::new(Product::Genoa);
    let newer: [fn(&mut Report, Tcb); 2] =
        [|report, tcb| report.current_tcb = tcb, |report, _| report.current_firmware.build = 0xff];
    for change in newer {
        world.policy.snp.provisional = ProvisionalRule::Refused;
        assert_eq!(code(world.appraise_with(|report| change(report, higher))), Code::SnpProvisional);
        world.policy.snp.provisional = ProvisionalRule::Accepted { reason: "update".to_owned() };
        let verified = world.appraise_with(|report| change(report, higher)).expect("named");
        assert!(verified.waivers().iter().any(|waiver| waiver.rule == "snp.provisional"));
    }
}

#[test]
fn firmware_below_its_floor_is_refused() {
    let world = World::new(Product::Genoa);
    for (minor, build, accepted) in [(55, 40, true), (55, 39, false), (54, 255, false), (56, 0, true)] {
        let result = world.appraise_with(|report| {
            for firmware in [&mut report.current_firmware, &mut report.committed_firmware] {
                (firmware.minor, firmware.build) = (minor, build);
            }
        });
        let found = result.err().map(|rejected| rejected.rejection.code);
        assert_eq!(found, (!accepted).then_some(Code::SnpTcbFloor), "1.{minor}.{build}");
    }
}

#[test]
fn required_mitigations_must_be_in_both_vectors() {
    let world = World::new(Product::Milan);
    for (launch, current, accepted) in
        [(2, 2, true), (2, 0, false), (0, 2, false), (!2, !2, false), (!0, 2, true)]
    {
        let result = world.appraise_with(|report| {
            (report.launch_mitigations, report.current_mitigations) = (launch, current);
        });
        let found = result.err().map(|rejected| rejected.rejection.code);
        assert_eq!(
            found,
            (!accepted).then_some(Code::SnpMitigation),
            "launch {launch:#x} current {current:#x}"
        );
    }
    let old = World::with(Product::Milan, 3, |_| ());
    assert_eq!(code(old.appraise()), Code::SnpMitigation, "version 3 has no vectors");
}

#[test]
fn stale_floors_reject_until_renewed() {
    let mut world = World::new(Product::Genoa);
    floors_mut(&mut world.policy).valid_until = *NOW;
    assert!(world.appraise().is_ok(), "the last second counts");
    let day = Duration::from_hours(24);
    world.now = NOW.plus(Duration::from_secs(1));
    assert_eq!(code(world.appraise()), Code::PolFloorsStale);
    if let FloorRule::File { grace, .. } = &mut world.policy.snp.floors {
        *grace = day;
    }
    let verified = world.appraise().expect("named grace");
    assert!(verified.waivers().iter().any(|waiver| waiver.rule == "snp.floors"));
}

#[test]
fn silicon_without_a_floor_is_refused() {
    let mut world = World::new(Product::Genoa);
    floors_mut(&mut world.policy).lines.clear();
    assert_eq!(code(world.appraise()), Code::SnpProductDenied);
}

#[test]
fn one_layout_is_never_read_as_the_other() {
    // Turin levels written in Genoa's order: the certificate is Turin's, so the bytes mean something else
    let world = World::new(Product::Turin);
    let result = world.appraise_with(|report| report.tcb_layout = TcbLayout::Classic);
    assert_eq!(code(result), Code::SnpReserved);
    let world = World::new(Product::Genoa);
    let result = world.appraise_with(|report| report.tcb_layout = TcbLayout::Turin);
    assert_eq!(code(result), Code::SnpReserved);
}
