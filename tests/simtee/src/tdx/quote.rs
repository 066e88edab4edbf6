//! The bytes of a quote before anything is signed.

/// What a quote's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Format: 4 or 5.
    pub version: u16,
    /// Attestation key type; 2 is ECDSA on P-256.
    pub key_type: u16,
    /// 0x81 is TDX.
    pub tee_type: u32,
    /// Vendor of the quoting enclave.
    pub vendor: [u8; 16],
    /// QE id.
    pub user_data: [u8; 20],
}

/// A TD's report as it stands in a quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// `TEE_TCB_SVN`.
    pub tee_tcb_svn: [u8; 16],
    /// MRSEAM.
    pub mr_seam: [u8; 48],
    /// MRSIGNERSEAM.
    pub mr_signer_seam: [u8; 48],
    /// SEAMATTRIBUTES.
    pub seam_attributes: u64,
    /// TDATTRIBUTES.
    pub td_attributes: u64,
    /// XFAM.
    pub xfam: u64,
    /// MRTD.
    pub mr_td: [u8; 48],
    /// MRCONFIGID.
    pub mr_config_id: [u8; 48],
    /// MROWNER.
    pub mr_owner: [u8; 48],
    /// MROWNERCONFIG.
    pub mr_owner_config: [u8; 48],
    /// RTMR0 to RTMR3.
    pub rtmr: [[u8; 48]; 4],
    /// REPORTDATA.
    pub report_data: [u8; 64],
    /// `TEE_TCB_SVN2` and MRSERVICETD; with them the body is one of TDX 1.5, which needs version 5.
    pub extension: Option<([u8; 16], [u8; 48])>,
}

impl Body {
    /// The bytes of the body.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.tee_tcb_svn);
        out.extend_from_slice(&self.mr_seam);
        out.extend_from_slice(&self.mr_signer_seam);
        for word in [self.seam_attributes, self.td_attributes, self.xfam] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for register in [self.mr_td, self.mr_config_id, self.mr_owner, self.mr_owner_config] {
            out.extend_from_slice(&register);
        }
        out.extend_from_slice(&self.rtmr.concat());
        out.extend_from_slice(&self.report_data);
        if let Some((svn, service)) = &self.extension {
            out.extend_from_slice(svn);
            out.extend_from_slice(service);
        }
        out
    }
}

/// The quoting enclave's own report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QeReport {
    /// MISCSELECT.
    pub miscselect: [u8; 4],
    /// ATTRIBUTES.
    pub attributes: [u8; 16],
    /// MRSIGNER.
    pub mr_signer: [u8; 32],
    /// ISVPRODID.
    pub isv_prod_id: u16,
    /// ISVSVN.
    pub isv_svn: u16,
}

impl QeReport {
    /// The 384 bytes, with these report data.
    pub fn encode(&self, report_data: &[u8; 64]) -> Vec<u8> {
        let mut out = vec![0; 384];
        out[16..20].copy_from_slice(&self.miscselect);
        out[48..64].copy_from_slice(&self.attributes);
        out[64..96].fill(0x51);
        out[128..160].copy_from_slice(&self.mr_signer);
        out[256..258].copy_from_slice(&self.isv_prod_id.to_le_bytes());
        out[258..260].copy_from_slice(&self.isv_svn.to_le_bytes());
        out[320..384].copy_from_slice(report_data);
        out
    }
}

/// Header, body descriptor where the version has one, and body: what the attestation key signs.
pub fn signed_part(header: &Header, body: &Body) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&header.version.to_le_bytes());
    out.extend_from_slice(&header.key_type.to_le_bytes());
    out.extend_from_slice(&header.tee_type.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.vendor);
    out.extend_from_slice(&header.user_data);
    let encoded = body.encode();
    if header.version >= 5 {
        let kind: u16 = if body.extension.is_some() { 3 } else { 2 };
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
    }
    out.extend_from_slice(&encoded);
    out
}

/// Certification data: type, length, content.
pub fn certification(kind: u16, content: &[u8]) -> Vec<u8> {
    let mut out = kind.to_le_bytes().to_vec();
    out.extend_from_slice(&(content.len() as u32).to_le_bytes());
    out.extend_from_slice(content);
    out
}
