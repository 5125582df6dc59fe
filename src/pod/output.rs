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

/// The prefix of each of the containers called `names`, padded to the same width.
pub(super) fn prefixes(names: &[&str], coloured: bool) -> Vec<String> {
    let width = names.iter().map(|n| n.len()).max().unwrap_or(0);
    names
        .iter()
        .zip(COLOURS.iter().cycle())
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
        assert_eq!(prefixes(&["web", "proxy"], false), ["web   | ", "proxy | "]);
        assert_eq!(prefixes(&["a"], true), ["\x1b[36ma |\x1b[0m "]);
    }
}
