use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn print(number: u32) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Fingerprint(bytes)
}

fn of(number: u8) -> Partition {
    Partition([number; 32])
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every figure that the store keeps, counted again.
fn check(store: &Store<u32>) {
    let all: usize = store.slots.values().map(|slot| slot.size).sum();
    assert_eq!(store.bytes, all);
    assert!(all <= store.max_bytes);
    assert_eq!(store.ends.len(), store.slots.len());
    assert_eq!(store.partitions.values().map(|own| own.order.len()).sum::<usize>(), store.slots.len());
    assert_eq!(store.sizes.len(), store.partitions.len());
    for (partition, own) in &store.partitions {
        let sizes = store.slots.values().filter(|slot| slot.partition == *partition).map(|slot| slot.size);
        assert_eq!(own.bytes, sizes.sum::<usize>());
        assert!(own.bytes <= store.max_partition_bytes && own.bytes > 0);
        assert!(store.sizes.contains(&(own.bytes, *partition)));
    }
}

#[test]
fn forgets_after_its_time_and_frees_the_memory() {
    let (mut store, mut gone) = (Store::new(100_000, 100_000), Vec::new());
    store.insert((print(1), of(1)), 7, 100, (at(0), at(10)), &mut gone);
    let found = store.find(&print(1), at(9)).expect("fresh");
    assert_eq!((*found.value, found.age, found.left), (7, at(9), at(1)));
    assert!(store.find(&print(1), at(10)).is_none());
    store.insert((print(2), of(1)), 8, 100, (at(10), at(10)), &mut gone);
    assert_eq!((store.entries(), gone.as_slice()), (1, &[(print(1), 7)][..]));
    check(&store);
}

#[test]
fn the_longest_unused_goes_first_and_a_later_one_takes_the_place() {
    let room = 3 * (100 + OVERHEAD);
    let (mut store, mut gone) = (Store::new(100_000, room), Vec::new());
    for number in 1..=3 {
        store.insert((print(number), of(1)), number, 100, (at(0), HOUR), &mut gone);
    }
    assert!(store.find(&print(1), at(1)).is_some());
    store.insert((print(4), of(1)), 4, 100, (at(1), HOUR), &mut gone);
    assert!(store.peek(&print(2), at(1)).is_none() && store.peek(&print(1), at(1)).is_some());
    store.insert((print(4), of(1)), 5, 50, (at(2), HOUR), &mut gone);
    assert_eq!(store.peek(&print(4), at(2)).map(|own| *own.value), Some(5));
    assert_eq!(store.bytes(), room - 50);
    store.insert((print(9), of(1)), 9, room, (at(2), HOUR), &mut gone);
    assert!(store.peek(&print(9), at(2)).is_none(), "larger than all there is");
    check(&store);
}

/// Many keys that ask as much as they can, and one that asks a little.
#[test]
fn nobody_pushes_out_what_a_smaller_one_needs_and_memory_stays_bounded() {
    const SMALL: u8 = 200;
    let (mut store, mut gone) = (Store::new(400_000, 50_000), Vec::new());
    for number in 0..5 {
        store.insert((print(1_000_000 + number), of(SMALL)), number, 500, (at(0), HOUR), &mut gone);
    }
    let mut draw: u64 = 7;
    for number in 0..20_000_u32 {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (size, greedy) = ((draw >> 40) as usize % 9000, (draw >> 33) as u8 % 100);
        store.insert(
            (print(number), of(greedy)),
            number,
            size,
            (at(u64::from(number) / 100), HOUR),
            &mut gone,
        );
        gone.clear();
        assert!(store.bytes() <= 400_000);
        if number % 1000 == 0 {
            check(&store);
        }
    }
    assert!(store.evicted() > 10_000);
    for number in 0..5 {
        assert!(store.peek(&print(1_000_000 + number), at(300)).is_some(), "the small one lost {number}");
    }
    // Alone, a greedy one loses only its own.
    let before = store.bytes_of(&of(SMALL));
    for number in 0..1000 {
        store.insert((print(2_000_000 + number), of(1)), number, 4000, (at(300), HOUR), &mut gone);
    }
    assert!(store.bytes_of(&of(1)) <= 50_000);
    assert_eq!(store.bytes_of(&of(SMALL)), before);
    check(&store);
}
