//! Whether two lots of numbers could come from the same source.

/// The two-sample test of Kolmogorov and Smirnov: how likely two lots differ by as much as these do if one source made both
/// (asymptotic distribution; good for some dozens of numbers and more).
///
/// # Panics
/// A lot is empty, or holds what is not a number.
pub fn same_source(first: &[f64], second: &[f64]) -> f64 {
    let sorted = |lot: &[f64]| {
        let mut lot = lot.to_vec();
        lot.sort_by(|a, b| a.partial_cmp(b).expect("a number"));
        lot
    };
    let (first, second) = (sorted(first), sorted(second));
    assert!(!first.is_empty() && !second.is_empty(), "nothing to compare");
    let share = |lot: &[f64], at: f64| lot.partition_point(|value| *value <= at) as f64 / lot.len() as f64;
    let apart = first
        .iter()
        .chain(&second)
        .map(|at| (share(&first, *at) - share(&second, *at)).abs())
        .fold(0.0, f64::max);
    let size = (first.len() * second.len()) as f64 / (first.len() + second.len()) as f64;
    beyond(apart * size.sqrt())
}

/// The share of Kolmogorov's distribution beyond `lambda`.
fn beyond(lambda: f64) -> f64 {
    if lambda < 0.2 {
        return 1.0;
    }
    let term = |k: i32| {
        let sign = if k % 2 == 0 { -1.0 } else { 1.0 };
        sign * (-2.0 * f64::from(k * k) * lambda * lambda).exp()
    };
    (2.0 * (1..=100).map(term).sum::<f64>()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::Dice;

    #[test]
    fn critical_values_are_those_of_the_tables() {
        assert!((beyond(1.2238) - 0.10).abs() < 0.001);
        assert!((beyond(1.3581) - 0.05).abs() < 0.001);
        assert!((beyond(1.6276) - 0.01).abs() < 0.001);
    }

    #[test]
    fn the_same_dice_pass_and_a_shift_does_not() {
        let mut dice = Dice::new(7);
        let mut lot =
            |shift: f64| -> Vec<f64> { (0..1000).map(|_| dice.below(100) as f64 + shift).collect() };
        let (one, other, shifted) = (lot(0.0), lot(0.0), lot(15.0));
        assert!(same_source(&one, &other) > 0.01);
        assert!(same_source(&one, &shifted) < 1e-6);
    }
}
