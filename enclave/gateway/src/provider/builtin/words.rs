//! What a text is about, as far as its words say: a direction in which each content word, and each pair of neighbours, has a
//! part. No weights, some microseconds, in here. Texts that say the same in other phrasing meet; synonyms do not.

use ring::digest;

/// Words without content of their own: what questions are wrapped in.
const IDLE: &[&str] = &[
    "a", "am", "an", "are", "be", "been", "being", "can", "could", "describe", "did", "do", "does",
    "explain", "for", "give", "i", "i'd", "is", "kindly", "know", "let", "like", "me", "my", "of", "please",
    "say", "show", "tell", "that", "the", "us", "want", "was", "we", "were", "what", "what's", "would",
    "you", "your",
];
/// What a word weighs, and what a pair of neighbours does: pairs tell who does what to whom.
const WORD: f32 = 1.0;
const PAIR: f32 = 0.5;
/// Places in which each part shows, so that two parts that share one by chance still differ.
const PLACES: usize = 4;

/// The direction of a text; texts without any word have one of their own.
pub(super) fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimensions];
    let lower = text.to_lowercase().replace('\u{2019}', "'");
    let all =
        lower.split(|own: char| !own.is_alphanumeric() && own != '\'').map(|own| own.trim_matches('\''));
    let mut words: Vec<&str> =
        all.clone().filter(|own| !own.is_empty() && IDLE.binary_search(own).is_err()).collect();
    if words.is_empty() {
        words = all.filter(|own| !own.is_empty()).collect();
    }
    let stems: Vec<&str> = words.into_iter().map(stem).collect();
    for word in &stems {
        add(&mut sum, word.as_bytes(), WORD);
    }
    for pair in stems.windows(2) {
        add(&mut sum, pair.join(" ").as_bytes(), PAIR);
    }
    if stems.is_empty() {
        add(&mut sum, text.as_bytes(), WORD);
    }
    let length = sum.iter().map(|own| own * own).sum::<f32>().sqrt();
    if length > 0.0 {
        for own in &mut sum {
            *own /= length;
        }
    }
    sum
}

/// A word without what grammar puts at its end.
fn stem(word: &str) -> &str {
    let endings = ["'s", "ies", "es", "s"];
    let shorter = endings.iter().find_map(|end| word.strip_suffix(end).filter(|own| own.chars().count() > 3));
    shorter.filter(|_| !word.ends_with("ss")).unwrap_or(word)
}

fn add(sum: &mut [f32], part: &[u8], weight: f32) {
    let hash = digest::digest(&digest::SHA256, part);
    let (places, _) = hash.as_ref().as_chunks::<8>();
    for place in places.iter().take(PLACES) {
        let number = u64::from_le_bytes(*place);
        let (sign, at) = (number & 1, number.wrapping_shr(1));
        let length = u64::try_from(sum.len()).unwrap_or(u64::MAX);
        let at = at.checked_rem(length).and_then(|at| usize::try_from(at).ok()).unwrap_or(0);
        if let Some(own) = sum.get_mut(at) {
            *own += if sign == 0 { weight } else { -weight };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(one: &str, other: &str) -> f32 {
        vector(one, 384).iter().zip(vector(other, 384)).map(|(one, other)| one * other).sum()
    }

    #[test]
    fn the_same_in_other_phrasing_is_near_and_anything_else_is_not() {
        assert!(IDLE.is_sorted());
        for (one, other) in [
            ("What is the capital of France?", "Please tell me the capital of France."),
            ("How do I reset my password?", "how can I reset the password"),
            ("Explain photosynthesis", "Could you explain what photosynthesis is?"),
            ("opening hours", "What are the opening hours?"),
        ] {
            assert!(near(one, other) > 0.95, "{one} / {other}: {}", near(one, other));
        }
        for (one, other) in [
            ("dog bites man", "man bites dog"),
            ("What is the capital of France?", "What is the climate of France?"),
            ("How do I reset my password?", "How do I change my password?"),
            ("Who founded Berlin?", "When was Berlin founded?"),
            ("opening hours", "closing hours"),
        ] {
            assert!(near(one, other) < 0.9, "{one} / {other}: {}", near(one, other));
        }
        assert!((near("is it", "is it") - 1.0).abs() < 1e-5 && near("", "?").abs() <= 1.0);
    }
}
