//! Whether to believe what a trusted execution environment says about itself.
