//! The log on the disk: ciphertext only, in files that only grow.
//!
//! `NNNNNNNN.log` holds up to 65,536 entries as sealed frames, one per batch: length, index of the first entry, number of
//! entries, sealed bundle. When it is full, `NNNNNNNN.end` says what a start and a tile need of it: the frontier behind it
//! and the root of each of its 256 bundles. A start reads the last of each.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use attestation::digest::Sha256;
use attestation::enclave_claims::StateHead;
use audit::entry::{Entry, Event};
use audit::tile::{Named, WIDTH, read_entries, root_of, write_entries};
use audit::tree::{Frontier, Hash, leaf};
use state::frame::FrameSealer;
use state::{RootKey, StateError};

use super::Before;

/// Entries of a file.
const PER_FILE: u64 = WIDTH * WIDTH;
/// Entries of a frame at most, which bounds what is sealed at once.
const PER_FRAME: usize = 1024;
/// Length, first entry, number of entries.
const HEADER: usize = 16;
const ENTRIES: u8 = 1;
const END: u8 = 2;

/// See the module.
pub(super) struct Files {
    folder: PathBuf,
    sealer: FrameSealer,
    open: Segment,
    frontier: Frontier,
    before: Before,
    /// The frames of the closed file that was read last.
    recent: Option<(u64, Vec<Frame>)>,
}

/// The file that grows.
struct Segment {
    number: u64,
    file: File,
    length: u64,
    frames: Vec<Frame>,
    leaves: Vec<Hash>,
    start: Frontier,
}

#[derive(Clone, Copy)]
struct Frame {
    first: u64,
    count: u64,
    offset: u64,
    length: u64,
}

impl Files {
    pub(super) fn open(folder: &Path, root: &RootKey, origin: &str) -> Result<Self, StateError> {
        std::fs::create_dir_all(folder).map_err(unavailable)?;
        let sealer = FrameSealer::new(root, origin)?;
        let mut number: u64 = 0;
        while path(folder, number, "end").exists() {
            number = number.saturating_add(1);
        }
        let start = match number.checked_sub(1) {
            Some(last) => End::read(folder, &sealer, last)?.frontier,
            None => Frontier::default(),
        };
        let file = open_file(&path(folder, number, "log"))?;
        let mut open =
            Segment { number, file, length: 0, frames: Vec::new(), leaves: Vec::new(), start: start.clone() };
        let mut frontier = start;
        let mut before = Before { orderly: frontier.size() == 0, state_generation: None };
        open.replay(&sealer, &mut frontier, &mut before)?;
        Ok(Self { folder: folder.to_owned(), sealer, open, frontier, before, recent: None })
    }

    pub(super) fn head(&self) -> StateHead {
        StateHead { tree_size: self.frontier.size(), root: Sha256::new(self.frontier.root()) }
    }

    pub(super) const fn before(&self) -> Before {
        self.before
    }

    pub(super) fn root_at(&self, size: u64) -> Option<Sha256> {
        let more = usize::try_from(size.checked_sub(self.open.start.size())?).ok()?;
        let mut frontier = self.open.start.clone();
        for leaf in self.open.leaves.get(..more)? {
            frontier.push(*leaf);
        }
        Some(Sha256::new(frontier.root()))
    }

    /// Adds entries and waits for the disk. If it fails, nothing was added.
    pub(super) fn append(&mut self, lines: &[Vec<u8>]) -> Result<(), StateError> {
        let mut rest = lines;
        while !rest.is_empty() {
            let room = PER_FILE.saturating_sub(self.frontier.size().saturating_sub(self.open.start.size()));
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(room);
            self.append_here(now)?;
            if self.frontier.size().saturating_sub(self.open.start.size()) >= PER_FILE {
                self.next_file()?;
            }
            rest = later;
        }
        Ok(())
    }

    fn append_here(&mut self, lines: &[Vec<u8>]) -> Result<(), StateError> {
        let (mut bytes, mut frames, mut first) = (Vec::new(), Vec::new(), self.frontier.size());
        for chunk in lines.chunks(PER_FRAME) {
            let bundle = write_entries(chunk.iter().map(Vec::as_slice)).ok_or(StateError::TooLarge)?;
            let sealed = self.sealer.seal(ENTRIES, first, &bundle)?;
            let count = length_of(chunk.len());
            let (length, offset) =
                (length_of(sealed.len()), self.open.length.saturating_add(length_of(bytes.len())));
            frames.push(Frame { first, count, offset: offset.saturating_add(length_of(HEADER)), length });
            bytes.extend_from_slice(&u32::try_from(length).map_err(|_| StateError::TooLarge)?.to_be_bytes());
            bytes.extend_from_slice(&first.to_be_bytes());
            bytes.extend_from_slice(&u32::try_from(count).map_err(|_| StateError::TooLarge)?.to_be_bytes());
            bytes.extend_from_slice(&sealed);
            first = first.saturating_add(count);
        }
        // What an earlier try may have left behind the end is written over.
        self.open.file.write_all_at(&bytes, self.open.length).map_err(unavailable)?;
        self.open.file.sync_data().map_err(unavailable)?;
        self.open.length = self.open.length.saturating_add(length_of(bytes.len()));
        self.open.frames.extend(frames);
        for line in lines {
            let hash = leaf(line);
            self.frontier.push(hash);
            self.open.leaves.push(hash);
        }
        Ok(())
    }

