use super::*;

fn at(seconds: u64) -> Now {
    Now { unix_ms: 0, monotonic: Duration::from_secs(seconds) }
}

fn print(number: u8) -> Fingerprint {
    Fingerprint([number; 32])
}

fn body(size: usize) -> Plaintext<Bytes> {
    Plaintext::new(Bytes::from(vec![b'x'; size]))
}

#[test]
fn forgets_after_its_time() {
    let cache = ExactCache::new(Duration::from_secs(10), 1000);
    cache.store(print(1), &body(100), None, at(0));
    assert_eq!(cache.find(&print(1), at(9)).expect("fresh").age, Duration::from_secs(9));
    assert!(cache.find(&print(1), at(10)).is_none());
    assert_eq!(cache.state.lock().expect("free").bytes, 0, "and frees the memory");
}

#[test]
fn a_later_answer_replaces_an_earlier_one() {
    let cache = ExactCache::new(Duration::from_secs(10), 1000);
    cache.store(print(1), &body(100), None, at(0));
    cache.store(print(1), &body(50), None, at(5));
    assert_eq!(cache.find(&print(1), at(12)).expect("the later").body.expose().len(), 50);
    assert_eq!(cache.state.lock().expect("free").bytes, 50);
}

#[test]
fn never_holds_more_than_its_bound() {
    let cache = ExactCache::new(Duration::from_secs(10), 1000);
    for number in 0..100 {
        cache.store(print(number), &body(200), None, at(u64::from(number) / 20));
        let state = cache.state.lock().expect("free");
        assert!(state.bytes <= 1000);
        assert_eq!(state.bytes, state.entries.values().map(|entry| entry.body.expose().len()).sum::<usize>());
    }
    assert!(cache.find(&print(99), at(5)).is_some(), "the newest stays");
    assert!(cache.find(&print(0), at(5)).is_none(), "the oldest went");
    cache.store(print(200), &body(251), None, at(5));
    assert!(cache.find(&print(200), at(5)).is_none(), "too large to keep");
}
