//! The events of a stream do not depend on how its bytes were cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_llm::{Media, Tap};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let mut whole = Tap::new(Media::Sse);
    whole.feed(bytes);
    let mut pieces = Tap::new(Media::Sse);
    for piece in bytes.chunks(usize::from(size).max(1)) {
        pieces.feed(piece);
    }
    assert_eq!(whole.events(), pieces.events());
    assert_eq!(whole.at_boundary(), pieces.at_boundary());
    assert_eq!(whole.end(), pieces.end());
    assert_eq!(whole.usage(), pieces.usage());
    assert_eq!(whole.conversation(), pieces.conversation());
});
