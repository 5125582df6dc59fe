//! Having an image when a pod wants it: from the store, or from its registry first (Kubernetes API, `Container.imagePullPolicy`).

use crate::error::{Error, Result};
use crate::image::Image;
use crate::image::digest::Digest;
use crate::image::documents::Origin;
use crate::image::namespace::InUserNamespace;
use crate::image::platform::Target;
use crate::image::progress::Progress;
use crate::image::reference::Reference;
use crate::image::registry::Registries;
use crate::image::store::index::{Index, name_of};
use crate::image::store::pull::Pulled;
use crate::image::store::{Store, not_found};

/// When an image is asked for at its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PullPolicy {
    /// Never: the store has it, or it is an error.
    Never,
    /// Where the store has none of that name.
    IfNotPresent,
    /// Always, since nothing is said and the tag is `latest`. An image that never came from a registry stays what it is, and one whose
    /// registry cannot be reached is run as the store has it, which is said.
    AlwaysByDefault,
    /// At every start.
    Always,
}

impl PullPolicy {
    /// What the API server makes of a container's `imagePullPolicy`: where it is not written, the tag `latest`, written or not,
    /// means `Always`, and everything else `IfNotPresent`.
    pub fn of(said: Option<&str>, image: &str) -> PullPolicy {
        let is_latest =
            || Reference::parse(image).is_ok_and(|name| name.digest().is_none() && name.tag() == Some("latest"));
        match said.filter(|said| !said.is_empty()) {
            Some("Always") => PullPolicy::Always,
            Some("Never") => PullPolicy::Never,
            None if is_latest() => PullPolicy::AlwaysByDefault,
            _ => PullPolicy::IfNotPresent,
        }
    }
}

/// An image that a pod can run.
#[derive(Debug)]
pub struct Acquired {
    /// The image.
    pub image: Image,
    /// How it was pulled, if the registry was asked.
    pub pulled: Option<Pulled>,
    /// What the user should know.
    pub notice: Option<String>,
}

/// What a pull needs beside the name.
pub struct Source<'a, 'r> {
    /// The registries as they are configured, read when first needed: a store that has everything needs no configuration.
    pub registries: &'a (dyn Fn() -> Result<&'r Registries> + 'a),
    /// The platform to choose from an index.
    pub target: Target,
    /// Where layers are unpacked.
    pub namespace: &'a dyn InUserNamespace,
    /// Who shows how it goes.
    pub progress: &'a dyn Progress,
}

impl Store {
    /// The image that a pod calls `written`, ready to run.
    ///
    /// # Errors
    /// It is not in the store and may not or cannot be pulled.
    pub fn acquire(&self, written: &str, policy: PullPolicy, source: &Source<'_, '_>) -> Result<Acquired> {
        let ready = |name: &str| self.resolve_or_unpack(name, source.namespace);
        if let Some(hex) = written.strip_prefix("sha256:")
            && Digest::from_hex(hex).is_some()
        {
            return Ok(Acquired { image: ready(written)?, pulled: None, notice: None });
        }
        let names = self.meanings(written, source)?;
        let index = Index::read(&self.images())?;
        // What was loaded under a short name is docker.io's in the store, wherever short names are searched.
        let here = names.iter().cloned().chain([Reference::parse(written)?]);
        let found = here.into_iter().find_map(|name| Some((index.find(&name)?, name)));
        let found = found.as_ref().map(|(image, name)| (name, *image));
        let ask = match (policy, found) {
            (PullPolicy::Always, _) => true,
            (PullPolicy::AlwaysByDefault, Some((name, image))) => {
                // A name that was given here is not asked for elsewhere.
                Origin::of(image).pulled_from.is_some_and(|from| from == name.repository())
            }
            (PullPolicy::Never, None) => return Err(never(&index, written)),
            (_, found) => found.is_none(),
        };
        if !ask {
            let name = found.map_or(written.to_owned(), |(name, _)| name.to_string());
            return Ok(Acquired { image: ready(&name)?, pulled: None, notice: None });
        }
        match self.pull_first(&names, source) {
            Ok(pulled) => {
                let image = ready(&pulled.reference.to_string())?;
                Ok(Acquired { image, pulled: Some(pulled), notice: None })
            }
            Err(e) => match found.filter(|_| policy == PullPolicy::AlwaysByDefault) {
                // The user asked for no pull, and may be on a train.
                Some((name, image)) => {
                    let built = name_of(image).unwrap_or(written);
                    let notice = format!(
                        "its tag is latest, but the registry cannot be asked for a newer image, so {built} is run as the store has it: {}",
                        e.what()
                    );
                    Ok(Acquired { image: ready(&name.to_string())?, pulled: None, notice: Some(notice) })
                }
                None if found.is_some() => {
                    let what = format!("its pull policy is Always, and {}", e.what());
                    let mend = e.hint().unwrap_or_default();
                    let or = if mend.is_empty() { "" } else { "; " };
                    Err(Error::new(what)
                        .mend(format!("{mend}{or}`podling run --pull missing` runs the one that the store has")))
                }
                None => Err(self.absent(&index, written, e)),
            },
        }
    }

