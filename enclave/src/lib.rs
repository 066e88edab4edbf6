//! The gateway inside the confidential VM: sockets, keys and time around the pipeline.
