//! A container's variables and what is made of them, with what is known of each: whether a Secret is in it, and whether a part of it comes
//! only when the container starts.

use super::expand::{MOST, Part, parts};
use super::late::{FileKey, Late, Otherwise, Piece, words};

/// A container's variables, each name once, in the order in which the names were first set.
#[derive(Default, Clone)]
pub(super) struct Vars(Vec<(String, Text)>);

/// What a path cannot be made of.
pub(super) enum Unfit {
    /// These variables are unset or empty.
    Missing(Vec<String>),
    /// It would be longer than any program can be given.
    TooLong,
}

/// A string.
#[derive(Default, Clone)]
pub(super) struct Text {
    /// What it is; where it is known only later, words for it.
    pub value: String,
    /// Whether a Secret's value is in it.
    pub secret: bool,
    /// Its pieces where it is known only when the container starts, else none.
    pub late: Vec<Piece>,
}

impl Text {
    /// A string that is known, and holds no Secret's value.
    pub fn plain(value: impl Into<String>) -> Self {
        Text { value: value.into(), ..Text::default() }
    }

    /// The value of a Secret.
    pub fn secret(value: String) -> Self {
        Text { value, secret: true, late: Vec::new() }
    }

    /// The value of a file's key, or `before` where it may be missing and is.
    pub fn file(mut key: FileKey, before: Option<&Text>) -> Self {
        let value = format!("<{}>", words(&key));
        let secret = before.is_some_and(|before| before.secret);
        if let (Otherwise::Unset, Some(before)) = (&key.otherwise, before) {
            key.otherwise = Otherwise::Pieces(before.pieces());
        }
        Text { value, secret, late: vec![Piece::File(key)] }
    }

    /// The same with `before` in its place where it is left unset.
    pub fn unless_unset(self, before: Option<&Text>) -> Self {
        match self.late.as_slice() {
            [Piece::File(key)] if key.otherwise == Otherwise::Unset => Text::file(key.clone(), before),
            _ => self,
        }
    }

    /// How many bytes it takes at most, with all that may stand in for what is not known yet.
    pub fn weight(&self) -> usize {
        self.value.len() + weight(&self.late)
    }

    fn pieces(&self) -> Vec<Piece> {
        if self.late.is_empty() { vec![Piece::Text(self.value.clone())] } else { self.late.clone() }
    }
}

/// An array of pieces in bytes.
fn weight(pieces: &[Piece]) -> usize {
    let one = |piece: &Piece| match piece {
        Piece::Text(text) => text.len(),
        Piece::File(key) => {
            let otherwise = if let Otherwise::Pieces(pieces) = &key.otherwise { weight(pieces) } else { 0 };
            words(key).len() + otherwise
        }
    };
    pieces.iter().map(|piece| size_of::<Piece>() + one(piece)).sum()
}

impl Vars {
    /// `input` with its `$(NAME)` references replaced by these variables; `None` where that is longer than any program can be given.
    pub fn expand(&self, input: &str) -> Option<Text> {
        let mut whole = Text::default();
        let mut pieces = Vec::new();
        let mut weighed = 0;
        for part in parts(input) {
            let text = match part {
                Part::Text(text) => Text::plain(text),
                Part::Reference(name) => {
                    let written = Text::plain(format!("$({name})"));
                    match self.get(name) {
                        Some(text) => text.clone().unless_unset(Some(&written)),
                        None => written,
                    }
                }
            };
            weighed += text.weight();
            if weighed > MOST {
                return None;
            }
            pieces.extend(text.pieces());
            whole.value.push_str(&text.value);
            whole.secret |= text.secret;
        }
        if pieces.iter().any(|piece| matches!(piece, Piece::File(_))) {
            whole.late = pieces;
        }
        Some(whole)
    }

    /// `input` with its `$(NAME)` references replaced, as a path needs them: all of them.
    ///
    /// # Errors
    /// The names that are unset or empty, or a path beyond all measure.
    pub fn expand_whole(&self, input: &str) -> Result<Text, Unfit> {
        let missing = |part| match part {
            Part::Reference(name) if self.get(name).is_none_or(|text| text.value.is_empty()) => Some(name.to_owned()),
            _ => None,
        };
        let missing: Vec<String> = parts(input).into_iter().filter_map(missing).collect();
        if missing.is_empty() { self.expand(input).ok_or(Unfit::TooLong) } else { Err(Unfit::Missing(missing)) }
    }

