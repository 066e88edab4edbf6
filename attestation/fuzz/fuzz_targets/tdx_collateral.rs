#![no_main]
//! Collateral: whatever is read is written and read again as the same.
use attestation::endorsements::TdxCollateral;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(collateral) = TdxCollateral::from_json(bytes) {
        assert_eq!(TdxCollateral::from_json(&collateral.to_json()), Ok(collateral));
    }
});
