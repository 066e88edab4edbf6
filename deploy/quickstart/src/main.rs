//! Starts the whole attested path on one machine.

fn main() {}
