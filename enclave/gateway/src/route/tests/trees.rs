//! What is refused at load.

use super::*;

fn refused(models: &str) -> String {
    load(THREE, models).err().map_or_else(|| "accepted".to_owned(), |error| error.to_string())
}

#[test]
fn models_may_contain_models_but_not_themselves() {
    let world = World::new(
        THREE,
        "[models.smart]\nmembers = ['pair', 'c']\n[models.pair]\nstrategy = 'round_robin'\nmembers = ['a', 'b']",
    );
    assert_eq!(world.firsts(&Ask::default(), 10), [("a".to_owned(), 5), ("b".to_owned(), 5)].into());
    for circle in [
        "[models.smart]\nmembers = ['smart']",
        "[models.smart]\nmembers = ['x']\n[models.x]\nmembers = ['y']\n[models.y]\nmembers = ['a', 'x']",
    ] {
        assert!(refused(circle).contains("no circle"), "{}", refused(circle));
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let chain = |length: usize| {
        let mut text = format!("[models.m{length}]\nmembers = ['a']\n");
        for level in 0..length {
            text += format!("[models.m{level}]\nmembers = ['m{}']\n", level + 1).as_str();
        }
        text
    };
    assert_eq!(refused(&chain(7)), "accepted");
    assert!(refused(&chain(8)).contains("at most 8 models"), "{}", refused(&chain(8)));
    let mut wide = "[models.m0]\nmembers = ['a', 'b', 'c']\n".to_owned();
    for level in 1..5 {
        wide += format!("[models.m{level}]\nmembers = ['m{0}', 'm{0}', 'm{0}']\n", level - 1).as_str();
    }
    assert!(refused(&wide).contains("at most 128 deployments"), "{}", refused(&wide));
}

#[test]
fn mistakes_are_located() {
    for (models, message) in [
        ("[models.smart]\nmembers = []", "CONFIG_VALUE: models.smart.members: expected at least one member"),
        (
            "[models.smart]\nmembers = ['a', 'd']",
            "CONFIG_UNKNOWN_NAME: models.smart.members[1]: no such deployment or model",
        ),
        (
            "[models.smart]\nstrategy = 'least_latenzy'\nmembers = ['a']",
            "CONFIG_UNKNOWN_NAME: models.smart.strategy: no such strategy; did you mean 'least_latency'?",
        ),
        (
            "[models.smart]\nstrategy = { kind = 'priority', buffer_percent = 3 }\nmembers = ['a']",
            "CONFIG_VALUE: models.smart.strategy.buffer_percent: expected nothing here: this strategy does not use it",
        ),
        (
            "[models.smart]\nmembers = [{ use = 'a', weight = 3 }]",
            "CONFIG_VALUE: models.smart.members[0].weight: expected nothing here: this strategy does not use it",
        ),
        (
            "[models.smart]\nstrategy = 'weighted'\nmembers = [{ use = 'a', weight = 0 }]",
            "CONFIG_VALUE: models.smart.members[0].weight: expected a weight above 0 for one member at least",
        ),
        (
            "[models.smart]\nmembers = [{ use = 'a', wait = 3 }]",
            "CONFIG_UNKNOWN_KEY: models.smart.members[0]: unknown key 'wait'",
        ),
        (
            "[models.smart]\nmembers = [{ use = 'a', members = ['b'] }]",
            "CONFIG_VALUE: models.smart.members[0]: expected either 'use' or 'members'",
        ),
        (
            "[models.smart]\nstrategy = 'conditional'\nmembers = [{ use = 'a', when = 'request.modell == 3' }, 'b']",
            "CONFIG_VALUE: models.smart.members[0].when: expected one of ",
        ),
        (
            "[models.smart]\nstrategy = 'conditional'\nmembers = ['a', 'b']",
            "CONFIG_VALUE: models.smart.members[0].when: expected a condition, for every member but the last",
        ),
        (
            "[models.smart]\nstrategy = 'complexity'\nmembers = [{ use = 'a', up_to = 'complex' }, { use = 'b', up_to = 'simple' }, 'c']",
            "CONFIG_VALUE: models.smart.members[1].up_to: expected a higher level than the member before",
        ),
        (
            "[models.smart]\nstrategy = 'canary'\nmembers = ['a']",
            "CONFIG_VALUE: models.smart.members: expected two members",
        ),
        (
            "[models.smart]\nstrategy = 'sensitivity'\nmembers = ['a']",
            "CONFIG_VALUE: models.smart.strategy.ceilings: expected a label at least",
        ),
    ] {
        let told = refused(models);
        assert!(told.starts_with(message), "{told}\nis not\n{message}");
    }
}
