//! Load generator, mock upstream and reference runs.
