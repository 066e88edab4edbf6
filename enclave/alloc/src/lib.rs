//! A global allocator that wipes memory when it is freed.
