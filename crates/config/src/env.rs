//! Where interpolated text comes from: the process's variables and files, or a map.
//! The reader asks this trait and never the system, so that tests and the embedded demo decide what there is to find.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// The variables and files a configuration may refer to.
pub trait Env {
    /// The variable's value; `None` where it is not set.
    fn variable(&self, name: &str) -> Option<OsString>;

    /// The file's text.
    ///
    /// # Errors
    /// What the system says, and `InvalidData` for a file that is not UTF-8.
    fn file(&self, path: &Path) -> io::Result<String>;

    /// The name and text of every `*.xml` of a folder, by name: a key ring.
    ///
    /// # Errors
    /// What the system says of the folder or of one of the files.
    fn ring(&self, folder: &Path) -> io::Result<Vec<(String, String)>>;

    /// Whether a folder is there. Only ever asked for a warning.
    fn has_folder(&self, path: &Path) -> bool;
}

/// The process's own environment and file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Env for Process {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        fs::read_to_string(path)
    }

    fn ring(&self, folder: &Path) -> io::Result<Vec<(String, String)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "xml") {
                let name = path.file_name().unwrap_or_default();
                files.push((
                    name.to_string_lossy().into_owned(),
                    fs::read_to_string(&path)?,
                ));
            }
        }
        files.sort();
        Ok(files)
    }

    fn has_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }
}

/// Variables and files that were put there by hand. Every folder counts as present.
#[derive(Clone, Default)]
pub struct Map {
    variables: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, String>,
}

impl Map {
    /// Nothing set, no files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Puts a file there.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }
}

impl fmt::Debug for Map {
    /// Names only: the values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("variables", &self.variables.keys())
            .field("files", &self.files.keys())
            .finish()
    }
}

impl Env for Map {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).map(OsString::from)
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        self.files
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn ring(&self, folder: &Path) -> io::Result<Vec<(String, String)>> {
        let within = self
            .files
            .iter()
            .filter(|(path, _)| path.parent() == Some(folder));
        let files = within.filter(|(path, _)| path.extension().is_some_and(|kind| kind == "xml"));
        let name = |path: &Path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        Ok(files
            .map(|(path, text)| (name(path), text.clone()))
            .collect())
    }

    fn has_folder(&self, _: &Path) -> bool {
        true
    }
}
