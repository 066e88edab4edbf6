//! The Merkle tree of RFC 9162, section 2.1: hashes, the frontier that is enough to append, and both kinds of proof.

use ring::digest::{Context, SHA256};

/// SHA-256.
pub type Hash = [u8; 32];

/// The hash of a leaf with these bytes.
pub fn leaf(bytes: &[u8]) -> Hash {
    finish(&[&[0], bytes])
}

/// The hash of a node over two others.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    finish(&[&[1], left, right])
}

/// The root of a tree without leaves.
pub fn empty() -> Hash {
    finish(&[])
}

fn finish(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// The roots of the complete subtrees that a tree of this size is made of, largest first. Enough to append to it and to
/// say its root; at most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// A tree of `size` leaves, given its complete subtrees, largest first; nothing if there are not as many as the size
    /// has bits.
    pub fn new(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (u32::try_from(peaks.len()) == Ok(size.count_ones())).then_some(Self { size, peaks })
    }

    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The complete subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds a leaf, given its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing one of the size is a complete subtree that the new leaf completes into a larger one.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node(&left, &hash);
        }
        self.peaks.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// The root.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty() };
        peaks.fold(*last, |right, left| node(left, &right))
    }
}

/// Gives the root of the complete subtree of 2^`level` leaves that is the `index`th from the left.
pub trait Subtrees {
    /// Nothing if it is not known, or not complete.
    fn subtree(&self, level: u8, index: u64) -> Option<Hash>;
}

