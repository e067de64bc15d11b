//! Where connections read into: an idle one holds no buffer. Little is read onto the stack, and much into a buffer that a thread's
//! connections lend one another. What was read is copied out in its exact size where it is small, and handed over as it is where a copy would
//! cost more than the memory.

use std::{
    cell::Cell,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Read at a time at most, in bytes. A download costs a quarter less CPU than with half of it, nearly all of it the kernel's (measured).
pub(crate) const SIZE: usize = 256 * 1024;
/// From so many bytes on they are handed over, so that they never hold more than four times their own size.
const LARGE: usize = SIZE / 4;
/// Up to so many bytes are read onto the stack: heads and events. To lend the buffer and to give it back costs as much as reading into it.
pub(crate) const LITTLE: usize = 16 * 1024;

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

/// Reads once, `most` bytes.
pub(crate) fn poll_read<T>(
    io: &mut (dyn AsyncRead + Unpin),
    cx: &mut Context<'_>,
    most: usize,
    with: impl FnOnce(Piece<'_>) -> T,
) -> Poll<io::Result<T>> {
    if most <= LITTLE {
        return poll_little(io, cx, most, with);
    }
    let mut buffer = ready!(poll_buffer(io, cx, most))?;
    let out = match buffer.len() {
        0 => with(Piece::End),
        LARGE.. => with(Piece::Large(buffer.split().freeze())),
        _ => with(Piece::Small(&buffer)),
    };
    give_back(buffer);
    Poll::Ready(Ok(out))
}

/// Reads once, `most` bytes, which are kept; none: the other side will send nothing more.
pub(crate) fn poll_bytes(
    io: &mut (dyn AsyncRead + Unpin),
    cx: &mut Context<'_>,
    most: usize,
) -> Poll<io::Result<Bytes>> {
    poll_little(io, cx, most, |piece| match piece {
        Piece::Small(bytes) => Bytes::copy_from_slice(bytes),
        Piece::End | Piece::Large(_) => Bytes::new(),
    })
}

/// Reads once, `most` bytes, which are few. Not inlined: its callers are not to have its frame. One function for every socket, see `unsent.rs`.
#[inline(never)]
fn poll_little<T>(
    io: &mut (dyn AsyncRead + Unpin),
    cx: &mut Context<'_>,
    most: usize,
    with: impl FnOnce(Piece<'_>) -> T,
) -> Poll<io::Result<T>> {
    let mut room = [const { MaybeUninit::uninit() }; LITTLE];
    let mut read = ReadBuf::uninit(&mut room[..most]);
    ready!(Pin::new(io).poll_read(cx, &mut read))?;
    Poll::Ready(Ok(match read.filled() {
        [] => with(Piece::End),
        bytes => with(Piece::Small(bytes)),
    }))
}

/// The buffer with what one read brought, to be given back.
#[inline(never)]
fn poll_buffer(
    io: &mut (dyn AsyncRead + Unpin),
    cx: &mut Context<'_>,
    most: usize,
) -> Poll<io::Result<BytesMut>> {
    let mut buffer = LENT.take();
    // What is left of it behind a piece that was handed over is room for the next one.
    if buffer.capacity() < most && !buffer.try_reclaim(SIZE) {
        buffer = BytesMut::with_capacity(SIZE);
    }
    match poll_read_buf(Pin::new(io), cx, &mut (&mut buffer).limit(most)) {
        Poll::Ready(Ok(_)) => Poll::Ready(Ok(buffer)),
        Poll::Ready(Err(error)) => {
            give_back(buffer);
            Poll::Ready(Err(error))
        }
        Poll::Pending => {
            give_back(buffer);
            Poll::Pending
        }
    }
}

fn give_back(mut buffer: BytesMut) {
    buffer.clear();
    LENT.set(buffer);
}
