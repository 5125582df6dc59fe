//! The environment of a container: image, then `envFrom`, then `env`, then the command line; nothing of the caller's.

use std::path::{Component, PathBuf};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, FileKeySelector, Volume};

use super::expand::{MOST, TOO_LONG};
use super::late::{FileKey, Otherwise};
use super::scope::Subject;
use super::text::{Text, Vars};
use super::{Verdict, downward, volumes};
use crate::error::{Error, Result};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variables that the pod and the command line set: what `$(NAME)` in `command` and `args` may refer to, which
/// the image's own variables are not.
pub(super) fn said_variables(subject: &Subject, report: &mut Vec<Verdict>) -> Result<Vars> {
    let mut vars = Vars::default();
    for (i, from) in subject.container.env_from.iter().flatten().enumerate() {
        add_source(subject, &format!("envFrom[{i}]"), from, &mut vars, report)?;
    }
    let mut weight = 0;
    for (i, var) in subject.container.env.iter().flatten().enumerate() {
        let field = format!("env[{i}]");
        if let Some(value) = value_of(subject, &field, var, &vars, report)? {
            check(subject, &field, &var.name, &value.value)?;
            vars.set(&var.name, value);
            // What it was until then may be part of it.
            weight += vars.get(&var.name).map_or(0, Text::weight);
            if weight > MOST {
                return Err(subject.error("env", TOO_LONG));
            }
        }
    }
    for (name, value) in &subject.scope.options.env {
        if let Some(why) = unfit(name, value) {
            return Err(Error::new(format!("-e: {why}")));
        }
        vars.set(name, Text::plain(value));
    }
    Ok(vars)
}

