//! Read buffers that are used again.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

/// Smallest class: 4 KiB.
const CLASS_BITS_MIN: u32 = 12;
/// Largest pooled class: 16 MiB. Larger answers are allocated and freed.
const CLASS_BITS_MAX: u32 = 24;
const CLASSES: usize = (CLASS_BITS_MAX - CLASS_BITS_MIN + 1) as usize;
/// Free buffers kept per class; further ones are freed.
const FREE_PER_CLASS_MAX: usize = 8;

/// A pool of read buffers in classes of powers of two, shared by connections.
///
/// A buffer goes out as [`Bytes`], is sliced without copying, and comes back when the last slice is
/// dropped: no page faults on fresh memory, steady resident size. The free lists are bounded
/// lock-free channels, since a buffer may be dropped on another thread than it was read on.
#[derive(Clone)]
pub struct BufferPool {
    classes: Arc<[FreeList; CLASSES]>,
}

/// Returns buffers, and lends them again.
type FreeList = (Sender<Vec<u8>>, Receiver<Vec<u8>>);

impl Default for BufferPool {
    fn default() -> Self {
        Self {
            classes: Arc::new(std::array::from_fn(|_| bounded(FREE_PER_CLASS_MAX))),
        }
    }
}

impl BufferPool {
    /// An empty buffer with room for at least `bytes`.
    pub(crate) fn take(&self, bytes: usize) -> PooledBuffer {
        let class = class_of(bytes);
        let free = class
            .and_then(|class| self.classes.get(class))
            .map(|(_, free)| free);
        let buffer = free
            .and_then(|free| free.try_recv().ok())
            .unwrap_or_else(|| {
                let capacity = class.map_or(bytes, |class| 1 << (class + CLASS_BITS_MIN as usize));
                Vec::with_capacity(capacity)
            });
        PooledBuffer {
            buffer,
            pool: self.clone(),
        }
    }
}

/// The class whose buffers hold `bytes`; none above the largest.
fn class_of(bytes: usize) -> Option<usize> {
    let bits = bytes
        .max(1)
        .next_power_of_two()
        .trailing_zeros()
        .max(CLASS_BITS_MIN);
    (bits <= CLASS_BITS_MAX).then(|| (bits - CLASS_BITS_MIN) as usize)
}

/// A buffer that returns to its pool when dropped.
pub(crate) struct PooledBuffer {
    pub(crate) buffer: Vec<u8>,
    pool: BufferPool,
}

impl PooledBuffer {
    /// Hands the filled buffer out as shared bytes.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        if let Some((home, _)) = class_of(buffer.capacity()).and_then(|c| self.pool.classes.get(c))
            && buffer.capacity().is_power_of_two()
        {
            // A full free list means enough spare buffers: this one is freed.
            drop(home.try_send(buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_slice_is_dropped() {
        let pool = BufferPool::default();
        let mut buffer = pool.take(5_000);
        buffer.buffer.extend_from_slice(&[7; 5_000]);
        let address = buffer.buffer.as_ptr();
        let whole = buffer.freeze();
        let slice = whole.slice(10..20);
        drop(whole);
        let other = pool.take(5_000);
        assert_ne!(
            other.buffer.as_ptr(),
            address,
            "still lent out through the slice"
        );
        assert_eq!(&slice[..], &[7; 10]);
        drop(slice);
        let again = pool.take(8_192);
        assert_eq!(again.buffer.as_ptr(), address, "same class, same memory");
        assert!(again.buffer.is_empty());
    }

    #[test]
    fn classes_hold_what_they_promise() {
        for bytes in [
            0,
            1,
            4_096,
            4_097,
            1 << 20,
            (1 << 20) + 1,
            1 << 24,
            (1 << 24) + 1,
        ] {
            assert!(BufferPool::default().take(bytes).buffer.capacity() >= bytes);
        }
        assert_eq!(
            class_of((1 << 24) + 1),
            None,
            "above the largest class nothing is pooled"
        );
    }
}
