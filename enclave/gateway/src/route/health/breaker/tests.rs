use proptest::prelude::*;

use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fail(breaker: &mut Breaker, times: u32, now: Duration) {
    for _ in 0..times {
        let ticket = breaker.admit(now).expect("lets calls through");
        breaker.failed(&ticket, now);
    }
}

#[test]
fn five_failures_in_a_row_open_it_and_probes_close_it() {
    let mut breaker = Breaker::new(BreakerSettings::default());
    fail(&mut breaker, 4, at(100));
    let ticket = breaker.admit(at(100)).unwrap();
    breaker.succeeded(&ticket, at(100));
    fail(&mut breaker, 4, at(100));
    assert_eq!(breaker.phase(), Phase::Closed, "a success in between starts the count again");
    fail(&mut breaker, 1, at(100));
    assert_eq!(breaker.phase(), Phase::Open { until: at(105) });
    assert!(breaker.admit(at(104)).is_none());
    let probe = breaker.admit(at(105)).expect("one probe");
    assert!(breaker.admit(at(105)).is_none(), "and no second one");
    breaker.succeeded(&probe, at(106));
    let probes: Vec<Ticket> = (0..3).map(|_| breaker.admit(at(106)).expect("then three")).collect();
    assert!(breaker.admit(at(106)).is_none());
    for probe in &probes {
        breaker.succeeded(probe, at(107));
    }
    assert_eq!(breaker.phase(), Phase::Closed);
    assert!(breaker.admit(at(107)).is_some());
}

#[test]
fn half_the_calls_failing_opens_it() {
    let mut breaker = Breaker::new(BreakerSettings::default());
    for turn in 0..20 {
        assert_eq!(breaker.phase(), Phase::Closed, "call {turn}");
        let ticket = breaker.admit(at(50)).unwrap();
        if turn % 2 == 0 { breaker.succeeded(&ticket, at(50)) } else { breaker.failed(&ticket, at(50)) }
    }
    assert!(matches!(breaker.phase(), Phase::Open { .. }));
}

#[test]
fn old_failures_do_not_count() {
    let mut breaker =
        Breaker::new(BreakerSettings { consecutive_failures: 1000, ..BreakerSettings::default() });
    fail(&mut breaker, 19, at(10));
    assert_eq!(breaker.recent(at(11)), (19, 19));
    fail(&mut breaker, 1, at(60));
    assert_eq!((breaker.phase(), breaker.recent(at(60))), (Phase::Closed, (1, 1)));
}

#[test]
fn each_trip_lasts_longer_up_to_a_limit() {
    let mut breaker = Breaker::new(BreakerSettings::default());
    fail(&mut breaker, 5, at(1000));
    let mut lengths = vec![5];
    let mut now = at(1005);
    for _ in 0..8 {
        let probe = breaker.admit(now).expect("a probe");
        breaker.failed(&probe, now);
        let Phase::Open { until } = breaker.phase() else { panic!("a failed probe opens it again") };
        lengths.push(until.saturating_sub(now).as_secs());
        now = until;
    }
    assert_eq!(lengths, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
}

#[test]
fn a_call_from_before_says_nothing_about_now() {
    let mut breaker = Breaker::new(BreakerSettings::default());
    let slow = breaker.admit(at(1)).unwrap();
    fail(&mut breaker, 5, at(1));
    breaker.succeeded(&slow, at(2));
    assert!(matches!(breaker.phase(), Phase::Open { .. }), "a late success does not close it");
    let probe = breaker.admit(at(7)).expect("a probe");
    breaker.abandoned(&slow);
    assert!(breaker.admit(at(7)).is_none(), "a late end is not the probe's");
    breaker.abandoned(&probe);
    assert!(breaker.admit(at(7)).is_some(), "a probe that says nothing makes room for another");
}

#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    Admit,
    Succeed(usize),
    Fail(usize),
    Abandon(usize),
    Broke,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0_u64..40).prop_map(Act::Pass),
        Just(Act::Admit),
        Just(Act::Admit),
        (0_usize..8).prop_map(Act::Succeed),
        (0_usize..8).prop_map(Act::Fail),
        (0_usize..8).prop_map(Act::Abandon),
        Just(Act::Broke),
    ];
    proptest::collection::vec(act, 0..200)
}

proptest! {
    /// Whatever happens: nothing passes an open breaker, a half-open one lets few calls through at a time, it stays open
    /// no longer than allowed, and it always comes back.
    #[test]
    fn it_keeps_its_promises(acts in acts()) {
        let settings = BreakerSettings::default();
        let mut breaker = Breaker::new(settings);
        let (mut now, mut out) = (at(1), Vec::new());
        for act in acts {
            let before = breaker.phase();
            match act {
                Act::Pass(seconds) => now += at(seconds),
                Act::Admit => {
                    let ticket = breaker.admit(now);
                    match before {
                        Phase::Closed => prop_assert!(ticket.is_some()),
                        Phase::Open { until } => prop_assert_eq!(ticket.is_some(), now >= until),
                        Phase::HalfOpen { stage, under_way, succeeded } => {
                            prop_assert_eq!(ticket.is_some(), under_way + succeeded < STAGES[stage]);
                        }
                    }
                    out.extend(ticket);
                }
                Act::Succeed(place) if place < out.len() => breaker.succeeded(&out.remove(place), now),
                Act::Fail(place) if place < out.len() => breaker.failed(&out.remove(place), now),
                Act::Abandon(place) if place < out.len() => breaker.abandoned(&out.remove(place)),
                Act::Broke => breaker.broke(now),
                Act::Succeed(_) | Act::Fail(_) | Act::Abandon(_) => {}
            }
            match breaker.phase() {
                Phase::Open { until } => prop_assert!(until <= now + settings.longest_open),
                Phase::HalfOpen { stage, under_way, succeeded } => {
                    prop_assert!(under_way + succeeded <= STAGES[stage]);
                    prop_assert!(under_way as usize <= out.len());
                }
                Phase::Closed => {}
            }
        }
        for ticket in out {
            breaker.abandoned(&ticket);
        }
        now += settings.longest_open;
        for _ in 0..8 {
            let Some(ticket) = breaker.admit(now) else { continue };
            breaker.succeeded(&ticket, now);
        }
        prop_assert_eq!(breaker.phase(), Phase::Closed, "good answers bring it back");
    }
}
