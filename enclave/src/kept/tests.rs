use super::*;
use crate::config::RootKeyFrom;
use crate::secrets::References;

/// A machine with a disk that its host may do anything to.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a key for the test")]
        std::fs::write(folder.path().join("root.key"), "5a".repeat(32)).unwrap();
        Self { folder }
    }

    fn config(&self, mode: &str) -> State {
        let at = self.folder.path().display();
        toml::from_str(&format!(
            "root_key = \"file:{at}/root.key\"\nstore = \"file:{at}/state.redb\"\naudit = \"{at}/log\"\n{mode}"
        ))
        .unwrap()
    }

    async fn open(&self) -> Result<Kept, KeptError> {
        let config = self.config("mode = \"lease\"");
        // the thread of the process before may not have let go of the file yet
        for _ in 0..200 {
            let root = sealing_key::obtain(Some(&config), None, &Chip::Device, &[0; 32])?;
            match Kept::open(Some(&config), root, &[0; 32], Way::default()).await {
                Err(KeptError::State(StateError::Locked)) => {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
                other => return other,
            }
        }
        Err(KeptError::State(StateError::Locked))
    }

    /// A process over this configuration.
    fn wanted(config: State) -> Wanted {
        Wanted {
            config: Some(config),
            provisioning: None,
            chip: Chip::Device,
            host: None,
            deployment_id: [0; 32],
            fresh: Zeroizing::new([0; 32]),
            instance: [1; 16],
            books: Arc::default(),
            served_under: watch::channel(Sha384::of(b"configuration")).1,
            log: Arc::default(),
        }
    }

    /// One life of the enclave, with some changes; ends in order.
    async fn live(&self, changes: usize) -> StateHead {
        let books = Arc::new(Books::default());
        let (store, log) = self.open().await.unwrap().start(&books, [1; 16], String::new).await.unwrap();
        for number in 0..changes {
            let id = RecordId::new(format!("team-{number}")).unwrap();
            store.commit(vec![Change::put(Table::Teams, id, Expect::Any, "x")]).await.unwrap();
        }
        finish(&store, &log.unwrap()).await
    }

    fn copy(&self, name: &str, to: &str) {
        let from = self.folder.path().join(name);
        let to = self.folder.path().join(to);
        if from.is_dir() {
            std::fs::remove_dir_all(&to).ok();
            std::fs::create_dir_all(&to).unwrap();
            for file in std::fs::read_dir(from).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_store_that_outlives_the_process_starts_in_lease_mode_only() {
    let machine = Machine::new();
    let mut strict = machine.config("");
    let unprovable = Some(KeptError::State(StateError::RollbackUnprovable));
    assert_eq!(
        Keeping::begin(Machine::wanted(strict.clone()), &References::default()).await.err(),
        unprovable
    );
    // whoever has the key
    strict.root_key = Some(RootKeyFrom::Provisioned);
    assert_eq!(Keeping::begin(Machine::wanted(strict), &References::default()).await.err(), unprovable);
    assert!(machine.open().await.is_ok());
}

#[tokio::test]
async fn records_and_log_go_on_where_they_were() {
    let machine = Machine::new();
    let first = machine.live(3).await;
    let second = machine.live(2).await;
    assert_eq!((first.tree_size, second.tree_size), (2, 4));
}

#[tokio::test]
async fn records_of_another_time_than_the_log_are_refused() {
    let machine = Machine::new();
    machine.live(3).await;
    machine.copy("state.redb", "old.redb");
    machine.copy("log", "old-log");
    machine.live(3).await;
    machine.copy("state.redb", "new.redb");
    machine.copy("log", "new-log");
    // the positive control: both as they are
    drop(machine.open().await.unwrap());

    machine.copy("old.redb", "state.redb");
    assert_eq!(machine.open().await.err(), Some(KeptError::State(StateError::Rollback)), "older records");
    machine.copy("new.redb", "state.redb");
    machine.copy("old-log", "log");
    assert_eq!(machine.open().await.err(), Some(KeptError::State(StateError::Rollback)), "an older log");
    machine.copy("new-log", "log");
    drop(machine.open().await.unwrap());

    // Both older, together: no enclave alone can tell. The head in its evidence is smaller, and clients tell.
    machine.copy("old.redb", "state.redb");
    machine.copy("old-log", "log");
    let head = machine.live(0).await;
    assert_eq!(head.tree_size, 4);
}

#[tokio::test]
async fn another_root_key_opens_nothing() {
    let machine = Machine::new();
    machine.live(1).await;
    #[expect(clippy::disallowed_methods, reason = "a key for the test")]
    std::fs::write(machine.folder.path().join("root.key"), "5b".repeat(32)).unwrap();
    assert_eq!(machine.open().await.err(), Some(KeptError::State(StateError::Key)));
}

#[tokio::test]
async fn state_opens_when_its_root_key_is_given_and_with_no_other() {
    let machine = Machine::new();
    let mut config = machine.config("mode = \"lease\"");
    config.root_key = Some(RootKeyFrom::Provisioned);
    let key = |byte| Some(RootKey::new([byte; 32]));
    let life = async || {
        let (keeping, standing) =
            Keeping::begin(Machine::wanted(config.clone()), &References::default()).await.unwrap();
        assert!(matches!(standing, Standing::Awaited) && keeping.at_work().is_none());
        keeping
    };

    let first = life().await;
    assert_eq!(first.open(None, &References::default()).await.err(), Some(KeptError::Key(KeyError::Awaited)));
    assert!(matches!(first.open(key(7), &References::default()).await, Ok(Standing::Governed(_))));
    assert!(first.wanted.log.get().is_some(), "evidence names the head");
    assert!(
        first.open(None, &References::default()).await.is_ok()
            && first.open(key(7), &References::default()).await.is_ok(),
        "again is no harm"
    );
    assert_eq!(
        first.open(key(8), &References::default()).await.err(),
        Some(KeptError::Key(KeyError::Another))
    );
    first.at_work().unwrap().finish().await;
    drop(first);

    let second = life().await;
    assert_eq!(
        second.open(key(8), &References::default()).await.err(),
        Some(KeptError::State(StateError::Key))
    );
    assert!(second.at_work().is_none());
    assert!(second.open(key(7), &References::default()).await.is_ok(), "a mistake can be mended");
    assert_eq!(second.once_open().await.map(|own| own.governed().is_some()), Some(true));
}
