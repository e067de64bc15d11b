//! `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` inside a string, and `$${` for the characters `${` themselves.
//! What comes out knows whether it is fit to be shown: text from a variable or a file may be a secret and is never printed.

use std::{fmt, io, path::Path};

use crate::env::Env;

/// A string of the file with everything filled in.
#[derive(Clone)]
pub(crate) struct Text {
    value: String,
    /// The string as the file has it, before anything was filled in.
    template: String,
    filled: bool,
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.value
    }

    pub(crate) fn into_string(self) -> String {
        self.value
    }

    /// Whether any of it came from a variable or a file.
    pub(crate) fn is_filled(&self) -> bool {
        self.filled
    }

    /// How a mistake may show it: the template, which stands in the file for all to read.
    pub(crate) fn shown(&self) -> String {
        if self.filled {
            format!("the value of {:?}", self.template)
        } else {
            format!("{:?}", self.value)
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// Why a string could not be filled in. Names the variable or file, never a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfilled {
    #[error(
        "the environment variable {0} is not set, and the file gives no default (`${{env:{0}:-default}}`)"
    )]
    NotSet(String),
    #[error("the environment variable {0} is not UTF-8")]
    NotText(String),
    #[error("cannot read the file {0}: {1}")]
    File(String, io::Error),
    #[error("found \"${{\" without its \"}}\" (a literal \"${{\" is written \"$${{\")")]
    Open,
    #[error(
        "found \"${{{0}}}\", expected ${{env:NAME}}, ${{env:NAME:-default}} or ${{file:PATH}} (a literal \"${{\" is written \"$${{\")"
    )]
    Unknown(String),
}

/// Fills a string in. Relative files are looked for in `folder`; one line end after a file's text is not part of it.
/// As in a shell, the default also stands for a variable that is set but empty.
///
/// # Errors
/// Every reference that could not be resolved.
pub(crate) fn fill(template: &str, folder: &Path, env: &dyn Env) -> Result<Text, Vec<Unfilled>> {
    let mut value = String::new();
    let mut filled = false;
    let mut missing = Vec::new();
    let mut rest = template;
    while let Some(dollar) = rest.find("${") {
        let before = &rest[..dollar];
        let inside = &rest[dollar + 2..];
        if let Some(before) = before.strip_suffix('$') {
            value.push_str(before);
            value.push_str("${");
            rest = inside;
            continue;
        }
        value.push_str(before);
        let Some((reference, after)) = inside.split_once('}') else {
            missing.push(Unfilled::Open);
            rest = "";
            break;
        };
        filled = true;
        match resolve(reference, folder, env) {
            Ok(text) => value.push_str(&text),
            Err(why) => missing.push(why),
        }
        rest = after;
    }
    value.push_str(rest);
    if missing.is_empty() {
        Ok(Text {
            value,
            template: template.to_owned(),
            filled,
        })
    } else {
        Err(missing)
    }
}

fn resolve(reference: &str, folder: &Path, env: &dyn Env) -> Result<String, Unfilled> {
    if let Some(variable) = reference.strip_prefix("env:") {
        let (name, default) = match variable.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (variable, None),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Unfilled::Unknown(reference.to_owned()));
        }
        match (env.variable(name), default) {
            (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
            (Some(value), _) => value
                .into_string()
                .map_err(|_| Unfilled::NotText(name.to_owned())),
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(Unfilled::NotSet(name.to_owned())),
        }
    } else if let Some(path) = reference
        .strip_prefix("file:")
        .filter(|path| !path.is_empty())
    {
        let path = folder.join(path);
        let mut text = env
            .file(&path)
            .map_err(|error| Unfilled::File(path.display().to_string(), error))?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    } else {
        Err(Unfilled::Unknown(reference.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Map;

    fn env() -> Map {
        Map::new()
            .with("PORT", "8080")
            .with("EMPTY", "")
            .with_file("/etc/weir/key", "abc\r\n")
            .with_file("/abs", "two\n\n")
    }

    fn filled(template: &str) -> Result<String, Vec<String>> {
        fill(template, Path::new("/etc/weir"), &env())
            .map(Text::into_string)
            .map_err(|missing| missing.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn references_are_filled_in_where_they_stand() {
        for (template, expected) in [
            ("plain", "plain"),
            ("a $ b $5 }", "a $ b $5 }"),
            ("0.0.0.0:${env:PORT}", "0.0.0.0:8080"),
            ("${env:PORT}${env:PORT}", "80808080"),
            ("${env:NONE:-x:-y}", "x:-y"),
            ("${env:NONE:-}", ""),
            ("${env:EMPTY:-x}", "x"),
            ("${env:EMPTY}", ""),
            ("${file:key}", "abc"),
            ("${file:/abs}", "two\n"),
            ("$${env:PORT}", "${env:PORT}"),
            ("$${ ${env:PORT}", "${ 8080"),
        ] {
            assert_eq!(filled(template).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn every_reference_that_fails_is_named() {
        let missing = filled("${env:A}${file:b}${ENV:C}${env:}${env:D").unwrap_err();
        assert_eq!(missing.len(), 5);
        assert!(
            missing[0].starts_with("the environment variable A is not set"),
            "{}",
            missing[0]
        );
        assert!(
            missing[1].starts_with("cannot read the file /etc/weir/b: "),
            "{}",
            missing[1]
        );
        assert!(
            missing[2].starts_with("found \"${ENV:C}\""),
            "{}",
            missing[2]
        );
        assert!(
            missing[3].starts_with("found \"${env:}\""),
            "{}",
            missing[3]
        );
        assert!(
            missing[4].starts_with("found \"${\" without"),
            "{}",
            missing[4]
        );
    }

    #[test]
    fn a_value_from_outside_is_not_shown() {
        let text = fill("port ${env:PORT}", Path::new(""), &env()).unwrap();
        assert_eq!(text.as_str(), "port 8080");
        assert_eq!(format!("{text:?}"), "the value of \"port ${env:PORT}\"");
    }
}
