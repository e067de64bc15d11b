//! weir-auth from outside: every vector, every guard, every changed byte.

mod any;
mod claims;
mod core;
mod guards;
mod jose;
mod katana;
mod keys;
mod places;
mod tokens;
mod vectors;
