#![no_main]
//! Showing evidence in words reads the same hostile bytes, and must end as well.
use attestation::inspect;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    drop(inspect::snp_report(bytes));
    drop(inspect::tdx_quote(bytes));
    drop(inspect::certificate(bytes));
    drop(inspect::event_log(bytes));
});
