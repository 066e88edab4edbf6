use super::*;

fn status(status: u16, reason: Reason, retry_after_ms: Option<u64>) -> Error {
    Error::UpstreamStatus { status, reason, retry_after_ms, body: None }
}

/// The table: what a failure means for the same deployment, the next one, the breaker, and for how long the deployment is
/// left alone.
#[test]
fn every_row_of_the_table() {
    let rows = [
        ("connect, TLS, reset", Error::UpstreamConnection, (true, true, true, None)),
        ("500, 502", status(500, Reason::Server, None), (true, true, true, None)),
        ("503, 529", status(529, Reason::Overloaded, None), (true, true, true, None)),
        ("408, 504", status(504, Reason::Timeout, None), (true, true, true, None)),
        ("429", status(429, Reason::RateLimit, Some(7000)), (false, true, false, Some(Some(7000)))),
        ("429 without advice", status(429, Reason::RateLimit, None), (false, true, false, Some(None))),
        ("401, 402, 403, quota", Error::UpstreamCredential, (false, true, false, Some(Some(300_000)))),
        ("404 model", status(404, Reason::ModelMissing, None), (false, true, false, None)),
        ("400, 413, 422", status(400, Reason::Request, None), (false, false, false, None)),
        ("context window", status(400, Reason::ContextWindow, None), (false, false, false, None)),
        ("content policy", status(400, Reason::ContentPolicy, None), (false, false, false, None)),
        ("no first content, stall", Error::UpstreamTimeout, (false, true, true, None)),
        ("attestation", Error::UpstreamAttestation, (false, true, false, None)),
        ("error in a 200", Error::UpstreamFailed, (true, true, true, None)),
        ("not its API", Error::UpstreamMalformed, (false, true, true, None)),
        ("cut before content", Error::UpstreamTruncated, (false, true, true, None)),
    ];
    for (name, error, (same, next, counts, pause)) in rows {
        let meaning = Meaning::of(&error);
        let pause = pause.map(|pause: Option<u64>| pause.map(Duration::from_millis));
        assert_eq!((meaning.same, meaning.next), (same, next), "{name}");
        assert_eq!((meaning.counts, meaning.pause), (counts, pause), "{name}");
        let crowded = ["503, 529", "429", "429 without advice", "no first content, stall"].contains(&name);
        assert_eq!(meaning.crowded, crowded, "{name}");
    }
}

#[test]
fn waits_double_up_to_a_limit_and_are_spread() {
    let settings = RetrySettings::default();
    let middle = |failures| settings.backoff(failures, 0.5).as_millis();
    assert_eq!([1, 2, 3, 4, 5, 60].map(middle), [500, 1000, 2000, 4000, 5000, 5000]);
    assert_eq!(settings.backoff(1, 0.0), Duration::from_millis(400));
    assert_eq!(settings.backoff(1, 1.0), Duration::from_millis(600));
}

#[test]
fn further_attempts_are_a_tenth_of_the_requests_and_three_a_second() {
    let at = |ms: u64| Now { monotonic: Duration::from_millis(ms), ..Now::default() };
    let budget = RetryBudget::default();
    let burst = (0..100).filter(|_| budget.spend(at(0))).count();
    assert_eq!(burst, 30, "what was saved up");
    assert!(!budget.spend(at(300)));
    assert!(budget.spend(at(340)), "a third of a second later");
    let mut spent = 0;
    for _ in 0..1000 {
        budget.earn(at(340));
        spent += usize::from(budget.spend(at(340)));
    }
    assert!((99..=101).contains(&spent), "{spent} of a thousand requests at once");
}
