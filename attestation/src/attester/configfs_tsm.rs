//! The kernel's report interface (`/sys/kernel/config/tsm/report`, Documentation/ABI/testing/configfs-tsm-report):
//! plain files, the same for SNP and TDX. One directory per request keeps other users out; the generation counter
//! proves that none interfered.

use crate::attester::{Attester, AttesterError, MAX_AUXILIARY_BYTES, Quote};
use crate::digest::ReportData;
use crate::evidence::{MAX_CPU_EVIDENCE_BYTES, TeeType};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where the kernel mounts the interface.
pub const DEFAULT_ROOT: &str = "/sys/kernel/config/tsm/report";

/// How often a request is made before giving up on a busy device or a busy neighbour.
const ATTEMPTS: u32 = 6;

/// Wait before the second attempt; doubled before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// Longest small attribute (`provider`, `generation`).
const MAX_ATTRIBUTE_BYTES: usize = 64;

/// Asks the hardware through the kernel.
#[derive(Debug)]
pub struct ConfigfsTsm {
    root: PathBuf,
    tee: TeeType,
    next: AtomicU64,
}

impl ConfigfsTsm {
    /// Looks for the interface at `root` (usually [`DEFAULT_ROOT`]) and asks it which hardware it speaks for.
    ///
    /// # Errors
    /// `Unavailable` without the interface or with a provider this crate does not know.
    pub fn detect(root: impl Into<PathBuf>) -> Result<Self, AttesterError> {
        let root = root.into();
        let tee = provider(&mut Kernel, &root.join(entry_name(0)))?;
        Ok(Self { root, tee, next: AtomicU64::new(1) })
    }
}

impl Attester for ConfigfsTsm {
    fn tee(&self) -> TeeType {
        self.tee
    }

    fn quote(&self, report_data: &ReportData) -> Result<Quote, AttesterError> {
        let entry = self.root.join(entry_name(self.next.fetch_add(1, Ordering::Relaxed)));
        request(&mut Kernel, &entry, report_data)
    }
}

/// The file operations of the interface, so that tests can play the kernel.
trait Files {
    fn make(&mut self, folder: &Path) -> io::Result<()>;
    fn remove(&mut self, folder: &Path) -> io::Result<()>;
    fn read(&mut self, file: &Path, limit: usize) -> io::Result<Vec<u8>>;
    fn write(&mut self, file: &Path, bytes: &[u8]) -> io::Result<()>;
    fn wait(&mut self, time: Duration);
}

/// The real ones.
struct Kernel;

#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this file owns the kernel's report interface"
)]
impl Files for Kernel {
    fn make(&mut self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir(folder)
    }

    fn remove(&mut self, folder: &Path) -> io::Result<()> {
        std::fs::remove_dir(folder)
    }

    fn read(&mut self, file: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let over = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        std::fs::File::open(file)?.take(over).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&mut self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        // one write call: the kernel takes the blob whole
        std::fs::OpenOptions::new().write(true).open(file)?.write_all(bytes)
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

fn entry_name(number: u64) -> String {
    format!("postern-{}-{number}", std::process::id())
}

/// Which hardware is behind the interface.
fn provider(files: &mut impl Files, entry: &Path) -> Result<TeeType, AttesterError> {
    within(files, entry, |files| {
        let name = small(files, &entry.join("provider"))?;
        match name.as_str() {
            "sev_guest" => Ok(TeeType::Snp),
            "tdx_guest" => Ok(TeeType::Tdx),
            _ => Err(AttesterError::Unavailable("another provider than sev_guest or tdx_guest")),
        }
    })
}

/// One request in its own directory, repeated while something is busy.
fn request(files: &mut impl Files, entry: &Path, report_data: &ReportData) -> Result<Quote, AttesterError> {
    within(files, entry, |files| {
        let mut wait = FIRST_WAIT;
        for _ in 1..ATTEMPTS {
            match attempt(files, entry, report_data) {
                Err(AttesterError::Busy) => files.wait(wait),
                other => return other,
            }
            wait = wait.saturating_mul(2);
        }
        attempt(files, entry, report_data)
    })
}

fn attempt(files: &mut impl Files, entry: &Path, report_data: &ReportData) -> Result<Quote, AttesterError> {
    let before = generation(files, entry)?;
    files.write(&entry.join("inblob"), report_data.as_bytes()).map_err(failed("writing inblob"))?;
    let bytes = blob(files, &entry.join("outblob"), MAX_CPU_EVIDENCE_BYTES)?;
    let auxiliary = match files.read(&entry.join("auxblob"), MAX_AUXILIARY_BYTES) {
        Ok(bytes) if bytes.len() > MAX_AUXILIARY_BYTES => {
            return Err(AttesterError::Malformed("auxblob over its limit"));
        }
        Ok(bytes) => bytes,
        // not every provider has one
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed("reading auxblob")(error)),
    };
    // exactly our write happened since: the report is over our data and nobody else's
    if generation(files, entry)? != before.wrapping_add(1) {
        return Err(AttesterError::Busy);
    }
    if bytes.is_empty() { Err(AttesterError::Refused) } else { Ok(Quote { bytes, auxiliary }) }
}

/// Runs `work` with the entry's directory made before and removed after, whatever happens.
fn within<F: Files, T>(
    files: &mut F,
    entry: &Path,
    work: impl FnOnce(&mut F) -> Result<T, AttesterError>,
) -> Result<T, AttesterError> {
    files.make(entry).map_err(unavailable)?;
    let result = work(files);
    let removed = files.remove(entry).map_err(failed("removing the report entry"));
    let value = result?;
    removed.map(|()| value)
}

fn generation(files: &mut impl Files, entry: &Path) -> Result<u64, AttesterError> {
    let text = small(files, &entry.join("generation"))?;
    text.parse().map_err(|_| AttesterError::Malformed("generation is not a number"))
}

fn small(files: &mut impl Files, file: &Path) -> Result<String, AttesterError> {
    let bytes = files.read(file, MAX_ATTRIBUTE_BYTES).map_err(failed("reading a report attribute"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| AttesterError::Malformed("attribute is not text"))?;
    Ok(text.trim_end().to_owned())
}

fn blob(files: &mut impl Files, file: &Path, limit: usize) -> Result<Vec<u8>, AttesterError> {
    let bytes = files.read(file, limit).map_err(failed("reading outblob"))?;
    if bytes.len() > limit { Err(AttesterError::Malformed("outblob over its limit")) } else { Ok(bytes) }
}

fn unavailable(error: io::Error) -> AttesterError {
    let kind = error.kind();
    if kind == io::ErrorKind::NotFound {
        AttesterError::Unavailable("configfs-tsm is not there: is CONFIG_TSM_REPORTS on?")
    } else if kind == io::ErrorKind::PermissionDenied {
        AttesterError::Unavailable("configfs-tsm may not be used by this user")
    } else {
        failed("making a report entry")(error)
    }
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> AttesterError {
    move |error| {
        let kind = error.kind();
        if matches!(kind, io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock) {
            AttesterError::Busy
        } else {
            AttesterError::Io { doing, kind }
        }
    }
}

#[cfg(test)]
mod tests;
