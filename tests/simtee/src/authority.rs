//! The three authorities of a product line: ARK, ASK and ASVK keys, kept in a folder or in memory.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::SimteeError;
use crate::certificate::{CertificateSpec, DAY, intermediate_extensions, root_extensions};
use crate::keys::RsaKey;
use crate::product::Line;

/// The files of one line's folder: three keys.
const FILES: [&str; 3] = ["ark.key", "ask.key", "asvk.key"];

/// A throw-away copy of AMD's authorities for one product line.
#[derive(Debug)]
pub struct Authority {
    line: Line,
    pub(crate) ark: RsaKey,
    pub(crate) ask: RsaKey,
    pub(crate) asvk: RsaKey,
    /// Unix seconds at which certificates made by this authority are "now".
    pub(crate) now: u64,
    ark_certificate: Vec<u8>,
}

impl Authority {
    /// Makes three keys; they live in memory only.
    pub fn create(line: Line) -> Result<Self, SimteeError> {
        let [ark, ask, asvk] = generate_three()?;
        let now = unix_now();
        let ark_certificate = root_spec(line, &ark, now).issue(&ark)?;
        Ok(Self { line, ark, ask, asvk, now, ark_certificate })
    }

    /// Loads the authority of `line` from `folder`, or makes one and keeps it there. Safe to call from
    /// several processes at once: the first complete folder wins.
    ///
    /// The keys are readable by the owner only. The root certificate is `folder/<line>/ark.der`.
    pub fn load_or_create(folder: &Path, line: Line) -> Result<Self, SimteeError> {
        let home = folder.join(line.name().to_lowercase());
        if home.exists() {
            return Self::load(&home, line);
        }
        let made = Self::create(line)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(SimteeError::io("create the folder", folder))?;
        let draft = folder.join(format!(".{}-{}", line.name().to_lowercase(), std::process::id()));
        made.save(&draft)?;
        match fs::rename(&draft, &home) {
            Ok(()) => Ok(made),
            Err(_) if home.exists() => {
                fs::remove_dir_all(&draft).map_err(SimteeError::io("remove the folder", &draft))?;
                Self::load(&home, line)
            }
            Err(error) => Err(SimteeError::io("create the folder", &home)(error)),
        }
    }

    fn load(home: &Path, line: Line) -> Result<Self, SimteeError> {
        let read = |name: &str| {
            let path = home.join(name);
            fs::read(&path).map_err(SimteeError::io("read", &path))
        };
        let [ark, ask, asvk] = FILES.map(|name| RsaKey::from_pkcs8(&read(name)?));
        let ark_certificate = read("ark.der")?;
        Ok(Self { line, ark: ark?, ask: ask?, asvk: asvk?, now: unix_now(), ark_certificate })
    }

    fn save(&self, home: &Path) -> Result<(), SimteeError> {
        fs::DirBuilder::new().mode(0o700).create(home).map_err(SimteeError::io("create the folder", home))?;
        for (name, key) in FILES.into_iter().zip([&self.ark, &self.ask, &self.asvk]) {
            write_private(&home.join(name), &key.to_pkcs8()?)?;
        }
        write_private(&home.join("ark.der"), &self.ark_certificate)
    }

    /// The product line.
    pub fn line(&self) -> Line {
        self.line
    }

    /// The root certificate in DER: what a policy names to accept this authority.
    pub fn ark_certificate(&self) -> &[u8] {
        &self.ark_certificate
    }

    /// Sets the time that certificates and revocation lists are dated from, unix seconds. The root
    /// certificate keeps its dates.
    #[must_use]
    pub fn at(mut self, now: u64) -> Self {
        self.now = now;
        self
    }

    /// The intermediate certificate for VCEKs, ready to be changed.
    pub fn ask_spec(&self) -> CertificateSpec {
        let subject = format!("SEV-{}", self.line.name());
        self.intermediate_spec(1, subject, &self.ask, "vcek")
    }

    /// The intermediate certificate for VLEKs, ready to be changed.
    pub fn asvk_spec(&self) -> CertificateSpec {
        let subject = format!("SEV-VLEK-{}", self.line.name());
        self.intermediate_spec(2, subject, &self.asvk, "vlek")
    }

    fn intermediate_spec(&self, serial: usize, subject: String, key: &RsaKey, path: &str) -> CertificateSpec {
        CertificateSpec {
            serial: self.line.serials()[serial].to_vec(),
            issuer: ark_name(self.line),
            subject,
            not_before: self.now - DAY,
            not_after: self.now + 25 * 365 * DAY,
            public_info: key.public_info().to_vec(),
            extensions: intermediate_extensions(
                key.public_info(),
                self.ark.public_info(),
                &crl_url(path, self.line),
            ),
            trailer: true,
        }
    }
}

/// Common name of a line's root.
pub(crate) fn ark_name(line: Line) -> String {
    format!("ARK-{}", line.name())
}

/// A self-signed root for `key`, ready to be issued by that key.
pub(crate) fn root_spec(line: Line, key: &RsaKey, now: u64) -> CertificateSpec {
    CertificateSpec {
        serial: line.serials()[0].to_vec(),
        issuer: ark_name(line),
        subject: ark_name(line),
        not_before: now - DAY,
        not_after: now + 25 * 365 * DAY,
        public_info: key.public_info().to_vec(),
        extensions: root_extensions(key.public_info(), &crl_url("vcek", line)),
        trailer: true,
    }
}

/// AMD's address for the list. Nothing fetches it: the list comes with the evidence.
fn crl_url(path: &str, line: Line) -> String {
    format!("https://kdsintf.amd.com/{path}/v1/{}/crl", line.name())
}

/// Makes three RSA keys side by side.
fn generate_three() -> Result<[RsaKey; 3], SimteeError> {
    let lost = || SimteeError::Crypto("make an RSA-4096 key");
    std::thread::scope(|scope| {
        let second = scope.spawn(RsaKey::generate);
        let third = scope.spawn(RsaKey::generate);
        let first = RsaKey::generate()?;
        Ok([first, second.join().map_err(|_| lost())??, third.join().map_err(|_| lost())??])
    })
}

/// Writes a file that only its owner can read; it must not exist.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), SimteeError> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(SimteeError::io("write", path))
}

/// Seconds since 1970; zero on a clock before that.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Removes a file if it is there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
