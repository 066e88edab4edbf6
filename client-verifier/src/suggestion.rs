//! The known name nearest to a misspelt one.

/// Longest name that is compared.
const LONGEST: usize = 48;

/// The known name with the fewest edits, if a slip of the finger explains the difference.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > LONGEST {
        return None;
    }
    let (distance, near) = known.iter().map(|candidate| (edits(name, candidate), *candidate)).min()?;
    (distance <= 2 || distance * 3 <= near.len()).then_some(near)
}

/// Levenshtein distance.
#[expect(clippy::indexing_slicing, reason = "the row is one longer than `to`, and columns count `to`")]
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, from_char) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, to_char) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(from_char != *to_char);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_explained_and_another_word_is_not() {
        let known = ["measurements_hex", "report_data_hex", "vmpl"];
        assert_eq!(nearest("measurement_hex", &known), Some("measurements_hex"));
        assert_eq!(nearest("vmlp", &known), Some("vmpl"));
        assert_eq!(nearest("entirely_different", &known), None);
        assert_eq!(nearest(&"v".repeat(LONGEST + 1), &known), None);
    }
}
