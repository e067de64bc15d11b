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

/// See the module. None only while it is dropped.
pub(super) struct Place<F: 'static>(Option<Box<Pin<Box<Option<F>>>>>);

impl<F: Future + 'static> Place<F> {
    /// `make` is called last: between it and the place there is to be nothing that could fail, or the compiler makes the future elsewhere.
    pub(super) fn new(make: impl FnOnce() -> F) -> Self {
        let mut place = spare().unwrap_or_else(|| Box::new(Box::pin(None)));
        Pin::as_mut(&mut place).set(Some(make()));
        Self(Some(place))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        let future = self
            .0
            .as_mut()
            .and_then(|place| Pin::as_mut(place).as_pin_mut());
        future.map_or(Poll::Pending, |future| future.poll(cx))
    }
}

impl<F: 'static> Drop for Place<F> {
    /// The future is done, or goes with its connection.
    fn drop(&mut self) {
        let Some(mut place) = self.0.take() else {
            return;
        };
        Pin::as_mut(&mut place).set(None);
        // A thread that ends keeps nothing.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(place);
            }
        });
    }
}

/// What a future of this kind has left.
fn spare<F: 'static>() -> Option<Box<Pin<Box<Option<F>>>>> {
    let place = SPARE.with_borrow_mut(Vec::pop)?;
    place.downcast().ok()
}
