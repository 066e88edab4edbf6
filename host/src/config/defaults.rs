//! Values of fields left out.

/// One minute.
#[must_use]
pub fn drain_seconds() -> u64 {
    60
}

/// 16,384 clients; idle ones cost two sockets each.
#[must_use]
pub fn ingress_connections() -> usize {
    16_384
}

/// 1,024: a large office behind one address.
#[must_use]
pub fn source_connections() -> u32 {
    1_024
}

/// 200 a second.
#[must_use]
pub fn source_rate() -> u32 {
    200
}

/// 10 seconds.
#[must_use]
pub fn first_byte_seconds() -> u64 {
    10
}

/// 5 seconds.
#[must_use]
pub fn connect_seconds() -> u64 {
    5
}

/// 5 minutes: longer than a model thinks before its first token.
#[must_use]
pub fn idle_seconds() -> u64 {
    300
}

/// 4,096 upstream connections.
#[must_use]
pub fn egress_connections() -> usize {
    4_096
}

/// 10 seconds.
#[must_use]
pub fn egress_connect_seconds() -> u64 {
    10
}

/// AMD's own.
#[must_use]
pub fn amd_kds() -> String {
    "https://kdsintf.amd.com".to_owned()
}

/// Intel's own.
#[must_use]
pub fn intel_pcs() -> String {
    "https://api.trustedservices.intel.com".to_owned()
}

/// Intel's own.
#[must_use]
pub fn intel_certificates() -> String {
    "https://certificates.trustedservices.intel.com".to_owned()
}

/// 15 seconds.
#[must_use]
pub fn fetch_seconds() -> u64 {
    15
}

/// 6 hours.
#[must_use]
pub fn refresh_seconds() -> u64 {
    21_600
}

/// 7 days.
#[must_use]
pub fn stale_seconds() -> u64 {
    604_800
}
