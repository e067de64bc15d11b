//! Both sides at work over scripted streams, with hyper's client and hyper's server as a second opinion on the same bytes.

mod client;
mod client_oracle;
mod script;
mod server;
mod server_oracle;
