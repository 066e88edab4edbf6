//! The life of one request, as pure functions.
