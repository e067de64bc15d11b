//! The client at work: exchanges over scripted streams, and hyper's client as a second opinion on the same bytes.

mod exchange;
mod oracle;
mod script;
