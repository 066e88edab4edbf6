//! Four TPM 2.0 commands (TCG "TPM 2.0 Library", part 3) over a character device: read an index and its size, read
//! registers, quote. Whole libraries for TPMs speak to a C stack; this is what evidence takes.

use crate::attester::AttesterError;
use crate::azure_evidence::PCRS;
use crate::digest::Sha256;
use crate::reader::{Cursor, Truncated};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

/// The TPM behind the kernel's resource manager, which several programs may use at once.
pub const DEFAULT_DEVICE: &str = "/dev/tpmrm0";

/// Longest response of a TPM.
const MAX_RESPONSE_BYTES: usize = 4096;
/// Bytes of non-volatile memory asked for at once: what every implementation gives (`TPM_PT_NV_BUFFER_MAX`).
const NV_CHUNK: u16 = 512;
/// Longest index read.
const MAX_INDEX_BYTES: u16 = 8 * 1024;
/// Registers asked for at once: as many as one `TPML_DIGEST` holds.
const PCR_CHUNK: u8 = 8;
/// How often a busy TPM is asked.
const ATTEMPTS: u32 = 6;
/// Wait before the second attempt; doubled before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(10);

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
const NV_READ_PUBLIC: u32 = 0x169;
const NV_READ: u32 = 0x14e;
const PCR_READ: u32 = 0x17e;
const QUOTE: u32 = 0x158;
const OWNER: u32 = 0x4000_0001;
const SHA256: u16 = 0x000b;
const RSASSA: u16 = 0x0014;
const NO_SCHEME: u16 = 0x0010;

/// An empty password: handle, no nonce, no attributes, no secret, with their length before.
const EMPTY_PASSWORD: [u8; 13] = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];

/// `TPM_RC_RETRY`, `TPM_RC_YIELDED`, `TPM_RC_TESTING`: not now.
const BUSY: [u32; 3] = [0x922, 0x908, 0x90a];
/// `TPM_RC_HANDLE`, with the bits that say which handle masked out.
const NO_SUCH_HANDLE: u32 = 0x08b;

/// Something that answers TPM commands.
pub trait TpmDevice: Send {
    /// Sends one command and returns the whole response.
    ///
    /// # Errors
    /// Those of the device.
    fn transact(&mut self, command: &[u8]) -> io::Result<Vec<u8>>;

    /// Lets time pass before a busy TPM is asked again.
    fn wait(&mut self, time: Duration) {
        #[expect(clippy::disallowed_methods, reason = "only attesters wait, and on their own thread")]
        std::thread::sleep(time);
    }
}

/// A TPM's character device: one write is a command, one read its response.
#[derive(Debug)]
pub struct DeviceFile(std::fs::File);

impl DeviceFile {
    /// Opens the device.
    ///
    /// # Errors
    /// `Unavailable` when it is not there or may not be used, `Busy` when another program has it alone.
    pub fn open(path: &Path) -> Result<Self, AttesterError> {
        #[expect(clippy::disallowed_types, reason = "this file owns the TPM's device")]
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path);
        file.map(Self).map_err(|error| unusable(error.kind()))
    }
}

impl TpmDevice for DeviceFile {
    fn transact(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut response = vec![0; MAX_RESPONSE_BYTES];
        let length = self.0.read(&mut response)?;
        response.truncate(length);
        Ok(response)
    }
}

/// A quote as the TPM gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TpmQuote {
    /// `TPMS_ATTEST`.
    pub(crate) attest: Vec<u8>,
    /// The number inside the RSASSA signature.
    pub(crate) signature: Vec<u8>,
}

/// The content of an index; none where there is no such index.
pub(crate) fn read_index(device: &mut dyn TpmDevice, index: u32) -> Result<Option<Vec<u8>>, AttesterError> {
    let public =
        match command(device, "reading an index's size", NO_SESSIONS, NV_READ_PUBLIC, &index.to_be_bytes()) {
            Err(AttesterError::Tpm { code, .. }) if code & 0xbf == NO_SUCH_HANDLE => return Ok(None),
            other => other?,
        };
    let size = index_size(&public).map_err(truncated)?;
    if size > MAX_INDEX_BYTES {
        return Err(AttesterError::Malformed("an index over its limit"));
    }
    let mut content = Vec::new();
    let mut offset = 0;
    while offset < size {
        let chunk = NV_CHUNK.min(size.saturating_sub(offset));
        let mut parameters = [OWNER.to_be_bytes(), index.to_be_bytes()].concat();
        parameters.extend_from_slice(&EMPTY_PASSWORD);
        parameters.extend_from_slice(&chunk.to_be_bytes());
        parameters.extend_from_slice(&offset.to_be_bytes());
        let response = command(device, "reading an index", SESSIONS, NV_READ, &parameters)?;
        let mut cursor = Cursor::new(&response);
        let read = sized(&mut cursor).map_err(truncated)?;
        if read.len() != usize::from(chunk) {
            return Err(AttesterError::Malformed("another number of bytes from an index"));
        }
        content.extend_from_slice(read);
        offset = offset.saturating_add(chunk);
    }
    Ok(Some(content))
}

/// The SHA-256 bank.
pub(crate) fn read_pcrs(device: &mut dyn TpmDevice) -> Result<BTreeMap<u8, Sha256>, AttesterError> {
    let mut registers = BTreeMap::new();
    let mut first = 0;
    while first < PCRS {
        let chunk: Vec<u8> = (first..first.saturating_add(PCR_CHUNK)).collect();
        let response = command(device, "reading registers", NO_SESSIONS, PCR_READ, &selection(&chunk))?;
        let mut cursor = Cursor::new(&response);
        cursor.u32_be().map_err(truncated)?;
        let echoed = cursor.take(selection(&chunk).len()).map_err(truncated)?;
        let count = cursor.u32_be().map_err(truncated)?;
        if echoed != selection(&chunk) || count != u32::from(PCR_CHUNK) {
            return Err(AttesterError::Malformed("other registers than those asked for"));
        }
        for index in chunk {
            let value = Sha256::try_from(sized(&mut cursor).map_err(truncated)?);
            registers
                .insert(index, value.map_err(|_| AttesterError::Malformed("a register of another size"))?);
        }
        cursor.finish().map_err(truncated)?;
        first = first.saturating_add(PCR_CHUNK);
    }
    Ok(registers)
}

