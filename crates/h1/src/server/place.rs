//! Where a future runs that finds an answer. It is large, and gone when the answer begins: a connection with a long answer, or with none, is
//! not to carry it. Its memory is kept for the thread's next request, for an allocation of that size costs as much as reading a head. And it is
//! made where it runs: one that is made elsewhere is copied over whole, five KiB of which nothing is used yet.

use std::{
    any::Any,
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// So many are kept at most, of some KiB each: a burst's memory is given back.
const KEPT: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// See the module.
pub(super) struct Place<F>(Box<Pin<Box<Option<F>>>>);

impl<F: Future + 'static> Place<F> {
    /// `make` is called last: between it and the place there is to be nothing that could fail, or the compiler makes the future elsewhere.
    pub(super) fn new(make: impl FnOnce() -> F) -> Self {
        let mut place = Self(spare().unwrap_or_else(|| Box::new(Box::pin(None))));
        Pin::as_mut(&mut place.0).set(Some(make()));
        place
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        match Pin::as_mut(&mut self.0).as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }
    }

    /// The future is done.
    pub(super) fn leave(mut self) {
        Pin::as_mut(&mut self.0).set(None);
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT {
                spare.push(self.0);
            }
        });
    }
}

/// What a future of this kind has left.
fn spare<F: 'static>() -> Option<Box<Pin<Box<Option<F>>>>> {
    let place = SPARE.with_borrow_mut(Vec::pop)?;
    place.downcast().ok()
}
