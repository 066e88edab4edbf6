//! Where secrets named in the configuration are read, once, at start.
