//! Each strategy's distribution.

use super::*;

fn counts(world: &World, times: usize) -> [usize; 3] {
    let firsts = world.firsts(&Ask::default(), times);
    ["a", "b", "c"].map(|name| firsts.get(name).copied().unwrap_or(0))
}

#[test]
fn priority_keeps_the_order_and_leaves_what_is_ill() {
    let world = World::new(THREE, "[models.smart]\nmembers = ['b', 'a', 'c']");
    assert_eq!(world.order(&Ask::default()).unwrap(), ["b", "a", "c"]);
    world.fail("b", 5);
    assert_eq!(world.order(&Ask::default()).unwrap(), ["a", "c"]);
}

#[test]
fn tiers_are_strategies_of_their_own() {
    let world = World::new(
        THREE,
        "[models.smart]\nmembers = [{ strategy = 'round_robin', members = ['a', 'b'] }, 'c']",
    );
    assert_eq!(counts(&world, 100), [50, 50, 0]);
    assert_eq!(world.order(&Ask::default()).unwrap()[2], "c", "the last resort");
    world.fail("a", 5);
    world.fail("b", 5);
    assert_eq!(world.order(&Ask::default()).unwrap(), ["c"]);
}

#[test]
fn weights_are_kept_exactly_and_evenly() {
    let model = "[models.smart]\nstrategy = 'weighted'\nmembers = [{ use = 'a', weight = 5 }, { use = 'b', weight = 1 }, { use = 'c', weight = 0 }]";
    let world = World::new(THREE, model);
    assert_eq!(counts(&world, 600), [500, 100, 0]);
    let run: String = (0..12).map(|_| world.order(&Ask::default()).unwrap().remove(0)).collect();
    assert_eq!(run.matches("bb").count(), 0, "spread: {run}");
    assert_eq!(
        world.order(&Ask::default()).unwrap().len(),
        2,
        "no weight, no traffic, not even as a fallback"
    );
}

#[test]
fn round_robin_gives_each_its_turn() {
    let world = World::new(THREE, "[models.smart]\nstrategy = 'round_robin'\nmembers = ['a', 'b', 'c']");
    assert_eq!(counts(&world, 300), [100, 100, 100]);
    world.fail("c", 5);
    assert_eq!(counts(&world, 300), [150, 150, 0]);
}

#[test]
fn least_busy_goes_where_most_is_free() {
    let busy = "limits = { max_in_flight = 10 }";
    let world = World::new(
        &[("a", busy), ("b", busy), ("c", "limits = { max_in_flight = 2 }")],
        "[models.smart]\nstrategy = 'least_busy'\nmembers = ['a', 'b', 'c']",
    );
    let held = [world.begin("a"), world.begin("b"), world.begin("b"), world.begin("c")];
    assert_eq!(world.order(&Ask::default()).unwrap(), ["a", "b", "c"], "0.1, 0.2 and 0.5 of their capacity");
    drop(held);
    let idle = counts(&world, 300);
    assert!(idle.iter().all(|count| *count > 60), "equals take turns: {idle:?}");
}

#[test]
fn least_latency_prefers_the_quick_and_still_tries_the_unknown() {
    let model = "[models.smart]\nstrategy = 'least_latency'\nmembers = ['a', 'b', 'c']";
    let world = World::new(THREE, model);
    let ms = Duration::from_millis;
    for (name, time) in [("a", ms(100)), ("b", ms(500)), ("c", ms(2000))] {
        world.answer(name, time);
    }
    let [a, b, c] = counts(&world, 900);
    // The better of two chosen at random: two of three pairs hold a, the third is decided for b.
    assert!((500..700).contains(&a) && (200..400).contains(&b) && c == 0, "{a} {b} {c}");
    let world = World::new(THREE, model);
    world.answer("a", ms(100));
    world.answer("b", ms(5000));
    let [_, _, unknown] = counts(&world, 900);
    assert!(unknown > 200, "the unknown one counts as average: {unknown}");
}

