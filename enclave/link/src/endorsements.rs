//! Which vendor endorsement the enclave asks for, and the document that answers.
//!
//! Every field has a fixed set of values or a fixed size: nothing the enclave says becomes free text in a
//! URL. The document is untrusted bytes; `attestation` checks signatures.

use crate::{error::LinkError, frame::Reader};

/// AMD product line as the Key Distribution Service names it (AMD 57230 s4.1).
///
/// Bergamo and Siena are served under Genoa.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AmdProduct {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl AmdProduct {
    /// Every product, in wire order.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    fn to_byte(self) -> u8 {
        match self {
            Self::Milan => 1,
            Self::Genoa => 2,
            Self::Turin => 3,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, LinkError> {
        match byte {
            1 => Ok(Self::Milan),
            2 => Ok(Self::Genoa),
            3 => Ok(Self::Turin),
            _ => Err(LinkError::Field { field: "product" }),
        }
    }
}

/// The hardware identifier of an AMD chip: 64 bytes up to Genoa, 8 bytes from Turin on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChipId {
    /// `CHIP_ID` of a report, all 64 bytes.
    Long([u8; 64]),
    /// The first 8 bytes of `CHIP_ID`; the rest is zero on Turin.
    Short([u8; 8]),
}

impl ChipId {
    /// The identifier's bytes, 64 or 8.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Long(bytes) => bytes,
            Self::Short(bytes) => bytes,
        }
    }
}

/// Which certificate authority issued an Intel PCK certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntelCa {
    /// Multi-package servers and every TDX platform.
    Platform,
    /// Single-package client and server parts.
    Processor,
}

/// One endorsement, named completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndorsementQuery {
    /// The certificate of one chip at one TCB version.
    AmdVcek {
        /// Product line, which decides the layout of `tcb`.
        product: AmdProduct,
        /// Which chip.
        chip_id: ChipId,
        /// `TCB_VERSION`, the 8 bytes as they stand in the report (AMD 56860, table of `TCB_VERSION`).
        tcb: [u8; 8],
    },
    /// ASK and ARK certificates, PEM.
    AmdChain {
        /// Product line.
        product: AmdProduct,
    },
    /// The product's revocation list, DER.
    AmdCrl {
        /// Product line.
        product: AmdProduct,
    },
    /// TDX TCB info, JSON, with its issuer chain.
    IntelTcbInfo {
        /// Family, model, stepping, platform, custom SKU.
        fmspc: [u8; 6],
    },
    /// TDX quoting enclave identity, JSON, with its issuer chain.
    IntelQeIdentity,
    /// Revocation list for PCK certificates, DER, with its issuer chain.
    IntelPckCrl {
        /// Which authority.
        ca: IntelCa,
    },
    /// Revocation list of the Intel SGX root, DER.
    IntelRootCrl,
}

impl EndorsementQuery {
    /// Longest payload: tag, product, identifier length, 64 byte identifier, TCB version.
    pub(crate) const MAX_PAYLOAD: u16 = 75;

    pub(crate) fn payload(&self) -> Vec<u8> {
        match self {
            Self::AmdVcek { product, chip_id, tcb } => {
                let length = match chip_id {
                    ChipId::Long(_) => 64,
                    ChipId::Short(_) => 8,
                };
                let mut out = vec![1, product.to_byte(), length];
                out.extend_from_slice(chip_id.as_bytes());
                out.extend_from_slice(tcb);
                out
            }
            Self::AmdChain { product } => vec![2, product.to_byte()],
            Self::AmdCrl { product } => vec![3, product.to_byte()],
            Self::IntelTcbInfo { fmspc } => {
                let mut out = vec![4];
                out.extend_from_slice(fmspc);
                out
            }
            Self::IntelQeIdentity => vec![5],
            Self::IntelPckCrl { ca: IntelCa::Platform } => vec![6, 1],
            Self::IntelPckCrl { ca: IntelCa::Processor } => vec![6, 2],
            Self::IntelRootCrl => vec![7],
        }
    }

    pub(crate) fn from_payload(payload: &[u8]) -> Result<Self, LinkError> {
        let mut reader = Reader::new(payload);
        let query = match reader.byte("endorsement")? {
            1 => {
                let product = AmdProduct::from_byte(reader.byte("product")?)?;
                let chip_id = match reader.byte("chip id length")? {
                    64 => ChipId::Long(reader.array("chip id")?),
                    8 => ChipId::Short(reader.array("chip id")?),
                    _ => return Err(LinkError::Field { field: "chip id length" }),
                };
                Self::AmdVcek { product, chip_id, tcb: reader.array("tcb")? }
            }
            2 => Self::AmdChain { product: AmdProduct::from_byte(reader.byte("product")?)? },
            3 => Self::AmdCrl { product: AmdProduct::from_byte(reader.byte("product")?)? },
            4 => Self::IntelTcbInfo { fmspc: reader.array("fmspc")? },
            5 => Self::IntelQeIdentity,
            6 => match reader.byte("ca")? {
                1 => Self::IntelPckCrl { ca: IntelCa::Platform },
                2 => Self::IntelPckCrl { ca: IntelCa::Processor },
                _ => return Err(LinkError::Field { field: "ca" }),
            },
            7 => Self::IntelRootCrl,
            _ => return Err(LinkError::Field { field: "endorsement" }),
        };
        reader.finish()?;
        Ok(query)
    }
}

/// What follows [`crate::Reply::Endorsements`]: the vendor's answer and the chain it sends in a header.
///
/// Encoded as `issuer chain length (4 bytes, big-endian) issuer chain body`. Untrusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndorsementDocument<'a> {
    /// PEM certificates that signed `body`, percent-decoded; empty for AMD and the Intel root list.
    pub issuer_chain: &'a [u8],
    /// The vendor's bytes, unchanged.
    pub body: &'a [u8],
}

impl<'a> EndorsementDocument<'a> {
    /// Largest encoded document, 256 KiB.
    pub const MAX_BYTES: u32 = 256 * 1024;

    /// Encodes the document.
    ///
    /// # Errors
    /// [`LinkError::Document`] when it would be larger than [`Self::MAX_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, LinkError> {
        let total = self.issuer_chain.len().saturating_add(self.body.len()).saturating_add(4);
        let chain = u32::try_from(self.issuer_chain.len()).map_err(|_| LinkError::Document)?;
        if u32::try_from(total).map_or(true, |total| total > Self::MAX_BYTES) {
            return Err(LinkError::Document);
        }
        let mut out = Vec::with_capacity(total);
        out.extend_from_slice(&chain.to_be_bytes());
        out.extend_from_slice(self.issuer_chain);
        out.extend_from_slice(self.body);
        Ok(out)
    }

    /// Decodes a whole document, exactly as many bytes as the reply announced.
    ///
    /// # Errors
    /// [`LinkError::Document`] when it is too large or shorter than its own inner length.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, LinkError> {
        if u32::try_from(bytes.len()).map_or(true, |length| length > Self::MAX_BYTES) {
            return Err(LinkError::Document);
        }
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or(LinkError::Document)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| LinkError::Document)?;
        let (issuer_chain, body) = rest.split_at_checked(length).ok_or(LinkError::Document)?;
        Ok(Self { issuer_chain, body })
    }
}
