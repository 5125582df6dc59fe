//! `podling man`: manual pages, made of the same definitions as the help.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::help;
use super::stdout::Stdout;
use crate::error::{Context, Result};

/// Write podling's manual pages
#[derive(Debug, clap::Args)]
#[command(after_help = "Without DIR, podling(1) is printed. Each verb has a page of its own, such as podling-run(1).

Examples:
  podling man ~/.local/share/man/man1
  podling man | man -l -")]
pub struct Args {
    /// Write podling.1 and a page for each verb into DIR, which is made if need be
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// A file that cannot be written.
pub fn run(args: &Args) -> Result<u8> {
    let mut root = super::grammar().disable_help_subcommand(true);
    root.build();
    match &args.directory {
        None => {
            let mut out = Stdout::lock();
            out.write_all(&page(&root, &root)?)?;
            out.flush()?;
        }
        Some(directory) => {
            fs::create_dir_all(directory).context(|| format!("mkdir({directory:?})"))?;
            write_all(&root, &root, directory)?;
        }
    }
    Ok(0)
}

fn write_all(root: &Command, command: &Command, directory: &Path) -> Result<()> {
    let file = directory.join(format!("{}.1", name(command)));
    fs::write(&file, page(root, command)?).context(|| format!("write({file:?})"))?;
    visible(command).try_for_each(|verb| write_all(root, verb, directory))
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set())
}

/// `podling-image-load`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(root: &Command, command: &Command) -> io::Result<Vec<u8>> {
    let after = After::of(command);
    let man = Man::new(command.clone())
        .title(name(command).to_uppercase())
        .source(concat!("podling ", env!("CARGO_PKG_VERSION")))
        .manual("podling")
        .date(DATE);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    let mut text = Roff::new();
    after.text.iter().for_each(|paragraph| plain(&mut text, paragraph));
    text.to_writer(&mut page)?;
    if name(command) == name(root) {
        verbs(root).to_writer(&mut page)?;
    } else if visible(command).next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut options = Vec::new();
    man.render_options_section(&mut options)?;
    // Two breaks around an empty line are what clap_mangen puts above possible values, and what mandoc warns of.
    page.extend(String::from_utf8_lossy(&options).replace("\n.br\n\n.br\n", "\n.sp\n").bytes());
    let mut rest = Roff::new();
    rest.control("SH", ["EXIT STATUS"]);
    rest.text([roman(after.exit.as_deref().unwrap_or(EXIT))]);
    environment(&mut rest, command);
    files(&mut rest, command);
    if let Some(examples) = &after.examples {
        rest.control("SH", ["EXAMPLES"]);
        rest.control("nf", []);
        for line in examples {
            rest.text([roman(line.as_str())]);
        }
        rest.control("fi", []);
    }
    see_also(&mut rest, root, command);
    rest.to_writer(&mut page)?;
    Ok(page)
}

/// When the pages' own text last changed: a page shows a date, and the same podling must always write the same pages.
const DATE: &str = "2026-11-25";

const EXIT: &str = "0 on success, 125 when podling fails or refuses its command line or its input.";

/// The text that stands below the options in the help, in its parts.
#[derive(Debug, Default)]
struct After {
    text: Vec<String>,
    exit: Option<String>,
    examples: Option<Vec<String>>,
}

impl After {
    fn of(command: &Command) -> After {
        let text = command.get_after_long_help().or_else(|| command.get_after_help()).map(ToString::to_string);
        let mut after = After::default();
        for paragraph in text.unwrap_or_default().split("\n\n") {
            if let Some(examples) = paragraph.strip_prefix("Examples:\n") {
                let lines = examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned());
                after.examples.get_or_insert_default().extend(lines);
            } else if let Some(exit) = paragraph.strip_prefix("Exit code:") {
                after.exit = Some(exit.split_whitespace().collect::<Vec<_>>().join(" "));
            } else if !paragraph.trim().is_empty() {
                after.text.push(paragraph.to_owned());
            }
        }
        after
    }
}

/// A paragraph; one with lines that are indented keeps its lines.
fn plain(roff: &mut Roff, paragraph: &str) {
    roff.control("PP", []);
    let keeps_lines = paragraph.lines().any(|line| line.starts_with(' '));
    if keeps_lines {
        roff.control("nf", []);
    }
    for line in paragraph.lines() {
        roff.text([roman(line)]);
    }
    if keeps_lines {
        roff.control("fi", []);
    }
}

/// The verbs in the groups of the help.
fn verbs(root: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for (title, verbs) in help::grouped(root) {
        roff.control("SS", [title]);
        for verb in verbs {
            roff.control("TP", []);
            roff.text([bold(name(verb)), roman("(1)")]);
            roff.text([roman(verb.get_about().map(ToString::to_string).unwrap_or_default())]);
        }
    }
    roff
}

fn takes(command: &Command, argument: &str) -> bool {
    command.get_arguments().any(|known| known.get_id() == argument)
        || visible(command).any(|verb| takes(verb, argument))
}

fn environment(roff: &mut Roff, command: &Command) {
    roff.control("SH", ["ENVIRONMENT"]);
    entry(
        roff,
        "XDG_DATA_HOME",
        "Where podling's data is, in the directory podling; $HOME/.local/share where it is not set.",
    );
    if takes(command, "creds") {
        entry(roff, "PODLING_PASSWORD", "The password for --creds USER.");
    }
}

fn files(roff: &mut Roff, command: &Command) {
    roff.control("SH", ["FILES"]);
    entry(roff, "$XDG_DATA_HOME/podling/images", "The images, an OCI image layout.");
    entry(roff, "$XDG_DATA_HOME/podling/pods", "The pods: their logs, and what is kept of them.");
    if takes(command, "authfile") {
        entry(
            roff,
            "/etc/containers/registries.conf",
            "Mirrors, insecure registries and short names: containers-registries.conf(5).",
        );
        entry(roff, "$XDG_RUNTIME_DIR/containers/auth.json, ~/.docker/config.json", "Logins: containers-auth.json(5).");
    }
}

fn entry(roff: &mut Roff, term: &str, text: &str) {
    roff.control("TP", []);
    roff.text([italic(term)]);
    roff.text([roman(text)]);
}

/// The page above, those below, and the rest of the group.
fn see_also(roff: &mut Roff, root: &Command, command: &Command) {
    let mut pages: Vec<String> = Vec::new();
    let own = name(command);
    if own == name(root) {
        pages.extend(visible(root).map(|verb| name(verb).to_owned()));
    } else {
        pages.push(name(root).to_owned());
        pages.extend(visible(command).map(|verb| name(verb).to_owned()));
        for (_, verbs) in help::grouped(root) {
            if verbs.iter().any(|verb| own == name(verb) || own.starts_with(&format!("{}-", name(verb)))) {
                pages.extend(verbs.iter().map(|verb| name(verb).to_owned()));
            }
        }
        for parent in visible(root).filter(|verb| visible(verb).any(|child| name(child) == own)) {
            pages.extend(visible(parent).map(|verb| name(verb).to_owned()));
        }
    }
    pages.retain(|page| page != own);
    pages.sort_unstable();
    pages.dedup();
    roff.control("SH", ["SEE ALSO"]);
    let last = pages.len().saturating_sub(1);
    for (n, page) in pages.iter().enumerate() {
        roff.text([bold(page.as_str()), roman(if n == last { "(1)" } else { "(1)," })]);
    }
}
