//! `podling completion`: scripts that teach a shell podling's words, and the answers to those scripts.
//!
//! A script starts podling with [`VARIABLE`] set to the shell's name, `--` and the words of the line; podling prints what may stand in the
//! place of the last. clap's own protocol is the same, in a variable called COMPLETE: a stranger's variable of that name must not
//! keep podling from running pods.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap_complete::engine::{self, CompletionCandidate};
use clap_complete::env::Shells;

use super::complete::remember_line;
use super::stdout::Stdout;
use crate::error::{Error, Result};

/// The environment variable that makes podling answer a shell instead of doing what its command line says.
const VARIABLE: &str = "PODLING_COMPLETE";

/// Print a script that completes podling's words in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Verbs, options, and the names of pods, containers and images that are there now are completed.
Without a SHELL, podling tells where the script belongs.

Examples:
  source <(podling completion bash)
  podling completion fish | source")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Option<Shell>,
}

/// A shell that podling has a script for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

const HOW: &str = "Put a line into your shell's start-up file and open a new shell; then Tab completes podling's words.

bash, in ~/.bashrc:
  source <(podling completion bash)

zsh, in ~/.zshrc, after `autoload -U compinit && compinit`:
  source <(podling completion zsh)

fish, in ~/.config/fish/completions/podling.fish:
  podling completion fish | source
";

/// Runs the verb.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &Args) -> Result<u8> {
    let mut out = Stdout::lock();
    match args.shell {
        None => out.write_all(HOW.as_bytes())?,
        Some(Shell::Bash) => out.write_all(bash_script(&own_name()).as_bytes())?,
        Some(shell @ (Shell::Zsh | Shell::Fish)) => {
            let shells = Shells::builtins();
            let script =
                shells.completer(shell.name()).ok_or_else(|| Error::new("clap has no script for this shell"))?;
            script.write_registration(VARIABLE, "podling", "podling", &own_name(), &mut out)?;
        }
    }
    Ok(out.flush().map(|()| 0)?)
}

/// Answers a shell, if one asks; anything else costs one look into the environment.
pub fn answer() -> Option<ExitCode> {
    let shell = std::env::var_os(VARIABLE).filter(|name| !name.is_empty())?;
    let outcome = Shell::named(&shell.to_string_lossy()).and_then(reply);
    Some(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            super::say(&e);
            ExitCode::from(e.exit_code())
        }
    })
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
        }
    }

    fn named(name: &str) -> Result<Shell> {
        [Shell::Bash, Shell::Zsh, Shell::Fish].into_iter().find(|shell| shell.name() == name).ok_or_else(|| {
            Error::new(format!("{VARIABLE} is {name:?}, which is no shell that podling knows"))
                .mend(format!("unset {VARIABLE}: only the scripts of `podling completion` set it"))
        })
    }

    /// One candidate as the shell's script reads it.
    fn line(self, candidate: &CompletionCandidate) -> String {
        let value = candidate.get_value().to_string_lossy();
        let help = candidate.get_help().map(|help| help.to_string().lines().next().unwrap_or_default().to_owned());
        match (self, help) {
            (Shell::Bash, _) => quoted(&value),
            (Shell::Fish, Some(help)) => format!("{value}\t{help}"),
            (Shell::Fish, None) => value.into_owned(),
            (Shell::Zsh, help) => {
                let value = value.replace('\\', "\\\\").replace(':', "\\:");
                help.map_or_else(|| value.clone(), |help| format!("{value}:{}", help.replace('\\', "\\\\")))
            }
        }
    }
}

fn reply(shell: Shell) -> Result<()> {
    let mut words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let given = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse().ok());
    let index: usize = given.unwrap_or(words.len().saturating_sub(1));
    // zsh leaves an empty last word out.
    if words.len() <= index {
        words.resize(index + 1, OsString::new());
    }
    remember_line(words.iter().take(index).skip(2).map(|word| word.to_string_lossy().into_owned()).collect());
    let begun = words.get(index).is_some_and(|word| !word.is_empty());
    let directory = std::env::current_dir().ok();
    let mut found = engine::complete(&mut super::grammar(), words, index, directory.as_deref())?;
    found.retain(|candidate| !candidate.get_value().to_string_lossy().contains(char::is_control));
    let is_option = |candidate: &CompletionCandidate| candidate.get_value().to_string_lossy().starts_with('-');
    // Options are shown to who asks for them with a dash, and where nothing else may stand.
    if !begun && !found.iter().all(is_option) {
        found.retain(|candidate| !is_option(candidate));
    }
    let mut out = Stdout::lock();
    for candidate in &found {
        writeln!(out, "{}", shell.line(candidate))?;
    }
    Ok(out.flush()?)
}

/// A word as bash reads it back from the line.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/_-.,+=:@~%".contains(c);
    word.chars().flat_map(|c| (!plain(c)).then_some('\\').into_iter().chain([c])).collect()
}

/// How the script calls podling: by the name it was called by, or the whole path where that was one.
fn own_name() -> String {
    let name = std::env::args_os().next().unwrap_or_else(|| "podling".into());
    let path = Path::new(&name);
    match std::env::current_dir() {
        Ok(here) if path.components().count() > 1 => here.join(path).to_string_lossy().into_owned(),
        _ => name.to_string_lossy().into_owned(),
    }
}

/// clap's script for bash takes the line as bash splits it, at each colon and each equals sign, which cuts `busybox:latest`,
/// `web:/srv` and `--since=5s` in pieces. This one puts them together again, and takes from each answer what bash would keep anyway.
fn bash_script(podling: &str) -> String {
    let escaped = podling.replace('\'', "'\\''");
    BASH.replace("PODLING", &format!("'{escaped}'")).replace("VARIABLE", VARIABLE)
}

const BASH: &str = r#"_podling() {
    local rest=${COMP_LINE:0:COMP_POINT} marks= cut= word current i
    local -a words=()
    for ((i = 0; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 0)) && [[ $rest == "$word"* ]]; then
            words[${#words[@]} - 1]+=$word
        else
            rest=${rest#"${rest%%[![:space:]]*}"}
            words+=("$word")
        fi
        rest=${rest#"$word"}
    done
    if [[ $rest == [[:space:]]* ]]; then
        words+=("${rest#"${rest%%[![:space:]]*}"}")
    else
        words[${#words[@]} - 1]+=$rest
    fi
    current=${words[${#words[@]} - 1]}
    [[ $COMP_WORDBREAKS == *:* ]] && marks+=:
    [[ $COMP_WORDBREAKS == *=* ]] && marks+==
    [[ -n $marks ]] && cut=${current%"${current##*[$marks]}"}
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("${word#"$cut"}")
    done < <(VARIABLE=bash _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) PODLING -- "${words[@]}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/:=] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o bashdefault -o default -o nosort -F _podling podling
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_reads_a_candidate_back_as_one_word() {
        assert_eq!(quoted("my pod's $(file).yaml"), "my\\ pod\\'s\\ \\$\\(file\\).yaml");
        assert_eq!(quoted("localhost:5000/app:dev"), "localhost:5000/app:dev");
    }

    #[test]
    fn the_script_quotes_the_path_of_podling() {
        assert!(bash_script("/it's/podling").contains(" '/it'\\''s/podling' -- "));
    }
}