#[test]
fn least_latency_counts_what_waits_and_failures_as_slowness() {
    let model = "[models.smart]\nstrategy = 'least_latency'\nmembers = ['a', 'b']";
    let world = World::new(THREE, model);
    world.answer("a", Duration::from_millis(100));
    world.answer("b", Duration::from_millis(150));
    assert_eq!(counts(&world, 50), [50, 0, 0]);
    let held = world.begin("a");
    assert_eq!(counts(&world, 50), [0, 50, 0], "two at 100 ms are slower than one at 150");
    drop(held);
    world.begin("a").failed(Duration::from_mins(1), world.now);
    assert_eq!(counts(&world, 50), [0, 50, 0], "a failure is as bad as a timeout");
}

#[test]
fn latencies_within_the_buffer_are_equal() {
    let model =
        "[models.smart]\nstrategy = { kind = 'least_latency', buffer_percent = 20 }\nmembers = ['a', 'b']";
    let world = World::new(THREE, model);
    world.answer("a", Duration::from_millis(100));
    world.answer("b", Duration::from_millis(115));
    let [a, b, _] = counts(&world, 400);
    assert!(a > 130 && b > 130, "{a} {b}");
}

#[test]
fn least_cost_is_cheapest_for_this_request() {
    let price = |input, output| format!("price = {{ input = '{input}', output = '{output}' }}");
    let (a, b) = (price("10", "1"), price("1", "10"));
    let world = World::new(
        &[("a", &a), ("b", &b), ("c", "")],
        "[models.smart]\nstrategy = 'least_cost'\nmembers = ['c', 'a', 'b']",
    );
    assert_eq!(world.order(&Ask::with(r#""max_tokens":400"#)).unwrap(), ["a", "b", "c"], "cheap output");
    let long = format!(r#""max_tokens":10,"user":"{}""#, "word ".repeat(2000));
    assert_eq!(
        world.order(&Ask::with(&long)).unwrap(),
        ["b", "a", "c"],
        "cheap input; unknown is never cheap"
    );
}

#[test]
fn usage_goes_where_most_is_left() {
    let world = World::new(
        &[
            ("a", "limits = { requests_per_minute = 100 }"),
            ("b", "limits = { requests_per_minute = 10, tokens_per_minute = 1000000 }"),
            ("c", "limits = { tokens_per_minute = 100 }"),
        ],
        "[models.smart]\nstrategy = 'usage'\nmembers = ['a', 'b', 'c']",
    );
    for _ in 0..5 {
        world.begin("a").reached(Duration::from_millis(1), world.now);
        world.begin("b").reached(Duration::from_millis(1), world.now);
        world.begin("c").reached(Duration::from_millis(1), world.now);
    }
    assert_eq!(world.order(&Ask::default()).unwrap(), ["a", "b", "c"], "0.95, 0.5 and 0.5 left");
}

#[test]
fn conversations_stay_where_they_are() {
    let world = World::new(THREE, "[models.smart]\nstrategy = 'sticky'\nmembers = ['a', 'b', 'c']");
    let of = |session: &str| {
        let wishes = Wishes { affinity: Some(session.to_owned()), ..Wishes::default() };
        world.order(&Ask { wishes, ..Ask::default() }).unwrap()
    };
    let mut seen = BTreeMap::new();
    for session in 0..300 {
        let name = session.to_string();
        let first = of(&name);
        assert_eq!(first, of(&name), "the same every time");
        *seen.entry(first[0].clone()).or_insert(0) += 1;
    }
    assert!(seen.len() == 3 && seen.values().all(|count| *count > 60), "{seen:?}");
    let before: Vec<_> = (0..100).map(|session| of(&session.to_string())).collect();
    world.fail("b", 5);
    for (session, old) in before.iter().enumerate() {
        let new = of(&session.to_string());
        let kept: Vec<_> = old.iter().filter(|name| *name != "b").cloned().collect();
        assert_eq!(new, kept, "only b's conversations move");
    }
}

#[test]
fn a_conversation_is_known_by_its_beginning() {
    let world = World::new(THREE, "[models.smart]\nstrategy = 'sticky'\nmembers = ['a', 'b', 'c']");
    let ask = |turns: &str| {
        let body = format!(r#"{{"model":"smart","messages":[{turns}]}}"#);
        world.order(&Ask { body, ..Ask::default() }).unwrap()
    };
    let mut orders = std::collections::BTreeSet::new();
    for number in 0..40 {
        let start = format!(r#"{{"role":"system","content":"s"}},{{"role":"user","content":"q{number}"}}"#);
        let order = ask(&start);
        assert_eq!(order, ask(&format!(r#"{start},{{"role":"assistant","content":"answer"}}"#)));
        orders.insert(order);
    }
    assert!(orders.len() > 3, "different conversations differ: {orders:?}");
}

#[test]
fn conditions_choose_one_member_and_no_other() {
    let world = World::new(
        THREE,
        "[models.smart]\nstrategy = 'conditional'\nmembers = [{ use = 'a', when = '\"pii\" in labels' }, { use = 'b', when = 'request.max_output_tokens > 1000' }, 'c']",
    );
    assert_eq!(world.order(&Ask::default()).unwrap(), ["c"]);
    assert_eq!(world.order(&Ask::with(r#""max_tokens":2000"#)).unwrap(), ["b"]);
    let labelled = Ask { labels: vec!["pii".into()], ..Ask::with(r#""max_tokens":2000"#) };
    assert_eq!(world.order(&labelled).unwrap(), ["a"], "the first that holds");
}

#[test]
fn hard_questions_go_to_better_models() {
    let world = World::new(
        THREE,
        "[models.smart]\nstrategy = 'complexity'\nmembers = [{ use = 'a', up_to = 'simple' }, { use = 'b', up_to = 'complex' }, 'c']",
    );
    let ask = |text: &str| Ask {
        body: format!(r#"{{"model":"smart","messages":[{{"role":"user","content":"{text}"}}]}}"#),
        ..Ask::default()
    };
    assert_eq!(world.order(&ask("Hello!")).unwrap(), ["a", "b", "c"], "better ones are its fallbacks");
    assert_eq!(world.order(&ask("Refactor this function for the unit test")).unwrap(), ["b", "c"]);
    let tier = KeyRules { tier: Some(crate::admission::Level::Reasoning), ..KeyRules::default() };
    assert_eq!(world.order(&Ask { rules: tier, ..ask("Hello!") }).unwrap(), ["c"], "the key's tier wins");
}

#[test]
fn a_canary_gets_its_share_and_is_rolled_back_for_good() {
    let world = World::new(
        THREE,
        "[models.smart]\nstrategy = { kind = 'canary', canary_percent = 10, minimum_calls = 4 }\nmembers = ['a', 'b']",
    );
    assert_eq!(counts(&world, 200), [180, 20, 0]);
    for _ in 0..4 {
        world.answer("a", Duration::from_millis(1));
        world.answer("b", Duration::from_millis(1));
    }
    world.fail("b", 1);
    assert_eq!(counts(&world, 100), [100, 0, 0], "one of five failed, none of the stable one");
    let later = World { now: at(5000), ..world };
    assert_eq!(counts(&later, 100), [100, 0, 0]);
}

#[test]
fn a_deployment_that_comes_back_is_spared_at_first() {
    let mut world = World::new(THREE, "[models.smart]\nmembers = ['a', 'b']");
    world.fail("a", 5);
    world.now = at(1006);
    for _ in 0..4 {
        let mut probe = world.health("a").begin(1, false, world.now).expect("a probe");
        probe.reached(Duration::from_millis(1), world.now);
    }
    let [early, ..] = counts(&world, 500);
    assert!((20..100).contains(&early), "about a tenth: {early}");
    world.now = at(1011);
    let [middle, ..] = counts(&world, 500);
    assert!((180..320).contains(&middle), "about a half: {middle}");
    world.now = at(1017);
    assert_eq!(counts(&world, 500), [500, 0, 0]);
}
