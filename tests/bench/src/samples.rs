//! The samples of a run: every figure of every peer, one value for each repetition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Every figure of every peer, one value for each repetition.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Samples {
    /// How the run was made, in words.
    pub about: Vec<String>,
    /// Peers in the order of the table.
    pub peers: Vec<String>,
    /// Peers that are not installed here.
    pub absent: Vec<String>,
    /// Values by peer and figure.
    pub figures: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
}

/// Median and extremes of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Middle value; the mean of the two middle ones if their number is even.
    pub median: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Samples {
    /// Adds one repetition's value.
    pub fn add(&mut self, peer: &str, figure: &str, value: f64) {
        self.figures.entry(peer.to_owned()).or_default().entry(figure.to_owned()).or_default().push(value);
    }

    /// Values of a figure, one for each repetition.
    pub fn of(&self, peer: &str, figure: &str) -> Option<&[f64]> {
        self.figures.get(peer)?.get(figure).map(Vec::as_slice)
    }

    /// Names of the figures that a peer has.
    pub fn figures_of(&self, peer: &str) -> impl Iterator<Item = &str> {
        self.figures.get(peer).into_iter().flatten().map(|(name, _)| name.as_str())
    }
}

impl Spread {
    /// Nothing for no values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max })
    }

    /// As in the table.
    pub fn shown(self) -> String {
        let Self { median, min, max } = self;
        format!("{} [{}-{}]", number(median), number(min), number(max))
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_the_median_and_the_extremes() {
        let spread = Spread::of(&[3.0, 1.0, 2.0, 10.0]).unwrap();
        assert_eq!(spread, Spread { median: 2.5, min: 1.0, max: 10.0 });
        assert_eq!(Spread::of(&[]), None);
    }
}
