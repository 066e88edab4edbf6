use super::*;

fn rate(text: &str) -> Rate {
    Rate::from_usd(text).expect("a rate")
}

/// Rates that share no factor, so that no mix-up of classes can go unseen.
fn price() -> Price {
    let rates = Rates {
        input: rate("2"),
        cached_input: rate("0.3"),
        cache_write_5m: rate("5"),
        cache_write_1h: rate("7"),
        output: rate("11"),
        reasoning: rate("13"),
    };
    let long = Rates::flat(rate("17"), rate("19"));
    Price {
        rates,
        long_context: vec![LongContext { above_input_tokens: 1000, rates: long }],
        tiers: Vec::new(),
        per_request: NanoUsd(1),
        per_search: NanoUsd(0),
        origin: Origin::Configuration,
    }
}

#[test]
fn rates_are_read_exactly_or_not_at_all() {
    for (text, nano) in [
        ("0", 0),
        ("2.50", 2_500_000_000),
        ("0.075", 75_000_000),
        ("0.000000001", 1),
        ("1000000", 1_000_000_000_000_000),
    ] {
        assert_eq!(Rate::from_usd(text).map(Rate::nano_usd_per_million), Some(nano), "{text}");
    }
    for text in
        ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", " 1", "0.0000000001", "1000000.1", "99999999", "٣"]
    {
        assert_eq!(Rate::from_usd(text), None, "{text}");
    }
    assert_eq!([rate("2.50").to_string(), rate("10").to_string(), rate("0").to_string()], ["2.5", "10", "0"]);
}

#[test]
fn each_class_of_token_has_its_own_rate() {
    let usage = Usage {
        input_tokens: 1000,
        output_tokens: 100,
        total_tokens: 1100,
        cached_input_tokens: 500,
        cache_write_tokens: 300,
        cache_write_1h_tokens: 100,
        reasoning_tokens: 40,
        ..Usage::default()
    };
    let by_hand = 200 * 2000 + 500 * 300 + 200 * 5000 + 100 * 7000 + 60 * 11_000 + 40 * 13_000 + 1;
    assert_eq!(price().cost(&usage), Some(NanoUsd(by_hand)));
}

#[test]
fn a_long_prompt_costs_more_from_its_first_token() {
    let at = |input_tokens| price().estimate(input_tokens, 1);
    assert_eq!(at(1000), NanoUsd(1000 * 2000 + 11_000 + 1));
    assert_eq!(at(1001), NanoUsd(1001 * 17_000 + 19_000 + 1));
}

#[test]
fn parts_never_count_more_than_their_whole() {
    let usage = Usage {
        input_tokens: 10,
        output_tokens: 10,
        cached_input_tokens: 100,
        cache_write_tokens: 100,
        cache_write_1h_tokens: 100,
        reasoning_tokens: 100,
        ..Usage::default()
    };
    assert_eq!(price().cost(&usage), Some(NanoUsd(10 * 300 + 10 * 13_000 + 1)));
}

#[test]
fn a_cost_is_rounded_once_and_never_overflows() {
    let half = Price { rates: Rates::flat(rate("0.0005"), rate("0.0004")), ..Price::nothing() };
    assert_eq!(half.estimate(1, 0), NanoUsd(1), "half a nano-dollar is rounded up");
    assert_eq!(half.estimate(0, 1), NanoUsd(0));
    assert_eq!(half.estimate(1, 1), NanoUsd(1), "rounded after adding");
    let dear = Price { rates: Rates::flat(rate("1000000"), rate("1000000")), ..Price::nothing() };
    assert_eq!(dear.estimate(u64::MAX, u64::MAX), NanoUsd(u64::MAX));
    assert_eq!(NanoUsd(1_000_012_500).to_string(), "1.000012500");
}

#[test]
fn tiers_have_rates_of_their_own_and_searches_are_counted() {
    let flex = TierPrice {
        tier: ServiceTier::Flex,
        rates: Rates::flat(rate("1"), rate("3")),
        long_context: vec![LongContext {
            above_input_tokens: 1000,
            rates: Rates::flat(rate("23"), rate("29")),
        }],
    };
    let catalogue =
        Price { tiers: vec![flex], per_search: NanoUsd(1_000), origin: Origin::Catalogue, ..price() };
    let used = |input_tokens, tier| Usage {
        input_tokens,
        output_tokens: 10,
        tier,
        web_searches: 3,
        ..Usage::default()
    };
    for (input, tier, nano) in [
        (100, ServiceTier::Standard, Some(200_000 + 110_000 + 3_001)),
        (100, ServiceTier::Flex, Some(100_000 + 30_000 + 3_001)),
        (2_000, ServiceTier::Flex, Some(46_000_000 + 290_000 + 3_001)),
        (100, ServiceTier::Priority, None),
        (100, ServiceTier::Other, None),
    ] {
        assert_eq!(catalogue.cost(&used(input, tier)), nano.map(NanoUsd), "{input} {tier:?}");
    }
    let stated = Price { origin: Origin::Configuration, ..catalogue };
    let standard = stated.cost(&used(100, ServiceTier::Standard));
    assert_eq!(
        stated.cost(&used(100, ServiceTier::Priority)),
        standard,
        "a stated price holds for what it does not name"
    );
}

#[test]
fn reported_costs_are_read_exactly_or_not_at_all() {
    for (text, nano) in [
        ("0", 0),
        ("0.00042", 420_000),
        ("4.2e-4", 420_000),
        ("1.5E+1", 15_000_000_000),
        ("12", 12_000_000_000),
        ("0.0000000014", 1),
        ("0.0000000015", 2),
        ("1e-400", 0),
        ("0e99", 0),
    ] {
        assert_eq!(nano_usd_from_json(text.as_bytes()), Some(nano), "{text}");
    }
    for text in ["", "-1", "1e12", "1e999999999999", "x", "1.2.3", "NaN", "99999999999999999999"] {
        assert_eq!(nano_usd_from_json(text.as_bytes()), None, "{text}");
    }
}
