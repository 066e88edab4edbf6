//! The image builder: a handful of formats, each written deterministically from bytes to bytes.
//!
//! [`image::assemble`] makes the image from its parts; [`inputs`] fetches and verifies what is not built here;
//! [`programs`] builds what is. The same bytes then go to the crate `measurement`, so that what is built and what is
//! published cannot drift apart.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a tool that runs on the builder's machine over files it made or verified; stopping is the right answer to a surprise"
)]

pub mod failure;
pub mod cpio;
pub mod uki;
pub mod package;
pub mod inputs;
pub mod programs;
pub mod kernel;
pub mod image;
pub mod fat;
pub mod disk;
pub mod formats;
pub mod release;