    /// Closes the full file and begins the next.
    fn next_file(&mut self) -> Result<(), StateError> {
        let roots = self.open.leaves.chunks(256).map(root_of).collect();
        let end = End { frontier: self.frontier.clone(), roots };
        let number = self.open.number.saturating_add(1);
        // The next file first: what says that this one is full comes last, and a start in between finds it full.
        let file = open_file(&path(&self.folder, number, "log"))?;
        end.write(&self.folder, &self.sealer, self.open.number)?;
        self.open = Segment {
            number,
            file,
            length: 0,
            frames: Vec::new(),
            leaves: Vec::new(),
            start: self.frontier.clone(),
        };
        Ok(())
    }

    /// The bytes of a tile or bundle of the log as it was at `size` entries.
    pub(super) fn read(&mut self, named: Named, size: u64) -> Result<Option<Vec<u8>>, StateError> {
        match named {
            Named::Entries { index, width } => {
                let Some((first, end)) = range(index, width, size) else { return Ok(None) };
                let lines = self.lines(first, end)?;
                Ok(write_entries(lines.iter().map(Vec::as_slice)))
            }
            Named::Hashes { level: 0, index, width } => {
                let Some((first, end)) = range(index, width, size) else { return Ok(None) };
                Ok(Some(self.lines(first, end)?.iter().flat_map(|line| leaf(line)).collect()))
            }
            Named::Hashes { level: 1, index, width } => {
                let Some((first, end)) = range(index, width, size / WIDTH) else { return Ok(None) };
                let roots = self.bundle_roots(index)?;
                let count = usize::try_from(end.saturating_sub(first)).unwrap_or(usize::MAX);
                Ok(roots.get(..count).map(<[Hash]>::concat))
            }
            Named::Hashes { level: 2, index, width } => {
                let Some((first, end)) = range(index, width, size / PER_FILE) else { return Ok(None) };
                let mut out = Vec::new();
                for file in first..end {
                    out.extend_from_slice(&root_of(&self.bundle_roots(file)?));
                }
                Ok(Some(out))
            }
            // 2^32 entries and more: years of the largest deployment; read from level 2 when it comes to that
            Named::Hashes { .. } => Ok(None),
        }
    }

    fn bundle_roots(&self, number: u64) -> Result<Vec<Hash>, StateError> {
        if number == self.open.number {
            return Ok(self.open.leaves.chunks_exact(256).map(root_of).collect());
        }
        Ok(End::read(&self.folder, &self.sealer, number)?.roots)
    }

    /// The entries from `first` up to `end`, which are in one file.
    fn lines(&mut self, first: u64, end: u64) -> Result<Vec<Vec<u8>>, StateError> {
        let number = first / PER_FILE;
        let (file, frames) = if number == self.open.number {
            (None, self.open.frames.as_slice())
        } else {
            let file = open_file(&path(&self.folder, number, "log"))?;
            if self.recent.as_ref().is_none_or(|(recent, _)| *recent != number) {
                self.recent = Some((number, scan(&file)?));
            }
            (Some(file), self.recent.as_ref().map(|(_, frames)| frames.as_slice()).unwrap_or_default())
        };
        let file = file.as_ref().unwrap_or(&self.open.file);
        let from = frames.partition_point(|frame| frame.first.saturating_add(frame.count) <= first);
        let mut lines = Vec::new();
        for frame in frames.iter().skip(from).take_while(|frame| frame.first < end) {
            let bundle = frame.read(file, &self.sealer)?;
            let entries = read_entries(&bundle, frame.count).ok_or(StateError::Damaged)?;
            let wanted = (frame.first..).zip(entries).filter(|(index, _)| (first..end).contains(index));
            lines.extend(wanted.map(|(_, line)| line.to_vec()));
        }
        if length_of(lines.len()) != end.saturating_sub(first) {
            return Err(StateError::Damaged);
        }
        Ok(lines)
    }
}

impl Segment {
    /// Reads the whole file. A last frame that is not whole was never acknowledged: it is cut off.
    fn replay(
        &mut self,
        sealer: &FrameSealer,
        frontier: &mut Frontier,
        before: &mut Before,
    ) -> Result<(), StateError> {
        let frames = scan(&self.file)?;
        let last = frames.len().saturating_sub(1);
        for (place, frame) in frames.into_iter().enumerate() {
            if frame.first != frontier.size() {
                return Err(StateError::Damaged);
            }
            let bundle = match frame.read(&self.file, sealer) {
                Ok(bundle) => bundle,
                Err(_) if place == last => break,
                Err(error) => return Err(error),
            };
            for line in read_entries(&bundle, frame.count).ok_or(StateError::Damaged)? {
                let hash = leaf(line);
                frontier.push(hash);
                self.leaves.push(hash);
                before.take(line);
            }
            self.frames.push(frame);
            self.length = frame.offset.saturating_add(frame.length);
        }
        self.file.set_len(self.length).map_err(unavailable)
    }
}

