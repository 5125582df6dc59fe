//! How the containers' lines look: each behind its container's name.

/// What is put before a container's lines.
#[derive(Debug, Clone)]
pub struct Style {
    /// Colours on standard output.
    pub colour_stdout: bool,
    /// Colours on standard error.
    pub colour_stderr: bool,
    /// podling's own notices (a restart, an emulated field) are left out.
    pub quiet: bool,
}

/// Colours that read well on dark and light backgrounds (ECMA-48 SGR), in turn.
const COLOURS: [&str; 6] = ["\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[31m"];

/// What a container's lines and podling's notices about it begin with.
#[derive(Debug, Clone)]
pub(super) struct Label {
    /// The container's name; `POD/CONTAINER` where several pods run.
    pub(super) name: String,
    /// Before a line of its standard output.
    pub(super) stdout: String,
    /// Before a line of its standard error.
    pub(super) stderr: String,
}

/// The labels of the containers called `names`, of which `before` others are there already.
pub(super) fn labels(names: Vec<String>, style: &Style, before: usize) -> Vec<Label> {
    let prefixes = |coloured| prefixes(&names, coloured, before);
    let (stdout, stderr) = (prefixes(style.colour_stdout), prefixes(style.colour_stderr));
    let parts = names.into_iter().zip(stdout).zip(stderr);
    parts.map(|((name, stdout), stderr)| Label { name, stdout, stderr }).collect()
}

/// The prefixes of all `names`, padded to the same width.
fn prefixes(names: &[String], coloured: bool, before: usize) -> Vec<String> {
    let width = names.iter().map(|n| n.len()).max().unwrap_or(0);
    names
        .iter()
        .zip(COLOURS.iter().cycle().skip(before % COLOURS.len()))
        .map(
            |(name, colour)| {
                if coloured { format!("{colour}{name:width$} |\x1b[0m ") } else { format!("{name:width$} | ") }
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_line_up() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(prefixes(&names(&["web", "proxy"]), false, 0), ["web   | ", "proxy | "]);
        assert_eq!(prefixes(&names(&["a"]), true, 0), ["\x1b[36ma |\x1b[0m "]);
        assert_eq!(prefixes(&names(&["a"]), true, 7), ["\x1b[33ma |\x1b[0m "]);
    }
}
