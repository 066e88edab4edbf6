//! Why nothing could be measured.

use std::fmt;

/// The input is not what it has to be. Carries no bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasureError {
    /// The firmware file: what is wrong with it.
    Firmware(&'static str),
    /// The unified kernel image, or the kernel in it: what is wrong with it.
    Image(&'static str),
    /// The partition table: what is wrong with it.
    Disk(&'static str),
    /// The machine that was described: what cannot be.
    Machine(&'static str),
}

impl MeasureError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Firmware(_) => "MEASURE_FIRMWARE",
            Self::Image(_) => "MEASURE_IMAGE",
            Self::Disk(_) => "MEASURE_DISK",
            Self::Machine(_) => "MEASURE_MACHINE",
        }
    }
}

impl fmt::Display for MeasureError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Firmware(what) => write!(out, "firmware: {what}"),
            Self::Image(what) => write!(out, "image: {what}"),
            Self::Disk(what) => write!(out, "disk: {what}"),
            Self::Machine(what) => write!(out, "machine: {what}"),
        }
    }
}

impl std::error::Error for MeasureError {}
