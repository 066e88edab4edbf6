//! Portable executables: sections by name, and the Authenticode hash that firmware measures.
//!
//! Layout: Microsoft PE/COFF specification, optional header PE32+. Hash: "Windows Authenticode Portable Executable
//! Signature Format", as EDK2's `DxeTpm2MeasureBootLib` computes it.

use crate::bytes::{size_at, slice, u16_at, u32_at};
use crate::error::MeasureError;
use crate::hash::{Algorithm, Digest, Hasher};

/// An executable whose headers and sections lie within the file.
#[derive(Clone, Debug)]
pub(crate) struct Executable<'a> {
    file: &'a [u8],
    /// Where the checksum is, which the hash leaves out.
    checksum: usize,
    /// Where the directory entry of signatures is, which the hash leaves out.
    signature_entry: usize,
    /// Bytes of signatures at the end of the file.
    signature_bytes: usize,
    headers: usize,
    sections: Vec<Section>,
}

#[derive(Clone, Debug)]
struct Section {
    name: [u8; 8],
    virtual_size: usize,
    raw_at: usize,
    raw_size: usize,
}

/// More sections than any kernel image has.
const MAX_SECTIONS: u16 = 96;

impl<'a> Executable<'a> {
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self, MeasureError> {
        Self::read(file).ok_or(MeasureError::Image("not a 64-bit EFI executable, or cut short"))
    }

    fn read(file: &'a [u8]) -> Option<Self> {
        let pe = size_at(file, 0x3c).filter(|_| file.starts_with(b"MZ"))?;
        let (coff, optional) = (pe.checked_add(4)?, pe.checked_add(24)?);
        let is_pe = slice(file, pe, 4)? == b"PE\0\0" && u16_at(file, optional)? == 0x20b;
        let count = u16_at(file, coff.checked_add(2)?).filter(|count| is_pe && *count <= MAX_SECTIONS)?;
        let optional_size = usize::from(u16_at(file, coff.checked_add(16)?)?);
        let headers = size_at(file, optional.checked_add(60)?).filter(|size| *size <= file.len())?;
        // The fifth data directory; directories begin 112 bytes into the optional header.
        let signature_entry = optional.checked_add(144)?;
        let has_entry = u32_at(file, optional.checked_add(108)?)? > 4;
        let signature_bytes = size_at(file, signature_entry.checked_add(4)?).filter(|_| has_entry)?;
        let table = optional.checked_add(optional_size)?;
        let sections: Vec<Section> = (0..usize::from(count))
            .map(|index| section(file, table.checked_add(index.checked_mul(40)?)?))
            .collect::<Option<_>>()?;
        let in_order = signature_entry.checked_add(8)? <= headers && signature_bytes <= file.len();
        let checksum = optional.checked_add(64)?;
        in_order.then_some(Self { file, checksum, signature_entry, signature_bytes, headers, sections })
    }

    /// The bytes of the first section with that name, less the padding of the file.
    pub(crate) fn section(&self, name: &str) -> Option<&'a [u8]> {
        let found = self.sections.iter().find(|section| {
            let own = section.name.split(|byte| *byte == 0).next().unwrap_or_default();
            own == name.as_bytes()
        })?;
        slice(self.file, found.raw_at, found.virtual_size.min(found.raw_size))
    }

    /// How often a section of that name is there.
    pub(crate) fn count(&self, name: &str) -> usize {
        let named = |section: &&Section| {
            section.name.split(|byte| *byte == 0).next().unwrap_or_default() == name.as_bytes()
        };
        self.sections.iter().filter(named).count()
    }

    /// The Authenticode hash.
    pub(crate) fn authenticode(&self, algorithm: Algorithm) -> Result<Digest, MeasureError> {
        self.hash(algorithm).ok_or(MeasureError::Image("sections overlap or leave the file"))
    }

    fn hash(&self, algorithm: Algorithm) -> Option<Digest> {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(self.file.get(..self.checksum)?);
        hasher.update(self.file.get(self.checksum.checked_add(4)?..self.signature_entry)?);
        hasher.update(self.file.get(self.signature_entry.checked_add(8)?..self.headers)?);
        let mut ordered: Vec<&Section> = self.sections.iter().filter(|own| own.raw_size > 0).collect();
        ordered.sort_by_key(|section| section.raw_at);
        let mut hashed = self.headers;
        for section in ordered {
            hasher.update(slice(self.file, section.raw_at, section.raw_size)?);
            hashed = hashed.checked_add(section.raw_size)?;
        }
        // What follows the sections counts, except signatures.
        let end = self.file.len().checked_sub(self.signature_bytes)?;
        hasher.update(self.file.get(hashed..end)?);
        Some(hasher.finish())
    }
}

fn section(file: &[u8], at: usize) -> Option<Section> {
    let header = slice(file, at, 40)?;
    let section = Section {
        name: slice(header, 0, 8)?.try_into().ok()?,
        virtual_size: size_at(header, 8)?,
        raw_size: size_at(header, 16)?,
        raw_at: size_at(header, 20)?,
    };
    let inside = section.raw_size == 0 || slice(file, section.raw_at, section.raw_size).is_some();
    inside.then_some(section)
}
