//! A path in normal form is one that every later reader takes for the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_route::NormalPath;

fuzz_target!(|raw: &str| {
    let Ok(path) = NormalPath::parse(raw) else {
        return;
    };
    let text = path.as_str();
    assert!(text.starts_with('/'));
    for never in ["//", "/./", "/../", "\\", "\0"] {
        assert!(!text.contains(never), "{raw:?} became {text:?}");
    }
    assert_eq!(NormalPath::parse(text).as_ref(), Ok(&path));
});
