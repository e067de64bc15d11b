//! A counter per key, in a table that never grows beyond a bound. When it is full and nothing in it is stale, whoever has no counter yet
//! shares one with the others who came too late: nobody is refused for the table's sake alone, and nobody's counter is forgotten early.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::key::{ById, Key};

/// About so many keys; full shards may turn keys away a few percent earlier. 32 bytes each, so some 4 MB at the most.
pub(crate) const CAPACITY: usize = 100_000;

const SHARDS: usize = 64;

/// A sweep looks at a whole shard, so one that found nothing stale is not repeated for every key that comes too late.
const TURNED_AWAY_PER_SWEEP: u32 = 256;

pub(crate) struct Cells<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
}

struct Shard<V> {
    cells: HashMap<Key, V, ById>,
    turned_away: u32,
}

impl<V: Copy> Cells<V> {
    pub(crate) fn new() -> Self {
        let shard = |_| {
            Mutex::new(Shard {
                cells: HashMap::default(),
                turned_away: 0,
            })
        };
        Self {
            shards: std::array::from_fn(shard),
        }
    }

    /// Lets `act` read and write the cell of a key, alone; `None` is no cell, before as after. With the result comes the key whose cell
    /// it was, which is the shared one when the table is full. `stale` says of a cell that it decides as no cell would.
    pub(crate) fn update<R>(
        &self,
        key: Key,
        stale: impl Fn(V) -> bool,
        act: impl FnOnce(&mut Option<V>) -> R,
    ) -> (Key, R) {
        let mut shard = self.shard(key);
        if shard.has_room(key, stale) {
            return (key, shard.update(key, act));
        }
        drop(shard); // never two at once: no order to keep, so no deadlock
        (
            Key::SHARED,
            self.shard(Key::SHARED).update(Key::SHARED, act),
        )
    }

    fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| lock(shard).cells.len())
            .sum()
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard<V>> {
        let part = key.part(SHARDS as u64);
        lock(&self.shards[usize::try_from(part).unwrap_or_default()])
    }
}

impl<V: Copy> Shard<V> {
    fn has_room(&mut self, key: Key, stale: impl Fn(V) -> bool) -> bool {
        let full = |cells: &HashMap<_, _, _>| cells.len() >= CAPACITY / SHARDS;
        if key == Key::SHARED || !full(&self.cells) || self.cells.contains_key(&key) {
            return true;
        }
        if self.turned_away.is_multiple_of(TURNED_AWAY_PER_SWEEP) {
            self.cells.retain(|_, cell| !stale(*cell));
        }
        if full(&self.cells) {
            self.turned_away = self.turned_away.wrapping_add(1);
            return false;
        }
        self.turned_away = 0;
        true
    }

    fn update<R>(&mut self, key: Key, act: impl FnOnce(&mut Option<V>) -> R) -> R {
        match self.cells.entry(key) {
            Entry::Occupied(mut entry) => {
                let mut cell = Some(*entry.get());
                let result = act(&mut cell);
                match cell {
                    Some(cell) => *entry.get_mut() = cell,
                    None => drop(entry.remove()),
                }
                result
            }
            Entry::Vacant(entry) => {
                let mut cell = None;
                let result = act(&mut cell);
                if let Some(cell) = cell {
                    entry.insert(cell);
                }
                result
            }
        }
    }
}

/// The number of keys, not the keys.
impl<V: Copy> fmt::Debug for Cells<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").field("len", &self.len()).finish()
    }
}

/// A panic inside left at most one cell as it was before, so poison means nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::numbered;

    #[test]
    fn a_cell_lives_until_it_is_taken_away() {
        let cells = Cells::<u32>::new();
        let key = numbered(1);
        assert_eq!(
            cells.update(key, |_| false, |cell| cell.replace(7)),
            (key, None)
        );
        assert_eq!(
            cells.update(key, |_| false, |cell| cell.take()),
            (key, Some(7))
        );
        assert_eq!(cells.update(key, |_| false, |cell| *cell), (key, None));
        assert_eq!(cells.len(), 0);
    }

    #[test]
    fn looking_leaves_nothing_behind() {
        let cells = Cells::<u32>::new();
        cells.update(numbered(1), |_| false, |_| ());
        assert_eq!(format!("{cells:?}"), "Cells { len: 0 }");
    }

    #[test]
    fn a_full_table_shares_one_cell_and_forgets_nobody() {
        let cells = Cells::<u32>::new();
        let count = |key| {
            cells
                .update(key, |_| false, |cell| *cell = Some(cell.unwrap_or(0) + 1))
                .0
        };
        let own = (0..200_000)
            .map(numbered)
            .filter(|key| count(*key) == *key)
            .collect::<Vec<_>>();
        assert!(cells.len() <= CAPACITY + 1, "{}", cells.len());
        assert!(own.len() > CAPACITY * 9 / 10, "{}", own.len());
        let of = |key| cells.update(key, |_| false, |cell| *cell);
        assert!(own.iter().all(|key| of(*key) == (*key, Some(1))));
        let late = u32::try_from(200_000 - own.len()).unwrap();
        assert_eq!(of(Key::SHARED), (Key::SHARED, Some(late)));
    }

    #[test]
    fn stale_cells_make_room() {
        let cells = Cells::<u32>::new();
        for number in 0..200_000 {
            cells.update(numbered(number), |_| false, |cell| *cell = Some(1));
        }
        // Every shard looks again after so many keys that it turned away.
        let late = (200_000..300_000).map(numbered);
        let own = late.filter(|key| {
            cells
                .update(*key, |cell| cell == 1, |cell| *cell = Some(2))
                .0
                == *key
        });
        assert!(own.count() > CAPACITY / 2);
        assert!(cells.len() <= CAPACITY + 1);
    }
}
