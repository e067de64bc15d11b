//! What callgrind writes down, by `--dump-instr=yes --dump-line=no`: how often each instruction was executed. The format is described in Valgrind's manual
//! (section "Callgrind Format Specification"); only what is needed of it is read.

use std::collections::HashMap;

/// One cache line of the processors of today, in bytes.
const LINE: u64 = 64;

/// How often each instruction was executed, by object and address.
#[derive(Debug, Default)]
pub(super) struct Executed(HashMap<(u32, u64), u64>);

impl Executed {
    /// `None`: this is no such file.
    pub(super) fn read(out: &str) -> Option<Self> {
        let mut executed = Self::default();
        let (mut object, mut address) = (0, 0_u64);
        let mut calls = false;
        let body = out.split_once("\nevents: Ir\n")?.1;
        for line in body.lines() {
            if let Some(number) = line.strip_prefix("ob=(") {
                object = number.split(')').next()?.parse().ok()?;
                continue;
            }
            if line.starts_with("calls=") {
                calls = true;
                continue;
            }
            let Some((place, count)) = line.split_once(' ') else {
                continue;
            };
            address = match place.as_bytes() {
                [b'0', b'x', ..] => u64::from_str_radix(&place[2..], 16).ok()?,
                [b'+', ..] => address + place[1..].parse::<u64>().ok()?,
                [b'-', ..] => address - place[1..].parse::<u64>().ok()?,
                b"*" => address,
                _ => continue,
            };
            // The line behind a call is of what was called, all of it.
            if !std::mem::take(&mut calls) {
                *executed.0.entry((object, address)).or_default() += count.parse::<u64>().ok()?;
            }
        }
        Some(executed)
    }

    /// All of them.
    pub(super) fn instructions(&self) -> u64 {
        self.0.values().sum()
    }

    /// The cache lines of code that each of so many pieces of work touches: those with an instruction that at least every second of them
    /// executes.
    pub(super) fn lines(&self, pieces: u64) -> u64 {
        let mut lines: Vec<(u32, u64)> = self
            .0
            .iter()
            .filter(|&(_, count)| count * 2 >= pieces)
            .map(|((object, address), _)| (*object, address / LINE))
            .collect();
        lines.sort_unstable();
        lines.dedup();
        lines.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: &str = "# callgrind format\npositions: instr\nevents: Ir\nsummary: 7\n\n\
        ob=(1) /bin/weir\nfl=(1) a.rs\nfn=(1) main\n0x1000 10\n+4 10\n+60 3\n\
        cfn=(2) other\ncalls=5 0x2000\n* 700\n-4 4\n\
        ob=(2) /lib/libc.so\nfn=(3) memcpy\n0x1000 9\ntotals: 36\n";

    #[test]
    fn each_instruction_is_counted_where_it_stands_and_no_call_twice() {
        let executed = Executed::read(OUT).expect("callgrind's file");
        assert_eq!(executed.instructions(), 36);
        assert_eq!(executed.0[&(1, 0x1040)], 3);
        assert_eq!(executed.0[&(1, 0x103c)], 4);
        assert_eq!(executed.0[&(2, 0x1000)], 9);
        assert!(Executed::read("no such file").is_none());
    }

    #[test]
    fn a_line_counts_where_every_second_piece_of_work_touches_it() {
        let executed = Executed::read(OUT).expect("callgrind's file");
        // 0x1000 and 0x103c are in one line, libc's in another, and 0x1040 was touched too seldom.
        assert_eq!(executed.lines(8), 2);
        assert_eq!(executed.lines(6), 3);
        assert_eq!(executed.lines(100), 0);
    }
}
