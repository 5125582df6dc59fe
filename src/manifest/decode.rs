//! Nodes to Kubernetes objects: which kinds are taken, and that every field is known, honoured, written once and of its type.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::fields::{self, Rule};
use super::kind::{Kind, is_base64, is_quantity, push_key};
use super::problems::Problems;
use super::yaml::{self, Node, Yaml};
use super::{Input, Said, SaidJob, Source, mistakes};

/// A decoded object.
pub(super) enum Object {
    Pod(Box<Said<Pod>>),
    ConfigMap(Said<ConfigMap>),
    Secret(Said<Secret>),
    Job(Box<SaidJob>),
    Claim(Box<Said<PersistentVolumeClaim>>),
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Object::Pod(_) => Kind::Pod,
            Object::ConfigMap(_) => Kind::ConfigMap,
            Object::Secret(_) => Kind::Secret,
            Object::Job(_) => Kind::Job,
            Object::Claim(_) => Kind::PersistentVolumeClaim,
        }
    }

    /// Where it was written.
    pub fn source(&self) -> &Source {
        match self {
            Object::Pod(said) => &said.source,
            Object::ConfigMap(said) => &said.source,
            Object::Secret(said) => &said.source,
            Object::Job(job) => &job.said.source,
            Object::Claim(said) => &said.source,
        }
    }
}

/// Objects, and where those are that could not be decoded.
type Decoded = (Vec<Object>, Vec<(Kind, Source)>);

/// The objects of all inputs, in their order.
pub(super) fn decode(inputs: &[Input], problems: &mut Problems) -> Decoded {
    let mut objects = Decoded::default();
    for (order, input) in inputs.iter().enumerate() {
        let text = match str::from_utf8(&input.bytes) {
            Ok(text) => text,
            Err(e) => {
                let before = input.bytes.get(..e.valid_up_to()).unwrap_or_default();
                let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
                problems.add_line(order, &input.name, line, "not UTF-8 text");
                continue;
            }
        };
        let (documents, fault) = yaml::documents(text);
        let path = input.path.as_deref().map(Arc::from);
        let source = Source { file: Arc::from(input.name.as_str()), path, order, ..Source::default() };
        for document in documents {
            document_objects(document, None, source.clone(), problems, &mut objects);
        }
        if let Some(fault) = fault {
            let problem = problems.add_line(order, &input.name, fault.line, fault.why);
            if let Some(mend) = fault.mend {
                problem.mend(mend);
            }
        }
    }
    objects
}

/// Decodes one object, or each item of a List. `listed` is the kind that the items of a list have which do not say it themselves.
fn document_objects(
    node: Node,
    listed: Option<Kind>,
    mut source: Source,
    problems: &mut Problems,
    objects: &mut Decoded,
) {
    source.lines.insert(String::new(), node.line);
    if node.value == Yaml::Null {
        return;
    }
    match mistakes::kind_of(&node, listed, &source, problems) {
        Some(mistakes::Said::List(listed)) => {
            let items = mistakes::list_items(node, &source, problems);
            for (at, item) in items.into_iter().enumerate() {
                let prefix = source.full_path(&format!("items[{at}]"));
                document_objects(item, listed, Source { prefix, ..source.clone() }, problems, objects);
            }
        }
        Some(mistakes::Said::One(kind)) => {
            source.name = name_of(&node);
            let object = match kind {
                Kind::Pod => object(kind, &node, source, problems).map(Box::new).map(Object::Pod),
                Kind::ConfigMap => object(kind, &node, source, problems).map(Object::ConfigMap),
                Kind::Secret => object(kind, &node, source, problems).map(Object::Secret),
                Kind::Job => {
                    object::<Job>(kind, &node, source, problems).map(SaidJob::new).map(Box::new).map(Object::Job)
                }
                Kind::PersistentVolumeClaim => object(kind, &node, source, problems).map(Box::new).map(Object::Claim),
            };
            match object {
                Ok(object) => objects.0.push(object),
                Err(source) => objects.1.push((kind, *source)),
            }
        }
        None => {}
    }
}

/// `metadata.name`, where it is a text.
fn name_of(node: &Node) -> String {
    match node.entry("metadata").and_then(|metadata| metadata.node.entry("name")).map(|name| &name.node.value) {
        Some(Yaml::Text(name)) => name.clone(),
        _ => String::new(),
    }
}

/// Decodes `node` into the type of `kind`, or says where its fields were written.
fn object<T: DeserializeOwned>(
    kind: Kind,
    node: &Node,
    source: Source,
    problems: &mut Problems,
) -> std::result::Result<Said<T>, Box<Source>> {
    let mut walk = Walk { kind, source, unknown: BTreeSet::new(), problems };
    let mut path = String::new();
    let mut pattern = String::new();
    let value = walk.value(node, &mut path, &mut pattern, true);
    let Walk { source, mut unknown, problems, .. } = walk;

    let decoded: Result<T, _> = serde_ignored::deserialize(&value, |ignored| {
        let mut path = String::new();
        ignored_path(&ignored, &mut path);
        unknown.insert(path);
    });
    for path in unknown {
        mistakes::unknown_field(kind, &path, &source, problems);
    }
    match decoded {
        Ok(object) => Ok(Said { object, source }),
        Err(_) => {
            mistakes::wrong_types::<T>(kind, value, node, &source, problems);
            Err(Box::new(source))
        }
    }
}

/// The walk over an object's nodes, which knows the path of each.
struct Walk<'a> {
    kind: Kind,
    source: Source,
    unknown: BTreeSet<String>,
    problems: &'a mut Problems,
}