/// The hashes that prove that the leaf `index` is in the tree of `size` leaves (RFC 9162, section 2.1.3).
pub fn inclusion_proof(of: &impl Subtrees, index: u64, size: u64) -> Option<Vec<Hash>> {
    if index >= size {
        return None;
    }
    let (mut start, mut end, mut proof) = (0, size, Vec::new());
    while end.checked_sub(start)? > 1 {
        let middle = start.checked_add(split(end.checked_sub(start)?))?;
        if index < middle {
            proof.push(range_root(of, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(of, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Some(proof)
}

/// Whether `proof` shows that `leaf` is the leaf `index` of the tree of `size` leaves with this root (RFC 9162, section
/// 2.1.3.2).
pub fn includes(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    let Some(last) = size.checked_sub(1).filter(|last| index <= *last) else { return false };
    let (mut own, mut last, mut hash) = (index, last, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if own & 1 == 1 || own == last {
            hash = node(sibling, &hash);
            if own & 1 == 0 {
                let zeros = own.trailing_zeros();
                own = own.checked_shr(zeros).unwrap_or(0);
                last = last.checked_shr(zeros).unwrap_or(0);
            }
        } else {
            hash = node(&hash, sibling);
        }
        own >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The hashes that prove that the tree of `old` leaves is the beginning of the tree of `new` leaves (RFC 9162, section
/// 2.1.4).
pub fn consistency_proof(of: &impl Subtrees, old: u64, new: u64) -> Option<Vec<Hash>> {
    if old == 0 || old > new {
        return None;
    }
    let (mut start, mut end, mut proof, mut whole) = (0, new, Vec::new(), true);
    let mut left = old;
    while left != end.checked_sub(start)? {
        let half = split(end.checked_sub(start)?);
        let middle = start.checked_add(half)?;
        if left <= half {
            proof.push(range_root(of, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(of, start, middle)?);
            left = left.checked_sub(half)?;
            start = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range_root(of, start, end)?);
    }
    proof.reverse();
    Some(proof)
}

/// Whether `proof` shows that the tree (`old`, `old_root`) is the beginning of the tree (`new`, `new_root`) (RFC 9162,
/// section 2.1.4.2).
pub fn continues(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 || old > new {
        return false;
    }
    let mut proof = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { proof.next() };
    let (Some(first), Some(mut own), Some(mut last)) = (first, old.checked_sub(1), new.checked_sub(1)) else {
        return false;
    };
    let odd = own.trailing_ones();
    own = own.checked_shr(odd).unwrap_or(0);
    last = last.checked_shr(odd).unwrap_or(0);
    let (mut before, mut after) = (*first, *first);
    for hash in proof {
        if last == 0 {
            return false;
        }
        if own & 1 == 1 || own == last {
            before = node(hash, &before);
            after = node(hash, &after);
            if own & 1 == 0 {
                let zeros = own.trailing_zeros();
                own = own.checked_shr(zeros).unwrap_or(0);
                last = last.checked_shr(zeros).unwrap_or(0);
            }
        } else {
            after = node(&after, hash);
        }
        own >>= 1;
        last >>= 1;
    }
    last == 0 && before == *old_root && after == *new_root
}

/// The largest power of two below `size`, which must be at least 2.
fn split(size: u64) -> u64 {
    let last = size.saturating_sub(1);
    1_u64.checked_shl(63_u32.saturating_sub(last.leading_zeros())).unwrap_or(1)
}

/// The root over the leaves from `start` up to `end`, where `start` is a multiple of the power of two below the length.
fn range_root(of: &impl Subtrees, start: u64, end: u64) -> Option<Hash> {
    let (mut at, mut peaks) = (start, Vec::new());
    while at < end {
        let rest = end.checked_sub(at)?;
        let largest = 63_u32.checked_sub(rest.leading_zeros())?;
        let level = if at == 0 { largest } else { largest.min(at.trailing_zeros()) };
        let index = at.checked_shr(level)?;
        peaks.push(of.subtree(u8::try_from(level).ok()?, index)?);
        at = at.checked_add(1_u64.checked_shl(level)?)?;
    }
    let last = peaks.pop()?;
    Some(peaks.iter().rev().fold(last, |right, left| node(left, &right)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Leaves(Vec<Hash>);

    impl Leaves {
        fn new(size: u64) -> Self {
            Self((0..size).map(|number| leaf(&number.to_be_bytes())).collect())
        }

        /// Straight from the definition of RFC 9162, section 2.1.1.
        fn root(&self, start: usize, end: usize) -> Hash {
            match end - start {
                0 => empty(),
                1 => self.0[start],
                size => {
                    let half = size.next_power_of_two() / 2;
                    node(&self.root(start, start + half), &self.root(start + half, end))
                }
            }
        }
    }

    impl Subtrees for Leaves {
        fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
            let size = 1_usize << level;
            let start = usize::try_from(index).unwrap() * size;
            (start + size <= self.0.len()).then(|| self.root(start, start + size))
        }
    }

    fn frontier(size: u64) -> Frontier {
        let mut frontier = Frontier::default();
        Leaves::new(size).0.into_iter().for_each(|leaf| frontier.push(leaf));
        frontier
    }

    #[test]
    fn roots_are_those_of_the_definition() {
        // RFC 9162's empty tree, and the first test vector of RFC 6962's reference: the leaf with no bytes
        assert_eq!(empty()[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_eq!(leaf(b"")[..4], [0x6e, 0x34, 0x0b, 0x9c]);
        for size in 0..=70 {
            let leaves = Leaves::new(size);
            let frontier = frontier(size);
            assert_eq!(frontier.root(), leaves.root(0, leaves.0.len()), "{size}");
            assert_eq!(Frontier::new(size, frontier.peaks().to_vec()), Some(frontier));
        }
        assert_eq!(Frontier::new(3, vec![[0; 32]]), None);
    }

    #[test]
    fn every_leaf_is_proved_and_no_other() {
        for size in 1..=40 {
            let leaves = Leaves::new(size);
            let root = frontier(size).root();
            for index in 0..size {
                let proof = inclusion_proof(&leaves, index, size).unwrap();
                let own = leaves.0[usize::try_from(index).unwrap()];
                assert!(includes(&own, index, size, &proof, &root), "{index} of {size}");
                assert!(!includes(&leaf(b"another"), index, size, &proof, &root));
                assert!(!includes(&own, index + 1, size, &proof, &root) || size == 1);
                assert!(!includes(&own, index, size, &proof, &leaf(b"root")));
                let mut longer = proof.clone();
                longer.push(root);
                assert!(!includes(&own, index, size, &longer, &root));
                assert!(proof.is_empty() || !includes(&own, index, size, &proof[1..], &root));
            }
            assert_eq!(inclusion_proof(&leaves, size, size), None);
        }
    }

    #[test]
    fn every_beginning_is_proved_and_no_other() {
        for new in 1..=40 {
            let leaves = Leaves::new(new);
            let new_root = frontier(new).root();
            for old in 1..=new {
                let old_root = frontier(old).root();
                let proof = consistency_proof(&leaves, old, new).unwrap();
                assert!(continues(old, &old_root, new, &new_root, &proof), "{old} of {new}");
                assert!(!continues(old, &leaf(b"another"), new, &new_root, &proof));
                assert!(!continues(old, &old_root, new, &leaf(b"another"), &proof));
                if old < new {
                    assert!(!continues(old, &old_root, new, &new_root, &[]) || proof.is_empty());
                    assert!(!continues(old + 1, &old_root, new, &new_root, &proof) || old == new);
                }
            }
        }
        assert!(!continues(0, &empty(), 5, &frontier(5).root(), &[]));
        assert!(!continues(6, &frontier(6).root(), 5, &frontier(5).root(), &[]));
    }
}
