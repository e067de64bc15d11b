//! Of what a client sends the same comes through, whatever the pieces in which it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_wire::{Intake, Requests, Stop};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = through(bytes, bytes.len().max(1));
    let pieces = through(bytes, usize::from(size).max(1));
    assert!(whole.0.len() <= bytes.len());
    assert_eq!(whole, pieces);
});

fn through(bytes: &[u8], size: usize) -> (Vec<u8>, Option<&'static str>) {
    let mut intake = Intake::new(Requests::default());

    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        let passed = intake.admit(piece);
        out.extend_from_slice(&piece[..passed]);
        let mut kept = [0; 512];
        loop {
            match intake.take(&mut kept) {
                0 => break,
                count => out.extend_from_slice(&kept[..count]),
            }
        }
    }
    intake.end();
    // Which of several faults is found first may depend on the pieces.
    let stopped = intake.stopped().map(|stop| match stop {
        Stop::Head(_) => "head",
        Stop::Body(_) => "body",
        Stop::Over => "over",
    });
    (out, stopped)
}
