//! Two kinds of answers: legal prose and engineering prose, cut into tokens; equal in number and rhythm, so that neither
//! length nor time tells them apart, but only how long the words are. The same in every run and of every revision, so that
//! scores can be compared.

use postern_tests::classifier::Dice;
use postern_tests::workspace;
use ring::digest::{Context, SHA256};

/// Tokens of one answer.
pub(super) const TOKENS: usize = 40;

/// Answers of both kinds, alternating; the second kind at odd places.
pub(super) fn answers(count: usize) -> Vec<Vec<String>> {
    let law = tokens(&workspace::read("LICENSE"));
    // What ARCHITECTURE.md and DECISIONS.md were once.
    let engineering = tokens(&workspace::read("tests/traffic/corpus/engineering.txt"));
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

/// SHA-256 of the tokens of these answers, each with a zero behind it.
pub(super) fn digest(answers: &[Vec<String>]) -> String {
    let mut digest = Context::new(&SHA256);
    for token in answers.iter().flatten() {
        digest.update(token.as_bytes());
        digest.update(&[0]);
    }
    hex::encode(digest.finish())
}

#[test]
fn the_corpus_is_the_one_that_earlier_scores_are_of() {
    let now = digest(&answers(1000));
    assert_eq!(
        now, "09f940c71467701042b81366352a7475147c7dea47a4340d331879b743fa4051",
        "older reports no longer compare"
    );
}
