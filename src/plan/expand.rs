//! The `$(NAME)` references of Kubernetes.

/// Replaces each `$(NAME)` that `lookup` knows; `$$` stands for one `$`, and everything else stays as written.
///
/// The syntax is the one of the API reference of `Container.command`: an unresolved or unterminated reference is not an
/// error, and what a reference expands to is not expanded again.
pub(super) fn expand<'a>(input: &str, mut lookup: impl FnMut(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        match after.strip_prefix('(').and_then(|tail| tail.split_once(')')) {
            Some((name, tail)) => {
                match lookup(name) {
                    Some(value) => out.push_str(value),
                    None => out.extend(["$(", name, ")"]),
                }
                rest = tail;
            }
            None => out.push('$'),
        }
    }
    out.push_str(rest);
    out
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
            assert_eq!(expand(input, lookup), expected, "{input}");
        }
    }
}
