//! `podling debug`: one more container, of any image, in a pod that runs.

use k8s_openapi::api::core::v1::{Container, Pod};
use oci_spec::runtime::BoxBuilder;
use serde_json::Value;

use super::asking::object;
use super::images::{ImageArgs, have};
use super::input::{Given, pod_paths};
use super::planner::facts_for;
use super::session::{CommandArgs, OnSignal, session};
use super::terminal::user_size;
use super::{data, say};
use crate::error::{Context, Error, Result};
use crate::host::HostFacts;
use crate::manifest::{Bundle, Input, Said, read};
use crate::plan::{ContainerPlan, PodPaths, ephemeral};
use crate::pod::list::{self, Found};
use crate::pod::record::{new_uid, read_first};
use crate::pod::{Request, pod_dir};

/// Run one more container in a running pod, of any image: an ephemeral container
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It has the pod's network, host name and volumes' names in reach, and with --target the processes of that container,
whose files are below /proc/1/root. It ends when podling debug does; the exit code is its command's.

Examples:
  podling debug -it web --image busybox
  podling debug -it web --image busybox --target nginx -- sh
  podling debug web --image debian -- ls /proc/1/root/etc"
)]
pub struct Args {
    /// The pod
    #[arg(value_name = "POD", add = super::complete::pods())]
    pod: String,

    /// The image
    #[arg(long, value_name = "IMAGE")]
    image: String,

    /// The new container's name; without it debugger- and five characters
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,

    /// See the processes of this container
    #[arg(long, value_name = "NAME", add = super::complete::containers())]
    target: Option<String>,

    #[command(flatten)]
    given: CommandArgs,

    /// Print errors only
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    images: ImageArgs,

    /// The command and its arguments; without it the image's
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,
}

/// Runs the verb; the exit code is the command's.
///
/// # Errors
/// What cannot be had or made, or the supervisor refuses.
pub fn run(args: &Args) -> Result<u8> {
    let facts = HostFacts::gather();
    let data = data::directory(&facts)?;
    let (found, connection) = list::live(&data, &args.pod)?;
    let Given { bundle, options, .. } = given(&found)?;
    let pod = bundle.pods.first().ok_or_else(|| Error::new(format!("nothing is known of pod {:?}", found.name)))?;

    let container = container(args)?;
    let store = args.images.store(&data, &facts)?;
    // The pod with this container alone, as far as its image goes: its namespace and its pull secrets are the pod's.
    let alone = Bundle { pods: vec![with_only(pod, &container)], secrets: bundle.secrets.clone(), ..Bundle::default() };
    let images = have(&alone, &store, &facts, &args.images.having(args.quiet))?;
    let _held = images.values().map(|image| store.hold(image)).collect::<Result<Vec<_>>>()?;

    let paths = PodPaths { state_dir: pod_dir(&data, &found.name), ..pod_paths(pod, &data, &options)? };
    let facts = facts_for(pod, &facts, &options);
    let mut plan = ephemeral(pod, &container, &bundle, &images, &facts, &paths, &options)?;
    if args.given.tty {
        set_size(&mut plan)?;
    }
    if args.container.is_none() && !args.quiet {
        say(format_args!("the container is called {:?}", plan.name));
    }
    let request = Request::Debug { plan: Box::new(plan), target: args.target.clone(), terminal: args.given.tty };
    session(&connection, &request, &args.given, OnSignal::ForwardOnce)
}

/// What the pod was started from: its record where it has one, else what its supervisor says of it.
fn given(found: &Found) -> Result<Given> {
    let first = read_first(&found.dir)?;
    if let Some(first) = first.as_ref().filter(|first| first.inputs.iter().all(|input| input.text.is_some())) {
        return Given::recorded(first);
    }
    let mut object = object(found)?;
    strip(&mut object);
    let input = Input { name: format!("pod {:?}", found.name), bytes: object.to_string().into_bytes(), path: None };
    let bundle = read(&[input])?;
    Ok(Given { bundle, options: first.map(|first| first.options).unwrap_or_default(), inputs: Vec::new() })
}

/// Takes away what leads to ConfigMaps, Secrets and claims, which are not kept: nothing of the new container can name them.
fn strip(pod: &mut Value) {
    let remove = |value: &mut Value, fields: &[&str]| {
        let Some(object) = value.as_object_mut() else { return };
        fields.iter().for_each(|field| drop(object.remove(*field)));
    };
    remove(pod, &["status"]);
    remove(&mut pod["spec"], &["volumes", "imagePullSecrets", "ephemeralContainers"]);
    for list in ["containers", "initContainers"] {
        for container in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            remove(container, &["env", "envFrom", "volumeMounts", "volumeDevices"]);
        }
    }
}

/// The container as the API would have it.
fn container(args: &Args) -> Result<Container> {
    let name = match &args.container {
        Some(name) => name.clone(),
        None => format!("debugger-{}", new_uid()?.get(..5).unwrap_or_default()),
    };
    let mut env = Vec::new();
    for (name, value) in args.given.variables()? {
        // What is typed here is meant as it is: `$(NAME)` stands for nothing.
        env.push(serde_json::json!({ "name": name, "value": value.replace("$(", "$$(") }));
    }
    let command: Vec<String> = args.command.iter().map(|word| word.replace("$(", "$$(")).collect();
    let mut fields = serde_json::json!({
        "name": name,
        "image": args.image,
        "stdin": args.given.interactive,
        "tty": args.given.tty,
        "env": env,
    });
    if let Some(fields) = fields.as_object_mut()
        && !command.is_empty()
    {
        fields.insert("command".to_owned(), serde_json::json!(command));
    }
    serde_json::from_value(fields).map_err(|e| Error::new(e.to_string())).context(|| "the new container")
}

/// The pod as if `container` were its only one.
fn with_only(pod: &Said<Pod>, container: &Container) -> Said<Pod> {
    let mut alone = pod.clone();
    if let Some(spec) = &mut alone.object.spec {
        spec.containers = vec![container.clone()];
        spec.init_containers = None;
        spec.volumes = None;
    }
    alone
}

/// The terminal is as large as the user's from the beginning.
fn set_size(plan: &mut ContainerPlan) -> Result<()> {
    let size = user_size();
    let size = BoxBuilder::default().width(u64::from(size.columns)).height(u64::from(size.rows)).build();
    let size = size.map_err(|e| Error::new(e.to_string())).context(|| "the terminal's size")?;
    if let Some(process) = plan.spec.process_mut() {
        process.set_console_size(Some(size));
    }
    Ok(())
}
