//! The gateway: listeners, the pipeline, admin, reload, drain, commands; the binary.
fn main() {}
