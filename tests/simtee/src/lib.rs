//! A simulated AMD security processor under a throw-away root.