/// A quote over the whole SHA-256 bank and `extra_data` by the key at `handle`.
pub(crate) fn quote(
    device: &mut dyn TpmDevice,
    handle: u32,
    extra_data: &[u8; 32],
) -> Result<TpmQuote, AttesterError> {
    let mut parameters = handle.to_be_bytes().to_vec();
    parameters.extend_from_slice(&EMPTY_PASSWORD);
    parameters.extend_from_slice(&[0, 32]);
    parameters.extend_from_slice(extra_data);
    parameters.extend_from_slice(&NO_SCHEME.to_be_bytes());
    parameters.extend_from_slice(&selection(&(0..PCRS).collect::<Vec<_>>()));
    let response = command(device, "quoting", SESSIONS, QUOTE, &parameters)?;
    let mut cursor = Cursor::new(&response);
    let attest = sized(&mut cursor).map_err(truncated)?.to_vec();
    let algorithms = (cursor.u16_be().map_err(truncated)?, cursor.u16_be().map_err(truncated)?);
    if algorithms != (RSASSA, SHA256) {
        return Err(AttesterError::Malformed("a signature that is not RSASSA with SHA-256"));
    }
    let signature = sized(&mut cursor).map_err(truncated)?.to_vec();
    cursor.finish().map_err(truncated)?;
    Ok(TpmQuote { attest, signature })
}

/// `TPML_PCR_SELECTION` with these registers of the SHA-256 bank.
fn selection(registers: &[u8]) -> Vec<u8> {
    let mask = registers.iter().fold(0_u32, |mask, index| mask | 1_u32.wrapping_shl(u32::from(*index)));
    let [low, middle, high, _] = mask.to_le_bytes();
    let [bank_high, bank_low] = SHA256.to_be_bytes();
    vec![0, 0, 0, 1, bank_high, bank_low, 3, low, middle, high]
}

/// `dataSize` of a `TPM2B_NV_PUBLIC`.
fn index_size(response: &[u8]) -> Result<u16, Truncated> {
    let mut cursor = Cursor::new(response);
    let mut public = Cursor::new(sized(&mut cursor)?);
    // index, name algorithm, attributes, policy
    public.take(10)?;
    sized(&mut public)?;
    public.u16_be()
}

/// A length of 16 bits and as many bytes.
fn sized<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Truncated> {
    let length = cursor.u16_be()?;
    cursor.take(usize::from(length))
}

/// Sends a command, again while the TPM is busy; returns the response's parameters.
fn command(
    device: &mut dyn TpmDevice,
    doing: &'static str,
    tag: u16,
    code: u32,
    parameters: &[u8],
) -> Result<Vec<u8>, AttesterError> {
    let mut bytes = tag.to_be_bytes().to_vec();
    let size = u32::try_from(parameters.len().saturating_add(10)).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(parameters);
    let mut wait = FIRST_WAIT;
    for _ in 1..ATTEMPTS {
        match attempt(device, doing, tag, &bytes) {
            Err(AttesterError::Busy) => device.wait(wait),
            other => return other,
        }
        wait = wait.saturating_mul(2);
    }
    attempt(device, doing, tag, &bytes)
}

fn attempt(
    device: &mut dyn TpmDevice,
    doing: &'static str,
    tag: u16,
    command: &[u8],
) -> Result<Vec<u8>, AttesterError> {
    let response = device.transact(command).map_err(|error| failed(doing, error.kind()))?;
    let mut cursor = Cursor::new(&response);
    let answered = cursor.u16_be().map_err(truncated)?;
    let size = cursor.u32_be().map_err(truncated)?;
    let code = cursor.u32_be().map_err(truncated)?;
    if usize::try_from(size) != Ok(response.len()) {
        return Err(AttesterError::Malformed("a response of another size than it says"));
    }
    match code {
        0 if answered == tag => {}
        0 => return Err(AttesterError::Malformed("a response of another kind")),
        busy if BUSY.contains(&busy) => return Err(AttesterError::Busy),
        code => return Err(AttesterError::Tpm { doing, code }),
    }
    if tag == NO_SESSIONS {
        return Ok(cursor.rest().to_vec());
    }
    // what follows the parameters is the session's answer to an empty password
    let size = usize::try_from(cursor.u32_be().map_err(truncated)?).unwrap_or(usize::MAX);
    Ok(cursor.take(size).map_err(truncated)?.to_vec())
}

const fn truncated(_: Truncated) -> AttesterError {
    AttesterError::Malformed("a response that ends early or late")
}

fn unusable(kind: io::ErrorKind) -> AttesterError {
    if kind == io::ErrorKind::NotFound {
        AttesterError::Unavailable("there is no TPM device: is the kernel's TPM driver loaded?")
    } else if kind == io::ErrorKind::PermissionDenied {
        AttesterError::Unavailable("the TPM device may not be used by this user: add it to the group tss")
    } else {
        failed("opening the TPM", kind)
    }
}

fn failed(doing: &'static str, kind: io::ErrorKind) -> AttesterError {
    if matches!(kind, io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock) {
        AttesterError::Busy
    } else {
        AttesterError::Io { doing, kind }
    }
}
