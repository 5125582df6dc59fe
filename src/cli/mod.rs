//! The command line: verbs, exit codes, and the one place where errors are printed.

mod asking;
mod attach;
mod check;
mod complete;
mod completion;
mod copying;
mod cp;
mod data;
mod debug;
mod describe;
mod detach;
mod down;
mod duration;
mod ending;
mod events;
mod exec;
mod first;
mod help;
mod image;
mod images;
mod input;
mod inspect;
mod jobs;
mod launch;
mod launch_job;
mod limits;
mod logs;
mod manual;
mod meant;
mod objects;
mod plan;
mod plan_diff;
mod planner;
mod port_forward;
mod progress;
mod ps;
mod pull;
mod pump;
mod push;
mod registry;
mod run;
mod session;
mod signals;
mod stdout;
mod system;
mod table;
mod terminal;
mod top;
mod tunnel;
mod up;
mod volume;
mod wait;
mod wait_jobs;
mod watches;
mod yaml;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::image::ImageCommand;
use crate::error::Result;
use crate::host::HostFacts;
use crate::image::Store;

/// Run Kubernetes pods on this machine: no root, no daemon, no container engine.
#[derive(Debug, Parser)]
#[command(name = "podling", version, max_term_width = 100, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "Examples:
  podling pull busybox                     get an image from its registry
  podling image load busybox.docker.tar    put an image into the store
  podling run examples/hello.yaml          run a pod and show what its containers print
  podling run -d examples/hello.yaml       run it in the background
  podling plan examples/hello.yaml         show what would be done, and do nothing

`podling VERB --help` tells about a verb; `podling completion` how a shell completes names.";

// The options of all verbs take longer to build than most verbs to do their work: only those of the verb that is named are.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Verb {
    /// Run pods in the foreground until they have ended.
    Run(run::Args),
    /// Make the pods that run be those that files describe
    Up(up::UpArgs),
    /// Stop pods, and remove what is kept of them
    Down(down::DownArgs),
    /// List the pods that run
    Ps(ps::Args),
    /// Show pods as Kubernetes objects, with their status
    Inspect(inspect::Args),
    /// Show everything about pods, for people
    Describe(describe::Args),
    /// Show what has happened to pods
    Events(events::Args),
    /// Show what containers use of the machine
    Top(top::Args),
    /// Wait until pods are in a condition
    Wait(wait::Args),
    /// Show what a pod's containers have written
    Logs(logs::Args),
    /// Run a command in a running container
    Exec(exec::Args),
    /// Connect to what runs in a container: see what it prints, and type to it
    Attach(attach::Args),
    /// Copy files out of a container, or into one
    Cp(cp::Args),
    /// Make ports of a pod reachable on this host
    PortForward(port_forward::Args),
    /// Run one more container in a running pod, of any image
    Debug(debug::Args),
    /// Stop pods; their logs and last state are kept
    Stop(down::StopArgs),
    /// Stop detached pods and start them anew
    Restart(up::RestartArgs),
    /// Send a signal to the containers of pods
    Kill(down::KillArgs),
    /// Remove what is kept of ended pods
    Rm(down::RmArgs),
    /// Say whether files are valid, and what podling does with each field
    Check(check::Args),
    /// Print what `run` would do, and do nothing
    Plan(plan::Args),
    /// Pull images from registries
    Pull(pull::Args),
    /// Push an image to a registry
    Push(push::Args),
    /// Give an image further names
    Tag(image::TagArgs),
    /// Show how an image was made
    History(image::HistoryArgs),
    // Docker's and podman's short forms, for hands that know them; `podling image` is where they are explained.
    /// Write images to an archive or a directory, as `podling image save` does
    #[command(hide = true)]
    Save(image::SaveArgs),
    /// Load images, as `podling image load` does
    #[command(hide = true)]
    Load(image::LoadArgs),
    /// Take names away, as `podling image untag` does
    #[command(hide = true)]
    Untag(image::UntagArgs),
    /// Remove images, as `podling image rm` does
    #[command(hide = true)]
    Rmi(image::RmArgs),
    /// Load, save, list, inspect, name and remove images.
    #[command(
        subcommand,
        after_help = "Examples:
  podling image load app.tar
  podling image ls
  podling image rm app:dev"
    )]
    Image(image::ImageCommand),
    /// List the images in the store.
    Images(image::LsArgs),
    /// List, inspect, remove, export and import named local volumes
    #[command(
        subcommand,
        after_help = "A PersistentVolumeClaim of the input becomes a volume of its namespace and name; it outlives pods.

