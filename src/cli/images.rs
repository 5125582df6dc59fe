//! The images that pods want: which, when to pull them, and with whose logins.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use super::limits::LimitArgs;
use super::progress::Shown;
use super::registry::{Lazily, RegistryArgs};
use super::say;
use crate::error::{Context, Result};
use crate::host::HostFacts;
use crate::image::platform::Target;
use crate::image::registry::PullSecret;
use crate::image::store::acquire::{Acquired, PullPolicy, Source};
use crate::image::{Image, Store};
use crate::manifest::{Bundle, ObjectKey, Said};

/// An image as pods write it.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The pod that first names it.
    pub pod: &'a Said<Pod>,
    /// The field that does.
    pub path: String,
    /// The strictest policy of the containers that use it.
    pub policy: PullPolicy,
}

impl Wanted<'_> {
    /// Where it is first written: `file:line: path`.
    pub fn at(&self) -> String {
        let source = &self.pod.source;
        format!("{}: {}", source.at(&self.path), source.full_path(&self.path))
    }
}

/// The options of every verb that may need images: `run`, `up`, `debug`.
#[derive(Debug, Default, clap::Args)]
pub struct ImageArgs {
    /// When to pull images, whatever the YAML says
    #[arg(long, value_enum, value_name = "WHEN")]
    pull: Option<Pull>,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

impl ImageArgs {
    /// The store, with the limits that the command line gives.
    ///
    /// # Errors
    /// It cannot be opened, or there is no such limit.
    pub fn store(&self, data: &Path, facts: &HostFacts) -> Result<Store> {
        self.limits.apply(Store::open(data, &facts.ids)?)
    }

    /// How images are had.
    pub fn having(&self, quiet: bool) -> Having<'_> {
        Having { registry: &self.registry, policy: self.pull.map(Pull::policy), quiet }
    }
}

/// When images are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Pull {
    /// Each time.
    Always,
    /// If the store lacks it.
    Missing,
    /// Never.
    Never,
}

impl Pull {
    /// As the store knows it.
    fn policy(self) -> PullPolicy {
        match self {
            Pull::Always => PullPolicy::Always,
            Pull::Missing => PullPolicy::IfNotPresent,
            Pull::Never => PullPolicy::Never,
        }
    }
}

/// How images are had.
#[derive(Debug)]
pub struct Having<'a> {
    /// What the command line says about registries.
    pub registry: &'a RegistryArgs,
    /// What the command line says instead of the YAML.
    pub policy: Option<PullPolicy>,
    /// Whether only errors are shown.
    pub quiet: bool,
}

/// The image of each container and image volume, by what the YAML calls it; what is missing is pulled as its `imagePullPolicy` says.
///
/// # Errors
/// The first image that cannot be had, with the field that wants it.
pub fn have(bundle: &Bundle, store: &Store, facts: &HostFacts, having: &Having<'_>) -> Result<BTreeMap<String, Image>> {
    let registries = Lazily::new(|| having.registry.registries(pull_secrets(bundle)?));
    let get = || registries.get();
    let mut images = BTreeMap::new();
    let all = wanted(bundle);
    having.registry.check_one_registry(all.keys().filter(|name| !name.starts_with("sha256:")))?;
    for (name, wanted) in all {
        let progress = Shown::new(having.quiet, "pulled");
        let source = Source { registries: &get, target: Target::host(), namespace: facts, progress: &progress };
        let policy = having.policy.unwrap_or(wanted.policy);
        let acquired = store.acquire(&name, policy, &source).context(|| wanted.at())?;
        drop(progress);
        if !having.quiet {
            report(&acquired);
        }
        images.insert(name, acquired.image);
    }
    Ok(images)
}

fn report(acquired: &Acquired) {
    acquired.notice.iter().for_each(say);
    if let Some(pulled) = &acquired.pulled {
        let name = pulled.reference.familiar();
        pulled.warnings.iter().for_each(|warning| say(format_args!("warning: {name}: {warning}")));
        let how = if pulled.was_present { "is up to date" } else { "pulled" };
        say(format_args!("{name}: {how}: {}", pulled.digest));
    }
}

/// The images of all pods by what the YAML calls them.
pub fn wanted(bundle: &Bundle) -> BTreeMap<String, Wanted<'_>> {
    let mut images: BTreeMap<String, Wanted<'_>> = BTreeMap::new();
    for pod in bundle.templates() {
        let Some(spec) = &pod.object.spec else { continue };
        for (i, volume) in spec.volumes.iter().flatten().enumerate() {
            let Some(source) = &volume.image else { continue };
            let reference = source.reference.as_deref().unwrap_or_default();
            let policy = PullPolicy::of(source.pull_policy.as_deref(), reference);
            want(pod, &mut images, &format!("spec.volumes[{i}].image.reference"), reference, policy);
        }
        let lists =
            [("initContainers", spec.init_containers.as_deref().unwrap_or_default()), ("containers", &spec.containers)];
        for (list, containers) in lists {
            for (i, container) in containers.iter().enumerate() {
                let Some(image) = &container.image else { continue };
                let policy = PullPolicy::of(container.image_pull_policy.as_deref(), image);
                let path = format!("spec.{list}[{i}].image");
                want(pod, &mut images, &path, image, policy);
            }
        }
    }
    images
}

fn want<'a>(
    pod: &'a Said<Pod>,
    images: &mut BTreeMap<String, Wanted<'a>>,
    path: &str,
    image: &str,
    policy: PullPolicy,
) {
    let first = || Wanted { pod, path: path.to_owned(), policy };
    let entry = images.entry(image.to_owned()).or_insert_with(first);
    entry.policy = entry.policy.max(policy);
}

/// The logins that pods bring (`spec.imagePullSecrets`). One that the input lacks is left out and said, as a kubelet does.
fn pull_secrets(bundle: &Bundle) -> Result<Vec<PullSecret>> {
    let mut secrets = Vec::new();
    for pod in bundle.templates() {
        let named = pod.object.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten()).enumerate();
        for (i, reference) in named {
            let path = format!("spec.imagePullSecrets[{i}].name");
            let namespace = pod.object.metadata.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or("default");
            let key = ObjectKey { namespace: namespace.to_owned(), name: reference.name.clone() };
            let Some(secret) = bundle.secrets.get(&key) else {
                let at = pod.source.at(&path);
                let path = pod.source.full_path(&path);
                say(format_args!("{at}: {path}: the input has no Secret {:?}; images are pulled without it", key.name));
                continue;
            };
            let data = secret.object.data.iter().flatten();
            let found = data.filter_map(|(key, value)| PullSecret::parse(key, &value.0).transpose());
            secrets.extend(found.collect::<Result<Vec<_>>>().context(|| format!("Secret {:?}", key.name))?);
        }
    }
    Ok(secrets)
}
