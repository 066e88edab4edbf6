use super::*;
use crate::checkpoint::origin;
use crate::entry::{Call, FORMAT};
use crate::tile::write_entries;
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};

struct Written {
    lines: Vec<Vec<u8>>,
    note: String,
    public: [u8; 32],
}

fn name() -> String {
    origin(&[1; 32], "a")
}

fn line(number: usize) -> Vec<u8> {
    let call = Call { request_id: format!("{number:032x}"), ..Call::default() };
    let event = Event::Call(Box::new(call));
    Entry { format: FORMAT, unix_ms: 1, salt: format!("{number:032x}"), event }.to_line()
}

fn frontier(lines: &[Vec<u8>]) -> Frontier {
    let mut frontier = Frontier::default();
    for line in lines {
        frontier.push(leaf(line));
    }
    frontier
}

fn write(size: usize) -> Written {
    let lines: Vec<Vec<u8>> = (0..size).map(line).collect();
    let pair = Ed25519KeyPair::from_seed_unchecked(&[4; 32]).unwrap();
    let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
    let tree = frontier(&lines);
    let checkpoint = Checkpoint { origin: name(), size: tree.size(), root: tree.root() };
    let signature = pair.sign(checkpoint.text().as_bytes());
    let note = checkpoint.with_signature(&public, signature.as_ref().try_into().unwrap());
    Written { lines, note, public }
}

fn audit(log: &Written, heads: Vec<Head>) -> Result<Summary, AuditError> {
    let signed = SignedCheckpoint::parse(log.note.as_bytes()).ok_or(AuditError::Checkpoint)?;
    let mut auditor = Auditor::new(&signed, &log.public, &name(), heads)?;
    while let Some((index, _)) = auditor.wants() {
        let from = usize::try_from(index).unwrap() * 256;
        let bundle = log.lines.iter().skip(from).take(256).map(Vec::as_slice);
        auditor.bundle(&write_entries(bundle).unwrap(), |_, _, _| {})?;
    }
    auditor.finish()
}

fn head(log: &Written, size: usize) -> Head {
    let tree = frontier(&log.lines[..size]);
    Head { size: tree.size(), root: tree.root() }
}

#[test]
fn a_whole_log_passes_through_every_head() {
    for size in [0, 1, 255, 256, 257, 600] {
        let log = write(size);
        let heads = vec![head(&log, size), head(&log, size / 2), head(&log, 0)];
        let summary = audit(&log, heads).unwrap();
        assert_eq!((summary.entries, summary.calls), (size as u64, size as u64));
    }
}

#[test]
fn another_history_is_a_fork() {
    let log = write(300);
    let other = Head { root: [9; 32], ..head(&log, 100) };
    assert_eq!(audit(&log, vec![other]), Err(AuditError::Fork { size: 100 }));
    let beyond = Head { size: 301, root: [9; 32] };
    assert_eq!(audit(&log, vec![beyond]), Err(AuditError::Short { found: 300, expected: 301 }));
}

#[test]
fn another_key_or_log_is_not_believed() {
    let mut log = write(3);
    log.public = [0; 32];
    assert_eq!(audit(&log, vec![]), Err(AuditError::Checkpoint));
    let log = write(3);
    let signed = SignedCheckpoint::parse(log.note.as_bytes()).unwrap();
    assert_eq!(Auditor::new(&signed, &log.public, "postern/else/a", vec![]).err(), Some(AuditError::Origin));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    /// Whatever single thing is done to the entries, the audit does not pass.
    #[test]
    fn nothing_can_be_removed_added_moved_or_changed(size in 2_usize..520, at in 0_usize..520, kind in 0_u8..4) {
        let mut log = write(size);
        let at = at % size;
        match kind {
            0 => drop(log.lines.remove(at)),
            1 => log.lines.insert(at, line(9999)),
            2 => {
                let other = (at + 1) % size;
                log.lines.swap(at, other);
            }
            _ => log.lines[at] = line(8888),
        }
        prop_assert!(audit(&log, vec![]).is_err());
    }
}
