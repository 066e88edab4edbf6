//! Directions of meaning.

/// Most numbers of a vector.
pub const MOST_NUMBERS: usize = 8192;
/// Numbers that are multiplied side by side.
const LANES: usize = 16;

/// A vector of length one. It tells nearly as much as the text that it is of, so it stays in here like the text.
pub struct Vector(Box<[f32]>);

impl Vector {
    /// Of that direction; nothing for no direction, for too many numbers, or for what is no number.
    pub fn new(mut numbers: Vec<f32>) -> Option<Self> {
        let length = dot(&numbers, &numbers).sqrt();
        if numbers.is_empty() || numbers.len() > MOST_NUMBERS || !length.is_normal() {
            return None;
        }
        for own in &mut numbers {
            *own /= length;
        }
        Some(Self(numbers.into_boxed_slice()))
    }

    /// The cosine of the angle between two; of vectors of different lengths, which no two texts have in one model, -1.
    pub fn cosine(&self, other: &Self) -> f32 {
        if self.0.len() == other.0.len() { dot(&self.0, &other.0) } else { -1.0 }
    }

    /// What it takes to store it.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

/// Summed in lanes, which the compiler makes vector instructions of.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let ((ones, one_rest), (others, other_rest)) = (one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (one, other) in ones.iter().zip(others) {
        for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
            *sum += one * other;
        }
    }
    let rest: f32 = one_rest.iter().zip(other_rest).map(|(one, other)| one * other).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_compared_whatever_their_length() {
        let of = |numbers: &[f32]| Vector::new(numbers.to_vec());
        let long: Vec<f32> = (0..100_u8).map(f32::from).collect();
        let longer: Vec<f32> = long.iter().map(|own| own * 3.0).collect();
        let near =
            |one: Option<Vector>, other: Option<Vector>| one.expect("one").cosine(&other.expect("two"));
        assert!((near(of(&long), of(&longer)) - 1.0).abs() < 1e-5);
        assert!(near(of(&[1.0, 0.0]), of(&[0.0, 1.0])).abs() < 1e-6);
        assert!((near(of(&[1.0, 0.0]), of(&[-2.0, 0.0])) + 1.0).abs() < 1e-6);
        assert!((near(of(&[1.0]), of(&[1.0, 0.0])) + 1.0).abs() < 1e-6, "another model's");
        for none in [&[][..], &[0.0, 0.0], &[f32::NAN], &[f32::INFINITY, 1.0]] {
            assert!(of(none).is_none());
        }
    }
}
