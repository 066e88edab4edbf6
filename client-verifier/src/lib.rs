//! Check first, then talk: the client verifier and the postern command.
