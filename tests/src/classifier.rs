//! How well sizes and times tell two kinds of streams apart: simple learners, and how sure one can be of their score.

use std::collections::BTreeMap;

/// Random numbers that are the same in every run (xorshift, Marsaglia 2003).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same way for the same `seed`, which is not zero.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("48 bits fit") % limit
    }
}

/// A stream as a learner sees it: what it shows, in order, and which of the two kinds it is.
#[derive(Clone, Debug)]
pub struct Sample {
    /// One number for each thing observed, such as a record's size.
    pub shown: Vec<u64>,
    /// The second kind.
    pub positive: bool,
}

/// Area under the curve, and its 95 % interval.
#[derive(Clone, Copy, Debug)]
pub struct Auc {
    /// 0.5 is guessing, 1 is certainty.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Scores every sample by naive Bayes on single observations and pairs of neighbours, learned from the other folds of
/// five, and says how well the scores separate the kinds.
pub fn naive_bayes(samples: &[Sample]) -> Auc {
    let features: Vec<Vec<(u64, u64)>> = samples.iter().map(grams).collect();
    cross_validated(samples, |train| {
        let mut counts: BTreeMap<(u64, u64), [f64; 2]> = BTreeMap::new();
        let mut totals = [0.0; 2];
        for index in train {
            let kind = usize::from(samples[*index].positive);
            for gram in &features[*index] {
                counts.entry(*gram).or_default()[kind] += 1.0;
                totals[kind] += 1.0;
            }
        }
        let kinds = counts.len() as f64 + 1.0;
        let features = &features;
        Box::new(move |index| {
            let weigh = |gram: &(u64, u64)| {
                let seen = counts.get(gram).copied().unwrap_or_default();
                ((seen[1] + 1.0) / (totals[1] + kinds)).ln() - ((seen[0] + 1.0) / (totals[0] + kinds)).ln()
            };
            features[index].iter().map(weigh).sum()
        })
    })
}

/// The same by the share of the kinds among the fifteen nearest others, by sums, counts and spread.
pub fn nearest_neighbours(samples: &[Sample]) -> Auc {
    let features: Vec<[f64; 4]> = samples.iter().map(|sample| summary(&sample.shown)).collect();
    cross_validated(samples, |train| {
        let (scale, features) = (spread(&features), &features);
        let train = train.to_vec();
        Box::new(move |index| {
            let mut near: Vec<(f64, bool)> = train
                .iter()
                .map(|other| {
                    (distance(&features[index], &features[*other], &scale), samples[*other].positive)
                })
                .collect();
            near.sort_by(|a, b| a.0.total_cmp(&b.0));
            near.iter().take(15).filter(|(_, positive)| *positive).count() as f64
        })
    })
}

type Score<'s> = Box<dyn Fn(usize) -> f64 + 's>;

fn cross_validated<'s>(samples: &'s [Sample], learn: impl Fn(&[usize]) -> Score<'s>) -> Auc {
    const FOLDS: usize = 5;
    let mut scored = Vec::new();
    for fold in 0..FOLDS {
        let (test, train): (Vec<usize>, Vec<usize>) =
            (0..samples.len()).partition(|index| index / 2 % FOLDS == fold);
        let score = learn(&train);
        scored.extend(test.iter().map(|index| (score(*index), samples[*index].positive)));
    }
    let mut dice = Dice::new(0x5eed);
    let mut resampled: Vec<f64> = (0..300)
        .map(|_| area(&(0..scored.len()).map(|_| scored[dice.below(scored.len())]).collect::<Vec<_>>()))
        .collect();
    resampled.sort_by(f64::total_cmp);
    Auc { value: area(&scored), low: resampled[7], high: resampled[292] }
}