impl Walk<'_> {
    /// The JSON value of `node`, which stands at `path`. `judged` is false below a field that was accepted or refused as a whole.
    fn value(&mut self, node: &Node, path: &mut String, pattern: &mut String, judged: bool) -> Value {
        match &node.value {
            Yaml::Null => Value::Null,
            Yaml::Bool(value, _) => Value::Bool(*value),
            // A quantity may be written as a number, and is a text in the API's types.
            Yaml::Number(value, _) if is_quantity(pattern) => Value::String(value.to_string()),
            Yaml::Number(value, _) => Value::Number(value.clone()),
            Yaml::Text(text) if is_base64(self.kind, pattern) => {
                // The API server skips line breaks in base64, as `base64` on the command line writes them.
                Value::String(text.replace(['\n', '\r'], ""))
            }
            Yaml::Text(text) => {
                if matches!(self.kind, Kind::Pod | Kind::Job) && text.contains('\0') {
                    // Arguments, variables and paths end at the first NUL on their way through the kernel.
                    self.problems.refuse(&self.source, path, "holds a NUL character, which the kernel would cut it at");
                }
                Value::String(text.clone())
            }
            Yaml::List(items) => {
                let (path_end, pattern_end) = (path.len(), pattern.len());
                pattern.push_str("[]");
                let mut values = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    path.push_str(&format!("[{at}]"));
                    self.source.lines.insert(path.clone(), item.line);
                    values.push(self.value(item, path, pattern, judged));
                    path.truncate(path_end);
                }
                pattern.truncate(pattern_end);
                Value::Array(values)
            }
            Yaml::Map(entries) => {
                let (path_end, pattern_end) = (path.len(), pattern.len());
                let mut map = Map::with_capacity(entries.len());
                for entry in entries {
                    push_key(path, &entry.key);
                    match self.source.lines.insert(path.clone(), entry.line) {
                        Some(first) => {
                            self.problems.add(&self.source, path, format!("written twice, first on line {first}"));
                        }
                        None => {
                            push_key(pattern, &entry.key);
                            let judged = judged && self.judge(&entry.node, path, pattern, pattern_end);
                            let value = self.value(&entry.node, path, pattern, judged);
                            map.insert(entry.key.clone(), value);
                        }
                    }
                    path.truncate(path_end);
                    pattern.truncate(pattern_end);
                }
                Value::Object(map)
            }
        }
    }

    /// Applies the field's rule; whether the fields below it have rules of their own.
    ///
    /// `pattern` becomes the entry of a free-form map (`data.*`) where the field is one; `parent` is the length of the map's own.
    fn judge(&mut self, node: &Node, path: &str, pattern: &mut String, parent: usize) -> bool {
        let rule = fields::rule(self.kind, pattern).or_else(|| {
            let free_form = format!("{}.*", &pattern[..parent]);
            let rule = fields::rule(self.kind, &free_form)?;
            *pattern = free_form;
            Some(rule)
        });
        match rule {
            // A list where a mapping belongs, or the other way about, is the decoder's to report, once.
            Some(Rule::Group | Rule::Enforced(_) | Rule::Emulated(_)) => {
                if let Some(Rule::Emulated(how)) = rule
                    && !is_unset(node)
                {
                    self.source.emulated.push((path.to_owned(), how));
                }
                return match node.value {
                    Yaml::List(_) => self.is_list(pattern),
                    Yaml::Map(_) => !self.is_list(pattern),
                    _ => false,
                };
            }
            Some(Rule::Trivial(_)) => {}
            Some(Rule::Only(taken, why)) => self.only(node, path, taken, why),
            Some(Rule::Refused(why)) if !is_unset(node) => {
                self.problems.refuse(&self.source, path, why);
            }
            Some(Rule::Refused(_)) => {}
            None => {
                self.unknown.insert(path.to_owned());
            }
        }
        false
    }

    /// Whether the field at `pattern` is a list.
    fn is_list(&self, pattern: &mut String) -> bool {
        let end = pattern.len();
        pattern.push_str("[]");
        let found = fields::rule(self.kind, pattern).is_some();
        pattern.truncate(end);
        found
    }

    fn only(&mut self, node: &Node, path: &str, taken: &[&str], why: &str) {
        let value = match &node.value {
            Yaml::Bool(value, _) => value.to_string(),
            Yaml::Text(text) if taken != ["false"] => text.clone(),
            // Unset, or of the wrong type, which the decoder tells better.
            _ => return,
        };
        if !taken.contains(&value.as_str()) {
            let written = if matches!(node.value, Yaml::Bool(..)) { value } else { format!("{value:?}") };
            self.problems.refuse(&self.source, path, format!("{written}: {why}"));
        }
    }
}

/// Whether the API server would see no value at all: nothing, `""` or `[]`.
fn is_unset(node: &Node) -> bool {
    match &node.value {
        Yaml::Null => true,
        Yaml::Text(text) => text.is_empty(),
        Yaml::List(items) => items.is_empty(),
        _ => false,
    }
}

fn ignored_path(ignored: &serde_ignored::Path<'_>, path: &mut String) {
    match ignored {
        serde_ignored::Path::Root => {}
        serde_ignored::Path::Seq { parent, index } => {
            ignored_path(parent, path);
            path.push_str(&format!("[{index}]"));
        }
        serde_ignored::Path::Map { parent, key } => {
            ignored_path(parent, path);
            push_key(path, key);
        }
        serde_ignored::Path::Some { parent }
        | serde_ignored::Path::NewtypeStruct { parent }
        | serde_ignored::Path::NewtypeVariant { parent } => ignored_path(parent, path),
    }
}
