//! Refuses allocations out of proportion to inputs of a few kilobytes.

use std::alloc::{GlobalAlloc, Layout, System};

/// Largest single allocation. A batch may decompress to 128 MiB, and a growing buffer takes up to twice as much.
const ALLOCATION_BYTES_MAX: usize = 512 << 20;

#[global_allocator]
static BOUNDED: Bounded = Bounded;

struct Bounded;

impl Bounded {
    fn check(bytes: usize) {
        if bytes > ALLOCATION_BYTES_MAX {
            // No panic: it would be caught, and would need memory.
            eprintln!("an allocation of {bytes} bytes");
            std::process::abort();
        }
    }
}

#[expect(unsafe_code, reason = "an allocator cannot be written without; it only looks at sizes")]
// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::check(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::check(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        Self::check(bytes);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(at, layout, bytes) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(at, layout) }
    }
}
