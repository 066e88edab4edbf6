//! Words in a row: a template grammar walked with a seeded counter. Deterministic, meaningless, readable.

use ring::digest;

/// What every answer begins with, token by token.
const OPENING: &[&str] = &[
    "I", " am", " Postern", "'s", " built", "-in", " test", " model", ":", " I", " write", " filler",
    " text", ",", " not", " answers", ".",
];

const OPENERS: &[&str] = &[
    " A lantern",
    " The gate",
    " An old clock",
    " The river",
    " A quiet street",
    " The keeper",
    " A paper boat",
    " The harbour",
    " A grey cat",
    " The letter",
    " An orchard",
    " The north wind",
];
const OBJECTS: &[&str] = &[
    " a lantern",
    " the gate",
    " an old clock",
    " the river",
    " a quiet street",
    " the keeper",
    " a paper boat",
    " the harbour",
    " a grey cat",
    " the letter",
    " an orchard",
    " the north wind",
];
const VERBS: &[&str] = &[
    " waits for",
    " remembers",
    " follows",
    " hides",
    " answers",
    " carries",
    " opens",
    " guards",
    " passes",
    " forgets",
    " mirrors",
    " outlasts",
];
const ADVERBS: &[&str] =
    &[" slowly", " again", " at dusk", " in silence", " by heart", " for once", " in turn"];

/// Gives out tokens until the text is complete.
pub(super) struct Generator {
    state: u64,
    place: usize,
    length: usize,
    pending: Vec<&'static str>,
}

impl Generator {
    /// A text that depends on `topic` only: 64 to 127 tokens, then to the end of the sentence.
    pub(super) fn new(topic: &[u8]) -> Self {
        let seed = digest::digest(&digest::SHA256, topic);
        let first = seed.as_ref().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let length = usize::try_from(first & 63).unwrap_or(0).saturating_add(64);
        Self { state: first, place: 0, length, pending: Vec::new() }
    }

    fn draw<'w>(&mut self, words: &'w [&'static str]) -> &'static str
    where
        'static: 'w,
    {
        self.state = mix(self.state);
        let count = u64::try_from(words.len()).unwrap_or(1).max(1);
        let at = self.state.checked_rem(count).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| words.get(at)).copied().unwrap_or_default()
    }

    /// Lays out the next sentence, last token first.
    fn sentence(&mut self) {
        let phrase = [self.draw(OPENERS), self.draw(VERBS), self.draw(OBJECTS), self.draw(ADVERBS), "."];
        for part in phrase.into_iter().rev() {
            self.pending.extend(split_words(part).rev());
        }
    }
}

impl Iterator for Generator {
    type Item = &'static str;

    fn next(&mut self) -> Option<&'static str> {
        let place = self.place;
        self.place = place.saturating_add(1);
        if let Some(token) = OPENING.get(place) {
            return Some(token);
        }
        if self.pending.is_empty() {
            if place >= self.length {
                return None;
            }
            self.sentence();
        }
        self.pending.pop()
    }
}

/// " an old clock" is three tokens: " an", " old", " clock".
fn split_words(phrase: &'static str) -> impl DoubleEndedIterator<Item = &'static str> {
    let starts: Vec<usize> = phrase.match_indices(' ').map(|(at, _)| at).collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([phrase.len()]).collect();
    let spans: Vec<_> = if starts.is_empty() {
        vec![phrase]
    } else {
        starts.into_iter().zip(ends).filter_map(|(start, end)| phrase.get(start..end)).collect()
    };
    spans.into_iter()
}

/// `SplitMix64` (Steele, Lea, Flood 2014): a fixed, well-mixed step.
pub(crate) const fn mix(state: u64) -> u64 {
    let stepped = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (stepped ^ stepped.wrapping_shr(30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed.wrapping_shr(27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed.wrapping_shr(31)
}
