//! The environment of a container: image, then `envFrom`, then `env`, then the command line; nothing of the caller's.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar};

use super::Verdict;
use super::expand::expand;
use super::scope::Subject;
use crate::error::Result;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A container's variables, each name once, in the order in which the names were first set.
#[derive(Debug, Default, Clone)]
pub(super) struct Vars(Vec<(String, String)>);

impl Vars {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// `NAME=VALUE` strings, as the OCI spec wants them.
    pub fn strings(&self) -> Vec<String> {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

/// The variables that the pod and the command line set: what `$(NAME)` in `command` and `args` may refer to, which
/// the image's own variables are not.
pub(super) fn said_variables(subject: &Subject, report: &mut Vec<Verdict>) -> Result<Vars> {
    let mut vars = Vars::default();
    for (i, from) in subject.container.env_from.iter().flatten().enumerate() {
        add_source(subject, &format!("envFrom[{i}]"), from, &mut vars, report)?;
    }
    for (i, var) in subject.container.env.iter().flatten().enumerate() {
        let field = format!("env[{i}]");
        if let Some(value) = value_of(subject, &field, var, &vars)? {
            check(subject, &field, &var.name, &value)?;
            vars.set(&var.name, value);
        }
    }
    for (name, value) in &subject.scope.options.env {
        vars.set(name, value.clone());
    }
    Ok(vars)
}

/// The whole environment: `HOSTNAME`, the image's variables, `said`, and `PATH` and `HOME` where nobody sets them.
pub(super) fn environment(subject: &Subject, said: &Vars, home: &str) -> Result<Vars> {
    let mut vars = Vars::default();
    vars.set("HOSTNAME", subject.scope.hostname.to_owned());
    for entry in subject.config().and_then(|c| c.env().as_ref()).into_iter().flatten() {
        if let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) {
            check(subject, "image", name, value)?;
            vars.set(name, value.to_owned());
        }
    }
    for (name, value) in &said.0 {
        vars.set(name, value.clone());
    }
    for (name, default) in [("PATH", DEFAULT_PATH), ("HOME", home)] {
        if vars.get(name).is_none() {
            vars.set(name, default.to_owned());
        }
    }
    Ok(vars)
}

fn add_source(
    subject: &Subject,
    field: &str,
    from: &EnvFromSource,
    vars: &mut Vars,
    report: &mut Vec<Verdict>,
) -> Result<()> {
    let prefix = from.prefix.as_deref().unwrap_or_default();
    let mut add = |key: &str, value: Result<String>| -> Result<()> {
        let name = format!("{prefix}{key}");
        if !is_name(&name) {
            let how = format!("key {key:?} gives {name:?}, which cannot be a variable's name, and is skipped");
            report.push(subject.verdict(field, how));
            return Ok(());
        }
        let value = value?;
        check(subject, field, &name, &value)?;
        vars.set(&name, value);
        Ok(())
    };
    if let Some(source) = &from.config_map_ref {
        match subject.scope.config_map(&source.name) {
            Some(map) => {
                for (key, value) in map.data.iter().flatten() {
                    add(key, Ok(value.clone()))?;
                }
            }
            None if source.optional == Some(true) => {}
            None => return Err(missing(subject, &format!("{field}.configMapRef.name"), "ConfigMap", &source.name)),
        }
    }
    if let Some(source) = &from.secret_ref {
        match subject.scope.secret(&source.name) {
            Some(secret) => {
                for (key, value) in secret.data.iter().flatten() {
                    add(key, text(subject, field, key, value))?;
                }
            }
            None if source.optional == Some(true) => {}
            None => return Err(missing(subject, &format!("{field}.secretRef.name"), "Secret", &source.name)),
        }
    }
    Ok(())
}

/// The value of one `env` entry, `None` where it refers to something optional that is absent.
fn value_of(subject: &Subject, field: &str, var: &EnvVar, earlier: &Vars) -> Result<Option<String>> {
    let from = match (&var.value, &var.value_from) {
        (Some(value), _) if !value.is_empty() => return Ok(Some(expand(value, |name| earlier.get(name)))),
        (_, Some(from)) => from,
        (_, None) => return Ok(Some(String::new())),
    };
    let field = format!("{field}.valueFrom");
    if let Some(key) = &from.config_map_key_ref {
        let map = subject.scope.config_map(&key.name);
        return match map.and_then(|map| map.data.as_ref()?.get(&key.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if key.optional == Some(true) => Ok(None),
            None if map.is_none() => {
                Err(missing(subject, &format!("{field}.configMapKeyRef.name"), "ConfigMap", &key.name))
            }
            None => {
                Err(missing_key(subject, &format!("{field}.configMapKeyRef.key"), "ConfigMap", &key.name, &key.key))
            }
        };
    }
    if let Some(key) = &from.secret_key_ref {
        let secret = subject.scope.secret(&key.name);
        return match secret.and_then(|secret| secret.data.as_ref()?.get(&key.key)) {
            Some(value) => text(subject, &format!("{field}.secretKeyRef"), &key.key, value).map(Some),
            None if key.optional == Some(true) => Ok(None),
            None if secret.is_none() => {
                Err(missing(subject, &format!("{field}.secretKeyRef.name"), "Secret", &key.name))
            }
            None => Err(missing_key(subject, &format!("{field}.secretKeyRef.key"), "Secret", &key.name, &key.key)),
        };
    }
    Err(subject.error(&field, "podling honours configMapKeyRef and secretKeyRef here, nothing else yet"))
}

fn text(subject: &Subject, field: &str, key: &str, value: &ByteString) -> Result<String> {
    let why = || format!("the value of key {key:?} is not UTF-8 text, so no variable can hold it");
    String::from_utf8(value.0.clone()).map_err(|_| subject.error(field, why()).mend("mount it as a file instead"))
}

fn missing(subject: &Subject, field: &str, kind: &str, name: &str) -> crate::error::Error {
    subject
        .error(field, format!("there is no {kind} {name:?} in the pod's namespace"))
        .mend(format!("add the {kind} to the input, or write `optional: true`"))
}

fn missing_key(subject: &Subject, field: &str, kind: &str, name: &str, key: &str) -> crate::error::Error {
    subject.error(field, format!("{kind} {name:?} has no key {key:?}")).mend("add the key, or write `optional: true`")
}

fn check(subject: &Subject, field: &str, name: &str, value: &str) -> Result<()> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(subject.error(field, format!("{name:?} cannot be a variable's name")));
    }
    if value.contains('\0') {
        return Err(subject.error(field, format!("the value of {name:?} contains a NUL byte, which ends a string")));
    }
    Ok(())
}

/// Kubernetes' relaxed rule (since 1.34 the only one): any printable ASCII character but `=`.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=')
}
