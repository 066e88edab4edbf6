//! Evidence in words: every field and every bit of a report, quote or document, with what it means. Nothing is verified
//! here, and the first line of every view says so; `postern appraise` judges.

mod azure;
mod certificate;
mod document;
mod snp;
mod tdx;

use attestation::digest::to_hex;
use attestation::endorsements::Endorsements;
use attestation::inspect::{SNP_REPORT_BYTES, certificate as read_certificate};
use attestation::{AzureEvidence, EnclaveClaims, EvidenceDocument, Keyset, Rejection};
use serde::Serialize;

/// Longest file that is looked at, in bytes.
pub const MAX_EVIDENCE_BYTES: usize = 1024 * 1024;

/// Evidence in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// What it is.
    pub kind: String,
    /// Its parts in order.
    pub parts: Vec<Part>,
}

/// A part with a title.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What the part is about.
    pub title: String,
    /// Its fields in order.
    pub fields: Vec<Field>,
}

/// One field or bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value: a number, a text or hexadecimal.
    pub value: String,
    /// What it means; may be empty.
    pub meaning: String,
}

impl Part {
    fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), fields: Vec::new() }
    }

    fn add(&mut self, name: &str, value: impl Into<String>, meaning: impl Into<String>) -> &mut Self {
        self.fields.push(Field { name: name.to_owned(), value: value.into(), meaning: meaning.into() });
        self
    }

    fn hex(&mut self, name: &str, bytes: &[u8], meaning: &str) -> &mut Self {
        let zero = bytes.iter().all(|byte| *byte == 0);
        let meaning = if zero && !bytes.is_empty() { format!("zero: {meaning}") } else { meaning.to_owned() };
        self.add(name, to_hex(bytes), meaning)
    }
}

/// Why something cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewError {
    /// Empty.
    Empty,
    /// It looks like this kind, and does not read as one.
    Broken {
        /// Which kind.
        kind: &'static str,
        /// What is wrong.
        rejection: Rejection,
    },
    /// Longer than allowed.
    TooLarge,
    /// Text, where bytes are expected.
    Text,
    /// Nothing that is known.
    Unknown {
        /// Its length.
        length: usize,
        /// Its first bytes in hexadecimal.
        start: String,
    },
}

impl std::fmt::Display for ViewError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("there is nothing to show: the input is empty"),
            Self::Broken { kind, rejection } => write!(f, "this looks like {kind}, but: {rejection}"),
            Self::TooLarge => write!(f, "more than {MAX_EVIDENCE_BYTES} bytes"),
            Self::Text => f.write_str("this is text; evidence is bytes (decode base64 or hexadecimal first)"),
            Self::Unknown { length, start } => {
                write!(f, "{length} bytes beginning with {start} are no kind of evidence that is known here")
            }
        }
    }
}

impl std::error::Error for ViewError {}

/// Finds out what `bytes` are and puts them into words.
///
/// # Errors
/// What it is not, or what is wrong with it.
pub fn view(bytes: &[u8]) -> Result<View, ViewError> {
    if bytes.is_empty() {
        return Err(ViewError::Empty);
    }
    if bytes.len() > MAX_EVIDENCE_BYTES {
        return Err(ViewError::TooLarge);
    }
    let broken = |kind| move |rejection| ViewError::Broken { kind, rejection };
    if bytes.starts_with(b"HCLA") {
        return azure::hcl(bytes).map_err(broken("an Azure HCL blob"));
    }
    if let Some((report, table)) = snp_parts(bytes) {
        return snp::view(report, table).map_err(broken("an SEV-SNP report"));
    }
    if looks_like_a_quote(bytes) {
        return tdx::view(bytes).map_err(broken("a quote of Intel's"));
    }
    if let Some(view) = encoded(bytes) {
        return Ok(view);
    }
    let text = std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'));
    if text {
        return Err(ViewError::Text);
    }
    let start = to_hex(bytes.get(..bytes.len().min(16)).unwrap_or_default());
    Err(ViewError::Unknown { length: bytes.len(), start })
}

/// What says itself what it is, by decoding to its last byte.
fn encoded(bytes: &[u8]) -> Option<View> {
    if let Ok(own) = EvidenceDocument::decode(bytes) {
        return Some(document::view(&own));
    }
    if let Ok(own) = EnclaveClaims::decode(bytes) {
        return Some(View {
            kind: "enclave claims (postern/1)".to_owned(),
            parts: vec![document::claims(&own)],
        });
    }
    if let Ok(own) = Keyset::decode(bytes) {
        return Some(View { kind: "keyset (postern/1)".to_owned(), parts: vec![document::keyset(&own)] });
    }
    if let Ok(own) = AzureEvidence::decode(bytes) {
        return Some(azure::bundle(&own));
    }
    if let Ok(own) = Endorsements::decode(bytes) {
        let parts = certificate::endorsements(&own);
        return Some(View { kind: "endorsements (postern/1)".to_owned(), parts });
    }
    let own = read_certificate(bytes).ok()?;
    Some(View { kind: "certificate (X.509)".to_owned(), parts: vec![certificate::part("certificate", &own)] })
}

/// A report alone, with a certificate table behind it, or as the guest driver answers (a head of 32 bytes).
fn snp_parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let versioned = |bytes: &[u8]| matches!(bytes.first_chunk::<4>(), Some([1..=15, 0, 0, 0]));
    let answer = bytes.strip_prefix(&[0, 0, 0, 0]).and_then(|rest| rest.strip_prefix(&DRIVER_SIZE));
    let report = match answer.and_then(|rest| rest.get(24..)) {
        Some(report) => report,
        None => bytes,
    };
    let (own, table) = report.split_at_checked(SNP_REPORT_BYTES)?;
    // a quote begins with its version in two bytes and the kind of its key in the next two
    (versioned(own) && !looks_like_a_quote(own)).then_some((own, table))
}

/// Size field of the answer of `/dev/sev-guest` before the report.
const DRIVER_SIZE: [u8; 4] = [0xa0, 0x04, 0, 0];

fn looks_like_a_quote(bytes: &[u8]) -> bool {
    matches!(bytes.first_chunk::<8>(), Some([3..=5, 0, 2 | 3, 0, _, 0, 0, 0]))
}
