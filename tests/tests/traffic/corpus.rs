//! Two kinds of answers: legal prose and engineering prose, cut into tokens; equal in number and rhythm, so that neither
//! length nor time tells them apart, but only how long the words are.

use postern_tests::classifier::Dice;
use postern_tests::workspace;

/// Tokens of one answer.
pub(super) const TOKENS: usize = 40;

/// Answers of both kinds, alternating; the second kind at odd places.
pub(super) fn answers(count: usize) -> Vec<Vec<String>> {
    let law = tokens(&workspace::read("LICENSE"));
    let engineering =
        tokens(&["DECISIONS.md", "ARCHITECTURE.md", "README.md"].map(workspace::read).join("\n"));
    let mut dice = Dice::new(0xc0de);
    let mut one = |text: &[String]| {
        let start = dice.below(text.len() - TOKENS);
        text[start..start + TOKENS].to_vec()
    };
    (0..count).map(|index| one(if index % 2 == 0 { &law } else { &engineering })).collect()
}

/// Words with the space before them, long ones in pieces of six letters, as tokenisers do.
fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in text.split_whitespace() {
        let letters: Vec<char> = std::iter::once(' ').chain(word.chars()).collect();
        found.extend(letters.chunks(7).map(|piece| piece.iter().collect::<String>()));
    }
    found
}
