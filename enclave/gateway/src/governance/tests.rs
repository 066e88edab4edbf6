//! Properties of holds, budgets and slices, whatever happens in whatever order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::lease::{self, BudgetWindow};
use super::record::{GroupRecord, KeyRecord, Owner, SecretVersion, Status};
use super::registry::{Due, Leased};
use super::reservation::{Actual, Estimate, Refusal, Reservation};
use super::secret::{ENTROPY, Presented, PublicId, Purpose, mint};
use super::*;
use crate::clock::Now;
use crate::plaintext::Secret;
use crate::price::{Price, Rate};

fn now(milliseconds: u64) -> Now {
    Now { unix_ms: 1_800_000_000_000 + milliseconds, monotonic: Duration::from_millis(milliseconds) }
}

fn policy(text: &str) -> Policy {
    serde_json::from_str(text).expect("a policy")
}

fn with_budget(limit: u64, more: &str) -> Policy {
    policy(&format!(
        r#"{{"allowed_models":["*"],"budgets":[{{"name":"b","unit":"nano_usd","limit":{limit},"window":{{"every":"lifetime"}}{more}}}]}}"#
    ))
}

fn group(id: &str, policy: Policy) -> GroupRecord {
    GroupRecord {
        id: id.to_owned(),
        name: id.to_owned(),
        org: None,
        team: None,
        blocked: false,
        policy,
        created_by: "test".to_owned(),
        created_at_ms: 0,
    }
}

/// A key of the organisation `o` and that team, and its secret.
fn key(governance: &Governance, number: u8, team: &str, policy: Policy) -> (KeyRecord, Secret<String>) {
    let (id, secret) = mint(Purpose::Inference, None, [number; ENTROPY]);
    let presented = Presented::parse(Purpose::Inference, secret.expose().as_bytes()).expect("its form");
    let tag = governance.pepper().tag(&presented);
    let record = KeyRecord {
        id: id.as_str().to_owned(),
        name: "k".to_owned(),
        owner: Owner { org: "o".to_owned(), team: Some(team.to_owned()), user: None },
        created_by: "test".to_owned(),
        created_at_ms: 0,
        expires_at_ms: None,
        status: Status::Active,
        secrets: vec![SecretVersion { version: 1, tag, created_at_ms: 0, valid_until_ms: None }],
        policy,
        tags: vec!["t".to_owned(), "t".to_owned()],
        metadata: std::collections::BTreeMap::new(),
    };
    governance.put_key(&record);
    (record, secret)
}

fn governance(org: Policy, team: Policy) -> Arc<Governance> {
    let governance = Governance::new(&Secret::new([7; 32]), false);
    governance.put_group(ScopeKind::Org, &group("o", org));
    governance.put_group(ScopeKind::Team, &group("t1", team.clone()));
    governance.put_group(ScopeKind::Team, &group("t2", team));
    Arc::new(governance)
}

/// An answer of `output` tokens at a nano-dollar each.
fn estimate(output: u64) -> Estimate {
    let rates = crate::price::Rates::flat(Rate::default(), Rate::from_usd("0.001").expect("a rate"));
    let price = Price { rates, ..Price::nothing() };
    Estimate { output_tokens: output, calls: 1, prices: vec![Arc::new(price)], ..Estimate::default() }
}

fn actual(nano_usd: u64) -> Actual {
    Actual { nano_usd, output_tokens: nano_usd, counts: true, ..Actual::default() }
}

fn spent_and_reserved(governance: &Governance, kind: ScopeKind, id: &str) -> (u64, u64) {
    let read = |meters: &[meters::Meter]| meters.first().map(|own| (own.spent(), own.reserved));
    governance.with_meters(kind, id, read).flatten().expect("a budget")
}

#[test]
fn the_estimate_is_a_nano_dollar_for_each_token() {
    assert_eq!(estimate(5000).amounts(5000).nano_usd, 5000);
}

