//! Strings of a process that are complete only when its container starts, because a file that another container writes is part of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::Process;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What of a container's process is not known before it starts. In the spec these strings say in words what will be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Values of variables, by name.
    pub env: BTreeMap<String, Vec<Piece>>,
    /// Arguments, by index.
    pub args: BTreeMap<usize, Vec<Piece>>,
}

/// A piece of a string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// This text.
    Text(String),
    /// The value of a key of a file.
    File(FileKey),
}

/// `valueFrom.fileKeyRef`: a key of a file of variables in a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileKey {
    /// The volume's root directory in the supervisor's mount namespace.
    pub volume: PathBuf,
    /// The file's path below it.
    pub path: PathBuf,
    /// The name of the variable in the file.
    pub key: String,
    /// What is there instead where the file or the key is missing.
    pub otherwise: Otherwise,
}

/// What stands in for a key that a file does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Otherwise {
    /// Nothing: the container cannot start.
    Failure,
    /// Nothing: the variable is not set.
    Unset,
    /// This.
    Pieces(Vec<Piece>),
}

impl Late {
    /// Whether the whole process is known beforehand.
    pub fn is_empty(&self) -> bool {
        self.env.is_empty() && self.args.is_empty()
    }

    /// `process` with everything in its place. `read` has the value of a key, `None` where there is no such file or key.
    ///
    /// # Errors
    /// `read`'s, and a key that is missing though it must be there.
    pub fn complete(
        &self,
        process: &Process,
        read: &mut dyn FnMut(&FileKey) -> Result<Option<String>>,
    ) -> Result<Process> {
        let mut complete = process.clone();
        let mut env = Vec::new();
        for entry in process.env().iter().flatten() {
            let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
            let Some(pieces) = self.env.get(name) else {
                env.push(entry.clone());
                continue;
            };
            if let Some(value) = joined(pieces, read).map_err(|e| e.context(format_args!("the variable {name:?}")))? {
                env.push(format!("{name}={value}"));
            }
        }
        let mut args = process.args().clone().unwrap_or_default();
        for (&i, pieces) in &self.args {
            let whole = joined(pieces, read).map_err(|e| e.context(format_args!("argument {i}")))?;
            if let Some(arg) = args.get_mut(i) {
                *arg = whole.unwrap_or_default();
            }
        }
        complete.set_env(Some(env)).set_args(Some(args));
        Ok(complete)
    }
}

/// The text of `pieces`; `None` where one of them leaves its variable unset.
fn joined(pieces: &[Piece], read: &mut dyn FnMut(&FileKey) -> Result<Option<String>>) -> Result<Option<String>> {
    let mut text = String::new();
    for piece in pieces {
        let found = match piece {
            Piece::Text(piece) => Some(piece.clone()),
            Piece::File(key) => match (read(key)?, &key.otherwise) {
                (Some(value), _) => Some(value),
                (None, Otherwise::Pieces(pieces)) => joined(pieces, read)?,
                (None, Otherwise::Unset) => None,
                (None, Otherwise::Failure) => {
                    return Err(Error::new(format!("there is no value for {}", words(key)))
                        .mend("write it there before this container starts, or write `optional: true`"));
                }
            },
        };
        match found {
            Some(found) => text.push_str(&found),
            None => return Ok(None),
        }
    }
    Ok(Some(text))
}

/// What a plan shows for a value that is not known yet.
pub(super) fn words(key: &FileKey) -> String {
    let volume = key.volume.file_name().unwrap_or_default().to_string_lossy();
    format!("key {:?} of file {:?} in volume {volume:?}", key.key, key.path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str, otherwise: Otherwise) -> Piece {
        Piece::File(FileKey { volume: "/pod/volumes/v".into(), path: "a.env".into(), key: key.to_owned(), otherwise })
    }

    fn complete(late: &Late) -> Result<(Vec<String>, Vec<String>)> {
        let mut process = Process::default();
        process.set_env(Some(["A=1", "B=?", "C=3"].map(str::to_owned).to_vec()));
        process.set_args(Some(["sh", "?"].map(str::to_owned).to_vec()));
        let mut read = |key: &FileKey| match key.key.as_str() {
            "there" => Ok(Some("value".to_owned())),
            "broken" => Err(Error::new("not a file of variables")),
            _ => Ok(None),
        };
        let process = late.complete(&process, &mut read)?;
        Ok((process.env().clone().unwrap(), process.args().clone().unwrap()))
    }

    fn with(pieces: Vec<Piece>) -> Late {
        Late { env: BTreeMap::from([("B".to_owned(), pieces.clone())]), args: BTreeMap::from([(1, pieces)]) }
    }

    #[test]
    fn keys_take_their_places() {
        let text = |text: &str| Piece::Text(text.to_owned());
        for (pieces, whole) in [
            (vec![key("there", Otherwise::Failure)], "value"),
            (vec![text("<"), key("there", Otherwise::Unset), text(">")], "<value>"),
            (vec![key("none", Otherwise::Pieces(vec![text("$(B)")]))], "$(B)"),
            (vec![key("none", Otherwise::Pieces(vec![key("there", Otherwise::Unset)]))], "value"),
        ] {
            let (env, args) = complete(&with(pieces)).unwrap();
            assert_eq!(
                (env, args),
                (
                    vec!["A=1".to_owned(), format!("B={whole}"), "C=3".to_owned()],
                    vec!["sh".to_owned(), whole.to_owned()]
                )
            );
        }
    }

    #[test]
    fn what_is_missing_is_left_out_or_an_error() {
        let unset = Late { args: BTreeMap::new(), ..with(vec![key("none", Otherwise::Unset)]) };
        assert_eq!(complete(&unset).unwrap().0, ["A=1", "C=3"]);
        let error = complete(&with(vec![key("none", Otherwise::Failure)])).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the variable \"B\": there is no value for key \"none\" of file \"a.env\" in volume \"v\""),
            "{error}"
        );
        assert!(complete(&with(vec![key("broken", Otherwise::Unset)])).is_err());
    }
}
