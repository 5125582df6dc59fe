//! From the command line's files to plans: what `run` and `plan` share.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use nix::fcntl::OFlag;

use crate::error::{Context, Error, Result};
use crate::manifest::{self, Bundle, Input, Said};
use crate::plan::{Allow, Emulation, NO_UID, Options, PodPaths, PolicyLevel, constant, take_present};
use crate::pod::record::{First, RecordedInput};
use crate::pod::{base_layer, local, pod_dir};

/// What the user may say about the pod beside the YAML.
#[derive(Debug, clap::Args)]
pub struct PodArgs {
    /// YAML or JSON files with Pods, Jobs, ConfigMaps, Secrets, PersistentVolumeClaims and Lists; `-` is standard input
    #[arg(value_name = "FILE", required = true, add = super::complete::yaml_files())]
    files: Vec<PathBuf>,

    /// Name the pod or Job NAME instead of what the YAML says
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Set a variable in every container; without =VALUE it is taken from podling's own environment
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// Allow what the policy refuses: hostPath[=DIR], hostNetwork, hostIPC, privileged, capabilities …; a wrong FIELD prints all
    #[arg(long, value_name = "FIELD", value_delimiter = ',', add = super::complete::allowed())]
    allow: Vec<Allow>,

    /// Refuse pods that a level of the Pod Security Standards forbids [default: baseline, but with host ports]
    #[arg(long, value_enum, value_name = "LEVEL")]
    policy: Option<PolicyLevel>,

    /// Give this host a node label, for nodeSelector, affinity and topologySpreadConstraints
    #[arg(long, value_name = "KEY=VALUE", value_parser = node_label)]
    node_label: Vec<(String, String)>,

    /// Refuse what would be emulated
    #[arg(long)]
    strict: bool,
}

impl PodArgs {
    /// Reads and validates all files.
    ///
    /// # Errors
    /// What is wrong with the input, with its file and line.
    pub fn read(&self) -> Result<Given> {
        let inputs = self.inputs()?;
        let bundle = manifest::read(&inputs)?;
        let there = bundle.pods.len() + bundle.jobs.len();
        if self.name.is_some() && there > 1 {
            return Err(Error::new(format!("--name names one Pod or Job, but the input has {there}"))
                .mend("give each its metadata.name in the YAML"));
        }
        if let Some(name) = self.name.as_ref().filter(|name| !bundle.jobs.is_empty() && name.len() > 63) {
            return Err(Error::new(format!("--name {name:?}: {} characters; a Job's can have 63", name.len())));
        }
        refuse_same_names(&bundle)?;
        let inputs = inputs.iter().map(|input| recorded(input, &bundle)).collect();
        Ok(Given { options: self.options()?, bundle, inputs })
    }

    /// The files, as they are.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn inputs(&self) -> Result<Vec<Input>> {
        self.files.iter().map(|file| read_file(file)).collect()
    }

    /// What the options say.
    ///
    /// # Errors
    /// A name or a variable that cannot be one.
    pub fn options(&self) -> Result<Options> {
        if let Some(name) = &self.name {
            manifest::check_pod_name(name).map_err(|why| Error::new(format!("--name {name:?}: {why}")))?;
        }
        let mut env = Vec::new();
        for word in &self.env {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                // As docker does: a variable that podling's own environment lacks is left out.
                None => (word.as_str(), std::env::var(word).ok()),
            };
            if name.is_empty() || name.contains('\0') {
                return Err(
                    Error::new(format!("--env {word:?}: a variable needs a name")).mend("write it as --env NAME=VALUE")
                );
            }
            env.extend(value.map(|value| (name.to_owned(), value)));
        }
        Ok(Options {
            name: self.name.clone(),
            env,
            allow: self.allow.clone(),
            policy: self.policy,
            node_labels: self.node_label.iter().cloned().collect(),
            emulation: if self.strict { Emulation::Refused } else { Emulation::Reported },
        })
    }
}

/// What the user gave, read and valid.
#[derive(Debug)]
pub struct Given {
    /// The objects.
    pub bundle: Bundle,
    /// What the command line says beside them.
    pub options: Options,
    /// The files themselves, for those who start the same again.
    pub inputs: Vec<RecordedInput>,
}

impl Given {
    /// What a pod was started from: as it was kept, or, where Secrets were among it, as its files are now.
    ///
    /// # Errors
    /// An input that was valid then, and is not now, or that cannot be read again.
    pub fn recorded(first: &First) -> Result<Given> {
        let inputs = first.inputs.iter().map(read_again).collect::<Result<Vec<_>>>()?;
        let mut bundle = manifest::read(&inputs)?;
        if first.options.name.is_none() {
            let is_meant = |pod: &Said<Pod>| pod.object.metadata.name.as_deref() == Some(&first.name);
            (bundle.pods, bundle.neighbours) = bundle.pods.into_iter().partition(is_meant);
        }
        Ok(Given { bundle, options: first.options.clone(), inputs: first.inputs.clone() })
    }

