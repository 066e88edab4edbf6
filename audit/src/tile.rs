//! Where hashes and entries lie (C2SP `tlog-tiles`): tiles of 256 hashes on every eighth level, bundles of 256 entries.

use crate::tree::{Hash, Subtrees, node};

/// Hashes or entries of a full tile.
pub const WIDTH: u64 = 256;
/// Levels of the tree per level of tiles.
const HEIGHT: u8 = 8;
/// Longest entry, in bytes; its length is written in two.
pub const MAX_ENTRY: usize = 65_535;

/// The path of a tile of hashes: `tile/0/x001/067`, with `.p/12` if it has only 12 of its 256.
pub fn path(level: u8, index: u64, width: u64) -> String {
    format!("tile/{level}/{}{}", number(index), partial(width))
}

/// The path of a bundle of entries.
pub fn entries_path(index: u64, width: u64) -> String {
    format!("tile/entries/{}{}", number(index), partial(width))
}

/// How many full tiles of a level a tree of this size has, and how many hashes are in the one after them.
pub fn extent(level: u8, size: u64) -> (u64, u64) {
    let hashes = size.checked_shr(u32::from(level).saturating_mul(u32::from(HEIGHT))).unwrap_or(0);
    (hashes / WIDTH, hashes % WIDTH)
}

/// Groups of three digits, all but the last with an `x`.
fn number(index: u64) -> String {
    let (mut rest, mut groups) = (index / 1000, vec![format!("{:03}", index % 1000)]);
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    groups.reverse();
    groups.join("/")
}

fn partial(width: u64) -> String {
    if width == WIDTH { String::new() } else { format!(".p/{width}") }
}

/// What a path below `tile/` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Hashes.
    Hashes {
        /// Level of tiles, 0 for leaves.
        level: u8,
        /// Which from the left.
        index: u64,
        /// How many of its 256.
        width: u64,
    },
    /// A bundle of entries.
    Entries {
        /// Which from the left.
        index: u64,
        /// How many of its 256.
        width: u64,
    },
}

impl Named {
    /// Reads a path; nothing if it is not exactly how [`path`] and [`entries_path`] write one.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("tile/")?;
        let (kind, rest) = rest.split_once('/')?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().ok().filter(|width| (1..WIDTH).contains(width))?),
            None => (rest, WIDTH),
        };
        let index = parse_number(index)?;
        let named = match kind {
            "entries" => Self::Entries { index, width },
            level => Self::Hashes { level: level.parse().ok().filter(|level| *level < 8)?, index, width },
        };
        (named.path() == text).then_some(named)
    }

    /// The path.
    pub fn path(&self) -> String {
        match *self {
            Self::Hashes { level, index, width } => path(level, index, width),
            Self::Entries { index, width } => entries_path(index, width),
        }
    }
}

fn parse_number(text: &str) -> Option<u64> {
    let mut value: u64 = 0;
    for group in text.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        value = value.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some(value)
}

/// Writes a bundle: each entry after its length in two bytes. Nothing if one is too long.
pub fn write_entries<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for entry in entries {
        out.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Some(out)
}

/// Reads a bundle of exactly `width` entries; nothing if it is anything else.
pub fn read_entries(bundle: &[u8], width: u64) -> Option<Vec<&[u8]>> {
    let (mut rest, mut entries) = (bundle, Vec::new());
    for _ in 0..width {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        rest = after;
    }
    rest.is_empty().then_some(entries)
}

/// Tiles of hashes, by level and index, as far as they are at hand.
#[derive(Default)]
pub struct Tiles {
    levels: Vec<Vec<Hash>>,
}

impl Tiles {
    /// From the hashes of all leaves: every tile of the tree.
    pub fn of(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|below| below.len() >= 256) {
            let above = below.chunks_exact(256).map(root_of).collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The hashes of one tile.
    pub fn tile(&self, level: u8, index: u64, width: u64) -> Option<&[Hash]> {
        let level = self.levels.get(usize::from(level))?;
        let start = usize::try_from(index.checked_mul(WIDTH)?).ok()?;
        level.get(start..start.checked_add(usize::try_from(width).ok()?)?)
    }
}

impl Subtrees for Tiles {
    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        let (tiles, within) = (level / HEIGHT, level % HEIGHT);
        let count = 1_u64.checked_shl(u32::from(within))?;
        let start = usize::try_from(index.checked_mul(count)?).ok()?;
        let end = start.checked_add(usize::try_from(count).ok()?)?;
        Some(root_of(self.levels.get(usize::from(tiles))?.get(start..end)?))
    }
}

/// The root over a power of two of hashes.
pub fn root_of(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks(2)
            .map(|pair| if let [left, right] = pair { node(left, right) } else { [0; 32] })
            .collect();
    }
    row.first().copied().unwrap_or([0; 32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Frontier, consistency_proof, continues, includes, inclusion_proof, leaf};

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(path(0, 1_234_067, WIDTH), "tile/0/x001/x234/067");
        assert_eq!(path(1, 0, 5), "tile/1/000.p/5");
        assert_eq!(entries_path(999, WIDTH), "tile/entries/999");
        for text in ["tile/0/x001/x234/067", "tile/1/000.p/5", "tile/entries/x001/000.p/255"] {
            assert_eq!(Named::parse(text).map(|named| named.path()).as_deref(), Some(text));
        }
        for bad in [
            "tile/0/67",
            "tile/0/x067",
            "tile/0/x000/067",
            "tile/8/000",
            "tile/0/000.p/256",
            "tile/0/000.p/0",
            "tile/0/000.p/05",
            "tile/00/000",
            "tile/entries/../000",
            "tile/0/001/x002",
            "tile/0/",
            "0/000",
            "tile/0/999/999/999/999/999/999/999/999",
        ] {
            assert_eq!(Named::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn bundles_are_read_whole_or_not_at_all() {
        let entries: Vec<&[u8]> = vec![b"one", b"", b"three"];
        let bundle = write_entries(entries.clone()).unwrap();
        assert_eq!(read_entries(&bundle, 3), Some(entries));
        assert_eq!(read_entries(&bundle, 2), None);
        assert_eq!(read_entries(&bundle, 4), None);
        for length in 0..bundle.len() {
            assert_eq!(read_entries(&bundle[..length], 3), None);
        }
        assert!(write_entries([vec![0; MAX_ENTRY + 1].as_slice()]).is_none());
    }

    #[test]
    fn proofs_come_out_of_tiles() {
        let leaves: Vec<Hash> = (0..70_000_u32).map(|number| leaf(&number.to_be_bytes())).collect();
        let mut frontier = Frontier::default();
        let mut early = None;
        for own in &leaves {
            frontier.push(*own);
            if frontier.size() == 65_537 {
                early = Some(frontier.root());
            }
        }
        let tiles = Tiles::of(leaves.clone());
        assert_eq!(extent(0, 70_000), (273, 112));
        assert_eq!(extent(1, 70_000), (1, 17));
        assert!(tiles.tile(1, 1, 17).is_some() && tiles.tile(1, 1, 18).is_none());
        for index in [0, 1, 255, 256, 65_535, 65_536, 69_999] {
            let proof = inclusion_proof(&tiles, index, 70_000).unwrap();
            let own = leaves[usize::try_from(index).unwrap()];
            assert!(includes(&own, index, 70_000, &proof, &frontier.root()), "{index}");
        }
        let proof = consistency_proof(&tiles, 65_537, 70_000).unwrap();
        assert!(continues(65_537, &early.unwrap(), 70_000, &frontier.root(), &proof));
    }
}
