use audit::SignedCheckpoint;
use audit::entry::{Admin, Entry};
use audit::log::{Auditor, Summary};
use audit::tile::{entries_path, path as tile_path};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;

fn root() -> RootKey {
    RootKey::new([6; 32])
}

fn opened(folder: &Path) -> Result<Opened, StateError> {
    Opened::open(folder, &root(), "postern/00/a".to_owned(), "a")
}

fn start(folder: &Path) -> (AuditLog, Arc<Books>) {
    let books = Arc::new(Books::default());
    let log =
        opened(folder).unwrap().start(&root(), Arc::clone(&books), [1; 16], Some(3), || "cf".to_owned());
    (log.unwrap(), books)
}

fn admin(number: usize) -> Event {
    Event::Admin(Box::new(Admin { actor: format!("CANARY-{number}"), ..Admin::default() }))
}

/// What an auditor sees who has the log's bundles and a signed checkpoint.
async fn audited(log: &AuditLog) -> (Summary, Vec<Entry>) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
    let checkpoint = log.checkpoint();
    let signature = pair.sign(checkpoint.text().as_bytes());
    let note = checkpoint.with_signature(&public, signature.as_ref().try_into().unwrap());
    let signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
    let mut auditor = Auditor::new(&signed, &public, "postern/00/a", Vec::new()).unwrap();
    let mut entries = Vec::new();
    while let Some((index, width)) = auditor.wants() {
        let named = Named::parse(&entries_path(index, width)).unwrap();
        let bundle = log.read(named).await.unwrap().unwrap();
        auditor.bundle(&bundle, |_, entry, _| entries.push(entry.clone())).unwrap();
    }
    (auditor.finish().unwrap(), entries)
}

#[tokio::test]
async fn what_was_recorded_is_there_after_a_restart_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = start(folder.path());
    for number in 0..5 {
        assert_eq!(log.record(vec![admin(number)]).await.unwrap(), number as u64 + 1);
    }
    let last = log.stop(Some(9));
    assert_eq!(last.tree_size, 7);
    let again = opened(folder.path()).unwrap();
    assert_eq!(again.head(), last);
    assert_eq!(again.before(), Before { orderly: true, state_generation: Some(9) });
    assert_eq!(again.root_at(7), Some(last.root));
    drop(again);
    let (log, _) = start(folder.path());
    let (summary, entries) = audited(&log).await;
    assert_eq!((summary.admin, summary.crashes), (5, 0));
    assert!(matches!(entries[6].event, Event::Stopped { state_generation: Some(9) }));
    log.stop(None);
}

#[tokio::test]
async fn nothing_but_ciphertext_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = start(folder.path());
    for number in 0..50 {
        log.record(vec![admin(number)]).await.unwrap();
    }
    log.stop(None);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        #[expect(clippy::disallowed_methods, reason = "the test looks at what was written")]
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(bytes.len() > 1000);
        for hidden in [b"CANARY".as_slice(), b"admin", b"format"] {
            assert!(!bytes.windows(hidden.len()).any(|part| part == hidden));
        }
    }
}

#[tokio::test]
async fn a_crash_loses_only_what_was_not_acknowledged_and_shows() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = start(folder.path());
    log.record(vec![admin(1)]).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    let file = "00000000.log";
    std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    log.stop(None);
    // the machine stopped in the middle of a write
    #[expect(clippy::disallowed_methods, reason = "the test plays a torn write")]
    let mut bytes = std::fs::read(copy.path().join(file)).unwrap();
    let whole = bytes.len();
    bytes.extend([0, 0, 1, 0, 9, 9]);
    #[expect(clippy::disallowed_methods, reason = "the test plays a torn write")]
    std::fs::write(copy.path().join(file), &bytes).unwrap();
    assert!(bytes.len() > whole);
    let (log, _) = start(copy.path());
    let (summary, entries) = audited(&log).await;
    assert_eq!((summary.admin, summary.crashes), (1, 1));
    assert!(matches!(entries[2].event, Event::Opened { orderly: false, .. }));
    log.stop(None);
}

#[tokio::test]
async fn an_edited_file_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = start(folder.path());
    for number in 0..4 {
        log.record(vec![admin(number)]).await.unwrap();
    }
    log.stop(None);
    let path = folder.path().join("00000000.log");
    #[expect(clippy::disallowed_methods, reason = "the test plays the host")]
    let bytes = std::fs::read(&path).unwrap();
    let whole = opened(folder.path()).unwrap().head();
    assert_eq!(whole.tree_size, 6);
    let mut damaged = 0;
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        #[expect(clippy::disallowed_methods, reason = "the test plays the host")]
        std::fs::write(&path, &changed).unwrap();
        match opened(folder.path()) {
            Err(StateError::Damaged) => damaged += 1,
            // The last frame passes for a torn write. That it is gone shows in the head.
            Ok(shorter) => assert!(shorter.head().tree_size < whole.tree_size, "byte {at}"),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(damaged > 50, "{damaged}");
}

#[tokio::test]
async fn files_follow_each_other_and_tiles_come_out_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::open(folder.path(), &root(), "postern/00/a").unwrap();
    let mut lines = Lines::new(&root(), [1; 16]);
    let all: Vec<Vec<u8>> = (0..66_000).map(|number| lines.line(admin(number))).collect();
    for batch in all.chunks(5000) {
        files.append(batch).unwrap();
    }
    let head = files.head();
    drop(files);
    let mut files = Files::open(folder.path(), &root(), "postern/00/a").unwrap();
    assert_eq!(files.head(), head);
    let leaves: Vec<audit::Hash> = all.iter().map(|line| audit::tree::leaf(line)).collect();
    let tiles = audit::tile::Tiles::of(leaves);
    for (level, index, width) in [(0, 0, 256), (0, 256, 256), (0, 257, 208), (1, 0, 256), (1, 1, 1)] {
        let named = Named::parse(&tile_path(level, index, width)).unwrap();
        let found = files.read(named, 66_000).unwrap().unwrap();
        assert_eq!(found, tiles.tile(level, index, width).unwrap().concat(), "{level} {index} {width}");
    }
    let beyond = Named::parse(&entries_path(257, 209)).unwrap();
    assert_eq!(files.read(beyond, 66_000).unwrap(), None);
    let early = Named::parse(&entries_path(0, 2)).unwrap();
    assert_eq!(files.read(early, 66_000).unwrap(), write(&all[..2]));
    // a file of another log, and another key
    assert!(matches!(Files::open(folder.path(), &root(), "postern/00/b").err(), Some(StateError::Damaged)));
}

fn write(lines: &[Vec<u8>]) -> Option<Vec<u8>> {
    audit::tile::write_entries(lines.iter().map(Vec::as_slice))
}
