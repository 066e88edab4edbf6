//! Unified kernel images: sections added to systemd's EFI stub. The UAPI group's "Unified Kernel Image" specification.

use crate::failure::Failure;

/// What goes into the image, in the order of the file.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// systemd's stub.
    pub stub: &'a [u8],
    /// The kernel, itself an EFI executable.
    pub kernel: &'a [u8],
    /// The compressed initial RAM disk.
    pub initrd: &'a [u8],
    /// One line of ASCII.
    pub command_line: &'a str,
}

/// Initialised data, readable.
const READABLE_DATA: u32 = 0x4000_0040;

/// Writes the image.
///
/// # Errors
/// [`Failure`] where the stub is none, or has no room for the headers.
pub fn write(parts: &Parts<'_>) -> Result<Vec<u8>, Failure> {
    let sections =
        [(".cmdline", parts.command_line.as_bytes()), (".linux", parts.kernel), (".initrd", parts.initrd)];
    append(parts.stub, &sections)
        .ok_or_else(|| Failure::new("the stub is no EFI executable with room for sections"))
}

fn append(stub: &[u8], sections: &[(&str, &[u8])]) -> Option<Vec<u8>> {
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = stub.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    };
    let pe = number(0x3c, 4)?;
    let (count, optional) = (number(pe + 6, 2)?, pe + 24);
    if stub.get(pe..pe + 4)? != b"PE\0\0" || number(optional, 2)? != 0x20b {
        return None;
    }
    let (section_align, file_align) = (number(optional + 32, 4)?, number(optional + 36, 4)?);
    let headers = number(optional + 60, 4)?;
    let table = optional + number(pe + 20, 2)?;
    let mut out = stub.to_vec();
    out.resize(out.len().next_multiple_of(file_align), 0);
    let mut image = number(optional + 56, 4)?.next_multiple_of(section_align);
    for (index, (name, content)) in sections.iter().enumerate() {
        let at = table + (count + index) * 40;
        // The first section's content begins where headers end.
        if at + 40 > headers || stub.get(at..at + 40)?.iter().any(|byte| *byte != 0) {
            return None;
        }
        let raw = out.len();
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(file_align), 0);
        let mut header = [0; 40];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let fields =
            [(8, content.len()), (12, image), (16, out.len() - raw), (20, raw), (36, READABLE_DATA as usize)];
        for (offset, value) in fields {
            header[offset..offset + 4].copy_from_slice(&u32::try_from(value).ok()?.to_le_bytes());
        }
        out.get_mut(at..at + 40)?.copy_from_slice(&header);
        image = (image + content.len()).next_multiple_of(section_align);
    }
    let sections = u16::try_from(count + sections.len()).ok()?;
    out.get_mut(pe + 6..pe + 8)?.copy_from_slice(&sections.to_le_bytes());
    out.get_mut(optional + 56..optional + 60)?.copy_from_slice(&u32::try_from(image).ok()?.to_le_bytes());
    Some(out)
}
