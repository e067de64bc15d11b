//! New ids for traces and spans: unique over all processes, drawn without a lock or a system call.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

/// Never all zero, which both levels of the recommendation call invalid.
pub(super) fn trace() -> [u8; 16] {
    let (high, low) = (next(), next() | 1);
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

/// Never all zero.
pub(super) fn span() -> [u8; 8] {
    loop {
        let id = next();
        if id != 0 {
            return id.to_be_bytes();
        }
    }
}

thread_local! {
    /// Seeded from the keys that the standard library draws from the operating system for its hash maps: through SipHash they give
    /// 256 bits. Enough to be unique; a secret must not be made from it.
    static STATE: Cell<[u64; 4]> = {
        let keys = RandomState::new();
        Cell::new([0_u64, 1, 2, 3].map(|index| keys.hash_one(index)))
    };
}

/// xoshiro256++ by Blackman and Vigna, <https://prng.di.unimi.it/xoshiro256plusplus.c>.
fn next() -> u64 {
    STATE.with(|state| {
        let mut s = state.get();
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        state.set(s);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The first outputs of the authors' C for the state 1, 2, 3, 4.
    #[test]
    fn follows_the_reference() {
        STATE.with(|state| state.set([1, 2, 3, 4]));
        let drawn = [next(), next(), next(), next()];
        assert_eq!(
            drawn,
            [
                41_943_041,
                58_720_359,
                3_588_806_011_781_223,
                3_591_011_842_654_386
            ]
        );
    }

    #[test]
    fn threads_do_not_repeat_each_other() {
        let drawn: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..1000).map(|_| trace()).collect::<Vec<_>>()))
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect();
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 4000);
    }
}
