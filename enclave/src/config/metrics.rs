//! Whether anybody may read the process's numbers, and where.

use serde::Deserialize;

use super::address;
use crate::transport::Address;

/// `[metrics]`. Absent: nobody may.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Where `GET /metrics` is answered, in the clear: `tcp:IP:PORT`, `unix:PATH` or `vsock:PORT`. The host can read it;
    /// what that tells it is in the threat model.
    #[serde(deserialize_with = "address")]
    pub address: Address,
    /// The page is made anew so often and no oftener, so that it does not show single requests while there are others;
    /// 10 to 3,600.
    #[serde(default = "usual_interval")]
    pub interval_seconds: u64,
}

const fn usual_interval() -> u64 {
    60
}
