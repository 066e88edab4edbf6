use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::try_from(text.to_owned()).expect("a pattern")
}

fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
    proptest::collection::vec("[ab*]{1,4}".prop_map(|text| pattern(&text)), 0..4)
}

fn policies() -> impl Strategy<Value = Policy> {
    let lists = (patterns(), patterns(), proptest::option::of(patterns()), patterns());
    let families = proptest::option::of(proptest::collection::vec(
        prop_oneof![Just(Family::OpenaiChat), Just(Family::Gemini)],
        0..3,
    ));
    let exposures = proptest::option::of(prop_oneof![
        Just(Exposure::Attested),
        Just(Exposure::ContractZdr),
        Just(Exposure::ProviderVisible)
    ]);
    let regions = proptest::option::of(proptest::collection::vec("[ab]", 0..3));
    let numbers = (proptest::option::of(1_u32..5), proptest::option::of(1_u64..5), -2_i64..3);
    (lists, families, exposures, regions, patterns(), numbers).prop_map(
        |((allowed, blocked, providers, deployments), families, exposure, regions, names, numbers)| Policy {
            allowed_models: allowed,
            blocked_models: blocked,
            allowed_providers: providers,
            blocked_deployments: deployments,
            allowed_routes: families,
            exposure_max: exposure,
            regions,
            guardrails: names.iter().map(|name| name.as_str().to_owned()).collect(),
            max_parallel: numbers.0,
            parameters: Parameters {
                max_output_tokens: numbers.1,
                upper_bounds: [("temperature".to_owned(), numbers.2)].into(),
                ..Parameters::default()
            },
            ..Policy::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever somebody asks for, what is granted permits nothing that the ceiling does not.
    #[test]
    fn a_key_never_has_more_than_its_creator(own in policies(), ceiling in policies(), names in proptest::collection::vec("[ab]{1,3}", 5)) {
        let Ok(granted) = own.tightened(&ceiling) else { return Ok(()) };
        let (model, provider, deployment, other, region) = (&names[0], &names[1], &names[2], &names[3], &names[4]);
        for name in [model, other] {
            prop_assert!(!granted.permits_model(name) || ceiling.permits_model(name));
        }
        for region in [None, Some(region.as_str())] {
            let place = |policy: &Policy| policy.permits_place(model, provider, deployment, region);
            prop_assert!(!place(&granted) || place(&ceiling));
        }
        for family in [Family::OpenaiChat, Family::Gemini, Family::Other] {
            prop_assert!(!granted.permits_family(family) || ceiling.permits_family(family));
        }
        let exposure = |policy: &Policy| policy.exposure_max.unwrap_or(Exposure::ProviderVisible);
        prop_assert!(exposure(&granted) <= exposure(&ceiling));
        let parallel = |policy: &Policy| policy.max_parallel.unwrap_or(u32::MAX);
        prop_assert!(parallel(&granted) <= parallel(&ceiling));
        let longest = |policy: &Policy| policy.parameters.max_output_tokens.unwrap_or(u64::MAX);
        prop_assert!(longest(&granted) <= longest(&ceiling));
        prop_assert!(granted.parameters.upper_bounds["temperature"] <= ceiling.parameters.upper_bounds["temperature"]);
        prop_assert!(ceiling.guardrails.iter().all(|name| granted.guardrails.contains(name)));
    }
}

#[test]
fn nothing_is_allowed_unless_stated_and_blocks_win() {
    assert!(!Policy::default().permits_model("gpt-4"));
    let mut policy = Policy::everything();
    assert!(policy.permits_model("gpt-4"));
    policy.blocked_models = vec![pattern("gpt-*")];
    assert!(!policy.permits_model("gpt-4"));
    assert!(!policy.permits_place("gpt-4", "openai", "main", None), "under any name that leads to it");
    assert!(policy.permits_place("claude", "anthropic", "main", None));
    policy.regions = Some(vec!["eu".to_owned()]);
    assert!(!policy.permits_place("claude", "anthropic", "main", None), "no region is not in the region");
    assert!(policy.permits_place("claude", "anthropic", "main", Some("eu")));
}

#[test]
fn larger_budgets_and_faster_limits_than_the_ceilings_are_refused() {
    let policy = |limit: u64, per_minute: u64| {
        let text = format!(
            r#"{{"allowed_models":["*"],
                "budgets":[{{"name":"b","unit":"nano_usd","limit":{limit},"window":{{"every":"day"}}}}],
                "rate_limits":[{{"unit":"requests","limit":{per_minute}}}]}}"#
        );
        serde_json::from_str::<Policy>(&text).expect("a policy")
    };
    let field = |own: Policy| own.tightened(&policy(100, 10)).map(|_| ()).map_err(|flaw| flaw.field);
    assert_eq!(field(policy(100, 10)), Ok(()));
    assert_eq!(field(policy(101, 10)), Err("budgets"));
    assert_eq!(field(policy(100, 11)), Err("rate_limits"));
}

#[test]
fn what_is_unknown_or_unbounded_is_refused() {
    let parse = |text: &str| serde_json::from_str::<Policy>(text).is_ok();
    assert!(parse("{}"));
    assert!(!parse(r#"{"allowed_ips":["10.0.0.0/8"]}"#), "nobody vouches for addresses");
    assert!(!parse(r#"{"allowed_models":["a b"]}"#));
    assert!(!parse(r#"{"allowed_models":[""]}"#));
    let many = Policy { regions: Some(vec!["a".to_owned(); 257]), ..Policy::default() };
    assert_eq!(many.check().map_err(|flaw| flaw.field), Err("regions"));
    assert!(Policy { max_parallel: Some(0), ..Policy::default() }.check().is_err());
}

#[test]
fn every_format_has_a_family_of_its_own_but_geminis() {
    let mut seen = std::collections::BTreeSet::new();
    for wire in crate::wire::WIRES {
        let family = Family::of_wire(wire.name());
        assert_ne!(family, Family::Other, "{} cannot be allowed by itself", wire.name());
        assert!(family == Family::Gemini || seen.insert(family), "{} shares a family", wire.name());
    }
}