Examples:
  podling volume ls
  podling volume export data -o data.tar
  podling volume import data data.tar
  podling volume rm data"
    )]
    Volume(volume::VolumeCommand),
    /// See how much room is used, and prove that the store is whole
    #[command(
        subcommand,
        after_help = "Examples:
  podling system df
  podling system check --repair"
    )]
    System(system::SystemCommand),
    /// Print a script that completes podling's words in a shell
    Completion(completion::Args),
    /// Write podling's manual pages
    Man(manual::Args),
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    if let Some(code) = completion::answer() {
        return code;
    }
    let cli = match parse() {
        Ok(cli) => cli,
        Err(e) => {
            let words: Vec<String> = std::env::args_os().skip(1).map(|w| w.to_string_lossy().into_owned()).collect();
            // A word that podling does not know may be another tool's, or a slip of the finger.
            let e = meant::explain(e, &grammar(), &words);
            let _ = e.print();
            // Help and version are answers, not failures; a wrong command line is podling's own error.
            return if e.use_stderr() { ExitCode::from(125) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Up(args) => up::up(&args),
        Verb::Down(args) => down::down(&args),
        Verb::Ps(args) => ps::run(&args),
        Verb::Inspect(args) => inspect::run(&args),
        Verb::Describe(args) => describe::run(&args),
        Verb::Events(args) => events::run(&args),
        Verb::Top(args) => top::run(&args),
        Verb::Wait(args) => wait::run(&args),
        Verb::Logs(args) => logs::run(&args),
        Verb::Exec(args) => exec::run(&args),
        Verb::Attach(args) => attach::run(&args),
        Verb::Cp(args) => copying::run(&args),
        Verb::PortForward(args) => port_forward::run(&args),
        Verb::Debug(args) => debug::run(&args),
        Verb::Stop(args) => down::stop(&args),
        Verb::Restart(args) => up::restart(&args),
        Verb::Kill(args) => down::kill(&args),
        Verb::Rm(args) => down::rm(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Volume(command) => volume::run(&command),
        Verb::System(command) => system(&command),
        Verb::Completion(args) => completion::run(&args),
        Verb::Man(args) => manual::run(&args),
        Verb::Image(command) => on_store(&command),
        Verb::Pull(args) => on_store(&ImageCommand::Pull(args)),
        Verb::Push(args) => on_store(&ImageCommand::Push(args)),
        Verb::Images(args) => on_store(&ImageCommand::Ls(args)),
        Verb::Tag(args) => on_store(&ImageCommand::Tag(args)),
        Verb::Untag(args) => on_store(&ImageCommand::Untag(args)),
        Verb::History(args) => on_store(&ImageCommand::History(args)),
        Verb::Save(args) => on_store(&ImageCommand::Save(args)),
        Verb::Load(args) => on_store(&ImageCommand::Load(args)),
        Verb::Rmi(args) => on_store(&ImageCommand::Rm(args)),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            let e = crate::host::explain(e);
            say(&e);
            ExitCode::from(e.exit_code())
        }
    }
}

/// The definitions of all verbs: what parses, what helps, what completes and what the manual is made of.
fn grammar() -> clap::Command {
    help::with_groups(Cli::command())
}

fn parse() -> std::result::Result<Cli, clap::Error> {
    // Only who looks at the first page of help pays for writing it.
    let first = std::env::args_os().nth(1);
    let looks = first.is_none_or(|word| word == "help" || word == "--help" || word.to_string_lossy().starts_with("-h"));
    let mut grammar = if looks { grammar() } else { Cli::command() };
    let matches = grammar.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut grammar))
}

/// Tells the user something. Nobody may be there to read it, which is no reason to fail.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "podling: {}", harmless(&text.to_string()));
}

/// Names, media types and what servers say come from strangers, and must not play tricks on a terminal.
fn harmless(text: &str) -> String {
    let controls = |c: char| c.is_control() && c != '\n' && c != '\t';
    // Unicode's overrides of the direction of writing.
    let overrides = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if controls(c) || overrides(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn system(command: &system::SystemCommand) -> Result<u8> {
    let facts = HostFacts::gather();
    let store = Store::open(data::directory(&facts)?, &facts.ids)?;
    system::run(command, &store, &facts)
}

fn on_store(command: &ImageCommand) -> Result<u8> {
    let facts = HostFacts::gather();
    let store = Store::open(data::directory(&facts)?, &facts.ids)?;
    image::run(command, &store, &facts).map(|()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_text_moves_no_cursor_and_turns_no_line_around() {
        assert_eq!(harmless("a\u{1b}[2J\u{7}b\u{202e}c\rd"), "a\u{fffd}[2J\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(harmless("näme: why\n\tmend"), "näme: why\n\tmend");
    }
}
