//! `podling check`: whether files are valid, and what podling does with each of their fields.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::data;
use super::images;
use super::input::{PodArgs, pod_paths};
use super::objects::{self, Format};
use super::planner::{emulated_always, facts_for, first_pod, of_pods};
use super::say;
use super::stdout::Stdout;
use super::table::{fitting_table, one_line, row};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::store::Found;
use crate::image::store::acquire::PullPolicy;
use crate::image::{Accounts, Image, Reference, Store};
use crate::manifest::{
    self, Answer, Bundle, Class, Examined, ExaminedObject, Objection, Problem, Said, Source, Verdict,
};
use crate::plan::{Emulation, Options};
use crate::pod::record::new_uid;
use crate::sys::terminal::window_size;

/// Say whether files are valid, and what podling does with each field
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each field is enforced (done as in a cluster), emulated (done otherwise: it says how) or refused (it says why).
Nothing is started, changed or pulled. What depends on an image is looked up where the store has it.

Exit code: 0 when podling can run it, 1 when a Kubernetes API server would refuse it too, 2 when it is valid, and something of it cannot be honoured here.

Examples:
  podling check pod.yaml
  podling check --strict pod.yaml config.yaml
  podling check --policy restricted -o json pod.yaml"
)]
pub struct Args {
    #[command(flatten)]
    pod: PodArgs,

    /// Print JSON instead of a table
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,

    /// Print only what is wrong
    #[arg(short, long, conflicts_with = "output")]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// One JSON object
    Json,
}

const VALID: u8 = 0;
const INVALID: u8 = 1;
const REFUSED: u8 = 2;

/// Runs the verb; the exit code tells valid, invalid and refused input apart.
///
/// # Errors
/// A file that cannot be read, or a wrong option.
pub fn run(args: &Args) -> Result<u8> {
    let inputs = args.pod.inputs()?;
    let options = args.pod.options()?;
    let mut examined = manifest::examine(&inputs);
    if examined.objects.is_empty() && examined.problems.is_empty() {
        return Err(
            Error::new("the input has no object to check").mend("a Pod begins with `apiVersion: v1` and `kind: Pod`")
        );
    }
    if let Some(bundle) = examined.bundle.take() {
        judge(&bundle, &options, &mut examined)?;
    }
    // A policy judges whatever can be read, so that all of it is told at once.
    for pod in std::mem::take(&mut examined.pods) {
        refuse(&mut examined, &pod.source, crate::plan::policy_objections(&pod.object, &options));
    }
    examined.settle();
    let code = match &examined.problems {
        problems if problems.iter().any(|problem| problem.class == Class::Invalid) => INVALID,
        problems if problems.is_empty() => VALID,
        _ => REFUSED,
    };
    match args.output {
        Some(Output::Json) => objects::print(&document(&examined, code), Format::Json)?,
        None => print(&examined, args.quiet)?,
    }
    Ok(code)
}

/// What the host, the policy and the options say of each pod.
fn judge(bundle: &Bundle, options: &Options, examined: &mut Examined) -> Result<()> {
    let facts = HostFacts::gather();
    let data = data::directory(&facts)?;
    let facts = facts.with_node(&data);
    let store = Store::open(&data, &facts.ids)?;
    let mut found = BTreeMap::new();
    for (name, wanted) in images::wanted(bundle) {
        let image = match store.find(&name) {
            Ok(Found::Ready(image)) => *image,
            // What is no reference cannot be pulled, and what is never pulled cannot come.
            Err(e) if wanted.policy == PullPolicy::Never || Reference::parse(&name).is_err() => {
                let mend = e.hint().map(str::to_owned);
                let objection = Objection { path: wanted.path.clone(), why: e.what().to_owned(), mend };
                examined.refuse(&wanted.pod.source, vec![objection]);
                stand_in(&name)?
            }
            _ => {
                say(format_args!(
                    "{}: {name:?} is not in the store, so what depends on it (its user, command and directory) is not checked",
                    wanted.at()
                ));
                stand_in(&name)?
            }
        };
        found.insert(name, image);
    }
    let mut pods: Vec<(Cow<'_, Said<Pod>>, Cow<'_, Options>)> =
        bundle.pods.iter().map(|pod| (Cow::Borrowed(pod), Cow::Borrowed(options))).collect();
    for job in &bundle.jobs {
        let plan = crate::plan::decide_job(job, new_uid()?, &facts, options);
        let source = &job.said.source;
        if options.emulation == Emulation::Reported {
            let answer = |(path, how): &(String, String)| source.answer(path, Verdict::Emulated, how.as_str());
            examined.answer(source, plan.emulated.iter().map(answer).collect());
        } else if let Err(e) = crate::plan::job(job, new_uid()?, &facts, options) {
            examined.refuse(source, vec![objection(&e, source)]);
        }
        pods.push((Cow::Owned(first_pod(job, &plan)), Cow::Owned(of_pods(options))));
    }
    let is_strict = options.emulation == Emulation::Refused;
    for claim in bundle.claims.values().filter(|_| is_strict) {
        examined.refuse(&claim.source, emulated_always(&claim.source));
    }
    for (pod, options) in &pods {
        let (pod, options) = (pod.as_ref(), options.as_ref());
        let facts = facts_for(pod, &facts, options);
        refuse(examined, &pod.source, crate::plan::objections(pod, bundle, &facts, options));
        let paths = pod_paths(pod, &data, options)?;
        match crate::plan::decide(pod, bundle, &found, &facts, &paths, options) {
            Ok(plan) if is_strict => examined.refuse(&pod.source, crate::plan::emulated(&plan)),
            Ok(plan) => {
                let answer = |v: &crate::plan::Verdict| pod.source.answer(&v.path, Verdict::Emulated, v.how.clone());
                examined.answer(&pod.source, plan.report.iter().map(answer).collect());
            }
            Err(e) => {
                let objection = objection(&e, &pod.source);
                // A plan fails at what reading has told already, such as a ConfigMap that the input lacks.
                if objection.path.is_empty() || !examined.stands_within(&pod.source, &objection.path) {
                    examined.refuse(&pod.source, vec![objection]);
                }
            }
        }
    }
    Ok(())
}

