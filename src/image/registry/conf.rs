//! `registries.conf`, version 2: mirrors, insecure and blocked registries, short names (containers-registries.conf(5)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::image::reference::Reference;

/// What the configuration files say, merged.
#[derive(Debug, Clone, Default)]
pub struct Conf {
    search: Option<Vec<String>>,
    registries: Vec<Registry>,
    aliases: BTreeMap<String, String>,
    mode: Option<ShortNames>,
    /// What was not understood, one sentence each.
    pub warnings: Vec<String>,
}

/// What is done with a name without a registry (`short-name-mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ShortNames {
    Enforcing,
    Permissive,
    Disabled,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Registry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: PullFrom,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFrom {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    #[serde(default)]
    registry: Vec<Registry>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    short_name_mode: Option<ShortNames>,
    /// Where logins are kept is asked of each of the places that there are.
    #[serde(rename = "credential-helpers")]
    _credential_helpers: Option<Vec<String>>,
    #[serde(rename = "additional-layer-store-auth-helper")]
    _additional_layer_store_auth_helper: Option<String>,
    /// Version 1, which nothing else reads any more either.
    registries: Option<toml::Table>,
}

/// Where an image may be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The registry's host and port.
    pub domain: String,
    /// The repository within it.
    pub path: String,
    /// Whether it may be asked without TLS, or with a certificate that nobody vouches for.
    pub insecure: bool,
}

/// Reads one file, called `name` in messages.
///
/// # Errors
/// What it says cannot be meant, with the line.
pub fn parse(text: &str, name: &str) -> Result<Conf> {
    let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    let broken = |e: &toml::de::Error| {
        let place = e.span().map(|span| format!(":{}", line(span.start))).unwrap_or_default();
        let why: String = e.message().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Error::new(format!("{name}{place}: {why}")).mend("containers-registries.conf(5) describes the file")
    };
    let document = toml::Deserializer::parse(text).map_err(|e| broken(&e))?;
    let mut unknown = Vec::new();
    let file: File =
        serde_ignored::deserialize(document, |path| unknown.push(path.to_string())).map_err(|e| broken(&e))?;
    if file.registries.is_some() {
        return Err(Error::new(format!("{name}: it is written in version 1 of its format, which ended long ago"))
            .mend(
                "write unqualified-search-registries = [\"…\"] and [[registry]] tables: containers-registries.conf(5)",
            ));
    }
    let mut conf = Conf {
        search: file.unqualified_search_registries,
        registries: file.registry,
        aliases: file.aliases,
        mode: file.short_name_mode,
        warnings: unknown.iter().map(|key| format!("{name}: {key:?} is not known and does nothing")).collect(),
    };
    conf.normalize().map_err(|why| Error::new(format!("{name}: {why}")))?;
    Ok(conf)
}

