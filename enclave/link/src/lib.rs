//! What host and enclave say to each other.
