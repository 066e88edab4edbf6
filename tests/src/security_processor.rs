//! The simulated security processor, in process: every test has its own, under one root.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use simtee::{Authority, Processor, ProcessorSpec, Product};

use crate::programs::lasting_folder;

/// A processor behind a Unix socket.
#[derive(Clone, Debug)]
pub struct SecurityProcessor {
    /// Where it listens.
    pub socket: PathBuf,
    /// The processor.
    pub processor: Arc<Processor>,
    /// The hardware id that its key is certified for.
    pub chip_id: Vec<u8>,
}

impl SecurityProcessor {
    /// A good Genoa processor with the test measurement and an id of its own.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, |_| {})
    }

    /// The same after one change.
    pub fn start_with(folder: &Path, change: impl FnOnce(&mut ProcessorSpec)) -> Self {
        let mut spec = good();
        change(&mut spec);
        let chip_id = spec.report.chip_id.to_vec();
        let processor = Arc::new(Processor::new(authority(), spec).expect("the specification is consistent"));
        let socket = (0..100)
            .map(|index| folder.join(format!("psp-{index}.sock")))
            .find(|path| !path.exists())
            .unwrap();
        let listener = simtee::server::bind(&socket).expect("a socket in a new folder");
        let served = Arc::clone(&processor);
        std::thread::spawn(move || simtee::server::serve(&listener, &served));
        Self { socket, processor, chip_id }
    }
}

/// A specification that an ordinary policy accepts.
pub fn good() -> ProcessorSpec {
    let mut spec = ProcessorSpec::new(Product::Genoa);
    spec.report.measurement = measurement();
    spec
}

/// The measurement of the code under test.
pub fn measurement() -> [u8; 48] {
    simtee::measure(&[b"postern-tests".as_slice()])
}

/// The throw-away root. Its RSA keys take a second to make, so one serves all tests of a build.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let lock = std::fs::File::create(lasting_folder().join("pki.lock")).expect("a lock file can be made");
        lock.lock().expect("files can be locked");
        let folder = lasting_folder().join("pki");
        std::fs::create_dir_all(&folder).expect("the target folder can be written to");
        Authority::load_or_create(&folder, Product::Genoa.line()).expect("a throw-away root can be made")
    })
}

/// The simulated vendor's floors as a file, for policies.
pub fn floors_file(folder: &Path) -> PathBuf {
    let path = folder.join("floors.json");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    std::fs::write(&path, simtee::floors::document(now.as_secs())).expect("the folder can be written to");
    path
}

/// The root as a file, for policies.
pub fn root_file(folder: &Path) -> PathBuf {
    let path = folder.join("ark.der");
    std::fs::write(&path, authority().ark_certificate()).expect("the folder can be written to");
    path
}