impl Conf {
    /// Reads the files of this machine and user. A file that is absent says nothing.
    pub fn of_host() -> Result<Conf> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
        let user = config.map(|dir| dir.join("containers"));
        let mut files = Vec::new();
        match (variable("CONTAINERS_REGISTRIES_CONF").or_else(|| variable("REGISTRIES_CONFIG_PATH")), &user) {
            (Some(file), _) => {
                if !file.exists() {
                    let what = format!("$CONTAINERS_REGISTRIES_CONF names {}, which is not there", file.display());
                    return Err(Error::new(what));
                }
                files.push(file);
            }
            (None, user) => {
                let own = user.as_ref().map(|dir| dir.join("registries.conf")).filter(|file| file.exists());
                files.extend(own.or_else(|| Some(PathBuf::from("/etc/containers/registries.conf"))));
                files.extend(drop_ins(Path::new("/etc/containers/registries.conf.d"))?);
                files.extend(
                    user.as_ref()
                        .map(|dir| drop_ins(&dir.join("registries.conf.d")))
                        .transpose()?
                        .into_iter()
                        .flatten(),
                );
            }
        }
        let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
        let cache = cache.map(|dir| dir.join("containers/short-name-aliases.conf"));
        let mut conf = Conf::default();
        for file in files.into_iter().chain(cache) {
            match std::fs::read_to_string(&file) {
                Ok(text) => conf.merge(parse(&text, &file.display().to_string())?),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::new(format!("cannot read {}: {e}", file.display()))),
            }
        }
        Ok(conf)
    }

    /// Lays a later file over this one: its search list and mode count, and its registries and aliases of the same name.
    pub fn merge(&mut self, later: Conf) {
        self.search = later.search.or(self.search.take());
        self.mode = later.mode.or(self.mode);
        self.registries.retain(|known| later.registries.iter().all(|new| new.prefix != known.prefix));
        self.registries.extend(later.registries);
        self.aliases.extend(later.aliases);
        self.warnings.extend(later.warnings);
    }

    fn normalize(&mut self) -> std::result::Result<(), String> {
        for registry in &mut self.registries {
            if registry.prefix.is_empty() {
                registry.prefix.clone_from(&registry.location);
            }
            let wild = registry.prefix.starts_with("*.");
            if registry.location.is_empty() && !wild {
                return Err("a [[registry]] has neither location nor a prefix of the form *.example.com".into());
            }
            for text in [&mut registry.prefix, &mut registry.location] {
                *text = location(text)?;
            }
            if registry.prefix.trim_start_matches("*.").contains('*') {
                return Err(format!("prefix {:?}: only a first label may be *", registry.prefix));
            }
            for mirror in &mut registry.mirror {
                mirror.location = location(&mirror.location)?;
            }
        }
        for (short, full) in self.aliases.iter().filter(|(_, full)| !full.is_empty()) {
            let name = Reference::parse_untagged(full).map_err(|e| format!("alias {short:?}: {}", e.what()))?;
            if !Reference::has_registry(full) || name.tag().is_some() || name.digest().is_some() {
                return Err(format!("alias {short:?}: {full:?} must be a registry and a name, without tag and digest"));
            }
        }
        self.search.iter_mut().flatten().try_for_each(|registry| location(registry).map(|clean| *registry = clean))
    }

    /// What a name as written may mean, best first.
    ///
    /// # Errors
    /// A bad name, or one that the configuration wants written in full.
    pub fn candidates(&self, written: &str) -> Result<Vec<Reference>> {
        let reference = Reference::parse(written)?;
        if Reference::has_registry(written) {
            return Ok(vec![reference]);
        }
        let end = written.find(['@', ':']).unwrap_or(written.len());
        let (name, suffix) = written.split_at(end);
        if let Some(full) = self.aliases.get(name).filter(|full| !full.is_empty()) {
            return Ok(vec![Reference::parse(&format!("{full}{suffix}"))?]);
        }
        let search = self.search.as_deref().unwrap_or_default();
        if search.is_empty() {
            return Ok(vec![reference]);
        }
        let full = |registry: &String| Reference::parse(&format!("{registry}/{written}"));
        let names = search.iter().map(full).collect::<Result<Vec<_>>>()?;
        if self.mode == Some(ShortNames::Enforcing) && names.len() > 1 {
            let names: Vec<String> = names.iter().map(Reference::to_string).collect();
            return Err(Error::new(format!("image {written:?} may mean several: {}", names.join(", ")))
                .mend("write one of them in full, or give it an alias in registries.conf"));
        }
        Ok(names)
    }

    /// Where the image may be had: the mirrors first, then its own registry.
    ///
    /// # Errors
    /// The configuration blocks its registry.
    pub fn places(&self, reference: &Reference) -> Result<Vec<Place>> {
        let name = reference.repository();
        let own =
            || Place { domain: reference.domain().to_owned(), path: reference.path().to_owned(), insecure: false };
        let matching = self.registries.iter().filter(|registry| registry.matches(&name));
        let Some(registry) = matching.max_by_key(|registry| registry.prefix.len()) else { return Ok(vec![own()]) };
        if registry.blocked {
            return Err(Error::new(format!(
                "registries.conf blocks {}, and so the image {reference}",
                registry.prefix
            )));
        }
        let by_digest = reference.digest().is_some();
        let serves = |mirror: &&Mirror| match mirror.pull_from_mirror {
            PullFrom::All => by_digest || !registry.mirror_by_digest_only,
            PullFrom::DigestOnly => by_digest,
            PullFrom::TagOnly => !by_digest,
        };
        let mirrors = registry.mirror.iter().filter(serves);
        let mut places: Vec<Place> =
            mirrors.filter_map(|mirror| registry.place(&mirror.location, &name, mirror.insecure)).collect();
        places.push(registry.place(&registry.location, &name, registry.insecure).unwrap_or_else(own));
        Ok(places)
    }
}

impl Registry {
    fn matches(&self, name: &str) -> bool {
        match self.prefix.strip_prefix('*') {
            Some(suffix) => name.split('/').next().is_some_and(|domain| domain.ends_with(suffix)),
            None => name.strip_prefix(&self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// `name` with its prefix replaced by `location`.
    fn place(&self, location: &str, name: &str, insecure: bool) -> Option<Place> {
        let rewritten = match (location, self.prefix.starts_with('*')) {
            ("", _) => name.to_owned(),
            (location, true) => format!("{location}{}", name.find('/').and_then(|slash| name.get(slash..))?),
            (location, false) => format!("{location}{}", name.strip_prefix(&self.prefix)?),
        };
        let (domain, path) = rewritten.split_once('/')?;
        Some(Place { domain: domain.to_owned(), path: path.to_owned(), insecure })
    }
}

/// A registry or a part of one, without a scheme.
fn location(text: &str) -> std::result::Result<String, String> {
    let clean = text.trim_end_matches('/');
    if clean.contains("://") {
        return Err(format!("{text:?} must be written without http:// or https://"));
    }
    if clean.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("{text:?} is no registry"));
    }
    Ok(clean.to_owned())
}

fn drop_ins(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::new(format!("cannot read {}: {e}", dir.display()))),
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(conf: &Conf, written: &str) -> Vec<String> {
        conf.candidates(written).unwrap().iter().map(Reference::to_string).collect()
    }