/// Adds `objections`, without the mend where something else stands against the field: no `--allow` mends what every policy refuses.
fn refuse(examined: &mut Examined, source: &Source, mut objections: Vec<Objection>) {
    for objection in objections.iter_mut().filter(|objection| examined.stands_against(source, &objection.path)) {
        objection.mend = None;
    }
    examined.refuse(source, objections);
}

/// The plan's error as an objection to the field of `source` that it is about.
fn objection(e: &Error, source: &Source) -> Objection {
    let (path, why) = e.field().map_or(("", e.what()), |(_, path, why)| (source.within(path), why));
    Objection { path: path.to_owned(), why: why.to_owned(), mend: e.hint().map(str::to_owned) }
}

/// What stands for an image that is not here: it refuses nothing that an image could permit.
fn stand_in(name: &str) -> Result<Image> {
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Cmd": ["/"], "User": "1:1" },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let config = serde_json::from_value(config).map_err(|e| Error::new(e.to_string()))?;
    let digest = format!("sha256:{:064}", 0);
    Ok(Image { reference: name.to_owned(), digest, config, layers: Vec::new(), accounts: Accounts::default() })
}

fn print(examined: &Examined, quiet: bool) -> Result<()> {
    let mut out = Stdout::lock();
    let width = window_size(std::io::stdout()).map(|size| usize::from(size.columns)).filter(|columns| *columns > 0);
    let shown = examined.objects.iter().filter(|_| !quiet);
    for (i, object) in shown.enumerate() {
        let ExaminedObject { file, kind, name, answers, .. } = object;
        if i > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}: {kind} {}", one_line(file), one_line(name))?;
        let mut rows = vec![row(["LINE", "VERDICT", "FIELD", "HOW"])];
        rows.extend(answers.iter().map(|answer| {
            let Answer { line, path, verdict, how } = answer;
            vec![line.to_string(), verdict.to_string(), one_line(path), one_line(how)]
        }));
        write!(out, "{}", fitting_table(&rows, width))?;
    }
    if !examined.problems.is_empty() && !quiet {
        writeln!(out)?;
    }
    for problem in &examined.problems {
        let class = match problem.class {
            Class::Invalid => "invalid",
            Class::Refused => "refused",
        };
        writeln!(out, "{class}: {}", super::harmless(&problem.to_string()))?;
        if let Some(mend) = &problem.mend {
            writeln!(out, "  {}", super::harmless(mend))?;
        }
    }
    Ok(())
}

fn document(examined: &Examined, code: u8) -> Value {
    let field = |Answer { line, path, verdict, how }: &Answer| json!({ "line": line, "path": path, "verdict": verdict.to_string(), "how": how });
    let object = |object: &ExaminedObject| {
        let fields: Vec<Value> = object.answers.iter().map(field).collect();
        json!({ "file": object.file, "kind": object.kind, "name": object.name, "fields": fields })
    };
    let problem = |problem: &Problem| {
        let Problem { at, path, why, mend, class, .. } = problem;
        let class = if *class == Class::Invalid { "invalid" } else { "refused" };
        json!({ "at": at, "path": path, "why": why, "mend": mend, "class": class })
    };
    let result = match code {
        VALID => "valid",
        INVALID => "invalid",
        _ => "refused",
    };
    json!({
        "result": result,
        "objects": examined.objects.iter().map(object).collect::<Vec<_>>(),
        "problems": examined.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}