/// How often a positive scores above a negative; ties count half.
fn area(scored: &[(f64, bool)]) -> f64 {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins, mut at) = (0.0, 0.0, 0);
    while at < sorted.len() {
        let tied = sorted[at..].iter().take_while(|other| other.0.total_cmp(&sorted[at].0).is_eq()).count();
        let positives = sorted[at..at + tied].iter().filter(|(_, positive)| *positive).count() as f64;
        let negatives = tied as f64 - positives;
        wins += positives * (below + negatives / 2.0);
        below += negatives;
        at += tied;
    }
    let positives = scored.len() as f64 - below;
    wins / (below * positives).max(1.0)
}

fn grams(sample: &Sample) -> Vec<(u64, u64)> {
    let singles = sample.shown.iter().map(|one| (*one, u64::MAX));
    singles.chain(sample.shown.windows(2).map(|pair| (pair[0], pair[1]))).collect()
}

fn summary(shown: &[u64]) -> [f64; 4] {
    let count = shown.len().max(1) as f64;
    let mean = shown.iter().map(|one| *one as f64).sum::<f64>() / count;
    let variance = shown.iter().map(|one| (*one as f64 - mean).powi(2)).sum::<f64>() / count;
    [mean, variance.sqrt(), count, shown.iter().copied().max().unwrap_or_default() as f64]
}

fn spread(features: &[[f64; 4]]) -> [f64; 4] {
    std::array::from_fn(|column| {
        let count = features.len() as f64;
        let mean = features.iter().map(|row| row[column]).sum::<f64>() / count;
        (features.iter().map(|row| (row[column] - mean).powi(2)).sum::<f64>() / count).sqrt().max(1e-9)
    })
}

fn distance(a: &[f64; 4], b: &[f64; 4], scale: &[f64; 4]) -> f64 {
    (0..4).map(|column| ((a[column] - b[column]) / scale[column]).powi(2)).sum()
}

/// What is known, what is hidden, what is shown.
pub type Triple = (usize, usize, usize);

/// Bits of information.
#[derive(Clone, Copy, Debug)]
pub struct Bits {
    /// The plug-in estimate.
    pub plug_in: f64,
    /// The same after Miller and Madow's correction for small samples.
    pub corrected: f64,
    /// Lower end of the 95 % interval of the corrected estimate.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Bits that `shown` tells about `hidden`, of those who know `given` already. What is in one group was seen together; whole
/// groups are resampled for the interval.
pub fn information(groups: &[Vec<Triple>]) -> Bits {
    let table = Contingency::of(groups);
    let everything = table.counted(0..groups.len());
    let (plug_in, corrected) = table.bits(&everything);
    let mut dice = Dice::new(0xb175);
    let mut resampled: Vec<f64> = (0..300)
        .map(|_| table.bits(&table.counted((0..groups.len()).map(|_| dice.below(groups.len())))).1)
        .collect();
    resampled.sort_by(f64::total_cmp);
    // A resampling repeats groups, which looks like information: what it adds on average is taken off again.
    let added = resampled.iter().sum::<f64>() / resampled.len() as f64 - corrected;
    Bits { plug_in, corrected, low: (resampled[7] - added).max(0.0), high: resampled[292] - added }
}

/// Triples by number, so that they can be counted over and over.
struct Contingency {
    /// For each group, the numbers of its triples.
    groups: Vec<Vec<usize>>,
    /// For each number, those of its (given, hidden), (given, shown) and given.
    margins: Vec<[usize; 3]>,
}

impl Contingency {
    fn of(groups: &[Vec<Triple>]) -> Self {
        let mut numbers: [BTreeMap<Triple, usize>; 4] = Default::default();
        let mut number = |of: usize, key: Triple| {
            let next = numbers[of].len();
            *numbers[of].entry(key).or_insert(next)
        };
        let mut margins = Vec::new();
        let mut numbered = |triple: &Triple| {
            let (given, hidden, shown) = *triple;
            let own = number(3, *triple);
            if own == margins.len() {
                margins.push([
                    number(0, (given, hidden, 0)),
                    number(1, (given, 0, shown)),
                    number(2, (given, 0, 0)),
                ]);
            }
            own
        };
        let groups = groups.iter().map(|group| group.iter().map(&mut numbered).collect()).collect();
        Self { groups, margins }
    }

