//! Numbers from a seed, and documents with things planted in them.

use std::ops::Range;

/// `SplitMix64`: small, and the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    pub fn letters(&mut self, alphabet: &str, count: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..count).map(|_| *self.pick(&letters)).collect()
    }

    pub fn digits(&mut self, count: usize) -> String {
        self.letters("0123456789", count)
    }
}

/// Something that a document says and a detector should find.
pub struct Planted {
    pub at: Range<usize>,
    pub what: &'static str,
}

/// A text and what is planted in it.
pub struct Document {
    pub text: String,
    pub planted: Vec<Planted>,
}

/// Ways to make values of one kind, and sentences that say them: `{}` is the value.
pub struct Plant {
    pub what: &'static str,
    pub value: fn(&mut Dice) -> String,
    pub says: &'static [&'static str],
}

/// Documents of ordinary sentences around one that says a value.
pub fn documents(plants: &[Plant], each: usize, seed: u64) -> Vec<Document> {
    let mut all = Vec::new();
    for (number, plant) in plants.iter().enumerate() {
        let mut dice = Dice(seed + number as u64 * 1_000_003);
        for round in 0..each {
            let mut text = String::new();
            for _ in 0..dice.below(3) {
                text.push_str(&super::ordinary::sentence(&mut dice));
                text.push(' ');
            }
            let value = (plant.value)(&mut dice);
            let (before, after) = plant.says[round % plant.says.len()].split_once("{}").expect("a place");
            text.push_str(before);
            let at = text.len()..text.len() + value.len();
            text.push_str(&value);
            text.push_str(after);
            for _ in 0..dice.below(3) {
                text.push(if dice.one_in(4) { '\n' } else { ' ' });
                text.push_str(&super::ordinary::sentence(&mut dice));
            }
            all.push(Document { text, planted: vec![Planted { at, what: plant.what }] });
        }
    }
    all
}
