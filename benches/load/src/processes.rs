//! What a gateway has used: the CPU time of every thread of every one of its processes, and the memory that is its own, from /proc. A
//! thread that ends between two looks takes its last stretch with it; gateways start their threads at the beginning and keep them.

use std::{collections::HashMap, fs};

/// CPU time in nanoseconds of each thread, by process and thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cpu(HashMap<(i32, i32), u64>);

impl Cpu {
    /// What all threads of these processes have used so far.
    pub(crate) fn of(processes: &[i32]) -> Self {
        let mut used = HashMap::new();
        for &process in processes {
            let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
                continue;
            };
            for thread in threads.flatten() {
                let Some(id) = thread.file_name().to_str().and_then(|n| n.parse().ok()) else {
                    continue;
                };
                if let Some(nanos) = thread_cpu(process, id) {
                    used.insert((process, id), nanos);
                }
            }
        }
        Self(used)
    }

    /// What was used since `before`, in nanoseconds; threads that were not there then count from their start.
    pub(crate) fn since(&self, before: &Self) -> u64 {
        let used = |(thread, now): (&(i32, i32), &u64)| {
            now.saturating_sub(before.0.get(thread).copied().unwrap_or(0))
        };
        self.0.iter().map(used).sum()
    }
}

/// CPU time of one thread in nanoseconds.
pub(crate) fn thread_cpu(process: i32, thread: i32) -> Option<u64> {
    on_cpu(&fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")).ok()?)
}

/// The first of the three figures of schedstat: time on a CPU, time waiting for one, and how often.
fn on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// The proportional set size of these processes together, in KiB: pages that they share count once.
pub(crate) fn pss(processes: &[i32]) -> u64 {
    let of = |process: &i32| {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        kib(&rollup, "Pss:")
    };
    processes.iter().filter_map(of).sum()
}

fn kib(rollup: &str, key: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A process and all that descend from it.
pub(crate) fn family(root: i32) -> Vec<i32> {
    let mut parents: HashMap<i32, i32> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        if let Some(parent) = parent(&stat) {
            parents.insert(id, parent);
        }
    }
    let mut members = vec![root];
    let mut at = 0;
    while let Some(&member) = members.get(at) {
        members.extend(
            parents
                .iter()
                .filter(|&(_, &p)| p == member)
                .map(|(&id, _)| id),
        );
        at += 1;
    }
    members
}

/// The parent in /proc/PID/stat, whose second field, the name, may hold blanks and brackets.
fn parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        assert_eq!(on_cpu("12345678901 3759473 17\n"), Some(12_345_678_901));
        assert_eq!(on_cpu(""), None);
        let rollup = "556ec35be000-7ffca53dc000 ---p 00000000 00:00 0  [rollup]\nRss:  1776 kB\nPss:                 207 kB\nPss_Dirty: 5 kB\n";
        assert_eq!(kib(rollup, "Pss:"), Some(207));
        assert_eq!(kib(rollup, "Swap:"), None);
        assert_eq!(parent("77 (a) (b c) S 42 77 77 0"), Some(42));
    }

    #[test]
    fn counts_what_this_process_used_and_new_threads_from_their_start() {
        let me = i32::try_from(std::process::id()).expect("a process id");
        let before = Cpu::of(&[me]);
        let mut sum = 0_u64;
        while Cpu::of(&[me]).since(&before) < 5_000_000 {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 1);
        }
        assert!(pss(&[me]) > 100, "this process has memory");
        let one = Cpu(HashMap::from([((1, 1), 100)]));
        let later = Cpu(HashMap::from([((1, 1), 150), ((1, 2), 30)]));
        assert_eq!(later.since(&one), 80);
    }

    #[test]
    fn a_family_holds_the_children() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep");
        let me = i32::try_from(std::process::id()).expect("a process id");
        let id = i32::try_from(child.id()).expect("a process id");
        let found = family(me);
        child.kill().expect("a child");
        child.wait().expect("a child");
        assert!(found.contains(&me) && found.contains(&id));
    }
}
