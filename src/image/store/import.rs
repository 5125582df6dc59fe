//! `podling image import`: an image of one layer, made of a root file system.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::error::{Context, Error, Result};
use crate::image::documents::Origin;
use crate::image::extent::Extent;
use crate::image::layer::pack::pack;
use crate::image::layer::pipeline::{Content, LayerBlob};
use crate::image::namespace::InUserNamespace;
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::publish::Loaded;
use crate::image::store::publish::StagedImage;
use crate::image::store::workshop::Workshop;
use crate::image::timestamp;

/// A line of Dockerfile that sets part of an image's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `CMD`.
    Cmd(Vec<String>),
    /// `ENTRYPOINT`.
    Entrypoint(Vec<String>),
    /// `ENV NAME=VALUE`.
    Env(String),
    /// `LABEL NAME=VALUE`.
    Label(String, String),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `USER`.
    User(String),
    /// `WORKDIR`.
    Workdir(String),
}

impl Change {
    /// Reads `CMD ["/bin/sh"]`, `ENV A=b` and the like; each takes the rest of the line as it is.
    pub fn parse(text: &str) -> Result<Change> {
        let bad = |why: &str| Error::new(format!("--change {text:?}: {why}"));
        let (instruction, rest) =
            text.trim().split_once(char::is_whitespace).ok_or_else(|| bad("nothing follows the instruction"))?;
        let rest = rest.trim();
        let pair =
            || rest.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| bad("it must be NAME=VALUE"));
        match instruction.to_ascii_uppercase().as_str() {
            "CMD" => Ok(Change::Cmd(command(rest).map_err(|why| bad(&why))?)),
            "ENTRYPOINT" => Ok(Change::Entrypoint(command(rest).map_err(|why| bad(&why))?)),
            "ENV" => pair().map(|(name, value)| Change::Env(format!("{name}={value}"))),
            "LABEL" => pair().map(|(name, value)| Change::Label(name.to_owned(), value.to_owned())),
            "STOPSIGNAL" => Ok(Change::StopSignal(rest.to_owned())),
            "USER" => Ok(Change::User(rest.to_owned())),
            "WORKDIR" if rest.starts_with('/') => Ok(Change::Workdir(rest.to_owned())),
            "WORKDIR" => Err(bad("the directory must be absolute")),
            other => Err(bad(&format!(
                "{other} is none of the instructions CMD, ENTRYPOINT, ENV, LABEL, STOPSIGNAL, USER and WORKDIR"
            ))),
        }
    }
}

/// A JSON array is the command itself, anything else a line for the shell.
fn command(text: &str) -> std::result::Result<Vec<String>, String> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|e| format!("it is not a JSON array of strings: {e}"));
    }
    Ok(vec!["/bin/sh".into(), "-c".into(), text.into()])
}

impl Store {
    /// Makes the image `name` of the root file system in the tar archive or directory `source`. On failure the store is as it was.
    pub fn import(
        &self,
        source: &Path,
        name: &str,
        changes: &[Change],
        namespace: &dyn InUserNamespace,
    ) -> Result<Loaded> {
        let name = Reference::parse(name)?;
        if name.digest().is_some() {
            return Err(Error::new(format!("image {name}: an image cannot be given a digest as a name")));
        }
        self.load_made(namespace, &|workshop| {
            import(workshop, source, name.clone(), changes, self).map_err(|e| e.context(source.display()))
        })
    }
}

fn import(
    workshop: &mut Workshop<'_>,
    source: &Path,
    name: Reference,
    changes: &[Change],
    store: &Store,
) -> Result<StagedImage> {
    let mut warnings = Vec::new();
    // O_DIRECTORY opens nothing else, and so waits for no FIFO.
    let content = match File::options().read(true).custom_flags(libc::O_DIRECTORY).open(source) {
        Err(e) if e.kind() == ErrorKind::NotADirectory => Extent::open(source)?,
        dir => {
            let dir = dir.context(|| format!("cannot open {}", source.display()))?;
            let file =
                tempfile::tempfile_in(workshop.scratch()).context(|| "cannot make a temporary file in the store")?;
            warnings.extend(pack(&dir, &file, store.ids())?);
            Extent::whole(file)?
        }
    };
    let blob = LayerBlob { content: Content::Here(content), digest: None, diff_id: None, compression: None };
    let made = workshop.layers(&[&blob])?;
    let (layer, stats) = made.into_iter().next().ok_or_else(|| Error::new("nothing was imported"))?;
    // No digest vouches for an imported archive; its end marker is all that tells a whole one.
    if !stats.end_marked {
        return Err(Error::new("the archive is truncated: it has no end marker"));
    }
    if stats.entries == 0 {
        return Err(Error::new("there is nothing in it"));
    }
    warnings.extend(stats.warnings);
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs().cast_signed());
    let created = timestamp::format(created);
    let config = json!({
        "created": created,
        "architecture": crate::host::architecture(),
        "os": "linux",
        "config": config(changes),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id.to_string()]},
        "history": [{"created": created, "created_by": "podling image import"}],
    });
    workshop.documents(Some(name), config.to_string().as_bytes(), None, &Origin::default(), &[layer], warnings)
}

fn config(changes: &[Change]) -> Value {
    let mut config = json!({});
    let mut env: Vec<&str> = Vec::new();
    let mut labels = BTreeMap::new();
    for change in changes {
        match change {
            Change::Cmd(command) => config["Cmd"] = json!(command),
            Change::Entrypoint(command) => config["Entrypoint"] = json!(command),
            Change::StopSignal(signal) => config["StopSignal"] = json!(signal),
            Change::User(user) => config["User"] = json!(user),
            Change::Workdir(dir) => config["WorkingDir"] = json!(dir),
            Change::Label(name, value) => drop(labels.insert(name, value)),
            Change::Env(variable) => env.push(variable),
        }
    }
    // Programs without a PATH find nothing; docker gives images this one too.
    if !env.iter().any(|variable| variable.starts_with("PATH=")) {
        env.insert(0, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    }
    config["Env"] = json!(env);
    if !labels.is_empty() {
        config["Labels"] = json!(labels);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_as_in_a_dockerfile() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (text, change) in [
            ("CMD [\"/bin/a\", \"b c\"]", Change::Cmd(words(&["/bin/a", "b c"]))),
            ("cmd echo $HOME", Change::Cmd(words(&["/bin/sh", "-c", "echo $HOME"]))),
            ("ENTRYPOINT [\"/e\"]", Change::Entrypoint(words(&["/e"]))),
            ("ENV A=b=c d", Change::Env("A=b=c d".into())),
            ("WORKDIR /srv", Change::Workdir("/srv".into())),
            ("LABEL a=", Change::Label("a".into(), String::new())),
        ] {
            assert_eq!(Change::parse(text).unwrap(), change, "{text}");
        }
        for bad in ["", "CMD", "CMD [1]", "ENV A", "ENV =b", "WORKDIR srv", "RUN ls"] {
            assert!(Change::parse(bad).is_err(), "{bad:?}");
        }
    }
}