    fn places(conf: &Conf, name: &str) -> Vec<String> {
        let places = conf.places(&Reference::parse(name).unwrap()).unwrap();
        places.iter().map(|p| format!("{}/{}{}", p.domain, p.path, if p.insecure { " insecure" } else { "" })).collect()
    }

    #[test]
    fn short_names_mean_what_the_file_says() {
        let conf = parse(
            "unqualified-search-registries = ['quay.io', 'docker.io']\n[aliases]\nfedora = 'registry.fedoraproject.org/fedora'",
            "r.conf",
        )
        .unwrap();
        assert_eq!(names(&conf, "fedora:40"), ["registry.fedoraproject.org/fedora:40"]);
        assert_eq!(names(&conf, "a/b"), ["quay.io/a/b:latest", "docker.io/a/b:latest"]);
        assert_eq!(names(&conf, "busybox"), ["quay.io/busybox:latest", "docker.io/library/busybox:latest"]);
        assert_eq!(names(&conf, "localhost/x"), ["localhost/x:latest"]);
        assert_eq!(names(&Conf::default(), "busybox:1"), ["docker.io/library/busybox:1"]);
        let strict =
            parse("unqualified-search-registries = ['a.io', 'b.io']\nshort-name-mode = 'enforcing'", "r").unwrap();
        let error = strict.candidates("x").unwrap_err();
        assert!(error.what().contains("a.io/x:latest, b.io/x:latest"), "{error}");
    }

    #[test]
    fn mirrors_come_first_and_the_longest_prefix_counts() {
        let conf = parse(
            "[[registry]]\nlocation = 'docker.io'\n[[registry.mirror]]\nlocation = 'mirror:5000/hub'\ninsecure = true\n\
             [[registry.mirror]]\nlocation = 'digests.io'\npull-from-mirror = 'digest-only'\n\
             [[registry]]\nprefix = 'docker.io/bad'\nlocation = 'docker.io/bad'\nblocked = true\n\
             [[registry]]\nprefix = '*.corp.io'\nlocation = 'one.corp.io/all/'\n\
             [[registry]]\nlocation = 'localhost:5000'\ninsecure = true",
            "r.conf",
        )
        .unwrap();
        assert_eq!(places(&conf, "busybox"), ["mirror:5000/hub/library/busybox insecure", "docker.io/library/busybox"]);
        let pinned = format!("busybox@{}", crate::image::digest::Digest::of(b""));
        assert_eq!(places(&conf, &pinned).len(), 3);
        assert_eq!(places(&conf, "x.corp.io/a/b"), ["one.corp.io/all/a/b"]);
        assert_eq!(places(&conf, "localhost:5000/a"), ["localhost:5000/a insecure"]);
        assert_eq!(places(&conf, "docker.io.evil/a"), ["docker.io.evil/a"]);
        assert!(conf.places(&Reference::parse("bad/x").unwrap()).unwrap_err().what().contains("blocks docker.io/bad"));
    }

    #[test]
    fn later_files_win_by_name() {
        let mut conf =
            parse("unqualified-search-registries = ['a.io']\n[aliases]\nx = 'a.io/x'\ny = 'a.io/y'", "1").unwrap();
        conf.merge(parse("[aliases]\nx = 'b.io/x'\n[[registry]]\nlocation = 'a.io'\ninsecure = true", "2").unwrap());
        conf.merge(parse("[[registry]]\nlocation = 'a.io'", "3").unwrap());
        assert_eq!(names(&conf, "x"), ["b.io/x:latest"]);
        assert_eq!(names(&conf, "y"), ["a.io/y:latest"]);
        assert_eq!(places(&conf, "a.io/z"), ["a.io/z"]);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, phrase) in [
            ("[[registry]]\nlocation = 1", "r.conf:2: invalid type"),
            ("a = [", "r.conf:1"),
            ("[registries.search]\nregistries = ['x']", "version 1"),
            ("[[registry]]\nlocation = 'https://x.io'", "without http"),
            ("[[registry]]\ninsecure = true", "neither location"),
            ("[aliases]\nx = 'y'", "a registry and a name"),
            ("short-name-mode = 'maybe'", "maybe"),
        ] {
            let error = parse(text, "r.conf").unwrap_err();
            assert!(error.what().contains(phrase), "{text}: {error}");
        }
        let conf = parse("[[registry]]\nlocation = 'x.io'\nunsecure = true", "r.conf").unwrap();
        assert!(conf.warnings[0].contains("unsecure"), "{:?}", conf.warnings);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = parse(&text, "r.conf");
        }
    }
}
