//! The demo's page as a folder, because that is what weir serves files from. The page is inside the binary; the folder is
//! written at start and removed at the end.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

const FILES: [(&str, &str); 6] = [
    ("index.html", include_str!("page/index.html")),
    ("style.css", include_str!("page/style.css")),
    ("app.js", include_str!("page/app.js")),
    ("chart.js", include_str!("page/chart.js")),
    ("stream.js", include_str!("page/stream.js")),
    ("icon.svg", include_str!("page/icon.svg")),
];

/// The folder; gone when dropped. A demo that is killed leaves it in the system's temporary folder.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Writes the page into a new folder. `name` must be one that nobody else can guess or has used: a folder that is already
    /// there is an error, not a place to write to.
    pub(super) fn write(name: &str) -> io::Result<Self> {
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir(&folder.0)?;
        for (file, text) in FILES {
            fs::write(folder.0.join(file), text)?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // At worst it stays behind; there is nobody left to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_holds_the_page_and_goes_with_its_owner() {
        let folder =
            Folder::write(&format!("weir-demo-test-{}", std::process::id())).expect("written");
        let path = folder.path().to_owned();
        assert!(path.join("index.html").is_file());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn the_page_names_no_file_that_is_not_there() {
        for (file, text) in FILES {
            for (at, _) in text.match_indices("\"/chat/") {
                let name: String = text[at + 7..]
                    .chars()
                    .take_while(|&c| c != '"' && c != '#')
                    .collect();
                let known = name.is_empty()
                    || name.starts_with("backend")
                    || FILES.iter().any(|(known, _)| *known == name);
                assert!(known, "{file} asks for /chat/{name}");
            }
            assert!(
                !text.contains("https://"),
                "{file} asks for something outside"
            );
        }
    }
}
