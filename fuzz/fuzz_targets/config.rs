//! A configuration is a plan or a list of mistakes, never a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use weir_config::Map;

fuzz_target!(|text: &str| {
    let _ = weir_config::parse(Path::new("fuzz.toml"), text, &Map::new());
});