#[test]
fn a_key_is_found_by_its_secret_until_it_or_its_team_is_closed() {
    let governance = governance(Policy::everything(), Policy::everything());
    let (mut record, secret) = key(&governance, 1, "t1", Policy::everything());
    let found = |at: u64| governance.find(secret.expose().as_bytes(), now(at)).map(|(_, version)| version);
    assert_eq!(found(0), Some(1));
    let (_, other) = mint(Purpose::Inference, PublicId::parse(&record.id), [9; ENTROPY]);
    assert!(
        governance.find(other.expose().as_bytes(), now(0)).is_none(),
        "the id is right, the secret is not"
    );
    assert!(governance.find(&record.secrets[0].tag, now(0)).is_none(), "what is stored is not a credential");

    record.expires_at_ms = Some(now(500).unix_ms);
    governance.put_key(&record);
    assert_eq!((found(499), found(500)), (Some(1), None));
    record.expires_at_ms = None;
    for status in [Status::Blocked, Status::Revoked] {
        record.status = status;
        governance.put_key(&record);
        assert_eq!(found(0), None, "{status:?}");
    }
    record.status = Status::Active;
    governance.put_key(&record);
    assert_eq!(found(0), Some(1));
    governance
        .put_group(ScopeKind::Team, &GroupRecord { blocked: true, ..group("t1", Policy::everything()) });
    assert_eq!(found(0), None);
    governance.put_group(ScopeKind::Team, &group("t1", Policy::everything()));
    governance.remove_group(ScopeKind::Org, "o");
    assert_eq!(found(0), None);
}

#[test]
fn a_key_whose_owners_are_not_loaded_is_refused() {
    let governance = Arc::new(Governance::new(&Secret::new([7; 32]), false));
    let (_, secret) = key(&governance, 1, "t1", Policy::everything());
    assert!(governance.find(secret.expose().as_bytes(), now(0)).is_none());
}

#[test]
fn both_secrets_are_good_during_a_rotation_and_the_old_one_ends() {
    let governance = governance(Policy::everything(), Policy::everything());
    let (mut record, first) = key(&governance, 1, "t1", Policy::everything());
    let (_, second) = mint(Purpose::Inference, PublicId::parse(&record.id), [2; ENTROPY]);
    let presented = Presented::parse(Purpose::Inference, second.expose().as_bytes()).expect("its form");
    record.secrets[0].valid_until_ms = Some(now(1000).unix_ms);
    let tag = governance.pepper().tag(&presented);
    record.secrets.push(SecretVersion { version: 2, tag, created_at_ms: 0, valid_until_ms: None });
    governance.put_key(&record);
    let version =
        |secret: &Secret<String>, at| governance.find(secret.expose().as_bytes(), now(at)).map(|own| own.1);
    assert_eq!((version(&first, 999), version(&second, 999)), (Some(1), Some(2)));
    assert_eq!((version(&first, 1000), version(&second, 1000)), (None, Some(2)));
}

