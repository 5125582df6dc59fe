//! The `$(NAME)` references of Kubernetes.

/// What execve(2) takes of a program's arguments and variables together, however large its stack may be: three quarters of 8 MiB. A few
/// lines of references to references can grow beyond any memory.
pub(super) const MOST: usize = 6 << 20;

/// Why what would be longer than [`MOST`] is refused.
pub(super) const TOO_LONG: &str =
    "grows beyond 6 MiB when its $(NAME) are replaced, and no program can be given more (execve(2))";

/// A part of a string with references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// This text.
    Text(&'a str),
    /// The value of the variable of this name; `$(NAME)` itself where there is none.
    Reference(&'a str),
}

/// The parts of `input`: `$$` stands for one `$`, and everything that is no `$(NAME)` stays as written.
///
/// The syntax is the one of the API reference of `Container.command`: an unresolved or unterminated reference is not an
/// error, and what a reference expands to is not expanded again.
pub(super) fn parts(input: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        parts.push(Part::Text(before));
        let tail = &after[1..];
        if let Some(tail) = tail.strip_prefix('$') {
            parts.push(Part::Text("$"));
            rest = tail;
        } else if let Some((name, tail)) = tail.strip_prefix('(').and_then(|tail| tail.split_once(')')) {
            parts.push(Part::Reference(name));
            rest = tail;
        } else {
            parts.push(Part::Text("$"));
            rest = tail;
        }
    }
    parts.push(Part::Text(rest));
    parts
}

/// `input` with the references that `lookup` knows replaced; `None` where that is longer than `most` bytes.
pub(super) fn expand<'a>(input: &str, most: usize, mut lookup: impl FnMut(&str) -> Option<&'a str>) -> Option<String> {
    let mut text = String::with_capacity(input.len());
    for part in parts(input) {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Reference(name) => match lookup(name) {
                Some(value) => text.push_str(value),
                None => text.extend(["$(", name, ")"]),
            },
        }
        if text.len() > most {
            return None;
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn references_are_replaced_once_and_everything_else_stays() {
        let lookup = |name: &str| match name {
            "A" => Some("one"),
            "B" => Some("$(A)"),
            "EMPTY" => Some(""),
            _ => None,
        };
        for (input, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "one"),
            ("<$(A)-$(A)>", "<one-one>"),
            ("$(B)", "$(A)"),
            ("x$(EMPTY)y", "xy"),
            ("$(MISSING)", "$(MISSING)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$one"),
            ("$$$$", "$$"),
            ("$", "$"),
            ("a$", "a$"),
            ("$A ${A}", "$A ${A}"),
            ("$(A", "$(A"),
            ("$($(A)", "$($(A)"),
            ("$()", "$()"),
            ("é$(A)ü", "éoneü"),
        ] {
            assert_eq!(expand(input, 10, lookup).as_deref(), Some(expected), "{input}");
        }
        assert_eq!(expand("$(A)$(A)$(A).", 10, lookup).as_deref(), Some("oneoneone."));
        assert_eq!(expand("$(A)$(A)$(A)..", 10, lookup), None);
    }
}
