//! Promise: podling's words are completed, documented, and guessed when they are mistyped.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::running::{on_a_terminal, output_of, program};
use support::{Feature, Place, binary, container_yaml, pod, require};

/// What is typed, and the words that a command gets when Tab and Enter are pressed after it.
const TYPED: &[(&str, &[&str])] = &[
    ("podling res", &["restart"]),
    ("podling logs alp", &["logs", "alpha"]),
    ("podling exec beta -c on", &["exec", "beta", "-c", "only"]),
    // beta's container `only` is no answer here.
    ("podling logs alpha -c on", &["logs", "alpha", "-c", "one"]),
    ("podling logs alpha --fol", &["logs", "alpha", "--follow"]),
    ("podling system df --format=j", &["system", "df", "--format=json"]),
    ("podling image rm localhost:5000/a", &["image", "rm", "localhost:5000/app:dev"]),
    ("podling run wor", &["run", "work.yaml"]),
    ("podling plan my", &["plan", "my pod.yaml"]),
    ("podling down bet", &["down", "beta"]),
];

/// A place with two pods that run, an image with a long name and some files.
struct Busy(Place);

impl Busy {
    fn new() -> Busy {
        let place = Busy(Place::with(&["busybox"]));
        let sleeper = |name: &str| container_yaml(name, "busybox", "exec sleep 1000", "");
        let both = [pod("alpha", "", &[sleeper("one")]), pod("beta", "", &[sleeper("only"), sleeper("other")])];
        place.0.write_file("work.yaml", &both.join("---\n"));
        place.0.write_file("my pod.yaml", "");
        place.0.write_file("work.txt", "");
        place.0.podling(&["tag", "busybox", "localhost:5000/app:dev"]).expect_success();
        place.0.podling(&["run", "-d", "work.yaml"]).expect_success();
        place
    }
}

impl Drop for Busy {
    /// A test that fails must leave no pod.
    fn drop(&mut self) {
        let _ = self.0.command(&["rm", "--all", "--force"]).output();
    }
}

/// Types each of the lines into a shell, where a function in podling's place shows the words that it gets.
#[track_caller]
fn type_into(shell: &str, place: &Place) {
    for (typed, words) in TYPED {
        let keys = format!("{typed}\t\nexit\n");
        let shown = on_a_terminal(place, &[("ZDOTDIR", place.path().to_str().unwrap())], shell, "ready>", &keys);
        let expected: String = words.iter().map(|word| format!("<{word}>")).collect();
        assert!(
            shown.lines().any(|line| line.ends_with(&expected)),
            "{shell}: {typed:?} became no {expected}:\n{shown}"
        );
    }
}

const SHOW: &str = "podling() { printf '<%s>' \"$@\"; echo; }\n";

#[test]
fn bash_completes_verbs_options_pods_containers_images_and_files() {
    if !require(Feature::UserNamespaces) || !require(Feature::Program("bash")) || !require(Feature::Program("script")) {
        return;
    }
    let Busy(place) = &Busy::new();
    let source = format!("source <('{}' completion bash)\n{SHOW}PS1='ready>'\n", binary().display());
    place.write_file("bashrc", &source);
    type_into("bash --noprofile --rcfile bashrc -i", place);
}

#[test]
fn zsh_completes_the_same() {
    if !require(Feature::UserNamespaces) || !require(Feature::Program("zsh")) || !require(Feature::Program("script")) {
        return;
    }
    let Busy(place) = &Busy::new();
    let source = format!(
        "autoload -U compinit && compinit -u -D\nsource <('{}' completion zsh)\n{SHOW}PS1='ready>'\n",
        binary().display()
    );
    place.write_file(".zshrc", &source);
    type_into("zsh -d -i", place);
}

#[test]
fn fish_completes_the_same() {
    if !require(Feature::UserNamespaces) || !require(Feature::Program("fish")) {
        return;
    }
    let Busy(place) = &Busy::new();
    for (typed, words) in TYPED {
        let line = format!("'{}' completion fish | source; complete -C '{typed}'", binary().display());
        let mut command = Command::new(program("fish"));
        place.environment(&mut command).env("XDG_CONFIG_HOME", place.path()).args(["--no-config", "-c", &line]);
        let output = output_of(&mut command);
        let found: Vec<&str> = output.stdout.lines().map(|line| line.split('\t').next().unwrap()).collect();
        assert_eq!(found, [*words.last().unwrap()], "{typed:?}: {output}");
    }
}

#[test]
fn without_a_shell_completion_says_where_the_script_belongs() {
    let place = Place::with(&[]);
    let output = place.podling(&["completion"]);
    for part in ["~/.bashrc", "source <(podling completion bash)", "~/.zshrc", "podling completion fish | source"] {
        assert!(output.expect_success().stdout.contains(part), "{part:?}: {output}");
    }
}

#[test]
fn a_completion_changes_nothing_on_disk() {
    let place = Place::with(&[]);
    let mut command = place.command(&["--", "podling", "image", "rm", ""]);
    let output = output_of(command.env("PODLING_COMPLETE", "bash"));
    output.expect_success();
    assert!(!place.data().exists(), "{output}");
}