#[test]
fn permissions_are_those_of_everybody_above() {
    let governance = governance(policy(r#"{"allowed_models":["gpt-*","claude-*"]}"#), Policy::everything());
    let (record, _) =
        key(&governance, 1, "t1", policy(r#"{"allowed_models":["*"],"blocked_models":["*-mini"]}"#));
    let key = governance.key(&PublicId::parse(&record.id).expect("an id")).expect("there");
    for (model, expected) in [("gpt-4", true), ("gpt-4-mini", false), ("claude-1", true), ("llama", false)] {
        assert_eq!(key.permits_model(model), expected, "{model}");
    }
    governance.put_group(ScopeKind::Team, &group("t1", policy(r#"{"allowed_models":["claude-*"]}"#)));
    assert!(!key.permits_model("gpt-4"), "a change above holds at once");
}

#[test]
fn a_hard_budget_refuses_and_an_elastic_one_shortens() {
    for (fit, expected) in [("strict", None), ("elastic", Some(62))] {
        let team = with_budget(100, &format!(r#","fit":"{fit}""#));
        let governance = governance(Policy::everything(), team);
        let (record, _) = key(&governance, 1, "t1", Policy::everything());
        let key = governance.key(&PublicId::parse(&record.id).expect("an id")).expect("there");
        let taken = Reservation::take(&governance, &key, "m", &estimate(1000), now(0));
        assert_eq!(taken.ok().and_then(|own| own.shortened_to()), expected, "{fit}");
        assert_eq!(spent_and_reserved(&governance, ScopeKind::Team, "t1"), (0, 0));
    }
}

#[test]
fn an_answer_that_overruns_its_hold_is_let_go_on_until_the_budget_ends() {
    let governance = governance(Policy::everything(), with_budget(1000, ""));
    let (record, _) = key(&governance, 1, "t1", Policy::everything());
    let key = governance.key(&PublicId::parse(&record.id).expect("an id")).expect("there");
    let hold = Reservation::take(&governance, &key, "m", &estimate(100), now(0)).expect("room");
    let so_far = |tokens| meters::Amounts { nano_usd: tokens, input_tokens: 0, output_tokens: tokens };
    assert_eq!(hold.goes_on(so_far(900), now(1)), Ok(()));
    assert_eq!(spent_and_reserved(&governance, ScopeKind::Team, "t1"), (0, 900));
    let other = Reservation::take(&governance, &key, "m", &estimate(100), now(2)).expect("the rest");
    assert_eq!(hold.goes_on(so_far(901), now(3)), Err(Refusal::Budget), "the rest is held by another");
    drop(other);
    assert_eq!(hold.goes_on(so_far(1000), now(4)), Ok(()));
    assert_eq!(hold.goes_on(so_far(1001), now(5)), Err(Refusal::Budget));
    hold.settle(actual(1000), now(6));
    assert_eq!(spent_and_reserved(&governance, ScopeKind::Team, "t1"), (1000, 0));
    assert!(!hold.is_revoked(now(7)));
    governance.put_key(&KeyRecord { status: Status::Revoked, ..record });
    assert!(hold.is_revoked(now(7)), "also for what is under way");
}

#[test]
fn thresholds_are_told_once_and_nobody_pays_without_a_price() {
    let governance = governance(Policy::everything(), with_budget(1000, r#","soft_percent":[50,80]"#));
    let (record, _) = key(&governance, 1, "t1", Policy::everything());
    let key = governance.key(&PublicId::parse(&record.id).expect("an id")).expect("there");
    let spend = |amount| {
        let hold = Reservation::take(&governance, &key, "m", &estimate(amount), now(0)).expect("room");
        hold.settle(actual(amount), now(0));
        governance.take_crossings().into_iter().map(|own| own.percent).collect::<Vec<_>>()
    };
    assert_eq!(spend(499), Vec::<u8>::new());
    assert_eq!(spend(1), [50]);
    assert_eq!(spend(1), Vec::<u8>::new());
    assert_eq!(spend(400), [80]);
    let unpriced = Estimate { unpriced: true, ..estimate(1) };
    let refused = Reservation::take(&governance, &key, "m", &unpriced, now(0)).err();
    assert_eq!(refused, Some(Refusal::PriceUnknown));
}

#[test]
fn limits_of_parallel_requests_and_of_pace_hold_for_a_whole_team() {
    let team =
        policy(r#"{"allowed_models":["*"],"max_parallel":2,"rate_limits":[{"unit":"requests","limit":3}]}"#);
    let governance = governance(Policy::everything(), team);
    let keys: Vec<_> = (1..=3)
        .map(|number| {
            let (record, _) = key(&governance, number, "t1", Policy::everything());
            governance.key(&PublicId::parse(&record.id).expect("an id")).expect("there")
        })
        .collect();
    let take = |key: &Arc<LiveKey>| Reservation::take(&governance, key, "m", &estimate(1), now(0));
    let (first, second) = (take(&keys[0]).expect("first"), take(&keys[1]).expect("second"));
    assert_eq!(take(&keys[2]).err(), Some(Refusal::Parallel));
    drop(first);
    let third = take(&keys[2]).expect("third");
    drop((second, third));
    assert_eq!(
        take(&keys[0]).err(),
        Some(Refusal::Rate { retry_after_ms: 20_000 }),
        "of the team, not of the key"
    );
    assert_eq!(keys[0].in_flight(), 0);
}

/// What may happen to a request.
#[derive(Clone, Debug)]
enum Event {
    Begin { key: usize, tokens: u64 },
    GoOn { which: usize, percent: u64 },
    Settle { which: usize, percent: u64 },
    Cancel { which: usize },
    ChangeLimit { limit: u64 },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = prop_oneof![
        4 => (0_usize..3, 1_u64..400).prop_map(|(key, tokens)| Event::Begin { key, tokens }),
        2 => (0_usize..8, 0_u64..300).prop_map(|(which, percent)| Event::GoOn { which, percent }),
        3 => (0_usize..8, 0_u64..=100).prop_map(|(which, percent)| Event::Settle { which, percent }),
        2 => (0_usize..8).prop_map(|which| Event::Cancel { which }),
        1 => (500_u64..2000).prop_map(|limit| Event::ChangeLimit { limit }),
    ];
    proptest::collection::vec(one, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn holds_settle_to_zero_and_spent_is_what_was_charged(events in events()) {
        let governance = governance(with_budget(1500, r#","fit":"strict""#), with_budget(1000, r#","fit":"strict""#));
        let keys: Vec<_> = ["t1", "t1", "t2"].into_iter().zip(1_u8..).map(|(team, number)| {
            let (record, _) = key(&governance, number, team, with_budget(800, r#","fit":"strict""#));
            governance.key(&PublicId::parse(&record.id).expect("an id")).expect("there")
        }).collect();
        let mut open: Vec<(usize, Reservation)> = Vec::new();
        let mut ledger = [0_u64; 3];
        let mut lowest_limit = 1500;
        for event in events {
            match event {
                Event::Begin { key, tokens } => {
                    if let Ok(hold) = Reservation::take(&governance, &keys[key], "m", &estimate(tokens), now(0)) {
                        open.push((key, hold));
                    }
                }
                Event::GoOn { which, percent } => {
                    if let Some((_, hold)) = open.get(which) {
                        let tokens = hold.held().nano_usd * percent / 100;
                        let went_on = hold.goes_on(
                            meters::Amounts { nano_usd: tokens, input_tokens: 0, output_tokens: tokens },
                            now(0),
                        );
                        prop_assert!(went_on.is_ok() || went_on == Err(Refusal::Budget));
                    }
                }
                Event::Settle { which, percent } if which < open.len() => {
                    let (key, hold) = open.swap_remove(which);
                    let cost = hold.held().nano_usd * percent / 100;
                    hold.settle(actual(cost), now(0));
                    hold.settle(actual(77), now(0));
                    ledger[key] += cost;
                }
                Event::Cancel { which } if which < open.len() => drop(open.swap_remove(which)),
                Event::ChangeLimit { limit } => {
                    lowest_limit = limit;
                    governance.put_group(ScopeKind::Org, &group("o", with_budget(limit, r#","fit":"strict""#)));
                }
                Event::Settle { .. } | Event::Cancel { .. } => {}
            }
            let (spent, reserved) = spent_and_reserved(&governance, ScopeKind::Org, "o");
            prop_assert_eq!(reserved, open.iter().map(|(_, hold)| hold.held().nano_usd).sum::<u64>());
            prop_assert_eq!(spent, ledger.iter().sum::<u64>());
            // A limit that was lowered binds what comes, not what was.
            prop_assert!(spent <= 2000.max(lowest_limit));
            for (place, team) in ["t1", "t2"].into_iter().enumerate() {
                let (spent, reserved) = spent_and_reserved(&governance, ScopeKind::Team, team);
                prop_assert!(spent + reserved <= 1000);
                prop_assert_eq!(spent, if place == 0 { ledger[0] + ledger[1] } else { ledger[2] });
            }
        }
        drop(open);
        for (kind, id) in [(ScopeKind::Org, "o"), (ScopeKind::Team, "t1"), (ScopeKind::Team, "t2")] {
            prop_assert_eq!(spent_and_reserved(&governance, kind, id).1, 0);
        }
        prop_assert!(keys.iter().all(|key| key.in_flight() == 0));
    }

    /// Three replicas share a budget; each may die at any time and stay silent for any time.
    #[test]
    fn replicas_never_overspend_together(
        steps in proptest::collection::vec((0_usize..3, 1_u64..500, 0_u64..90_000, 0_u8..10), 1..150),
    ) {
        const LIMIT: u64 = 10_000;
        let fresh = || {
            let governance = Governance::new(&Secret::new([7; 32]), true);
            governance.put_group(ScopeKind::Org, &group("o", with_budget(LIMIT, "")));
            governance.put_group(ScopeKind::Team, &group("t1", Policy::everything()));
            let (record, _) = key(&governance, 1, "t1", Policy::everything());
            (Arc::new(governance), record)
        };
        let mut replicas: Vec<_> = (0..3).map(|_| fresh()).collect();
        let mut names = [0, 1, 2].map(|place: usize| format!("replica-{place}"));
        let mut store: Option<BudgetWindow> = None;
        let (mut spent, mut at) = (0, 0);
        for (place, tokens, wait, fate) in steps {
            at += wait;
            let (governance, record) = &replicas[place];
            let key = governance.key(&PublicId::parse(&record.id).expect("an id")).expect("there");
            if let Ok(hold) = Reservation::take(governance, &key, "m", &estimate(tokens), now(at)) {
                let cost = hold.held().nano_usd;
                hold.settle(actual(cost), now(at));
                spent += cost;
            }
            prop_assert!(spent <= LIMIT);
            match fate {
                0 => {
                    replicas[place] = fresh();
                    names[place] = format!("replica-{place}-{at}-{spent}");
                }
                1..=5 => {
                    for due in governance.dues(true, now(at)) {
                        let (record, leased) = lease::renew(store.clone(), &due, &names[place], now(at).unix_ms);
                        let outstanding: u64 = record.slices.values().map(|own| own.amount).sum();
                        prop_assert!(record.settled + outstanding <= LIMIT);
                        // A commit that fails changes nothing on either side.
                        if fate < 5 {
                            store = Some(record);
                            governance.leased(&due, leased);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn an_orderly_end_loses_nothing_of_a_slice() {
    let governance = Governance::new(&Secret::new([7; 32]), true);
    governance.put_group(ScopeKind::Org, &group("o", with_budget(1600, "")));
    let dues = governance.dues(true, now(0));
    let (record, leased) = lease::renew(None, &dues[0], "a", now(0).unix_ms);
    assert_eq!(leased, Leased { window: 0, told: 0, known: 0, more: 100 });
    let record = lease::release(record, 30, 0, "a");
    assert_eq!((record.settled, record.slices.len()), (30, 0));
}

/// C-103: what each budget does while its store cannot be reached.
#[test]
fn without_its_store_a_budget_goes_on_with_its_slice_and_then_as_it_says() {
    for (more, beyond) in [
        (r#","fit":"strict""#, Some(Refusal::Slice)),
        (r#","fit":"strict","on_store_failure":"closed""#, Some(Refusal::Slice)),
        (r#","fit":"strict","on_store_failure":"open""#, None),
    ] {
        let governance = Arc::new(Governance::new(&Secret::new([7; 32]), true));
        governance.put_group(ScopeKind::Org, &group("o", with_budget(1600, more)));
        governance.put_group(ScopeKind::Team, &group("t1", Policy::everything()));
        let (record, _) = key(&governance, 1, "t1", Policy::everything());
        let key = governance.key(&PublicId::parse(&record.id).expect("an id")).expect("there");
        let take = |tokens: u64| {
            let hold = Reservation::take(&governance, &key, "m", &estimate(tokens), now(0))?;
            hold.settle(actual(tokens), now(0));
            Ok::<_, Refusal>(())
        };
        let dues = governance.dues(true, now(0));
        let (_, leased) = lease::renew(None, &dues[0], "a", now(0).unix_ms);
        governance.leased(&dues[0], leased);

        governance.set_store_down(true);
        assert_eq!(take(90), Ok(()), "{more}: out of the slice");
        assert_eq!(take(50).err(), beyond, "{more}: beyond the slice");
        assert_eq!(take(2000), Err(Refusal::Budget), "{more}: never beyond the budget");
        // Once it answers again, the slice counts again.
        governance.set_store_down(false);
        assert_eq!(take(50).err(), Some(Refusal::Slice), "{more}");
    }
}

#[test]
fn many_threads_never_overspend() {
    const LIMIT: u64 = 50_000;
    let governance = governance(with_budget(LIMIT, r#","fit":"strict""#), Policy::everything());
    let keys: Vec<_> = (1..=4)
        .map(|number| {
            let team = if number % 2 == 0 { "t1" } else { "t2" };
            let (record, _) = key(&governance, number, team, Policy::everything());
            governance.key(&PublicId::parse(&record.id).expect("an id")).expect("there")
        })
        .collect();
    let charged = AtomicU64::new(0);
    std::thread::scope(|threads| {
        for thread in 0..8_u64 {
            let (governance, key, charged) = (&governance, &keys[thread as usize % 4], &charged);
            threads.spawn(move || {
                for round in 0..500_u64 {
                    let tokens = 1 + (thread * 7 + round * 13) % 97;
                    let Ok(hold) = Reservation::take(governance, key, "m", &estimate(tokens), now(round))
                    else {
                        continue;
                    };
                    match round % 3 {
                        0 => drop(hold),
                        part => {
                            let cost = tokens / part;
                            hold.settle(actual(cost), now(round));
                            charged.fetch_add(cost, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let (spent, reserved) = spent_and_reserved(&governance, ScopeKind::Org, "o");
    assert_eq!((spent, reserved), (charged.load(Ordering::Relaxed), 0));
    assert!(spent <= LIMIT && spent > LIMIT / 2, "{spent}");
    assert!(keys.iter().all(|key| key.in_flight() == 0));
}

#[test]
fn a_clock_set_forward_borrows_from_later_windows_and_gains_nothing() {
    let governance = Governance::new(&Secret::new([1; 32]), true);
    governance.put_group(ScopeKind::Org, &group("o", with_budget(160, "")));
    let due = governance.dues(false, now(0)).pop().expect("a new budget wants a slice");
    let in_window = |window: i64, untold: u64| Due { window, untold, ..due.clone() };
    let (store, first) = lease::renew(None, &in_window(7, 0), "a", 1);
    assert!(first.more > 0);
    // The host starts it with a clock that is a window ahead: that window's money is there, early.
    let (store, early) = lease::renew(Some(store), &in_window(8, 0), "b", 2);
    assert!(early.more > 0 && store.window == 8);
    let (store, _) = lease::renew(Some(store), &in_window(8, 10), "b", 3);
    // With the right clock again: nothing of window 7 is left, and what was spent early is spent when window 8 comes.
    let (store, back) = lease::renew(Some(store), &in_window(7, 0), "c", 4);
    assert_eq!((back.more, store.window), (0, 8));
    let (store, _) = lease::renew(Some(store), &in_window(8, 0), "c", 5);
    assert!(store.settled >= 10);
}
