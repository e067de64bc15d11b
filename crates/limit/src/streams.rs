//! How many streams a key may have open at the same time.

use std::{num::NonZeroU32, sync::Arc};

use crate::{cells::Cells, key::Key};

/// One limit and the open streams of all its keys.
#[derive(Debug)]
pub struct StreamLimit {
    max: NonZeroU32,
    /// Open streams; a key without any has no cell.
    cells: Cells<NonZeroU32>,
}

impl StreamLimit {
    /// A limit with no stream open.
    pub fn new(max: NonZeroU32) -> Self {
        Self {
            max,
            cells: Cells::new(),
        }
    }

    /// The most streams of one key.
    pub fn max(&self) -> NonZeroU32 {
        self.max
    }

    /// A place for one more stream, or `None` when the key has as many as it may. Nobody can say when a place will be free, so there is
    /// no time to wait for.
    pub fn acquire(self: &Arc<Self>, key: &Key) -> Option<Slot> {
        let act = |cell: &mut Option<NonZeroU32>| {
            let open = cell.map_or(0, NonZeroU32::get);
            let free = open < self.max.get();
            if free {
                *cell = NonZeroU32::new(open + 1);
            }
            free
        };
        // An open stream is never stale.
        let (key, free) = self.cells.update(*key, |_| false, act);
        free.then(|| Slot {
            limit: Arc::clone(self),
            key,
        })
    }
}

/// The place of one open stream. Dropping it gives the place back.
#[derive(Debug)]
#[must_use = "the stream counts for as long as this lives"]
pub struct Slot {
    limit: Arc<StreamLimit>,
    /// Under which it was counted: its own, or the shared one if the table was full then.
    key: Key,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let close = |cell: &mut Option<NonZeroU32>| {
            *cell = cell.and_then(|open| NonZeroU32::new(open.get() - 1))
        };
        self.limit.cells.update(self.key, |_| false, close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::numbered;

    fn limit(max: u32) -> Arc<StreamLimit> {
        Arc::new(StreamLimit::new(NonZeroU32::new(max).unwrap()))
    }

    #[test]
    fn a_dropped_slot_is_free_again() {
        let limit = limit(2);
        let first = limit.acquire(&numbered(1));
        let second = limit.acquire(&numbered(1));
        assert!(first.is_some() && second.is_some());
        assert!(limit.acquire(&numbered(1)).is_none());
        assert!(limit.acquire(&numbered(2)).is_some());
        drop(first);
        assert!(limit.acquire(&numbered(1)).is_some());
    }

    #[test]
    fn closed_streams_leave_nothing_behind() {
        let limit = limit(1);
        for number in 0..1000 {
            drop(limit.acquire(&numbered(number)));
        }
        assert_eq!(format!("{:?}", limit.cells), "Cells { len: 0 }");
    }

    #[test]
    fn a_flood_of_keys_shares_one_place_and_gives_it_back() {
        let limit = limit(1);
        let own = limit.acquire(&numbered(0));
        let flood = (1..150_000)
            .filter_map(|number| limit.acquire(&numbered(number)))
            .collect::<Vec<_>>();
        assert!(flood.len() < 110_000, "{}", flood.len());
        let late = numbered(150_000);
        assert!(limit.acquire(&late).is_none());
        drop(flood);
        assert!(limit.acquire(&late).is_some());
        assert!(limit.acquire(&numbered(0)).is_none());
        drop(own);
        assert_eq!(format!("{:?}", limit.cells), "Cells { len: 0 }");
    }

    #[test]
    fn threads_never_exceed_the_limit() {
        let limit = limit(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let slots = [(); 4].map(|()| limit.acquire(&numbered(1)));
                        assert!(slots.iter().flatten().count() <= 3);
                    }
                });
            }
        });
        assert_eq!(format!("{:?}", limit.cells), "Cells { len: 0 }");
    }
}
