//! The certificate table of an extended guest request: GHCB 2.0, section 4.1.8.1.
//!
//! Entries of GUID (16 bytes, in printed order), offset and length (u32 little-endian), ended by an
//! entry of zeros; then the blobs.

/// Length of one table entry in bytes.
const ENTRY: usize = 24;

/// What a blob in the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Versioned chip endorsement key certificate.
    Vcek,
    /// Versioned loaded endorsement key certificate.
    Vlek,
    /// AMD SEV signing key certificate; the ASVK of a VLEK travels under the same GUID.
    Ask,
    /// AMD root key certificate.
    Ark,
    /// Revocation list signed by the ARK.
    Crl,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Vcek, Self::Vlek, Self::Ask, Self::Ark, Self::Crl];

    /// The GUID in printed byte order.
    pub fn guid(self) -> [u8; 16] {
        let number: u128 = match self {
            Self::Vcek => 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd,
            Self::Vlek => 0xa807_4bc2_a25a_483e_aae6_39c0_45a0_b8a1,
            Self::Ask => 0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782,
            Self::Ark => 0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae,
            Self::Crl => 0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea,
        };
        number.to_be_bytes()
    }
}

/// Writes a table; like the kernel's, it is padded to whole pages of 4096 bytes.
pub fn encode(blobs: &[(Kind, &[u8])]) -> Vec<u8> {
    let mut offset = ENTRY * (blobs.len() + 1);
    let mut table = Vec::new();
    for (kind, blob) in blobs {
        table.extend_from_slice(&kind.guid());
        table.extend_from_slice(&(offset as u32).to_le_bytes());
        table.extend_from_slice(&(blob.len() as u32).to_le_bytes());
        offset += blob.len();
    }
    table.extend_from_slice(&[0; ENTRY]);
    for (_, blob) in blobs {
        table.extend_from_slice(blob);
    }
    table.resize(table.len().next_multiple_of(4096), 0);
    table
}

/// Reads a table; unknown GUIDs are skipped. `None` when an entry points outside or the end is missing.
pub fn decode(table: &[u8]) -> Option<Vec<(Kind, Vec<u8>)>> {
    let mut blobs = Vec::new();
    let mut at = 0;
    loop {
        let entry = table.get(at..at + ENTRY)?;
        if entry.iter().all(|byte| *byte == 0) {
            return Some(blobs);
        }
        let offset = u32::from_le_bytes(entry.get(16..20)?.try_into().ok()?) as usize;
        let length = u32::from_le_bytes(entry.get(20..24)?.try_into().ok()?) as usize;
        let blob = table.get(offset..offset.checked_add(length)?)?;
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| entry.starts_with(&kind.guid())) {
            blobs.push((kind, blob.to_vec()));
        }
        at += ENTRY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_back_and_its_first_bytes_are_as_the_kernel_writes_them() {
        let table = encode(&[(Kind::Vlek, b"one"), (Kind::Crl, b"two!")]);
        assert_eq!(table.len(), 4096);
        assert_eq!(&table[..4], &[0xa8, 0x07, 0x4b, 0xc2]);
        assert_eq!(&table[16..24], &[72, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(decode(&table), Some(vec![(Kind::Vlek, b"one".to_vec()), (Kind::Crl, b"two!".to_vec())]));
    }

    #[test]
    fn entries_outside_the_table_are_refused() {
        let mut table = encode(&[(Kind::Ark, b"x")]);
        table[20] = 0xff;
        table[23] = 0xff;
        assert_eq!(decode(&table), None);
        assert_eq!(decode(&[1; 24]), None);
    }
}
