//! Carries one exchange to an upstream and watches its body to the end.

pub mod settings;
