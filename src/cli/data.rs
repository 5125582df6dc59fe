//! Where podling keeps its data (XDG Base Directory Specification).

use std::path::PathBuf;

use crate::error::{Error, Result};

/// `$XDG_DATA_HOME/podling`, else `$HOME/.local/share/podling`.
///
/// # Errors
/// Neither variable holds an absolute path.
pub fn directory() -> Result<PathBuf> {
    from(|name| std::env::var_os(name).map(PathBuf::from))
}

fn from(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    // The specification says that a relative path is invalid and to be ignored.
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("podling"))
        .ok_or_else(|| {
            Error::new("there is no place for podling's data: neither XDG_DATA_HOME nor HOME holds an absolute path")
                .mend("set one of them: export HOME=…")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_ignored() {
        let with = |xdg: &str, home: &str| {
            let (xdg, home) = (PathBuf::from(xdg), PathBuf::from(home));
            from(move |name| Some(if name == "HOME" { home.clone() } else { xdg.clone() })).ok()
        };
        assert_eq!(with("/x", "/h"), Some(PathBuf::from("/x/podling")));
        assert_eq!(with("x", "/h"), Some(PathBuf::from("/h/.local/share/podling")));
        assert_eq!(with("", ""), None);
    }
}
