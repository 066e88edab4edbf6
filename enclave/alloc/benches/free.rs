//! What wiping costs: allocate, write every byte, free; against the system allocator.

#![allow(
    missing_docs,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    clippy::unwrap_used,
    reason = "a benchmark: the macros generate undocumented items, and one function keeps the contract"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use postern_alloc::ZeroOnFree;

fn cycle(allocator: &impl GlobalAlloc, layout: Layout) {
    unsafe {
        let block = allocator.alloc(layout);
        block.write_bytes(1, layout.size());
        allocator.dealloc(black_box(block), layout);
    }
}

fn grow(allocator: &impl GlobalAlloc, layout: Layout) {
    unsafe {
        let block = allocator.alloc(layout);
        block.write_bytes(1, layout.size());
        let moved = allocator.realloc(block, layout, layout.size().saturating_mul(2));
        allocator
            .dealloc(black_box(moved), Layout::from_size_align(layout.size().saturating_mul(2), 16).unwrap());
    }
}

fn benches(criterion: &mut Criterion) {
    for (name, run) in [("free", 0), ("grow", 1)] {
        let mut group = criterion.benchmark_group(name);
        for size in [256, 16 << 10, 256 << 10, 1 << 20] {
            let layout = Layout::from_size_align(size, 16).unwrap();
            group.throughput(Throughput::Bytes(u64::try_from(size).unwrap()));
            let zeroing = ZeroOnFree::new();
            group.bench_with_input(BenchmarkId::new("system", size), &layout, |bencher, &layout| {
                bencher.iter(|| if run == 0 { cycle(&System, layout) } else { grow(&System, layout) });
            });
            group.bench_with_input(BenchmarkId::new("zero-on-free", size), &layout, |bencher, &layout| {
                bencher.iter(|| if run == 0 { cycle(&zeroing, layout) } else { grow(&zeroing, layout) });
            });
        }
        group.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
