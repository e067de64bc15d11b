//! Whether an RSA public key can be what its owner believes it is. Pure arithmetic on two big-endian numbers; whether a private key fits, nobody can
//! see from here.

/// From 2048 to 8192 bits, an exponent that is odd and not 1, no small factor, and not of the library whose keys can be factored.
pub(super) fn is_strong(n: &[u8], e: &[u8]) -> bool {
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    (2048..=8192).contains(&bits(n))
        && bits(e) > 1
        && odd(e)
        && odd(n)
        && PRIMES.iter().all(|prime| rest(n, *prime) != 0)
        && !is_roca(n)
}

/// Odd primes up to 167: of the first so many, ROCA's keys of 2048 bits are made.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// CVE-2017-15361: a library made primes that are powers of 65537 modulo the product of the first primes, and so is their product, which
/// can be factored. Of other keys one in 2^27 looks like that.
fn is_roca(n: &[u8]) -> bool {
    PRIMES.iter().all(|&prime| {
        let wanted = rest(n, prime);
        std::iter::successors(Some(1), |power| Some(power * (65_537 % prime) % prime))
            .take(prime as usize)
            .any(|power| power == wanted)
    })
}

fn rest(number: &[u8], prime: u32) -> u32 {
    number
        .iter()
        .fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % prime)
}

fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros).map_or(0, |first| {
        (number.len() - zeros) * 8 - first.leading_zeros() as usize
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic() {
        assert_eq!(
            [bits(&[]), bits(&[0, 0]), bits(&[0, 1]), bits(&[1, 0])],
            [0, 0, 1, 9]
        );
        assert_eq!((rest(&[1, 0], 7), rest(&[255; 256], 167)), (256 % 7, 99));
    }
}