/// The whole environment: `HOSTNAME`, the image's variables, `said`, and `PATH`, `HOME` and, with a terminal, `TERM` where
/// nobody sets them.
pub(super) fn environment(subject: &Subject, said: &Vars, home: &str) -> Result<Vars> {
    let mut vars = Vars::default();
    vars.set("HOSTNAME", Text::plain(&subject.scope.names.kernel));
    for entry in subject.config().and_then(|c| c.env().as_ref()).into_iter().flatten() {
        if let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) {
            check(subject, "image", name, value)?;
            vars.set(name, Text::plain(value));
        }
    }
    for (name, value) in said.iter() {
        vars.set(name, value.clone());
    }
    // As docker has it: every terminal that podling is attached from understands what xterm does.
    let term = (subject.container.tty == Some(true)).then_some(("TERM", "xterm"));
    for (name, default) in [("PATH", DEFAULT_PATH), ("HOME", home)].into_iter().chain(term) {
        vars.set_default(name, default);
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
    let mut add = |key: &str, value: Result<Text>| -> Result<()> {
        let name = format!("{prefix}{key}");
        if !is_name(&name) {
            let how = format!("key {key:?} gives {name:?}, which cannot be a variable's name, and is skipped");
            report.push(subject.verdict(field, how));
            return Ok(());
        }
        let value = value?;
        check(subject, field, &name, &value.value)?;
        vars.set(&name, value);
        Ok(())
    };
    if let Some(source) = &from.config_map_ref {
        match subject.scope.config_map(&source.name) {
            Some(map) => {
                for (key, value) in map.data.iter().flatten() {
                    add(key, Ok(Text::plain(value)))?;
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
fn value_of(
    subject: &Subject,
    field: &str,
    var: &EnvVar,
    earlier: &Vars,
    report: &mut Vec<Verdict>,
) -> Result<Option<Text>> {
    let from = match (&var.value, &var.value_from) {
        (Some(value), _) if !value.is_empty() => {
            let whole = earlier.expand(value).ok_or_else(|| subject.error(&format!("{field}.value"), TOO_LONG))?;
            return Ok(Some(whole));
        }
        (_, Some(from)) => from,
        (_, None) => return Ok(Some(Text::default())),
    };
    let field = format!("{field}.valueFrom");
    if let Some(key) = &from.config_map_key_ref {
        let map = subject.scope.config_map(&key.name);
        return match map.and_then(|map| map.data.as_ref()?.get(&key.key)) {
            Some(value) => Ok(Some(Text::plain(value))),
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
    let at = |source: &str| format!("{}.{field}.{source}", subject.path);
    if let Some(said) = &from.field_ref {
        return downward::field(subject.scope, &at("fieldRef"), said, report).map(|value| Some(Text::plain(value)));
    }
    if let Some(said) = &from.resource_field_ref {
        let value = downward::resource(subject.scope, &at("resourceFieldRef"), said, subject.container, report)?;
        return Ok(Some(Text::plain(value)));
    }
    if let Some(said) = &from.file_key_ref {
        return file_key(subject, &format!("{field}.fileKeyRef"), said).map(|key| Some(Text::file(key, None)));
    }
    Err(subject.error(&field, "has no source"))
}

fn file_key(subject: &Subject, field: &str, said: &FileKeySelector) -> Result<FileKey> {
    let is_there = |volume: &&Volume| volume.name == said.volume_name && volume.empty_dir.is_some();
    if subject.scope.spec.volumes.iter().flatten().find(is_there).is_none() {
        let why = format!("the pod has no emptyDir volume {:?}", said.volume_name);
        return Err(subject.error(&format!("{field}.volumeName"), why));
    }
    let path = PathBuf::from(&said.path);
    if said.path.is_empty()
        || said.path.contains('\0')
        || path.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir))
    {
        let why = format!("{:?} is not a relative path without '..'", said.path);
        return Err(subject.error(&format!("{field}.path"), why));
    }
    Ok(FileKey {
        volume: volumes::path(subject.scope, &said.volume_name),
        path,
        key: said.key.clone(),
        otherwise: if said.optional == Some(true) { Otherwise::Unset } else { Otherwise::Failure },
    })
}

/// A Secret's value as the text that a variable can hold.
fn text(subject: &Subject, field: &str, key: &str, value: &ByteString) -> Result<Text> {
    let why = format!("the value of key {key:?} is not UTF-8 text, so no variable can hold it");
    match String::from_utf8(value.0.clone()) {
        Ok(value) => Ok(Text::secret(value)),
        Err(_) => Err(subject.error(field, why).mend("mount it as a file instead")),
    }
}

fn missing(subject: &Subject, field: &str, kind: &str, name: &str) -> Error {
    subject
        .error(field, format!("there is no {kind} {name:?} in the pod's namespace"))
        .mend(format!("add the {kind} to the input, or write `optional: true`"))
}

fn missing_key(subject: &Subject, field: &str, kind: &str, name: &str, key: &str) -> Error {
    subject.error(field, format!("{kind} {name:?} has no key {key:?}")).mend("add the key, or write `optional: true`")
}

fn check(subject: &Subject, field: &str, name: &str, value: &str) -> Result<()> {
    unfit(name, value).map_or(Ok(()), |why| Err(subject.error(field, why)))
}

/// Why execve(2) cannot pass the variable on.
fn unfit(name: &str, value: &str) -> Option<String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Some(format!("{name:?} cannot be a variable's name"));
    }
    value.contains('\0').then(|| format!("the value of {name:?} contains a NUL byte, which ends a string"))
}

/// Kubernetes' relaxed rule (since 1.34 the only one): any printable ASCII character but `=`.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    fn env(fixture: &Fixture) -> Vec<String> {
        let plan = fixture.plan().unwrap();
        plan.containers[0].spec.process().as_ref().unwrap().env().clone().unwrap()
    }

    fn objects(fields: Value) -> Fixture {
        Fixture::container(fields)
            .config_map(json!({ "metadata": { "name": "one" }, "data": { "A": "map", "B": "map", "a.b-c": "dotted" } }))
            .config_map(json!({ "metadata": { "name": "two" }, "data": { "B": "later" } }))
            .secret(
                json!({ "metadata": { "name": "hush" }, "data": { "C": "c2VjcmV0", "RAW": "/w==", "NUL": "AA==" } }),
            )
    }

    #[test]
    fn later_sources_win_and_names_keep_their_first_place() {
        let mut fixture = objects(json!({
            "envFrom": [{ "configMapRef": { "name": "one" } }, { "configMapRef": { "name": "two" } }],
            "env": [
                { "name": "IMG", "value": "yaml" },
                { "name": "A", "value": "env" },
                { "name": "X", "value": "first" },
                { "name": "X", "value": "second" },
            ],
        }))
        .config(json!({ "Cmd": ["sh"], "Env": ["IMG=image", "PATH=/bin", "=odd", "also-odd"] }));
        fixture.options.env = vec![("X".to_owned(), "flag $(A)".to_owned()), ("NEW".to_owned(), String::new())];
        assert_eq!(
            env(&fixture),
            [
                "HOSTNAME=pod",
                "IMG=yaml",
                "PATH=/bin",
                "A=env",
                "B=later",
                "a.b-c=dotted",
                "X=flag $(A)",
                "NEW=",
                "HOME=/root"
            ]
        );
    }

    #[test]
    fn references_see_earlier_variables_and_env_from_but_not_the_image() {
        let fixture = objects(json!({
            "envFrom": [{ "prefix": "P_", "secretRef": { "name": "hush-not-there", "optional": true } },
                        { "prefix": "P_", "configMapRef": { "name": "two" } }],
            "env": [
                { "name": "ONE", "value": "$(TWO)$(P_B)$(IMG)" },
                { "name": "TWO", "value": "<$(ONE)>" },
                { "name": "TWO", "value": "$(TWO)$$(ONE)" },
            ],
        }))
        .config(json!({ "Cmd": ["sh"], "Env": ["IMG=image"] }));
        let env = env(&fixture);
        assert!(env.contains(&"ONE=$(TWO)later$(IMG)".to_owned()), "{env:?}");
        assert!(env.contains(&"TWO=<$(TWO)later$(IMG)>$(ONE)".to_owned()), "{env:?}");
    }

    #[test]
    fn key_references() {
        let from = |kind: &str, name: &str, key: &str, optional: bool| {
            objects(json!({
                "env": [{ "name": "V", "valueFrom": { kind: { "name": name, "key": key, "optional": optional } } }],
            }))
        };
        assert!(env(&from("configMapKeyRef", "one", "a.b-c", false)).contains(&"V=dotted".to_owned()));
        assert!(env(&from("secretKeyRef", "hush", "C", false)).contains(&"V=secret".to_owned()));
        for (kind, name, key) in
            [("configMapKeyRef", "one", "Z"), ("secretKeyRef", "none", "Z"), ("configMapKeyRef", "hush", "C")]
        {
            assert!(!env(&from(kind, name, key, true)).iter().any(|v| v.starts_with("V=")));
            let refusal = from(kind, name, key, false).refusal();
            assert!(
                refusal.contains("spec.containers[0].env[0].valueFrom") && refusal.contains("optional"),
                "{refusal}"
            );
        }
        assert!(from("secretKeyRef", "hush", "RAW", true).refusal().contains("not UTF-8"));
        assert!(from("secretKeyRef", "hush", "NUL", true).refusal().contains("NUL"));
    }

    fn file_key(name: &str, key: &str, optional: bool) -> Value {
        let key = json!({ "volumeName": "e", "path": "./a.env", "key": key, "optional": optional });
        json!({ "name": name, "valueFrom": { "fileKeyRef": key } })
    }

    fn with_file(fields: Value) -> Fixture {
        let mut fixture = objects(fields).config(json!({ "Cmd": ["sh"], "Env": ["IMG=image"] }));
        fixture.pod["spec"]["volumes"] =
            json!([{ "name": "e", "emptyDir": {} }, { "name": "m", "configMap": { "name": "one" } }]);
        fixture
    }

    #[test]
    fn a_files_key_is_known_only_when_the_container_starts() {
        let fixture = with_file(json!({
            "envFrom": [{ "secretRef": { "name": "hush-not-there", "optional": true } }],
            "env": [
                file_key("A", "k", false),
                file_key("IMG", "i", true),
                file_key("GONE", "g", true),
                { "name": "B", "value": "<$(A)$(GONE)>" },
                { "name": "C", "value": "before" },
                file_key("C", "c", true),
                { "name": "PLAIN", "value": "$(NONE)" },
            ],
            "args": ["plain", "$(B)$$(A)"],
        }));
        let plan = fixture.plan().unwrap();
        let process = plan.containers[0].spec.process().clone().unwrap();
        let words = |key: &str| format!("<key {key:?} of file \"./a.env\" in volume \"e\">");
        assert_eq!(process.args().clone().unwrap()[1], format!("<{}{}>$(A)", words("k"), words("g")));
        assert!(env(&fixture).contains(&format!("A={}", words("k"))));
        let late = &plan.containers[0].late;
        assert_eq!((late.env.len(), late.args.len()), (5, 1));
        let completed = |there: &[&str]| {
            let mut read = |key: &crate::plan::FileKey| {
                assert_eq!((key.volume.to_str(), key.path.to_str()), (Some("/run/pod/volumes/e"), Some("./a.env")));
                Ok(there.contains(&key.key.as_str()).then(|| key.key.to_uppercase()))
            };
            let process = late.complete(&process, &mut read)?;
            let mut strings = process.env().clone().unwrap();
            strings.extend(process.args().clone().unwrap());
            crate::error::Result::Ok(strings)
        };
        let all = completed(&["k", "i", "g", "c"]).unwrap();
        for expected in ["A=K", "IMG=I", "GONE=G", "B=<KG>", "C=C", "PLAIN=$(NONE)", "plain", "<KG>$(A)"] {
            assert!(all.iter().any(|s| s == expected), "{expected}: {all:?}");
        }
        let one = completed(&["k"]).unwrap();
        for expected in ["A=K", "IMG=image", "B=<K$(GONE)>", "C=before", "<K$(GONE)>$(A)"] {
            assert!(one.iter().any(|s| s == expected), "{expected}: {one:?}");
        }
        assert!(!one.iter().any(|s| s.starts_with("GONE=")), "{one:?}");
        let error = completed(&[]).unwrap_err().to_string();
        assert!(error.contains("the variable \"A\"") && error.contains("\"k\""), "{error}");
    }

    #[test]
    fn a_secret_beside_a_files_key_is_hidden() {
        let fixture = with_file(json!({ "env": [
            { "name": "S", "valueFrom": { "secretKeyRef": { "name": "hush", "key": "C" } } },
            file_key("S", "k", true),
            { "name": "T", "value": "$(S)" },
        ] }));
        let plan = fixture.plan().unwrap();
        assert_eq!(plan.containers[0].secret.env, ["S", "T"]);
        let printed = crate::plan::render(&plan).unwrap()["containers"][0]["spec"]["process"].to_string();
        assert!(printed.contains("\"T=<") && !printed.contains("secret"), "{printed}");
    }

    #[test]
    fn impossible_files() {
        for (key, path) in [
            (json!({ "volumeName": "m", "path": "x", "key": "k" }), "volumeName"),
            (json!({ "volumeName": "none", "path": "x", "key": "k" }), "volumeName"),
            (json!({ "volumeName": "e", "path": "a/../../x", "key": "k" }), "path"),
            (json!({ "volumeName": "e", "path": "/x", "key": "k" }), "path"),
            (json!({ "volumeName": "e", "path": "", "key": "k" }), "path"),
        ] {
            let refusal = with_file(json!({ "env": [{ "name": "A", "valueFrom": { "fileKeyRef": key } }] })).refusal();
            assert!(refusal.contains(&format!("env[0].valueFrom.fileKeyRef.{path}")), "{refusal}");
        }
        let none = with_file(json!({ "env": [{ "name": "A", "valueFrom": {} }] })).refusal();
        assert!(none.contains("env[0].valueFrom"), "{none}");
    }

    #[test]
    fn odd_keys_of_env_from_are_skipped_and_reported() {
        let fixture = Fixture::container(json!({ "envFrom": [{ "configMapRef": { "name": "m" } }] }))
            .config_map(json!({ "metadata": { "name": "m" }, "data": { "a=b": "x", "ä": "y", "a b": "z" } }));
        assert!(env(&fixture).contains(&"a b=z".to_owned()));
        let report = fixture.plan().unwrap().report;
        let skipped: Vec<&str> = report.iter().map(|verdict| verdict.path.as_str()).collect();
        assert_eq!(skipped, ["spec.containers[0].envFrom[0]"; 2]);
    }
}