    /// What a pod is started from once more: as [`Given::recorded`], but that what its volumes follow is as its files have it now, for the pod had it so
    /// already. Where that cannot be, what was recorded stands, and a note says why.
    ///
    /// # Errors
    /// As [`Given::recorded`].
    pub fn once_more(first: &First) -> Result<(Given, Vec<String>)> {
        let (mut given, mut notes) = (Given::recorded(first)?, Vec::new());
        if !given.bundle.pods.iter().any(|pod| constant(pod, &given.bundle).is_some()) {
            return Ok((given, notes));
        }
        let mut now = Vec::new();
        for input in &first.inputs {
            let path = input.path.as_ref();
            now.push(match path.map(|path| read_anew(path)) {
                Some(Ok(bytes)) => Input { name: input.name.clone(), bytes, path: input.path.clone() },
                Some(Err(e)) => {
                    notes.push(format!("cannot read {} again: {e}: the pod starts with what it said", input.name));
                    read_again(input)?
                }
                None => read_again(input)?,
            });
        }
        match manifest::read_data(&now) {
            Ok(now) => take_present(&mut given.bundle, now),
            Err(problems) => {
                let at = problems.first().map(|problem| problem.at.as_str()).unwrap_or_default();
                notes.push(format!(
                    "{at} is not valid (podling check says why): the pod starts with what was said before"
                ));
            }
        }
        Ok((given, notes))
    }
}

/// `KEY=VALUE`, of which either may be what a label of a Kubernetes node may be.
fn node_label(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is written KEY=VALUE")?;
    manifest::check_label(key, value)?;
    Ok((key.to_owned(), value.to_owned()))
}

fn recorded(input: &Input, bundle: &Bundle) -> RecordedInput {
    RecordedInput {
        name: input.name.clone(),
        path: input.path.clone(),
        text: bundle.secrets.is_empty().then(|| String::from_utf8_lossy(&input.bytes).into_owned()),
    }
}

fn read_again(input: &RecordedInput) -> Result<Input> {
    let bytes = match (&input.text, &input.path) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(path)) => read_anew(path).context(|| format!("cannot read {path:?} again"))?,
        (None, None) => {
            return Err(Error::new(
                "the pod was started with Secrets from standard input, which are not kept on the disk",
            )
            .mend("start it again as it was started, with --replace"));
        }
    };
    Ok(Input { name: input.name.clone(), bytes, path: input.path.clone() })
}

/// Reads a file of the input another time. By its name standard input is that of another command by now, and what is no regular file may
/// be waited for without end.
fn read_anew(path: &Path) -> std::io::Result<Vec<u8>> {
    let unfit = || Err(std::io::Error::other("it is no regular file"));
    if ["/dev", "/proc"].iter().any(|own| path.starts_with(own)) {
        return unfit();
    }
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let mut file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return unfit();
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A running pod's name is all that podling knows it by, whatever its namespace.
fn refuse_same_names(bundle: &Bundle) -> Result<()> {
    let mut seen = BTreeMap::new();
    for pod in &bundle.pods {
        let name = pod.object.metadata.name.as_deref().unwrap_or_default();
        if let Some(first) = seen.insert(name, pod.source.at("metadata.name")) {
            let why = format!(
                "another pod of this run, at {first}, is named {name:?}; here namespaces do not tell pods apart"
            );
            return Err(pod.source.error("metadata.name", why).mend("rename one of them"));
        }
    }
    Ok(())
}

/// The pod's directory in its supervisor's own root, where nothing of the host is.
const RUN_DIR: &str = "/pod";

/// Where the files of `pod` are, whose place on disk is below `data`. It has no uid yet.
///
/// # Errors
/// What is known of a local volume cannot be read.
pub fn pod_paths(pod: &Said<Pod>, data: &Path, options: &Options) -> Result<PodPaths> {
    let name = options.name.as_deref().or(pod.object.metadata.name.as_deref()).unwrap_or_default();
    Ok(PodPaths {
        uid: NO_UID.to_owned(),
        run_dir: RUN_DIR.into(),
        state_dir: pod_dir(data, name),
        base: base_layer(data),
        volumes: local::known(data, pod)?,
    })
}

fn read_file(file: &Path) -> Result<Input> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context(|| "standard input")?;
        return Ok(Input { name: "standard input".to_owned(), bytes, path: None });
    }
    let name = file.display().to_string();
    if file.is_dir() {
        let why = format!("cannot read {name}: it is a directory");
        return Err(Error::new(why).mend(format!("name the files in it: {}", file.join("*.yaml").display())));
    }
    let bytes = std::fs::read(file).context(|| format!("cannot read {name}"))?;
    Ok(Input { name, bytes, path: std::path::absolute(file).ok() })
}

/// The names of the pods that a file describes, and those of its Jobs as `job/NAME`.
///
/// # Errors
/// What is wrong with the file.
pub fn names(file: &Path) -> Result<Vec<String>> {
    let bundle = manifest::read(&[read_file(file)?])?;
    let pods = bundle.pods.iter().filter_map(|pod| pod.object.metadata.name.clone());
    let jobs = bundle.jobs.iter().filter_map(|job| job.said.object.metadata.name.as_ref());
    Ok(pods.chain(jobs.map(|name| format!("job/{name}"))).collect())
}
