//! Every mistake in the file at once, or a Plan that cannot be wrong.
//!
//! Text becomes domain types here and nowhere else. The file is TOML, walked by hand rather than through serde, so that one reading
//! finds every mistake and each knows its line, its column and its key. What a value may be is decided by the crate that owns its
//! type; this crate asks that type's constructor and says where the refused text stands. Running the plan is left to the binary.
//!
//! Two promises: text that came out of a variable or a file never stands in a mistake or a warning, and every relative path of a
//! file is seen from the folder that the file is in.

mod env;
mod interpolate;
mod mistake;
mod near;
mod node;
pub mod plan;
mod read;
mod source;
mod table;
mod units;

use std::path::Path;

use toml::de::DeTable;

use crate::source::Source;
pub use crate::{
    env::{Env, Map, Process},
    mistake::{Mistake, Mistakes},
    plan::Plan,
};

/// Reads a configuration file. The file itself comes from `env` too.
///
/// # Errors
/// Every mistake in it, or the one that it cannot be read.
pub fn load(path: &Path, env: &dyn Env) -> Result<Plan, Mistakes> {
    match env.file(path) {
        Ok(text) => parse(path, &text, env),
        Err(error) => Err(Mistakes::only(Mistake {
            file: path.to_owned(),
            place: None,
            key: String::new(),
            message: format!("cannot be read: {error}"),
        })),
    }
}

/// Reads a configuration from text. `file` is what mistakes call it, and its folder is where relative paths start.
///
/// # Errors
/// Every mistake in it.
pub fn parse(file: &Path, text: &str, env: &dyn Env) -> Result<Plan, Mistakes> {
    let (root, syntax) = DeTable::parse_recoverable(text);
    let source = Source::new(file, text, env, &syntax);
    let plan = source
        .has_shape()
        .then(|| read::plan(&source, &root))
        .flatten();
    match (source.into_mistakes(), plan) {
        (None, Some(plan)) => Ok(plan),
        (Some(mistakes), _) => Err(mistakes),
        (None, None) => unreachable!("a reader that answers None has recorded a mistake"),
    }
}
