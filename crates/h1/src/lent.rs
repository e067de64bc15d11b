//! The buffer into which a thread's connections read, one after the other: an idle connection holds none. What was read is copied out in
//! its exact size where it is small, and handed over as it is where a copy would cost more than the memory.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// Read at a time at most, in bytes.
pub(crate) const SIZE: usize = 128 * 1024;
/// From so many bytes on they are handed over, so that they never hold more than twice their own size.
const LARGE: usize = SIZE / 2;

thread_local! {
    static LENT: Cell<BytesMut> = Cell::default();
}

/// What a read brought.
pub(crate) enum Piece<'a> {
    /// The other side will send nothing more.
    End,
    /// To be copied from.
    Small(&'a [u8]),
    /// To be kept.
    Large(Bytes),
}

impl Piece<'_> {
    /// In bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::End => 0,
            Self::Small(bytes) => bytes.len(),
            Self::Large(bytes) => bytes.len(),
        }
    }
}

/// Reads once, `most` bytes, and gives the buffer back.
pub(crate) fn poll_read<S: AsyncRead + Unpin, T>(
    io: &mut S,
    cx: &mut Context<'_>,
    most: usize,
    with: impl FnOnce(Piece<'_>) -> T,
) -> Poll<io::Result<T>> {
    let mut buffer = LENT.take();
    if buffer.capacity() < SIZE && !buffer.try_reclaim(SIZE) {
        buffer = BytesMut::with_capacity(SIZE);
    }
    let read = poll_read_buf(Pin::new(io), cx, &mut (&mut buffer).limit(most));
    let out = read.map_ok(|count| match count {
        0 => with(Piece::End),
        LARGE.. => with(Piece::Large(buffer.split().freeze())),
        _ => with(Piece::Small(&buffer)),
    });
    buffer.clear();
    LENT.set(buffer);
    out
}

/// Reads once, `most` bytes, which are kept; none: the other side will send nothing more.
pub(crate) fn poll_bytes<S: AsyncRead + Unpin>(
    io: &mut S,
    cx: &mut Context<'_>,
    most: usize,
) -> Poll<io::Result<Bytes>> {
    poll_read(io, cx, most, |piece| match piece {
        Piece::End => Bytes::new(),
        Piece::Small(bytes) => Bytes::copy_from_slice(bytes),
        Piece::Large(bytes) => bytes,
    })
}