    /// `NAME=VALUE` strings, as the OCI spec wants them.
    pub fn strings(&self) -> Vec<String> {
        self.0.iter().map(|(name, text)| format!("{name}={}", text.value)).collect()
    }

    /// The names of the variables that hold a Secret's value.
    pub fn secret_names(&self) -> Vec<String> {
        self.0.iter().filter(|(_, text)| text.secret).map(|(name, _)| name.clone()).collect()
    }

    /// What of these variables and of `args` comes later.
    pub fn late(&self, args: &[Text]) -> Late {
        let is_late = |text: &&Text| !text.late.is_empty();
        let env =
            self.0.iter().filter(|(_, text)| is_late(&text)).map(|(name, text)| (name.clone(), text.late.clone()));
        let args = args.iter().enumerate().filter(|(_, arg)| is_late(arg)).map(|(i, arg)| (i, arg.late.clone()));
        Late { env: env.collect(), args: args.collect() }
    }

    /// The variables in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Text)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text))
    }

    pub fn get(&self, name: &str) -> Option<&Text> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, text)| text)
    }

    /// Sets a variable; one that may be left unset then has the value that it has now.
    pub fn set(&mut self, name: &str, text: Text) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = text.unless_unset(Some(&*old)),
            None => self.0.push((name.to_owned(), text)),
        }
    }

    /// Sets a variable that nobody has set, or that may be left unset.
    pub fn set_default(&mut self, name: &str, default: &str) {
        let text = self.get(name).cloned().map(|text| text.unless_unset(Some(&Text::plain(default))));
        self.set(name, text.unwrap_or_else(|| Text::plain(default)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    /// Forty variables, each of them twice the one before.
    fn doubling(first: Value, again: Option<&Value>) -> Vec<Value> {
        let mut env = vec![first];
        for n in 1..40 {
            env.push(json!({ "name": format!("V{n}"), "value": format!("$(V{0})$(V{0})", n - 1) }));
            if let Some(again) = again {
                env.push(json!({ "name": format!("V{n}"), "valueFrom": again }));
            }
        }
        env
    }

    fn refusal(container: Value) -> String {
        let mut fixture = Fixture::container(container);
        fixture.pod["spec"]["volumes"] = json!([{ "name": "e", "emptyDir": {} }]);
        fixture.refusal()
    }

    #[test]
    fn references_to_references_do_not_grow_beyond_what_a_program_can_be_given() {
        let said = |n: usize| json!({ "name": "V0", "value": "x".repeat(n) });
        let file = json!({ "fileKeyRef": { "volumeName": "e", "path": "f", "key": "k", "optional": true } });
        let hidden = doubling(json!({ "name": "V0", "valueFrom": file }), Some(&file));
        let words = |n: usize| vec!["$(V0)"; n].join("");
        let probe = json!({ "exec": { "command": ["sh", words(70)] } });
        for (field, container) in [
            ("env", json!({ "env": doubling(said(9), None) })),
            ("env", json!({ "env": hidden })),
            ("command", json!({ "env": [said(100_000)], "command": ["sh", words(70)] })),
            ("args", json!({ "env": [said(100_000)], "args": vec![words(1); 70] })),
            ("livenessProbe.exec.command", json!({ "env": [said(100_000)], "livenessProbe": probe })),
            (
                "volumeMounts[0].subPathExpr",
                json!({
                    "env": [said(100_000)],
                    "volumeMounts": [{ "name": "e", "mountPath": "/e", "subPathExpr": words(70) }],
                }),
            ),
        ] {
            let refusal = refusal(container);
            assert!(refusal.contains(&format!("spec.containers[0].{field}")), "{field}: {refusal}");
            assert!(refusal.contains("grows beyond 6 MiB"), "{field}: {refusal}");
        }
        Fixture::container(json!({ "env": [said(100_000)], "args": vec![words(1); 50] })).plan().unwrap();
    }
}