    /// How often each triple is in these groups.
    fn counted(&self, groups: impl Iterator<Item = usize>) -> Vec<f64> {
        let mut counts = vec![0.0; self.margins.len()];
        for group in groups {
            for triple in &self.groups[group] {
                counts[*triple] += 1.0;
            }
        }
        counts
    }

    /// I(H;S|G) = H(H,G) + H(S,G) - H(H,S,G) - H(G): plug-in, and corrected.
    fn bits(&self, counts: &[f64]) -> (f64, f64) {
        let mut margins: [Vec<f64>; 3] = std::array::from_fn(|_| vec![0.0; counts.len()]);
        for (count, numbers) in counts.iter().zip(&self.margins) {
            for (margin, number) in margins.iter_mut().zip(numbers) {
                margin[*number] += count;
            }
        }
        let ((all, all_corrected), [hidden, shown, given]) =
            (entropy(counts), margins.map(|own| entropy(&own)));
        (hidden.0 + shown.0 - all - given.0, (hidden.1 + shown.1 - all_corrected - given.1).max(0.0))
    }
}

/// In bits: plug-in, and corrected.
fn entropy(counts: &[f64]) -> (f64, f64) {
    let total = counts.iter().sum::<f64>().max(1.0);
    let seen = counts.iter().filter(|count| **count > 0.0);
    let plug_in: f64 = seen.clone().map(|count| -(count / total) * (count / total).log2()).sum();
    (plug_in, plug_in + (seen.count() as f64 - 1.0) / (2.0 * total * std::f64::consts::LN_2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(difference: usize) -> Vec<Sample> {
        let mut dice = Dice::new(7);
        let mut one = |positive| {
            let shift = if positive { difference } else { 0 };
            Sample { shown: (0..20).map(|_| (dice.below(8) + shift) as u64).collect(), positive }
        };
        (0..400).map(|index| one(index % 2 == 1)).collect()
    }

    #[test]
    fn learners_find_a_difference_and_only_if_there_is_one() {
        for (name, learn) in
            [("Bayes", naive_bayes as fn(&[Sample]) -> Auc), ("neighbours", nearest_neighbours)]
        {
            let (same, other) = (learn(&samples(0)), learn(&samples(1)));
            assert!((0.4..0.6).contains(&same.value) && same.low < 0.5 && same.high > 0.5, "{name} {same:?}");
            assert!(other.value > 0.9 && other.low > 0.85, "{name} {other:?}");
        }
    }

    #[test]
    fn information_is_counted_in_bits() {
        let mut dice = Dice::new(9);
        let hidden: Vec<usize> = (0..4000).map(|_| dice.below(4)).collect();
        let told: Vec<_> = hidden.iter().map(|hidden| (1, *hidden, *hidden * 3)).collect();
        let half: Vec<_> = hidden.iter().map(|hidden| (1, *hidden, *hidden / 2)).collect();
        let known: Vec<_> = hidden.iter().map(|hidden| (*hidden, *hidden, *hidden)).collect();
        let random: Vec<_> = hidden.iter().map(|hidden| (1, *hidden, dice.below(4))).collect();
        for (triples, bits) in [(told, 2.0), (half, 1.0), (known, 0.0), (random, 0.0)] {
            let groups: Vec<Vec<Triple>> = triples.chunks(20).map(<[Triple]>::to_vec).collect();
            let found = information(&groups);
            assert!((found.corrected - bits).abs() < 0.02, "{found:?} instead of {bits}");
            assert!(
                found.low <= found.high && found.low <= bits + 0.02 && found.high >= bits - 0.02,
                "{found:?}"
            );
        }
    }
}