    /// Pulls the first of several names that its registry has.
    ///
    /// # Errors
    /// The only name's error, or all of them in one.
    pub fn pull_first(&self, names: &[Reference], source: &Source<'_, '_>) -> Result<Pulled> {
        let mut errors: Vec<Error> = Vec::new();
        for name in names {
            let repository = (source.registries)()?.repository(name)?;
            match self.pull(name, &repository, &source.target, source.namespace, source.progress) {
                Ok(pulled) => return Ok(pulled),
                Err(e) => errors.push(e.context(format!("cannot pull {name}"))),
            }
        }
        match errors.len() {
            0 => Err(Error::new("no registry is configured for it")),
            1 => Err(errors.swap_remove(0)),
            _ => {
                let each: Vec<&str> = errors.iter().map(Error::what).collect();
                Err(Error::new(format!("none of its names can be pulled: {}", each.join("; "))))
            }
        }
    }

    /// The full names that `written` may mean, best first.
    fn meanings(&self, written: &str, source: &Source<'_, '_>) -> Result<Vec<Reference>> {
        let full = Reference::parse(written)?;
        // Only a name without a registry is looked up in the configuration.
        if Reference::has_registry(written) { Ok(vec![full]) } else { (source.registries)()?.candidates(written) }
    }

    /// Says both: that the store lacks the image, with what it may have been meant, and why the registry did not help.
    fn absent(&self, index: &Index, written: &str, pull: Error) -> Error {
        let Ok(reference) = Reference::parse(written) else { return pull };
        let here = not_found(index, &reference, written);
        let and = if here.what().ends_with('?') { " It" } else { ", and it" };
        let what = format!("{}{and} was not pulled: {}", here.what(), pull.what());
        let load = "`podling image load FILE` loads it from an archive; `podling images` lists what there is";
        let mend = pull.hint().unwrap_or(load).to_owned();
        Error::new(what).mend(mend)
    }
}

fn never(index: &Index, written: &str) -> Error {
    match Reference::parse(written) {
        Ok(reference) => {
            let error = not_found(index, &reference, written);
            let mend = format!("get it with `podling pull {written}`, or `podling image load FILE`");
            Error::new(format!("{}, and its pull policy is Never", error.what())).mend(mend)
        }
        Err(e) => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_the_api_server_s() {
        let digest = format!("a@{}", Digest::of(b""));
        for (said, image, policy) in [
            (None, "a", PullPolicy::AlwaysByDefault),
            (None, "a:latest", PullPolicy::AlwaysByDefault),
            (None, "a:1", PullPolicy::IfNotPresent),
            (None, digest.as_str(), PullPolicy::IfNotPresent),
            (Some("IfNotPresent"), "a", PullPolicy::IfNotPresent),
            (Some("Always"), "a:1", PullPolicy::Always),
            (Some("Never"), "a", PullPolicy::Never),
        ] {
            assert_eq!(PullPolicy::of(said, image), policy, "{said:?} {image}");
        }
    }
}
