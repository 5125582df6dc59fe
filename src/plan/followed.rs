//! What of the input a volume follows: the files that its ConfigMaps and Secrets come from.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Volume;

use super::FollowedInput;
use super::scope::Scope;
use crate::error::Result;
use crate::manifest::Source;

/// The names of ConfigMaps and Secrets.
#[derive(Default)]
pub(super) struct References<'a> {
    pub config_maps: Vec<&'a str>,
    pub secrets: Vec<&'a str>,
}

impl References<'_> {
    pub fn is_empty(&self) -> bool {
        self.config_maps.is_empty() && self.secrets.is_empty()
    }
}

/// The objects whose content is in a volume.
pub(super) fn references(volume: &Volume) -> References<'_> {
    let mut names = References::default();
    names.config_maps.extend(volume.config_map.iter().map(|source| source.name.as_str()));
    names.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.as_deref()));
    for source in volume.projected.iter().flat_map(|projected| &projected.sources).flatten() {
        names.config_maps.extend(source.config_map.iter().map(|source| source.name.as_str()));
        names.secrets.extend(source.secret.iter().map(|source| source.name.as_str()));
    }
    names
}

/// The file of an object that volumes follow; `None` for one that stays what it is.
pub(super) fn followed(source: &Source, immutable: Option<bool>) -> Option<&Path> {
    source.file_path().filter(|_| immutable != Some(true))
}

/// The file of the ConfigMap `name`, where volumes follow that.
pub(super) fn config_map<'a>(scope: &Scope<'a>, name: &str) -> Option<&'a Path> {
    let said = scope.bundle.config_maps.get(&scope.key(name))?;
    followed(&said.source, said.object.immutable)
}

/// The file of the Secret `name`, where volumes follow that.
pub(super) fn secret<'a>(scope: &Scope<'a>, name: &str) -> Option<&'a Path> {
    let said = scope.bundle.secrets.get(&scope.key(name))?;
    followed(&said.source, said.object.immutable)
}

/// What of the input `volume` follows.
///
/// # Errors
/// The volume cannot be written as JSON.
pub(super) fn input(scope: &Scope, at: &str, volume: &Volume) -> Result<Option<FollowedInput>> {
    let References { config_maps, secrets } = references(volume);
    let maps = config_maps.into_iter().filter_map(|name| config_map(scope, name));
    let secrets = secrets.into_iter().filter_map(|name| secret(scope, name));
    let from: Vec<PathBuf> = maps.chain(secrets).map(Path::to_owned).collect();
    if from.is_empty() {
        return Ok(None);
    }
    let said = serde_json::to_value(volume).map_err(|e| scope.error(at, e))?;
    Ok(Some(FollowedInput { said, from }))
}
