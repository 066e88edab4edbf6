//! Unified kernel images: systemd's EFI stub with a kernel, an initial RAM disk and a command line as sections.
//!
//! What is measured where: the UAPI group's "Linux TPM PCR Registry" and "Unified Kernel Image" specifications,
//! `systemd-stub(7)`; the kernel's own stub in `drivers/firmware/efi/libstub/efi-stub-helper.c`.

use crate::error::MeasureError;
use crate::gpt::PartitionTable;
use crate::hash::{Algorithm, Digest};
use crate::pe::Executable;

/// An image that this crate can predict: exactly one kernel, initial RAM disk and command line, and no section that
/// makes the stub add something of its own.
#[derive(Clone, Debug)]
pub struct Uki<'a> {
    whole: Executable<'a>,
    kernel: Executable<'a>,
    command_line: &'a str,
    initrd: &'a [u8],
}

/// How firmware comes to start the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// QEMU hands it over (`-kernel`).
    Direct,
    /// Firmware finds it on a disk.
    Disk,
}

/// Sections in the order in which the stub measures them.
const MEASURED: [&str; 14] = [
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey",
    ".profile", ".dtbauto", ".hwids", ".efifw",
];

/// What firmware logs when it starts the first boot option.
const CALLING: &[u8] = b"Calling EFI Application from Boot Option";
/// What firmware logs when the kernel takes over.
const EXITS: [&[u8]; 2] = [b"Exit Boot Services Invocation", b"Exit Boot Services Returned with Success"];
/// Between firmware's own events and those of what it boots.
const SEPARATOR: [u8; 4] = [0; 4];

impl<'a> Uki<'a> {
    /// Reads an image.
    ///
    /// # Errors
    /// [`MeasureError::Image`]: not an image, or one whose measurements cannot be predicted.
    pub fn parse(file: &'a [u8]) -> Result<Self, MeasureError> {
        let whole = Executable::parse(file)?;
        if MEASURED.iter().any(|name| whole.count(name) > 1) {
            return Err(MeasureError::Image("a section is there twice"));
        }
        if whole.section(".osrel").is_some() || whole.section(".profile").is_some() {
            return Err(MeasureError::Image(
                "with .osrel or .profile the stub changes the initial RAM disk: leave it out",
            ));
        }
        let part = |name, problem| whole.section(name).ok_or(MeasureError::Image(problem));
        let kernel = Executable::parse(part(".linux", "no .linux section: not a unified kernel image")?)?;
        let initrd = part(".initrd", "no .initrd section")?;
        let command_line = std::str::from_utf8(part(".cmdline", "no .cmdline section")?)
            .ok()
            .filter(|text| text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) && text.trim() == *text)
            .ok_or(MeasureError::Image("its command line is not one line of printable ASCII"))?;
        Ok(Self { whole, kernel, command_line, initrd })
    }

    /// The kernel's command line.
    pub const fn command_line(&self) -> &'a str {
        self.command_line
    }

    /// The compressed initial RAM disk.
    pub const fn initrd(&self) -> &'a [u8] {
        self.initrd
    }

    /// The Authenticode hash of the whole image.
    ///
    /// # Errors
    /// [`MeasureError::Image`].
    pub fn authenticode(&self, algorithm: Algorithm) -> Result<Digest, MeasureError> {
        self.whole.authenticode(algorithm)
    }

    /// The Authenticode hash of the kernel inside.
    ///
    /// # Errors
    /// [`MeasureError::Image`].
    pub fn kernel_authenticode(&self, algorithm: Algorithm) -> Result<Digest, MeasureError> {
        self.kernel.authenticode(algorithm)
    }

    /// Started programs and what firmware says around them: register 4 of a TPM, or with `table` and the end of
    /// firmware's services `RTMR1` of TDX.
    pub(crate) fn application_events(
        &self,
        algorithm: Algorithm,
        boot: Boot,
        table: Option<&PartitionTable>,
    ) -> Result<Vec<Digest>, MeasureError> {
        let own = self.authenticode(algorithm)?;
        let start = [algorithm.hash(&[CALLING]), algorithm.hash(&[&SEPARATOR])];
        let mut events = Vec::new();
        match boot {
            Boot::Direct => {
                events.push(own);
                events.extend(start);
            }
            Boot::Disk => {
                events.extend(start);
                events.extend(table.map(|table| table.event(algorithm)));
                events.push(own);
            }
        }
        events.push(self.kernel_authenticode(algorithm)?);
        Ok(events)
    }

    pub(crate) fn exit_events(algorithm: Algorithm) -> [Digest; 2] {
        EXITS.map(|text| algorithm.hash(&[text]))
    }

    /// What systemd's stub measures: name and content of each section.
    pub(crate) fn section_events(&self, algorithm: Algorithm) -> Vec<Digest> {
        let present = MEASURED.iter().filter_map(|name| Some((name, self.whole.section(name)?)));
        present
            .flat_map(|(name, content)| {
                [algorithm.hash(&[name.as_bytes(), b"\0"]), algorithm.hash(&[content])]
            })
            .collect()
    }

    /// What the kernel's stub measures: command line and initial RAM disk.
    pub(crate) fn kernel_events(&self, algorithm: Algorithm) -> [Digest; 2] {
        let wide: Vec<u8> = self.command_line.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        [algorithm.hash(&[&wide]), algorithm.hash(&[self.initrd])]
    }
}