/// Every page that podling writes.
fn pages(place: &Place) -> Vec<PathBuf> {
    place.podling(&["man", "man1"]).expect_success();
    let mut pages: Vec<_> =
        fs::read_dir(place.path().join("man1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    for verb in ["podling.1", "podling-run.1", "podling-image-load.1", "podling-system-check.1"] {
        assert!(pages.iter().any(|page| page.ends_with(verb)), "{verb}: {pages:?}");
    }
    pages
}

#[test]
fn each_manual_page_has_its_sections() {
    let place = Place::with(&[]);
    for page in pages(&place) {
        let text = fs::read_to_string(&page).unwrap();
        let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        let wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "\"EXIT STATUS\"", "ENVIRONMENT", "FILES"];
        for wanted in wanted.into_iter().chain(["EXAMPLES", "\"SEE ALSO\""]) {
            assert_eq!(headings.iter().filter(|heading| **heading == wanted).count(), 1, "{page:?}: {headings:?}");
        }
    }
}

#[test]
fn man_renders_each_page_without_a_warning() {
    if !require(Feature::Program("man")) {
        return;
    }
    let place = Place::with(&[]);
    for page in pages(&place) {
        let mut command = Command::new(program("man"));
        place.environment(&mut command).env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8");
        let output = output_of(command.args(["--warnings", "-l"]).arg(&page));
        let said = output.expect_success();
        assert_eq!(said.stderr, "", "{page:?}");
        assert!(said.stdout.contains("EXAMPLES") && said.stdout.contains("SEE ALSO"), "{page:?}: {said}");
    }
}

#[test]
fn mandoc_has_nothing_to_say_against_the_pages() {
    if !require(Feature::Program("mandoc")) {
        return;
    }
    let place = Place::with(&[]);
    let mut command = Command::new(program("mandoc"));
    output_of(place.environment(&mut command).args(["-Tlint", "-W", "warning"]).args(pages(&place))).expect_success();
}

#[test]
fn the_first_page_of_help_has_every_verb_in_a_group_and_each_verb_shows_examples() {
    let place = Place::with(&[]);
    let help = place.podling(&["--help"]).expect_success().stdout.clone();
    assert!(
        !help.contains("Others:") && help.contains("\nPods:\n  run ") && help.contains("\nImages:\n  pull "),
        "{help}"
    );
    let groups = help.split("\n\n").filter(|part| part.lines().nth(1).is_some_and(|line| line.starts_with("  ")));
    let verbs = groups.take_while(|part| !part.starts_with("Options:")).flat_map(|part| part.lines().skip(1));
    let verbs: Vec<&str> = verbs.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(verbs.len() > 15, "{verbs:?}");
    for verb in verbs.into_iter().filter(|verb| *verb != "help") {
        let output = place.podling(&[verb, "--help"]);
        assert!(output.expect_success().stdout.contains("\nExamples:\n  "), "{verb}: {output}");
    }
}

#[test]
fn podling_alone_prints_help_and_fails() {
    let output = Place::with(&[]).podling(&[]);
    output.expect_refusal(&["Usage: podling", "Pods:", "Examples:"]);
}

#[test]
fn a_mistyped_word_gets_the_one_that_was_meant() {
    let rows: &[(&[&str], &str)] = &[
        (&["rnu", "pod.yaml"], "'run'"),
        (&["restrat", "web"], "'restart'"),
        (&["image", "laod", "x"], "'load'"),
        (&["logs", "--folow", "web"], "'--follow'"),
        (&["run", "--pull", "allways", "pod.yaml"], "'always'"),
        (&["apply", "-f", "pod.yaml"], "podling up FILE"),
        (&["delete", "pod", "web"], "podling down POD"),
        (&["get", "pods"], "podling ps"),
        (&["create", "pod.yaml"], "podling run -d FILE"),
        (&["start", "web"], "podling restart POD"),
        (&["port", "web"], "podling port-forward POD LOCAL:REMOTE"),
        (&["kube", "play", "pod.yaml"], "podling up FILE"),
        (&["kube", "down", "pod.yaml"], "podling down FILE"),
        (&["pod", "ps"], "podling ps"),
        (&["system", "prune"], "podling image prune"),
    ];
    let place = Place::with(&[]);
    for (words, meant) in rows {
        place.podling(words).expect_refusal(&[meant, "tip:"]);
    }
}

#[test]
fn a_container_that_is_not_there_is_answered_with_those_that_are() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let Busy(place) = &Busy::new();
    place.podling(&["exec", "beta", "-c", "onyl", "--", "true"]).expect_refusal(&["onyl", "only", "other"]);
    place.podling(&["logs", "beta", "-c", "onyl"]).expect_refusal(&["onyl", "only", "other"]);
    place.podling(&["logs", "bata"]).expect_refusal(&["did you mean \"beta\"?"]);
}