impl Before {
    fn take(&mut self, line: &[u8]) {
        self.orderly = false;
        // Only two kinds of entry matter here, and most are neither.
        if !line.windows(OPENED.len()).any(|part| part == OPENED || part == STOPPED) {
            return;
        }
        match Entry::parse(line).map(|entry| entry.event) {
            Some(Event::Opened { state_generation, .. }) => {
                self.state_generation = self.state_generation.max(state_generation);
            }
            Some(Event::Stopped { state_generation }) => {
                self.orderly = true;
                self.state_generation = self.state_generation.max(state_generation);
            }
            _ => {}
        }
    }
}

const OPENED: &[u8] = br#""event":"opened""#;
const STOPPED: &[u8] = br#""event":"stopped"#;

impl Frame {
    fn read(&self, file: &File, sealer: &FrameSealer) -> Result<Vec<u8>, StateError> {
        let length = usize::try_from(self.length).map_err(|_| StateError::Damaged)?;
        let mut sealed = vec![0; length];
        file.read_exact_at(&mut sealed, self.offset).map_err(|_| StateError::Damaged)?;
        sealer.open(ENTRIES, self.first, &sealed)
    }
}

/// Where the frames of a file are, up to the first that is not whole.
fn scan(file: &File) -> Result<Vec<Frame>, StateError> {
    let end = file.metadata().map_err(unavailable)?.len();
    let (mut at, mut frames) = (0_u64, Vec::new());
    loop {
        let mut header = [0; HEADER];
        let offset = at.saturating_add(length_of(HEADER));
        if offset > end || file.read_exact_at(&mut header, at).is_err() {
            return Ok(frames);
        }
        let number = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |own| u64::from(u32::from_be_bytes(*own)));
        let (length, count) = (number(header.first_chunk()), number(header.last_chunk()));
        let first = header.get(4..12).and_then(|own| own.try_into().ok()).map_or(0, u64::from_be_bytes);
        at = offset.saturating_add(length);
        if length == 0 || count == 0 || at > end {
            return Ok(frames);
        }
        frames.push(Frame { first, count, offset, length });
    }
}

/// What is known of a full file.
struct End {
    frontier: Frontier,
    roots: Vec<Hash>,
}

impl End {
    fn write(&self, folder: &Path, sealer: &FrameSealer, number: u64) -> Result<(), StateError> {
        let mut plain = self.frontier.size().to_be_bytes().to_vec();
        plain.push(u8::try_from(self.frontier.peaks().len()).map_err(|_| StateError::TooLarge)?);
        plain.extend(self.frontier.peaks().iter().chain(&self.roots).flatten());
        let sealed = sealer.seal(END, number, &plain)?;
        let file = open_file(&path(folder, number, "end"))?;
        file.write_all_at(&sealed, 0).map_err(unavailable)?;
        file.sync_all().map_err(unavailable)
    }

    fn read(folder: &Path, sealer: &FrameSealer, number: u64) -> Result<Self, StateError> {
        let file = open_file(&path(folder, number, "end"))?;
        let length = file.metadata().map_err(unavailable)?.len();
        let mut sealed = vec![0; usize::try_from(length.min(64 * 1024)).unwrap_or(0)];
        file.read_exact_at(&mut sealed, 0).map_err(unavailable)?;
        let plain = sealer.open(END, number, &sealed)?;
        let damaged = StateError::Damaged;
        let (size, rest) = plain.split_first_chunk::<8>().ok_or(damaged)?;
        let (count, hashes) = rest.split_first().ok_or(damaged)?;
        let mut hashes: Vec<Hash> = hashes.chunks_exact(32).filter_map(|hash| hash.try_into().ok()).collect();
        if hashes.len() < usize::from(*count) {
            return Err(damaged);
        }
        let roots = hashes.split_off(usize::from(*count));
        let frontier = Frontier::new(u64::from_be_bytes(*size), hashes).ok_or(damaged)?;
        if frontier.size() != number.saturating_add(1).saturating_mul(PER_FILE) || roots.len() != 256 {
            return Err(damaged);
        }
        Ok(Self { frontier, roots })
    }
}

/// The first and the one after the last of a tile, if there are so many.
fn range(index: u64, width: u64, there: u64) -> Option<(u64, u64)> {
    let first = index.checked_mul(WIDTH)?;
    let end = first.checked_add(width)?;
    (end <= there).then_some((first, end))
}

fn path(folder: &Path, number: u64, kind: &str) -> PathBuf {
    folder.join(format!("{number:08}.{kind}"))
}

#[expect(
    clippy::disallowed_types,
    reason = "the log is the one thing that is written to files, and only sealed"
)]
fn open_file(path: &Path) -> Result<File, StateError> {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(unavailable)
}

fn unavailable(_: std::io::Error) -> StateError {
    StateError::Unavailable
}

fn length_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
