//! YAML (and so JSON) text to trees of nodes which know their lines, in one pass over the parser's events.
//!
//! Anchors, aliases and merge keys are resolved here. Copies made through aliases are counted, so that a few lines cannot
//! grow into gigabytes, and the depth of a tree is bounded, so that whatever walks it may recurse.

use std::collections::{BTreeMap, HashSet};

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Tag};
use serde_json::Number;

use super::scalar::{self, Scalar};

/// How deep mappings and lists may nest; a Pod's own fields need fifteen levels.
const MAX_DEPTH: usize = 100;

/// How much a file may grow through aliases, in bytes of text plus [`NODE_COST`] for each node.
const MAX_ALIAS_COST: usize = 16 << 20;

/// What a node costs beside its text, roughly its size in memory.
const NODE_COST: usize = 64;

/// A value and the line (counted from one) on which it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub line: usize,
    pub value: Yaml,
}

/// What a node holds. Booleans and numbers keep the text as written, for messages.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Yaml {
    Null,
    Bool(bool, String),
    Number(Number, String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One field of a mapping, at the line of its name. A mapping may hold the same name twice: whoever walks it must look.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub line: usize,
    pub node: Node,
}

/// Why a text is not YAML that podling reads, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub line: usize,
    pub why: String,
    pub mend: Option<String>,
}

impl Fault {
    fn new(line: usize, why: impl Into<String>) -> Self {
        Fault { line, why: why.into(), mend: None }
    }

    fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

impl Node {
    /// The entry named `key`, where this node is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Yaml::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// What a message calls this value: `the text "80"`, `the number 80`, `a list`.
    pub fn describe(&self) -> String {
        match &self.value {
            Yaml::Null => "nothing".into(),
            Yaml::Bool(value, written) if *written == value.to_string() => format!("the boolean {written}"),
            Yaml::Bool(value, written) => format!("the boolean {written} (which YAML reads as {value})"),
            Yaml::Number(_, written) => format!("the number {written}"),
            Yaml::Text(text) if text.len() > 40 || text.contains('\n') => "a text".into(),
            Yaml::Text(text) => format!("the text {text:?}"),
            Yaml::List(_) => "a list".into(),
            Yaml::Map(_) => "a mapping".into(),
        }
    }

    /// What a copy of this tree costs, and how deep it is.
    fn weight(&self) -> (usize, usize) {
        let (cost, depth) = match &self.value {
            Yaml::Null | Yaml::Bool(..) | Yaml::Number(..) => (0, 0),
            Yaml::Text(text) => (text.len(), 0),
            Yaml::List(items) => items.iter().map(Node::weight).fold((0, 0), add_weight),
            Yaml::Map(entries) => {
                let weights = entries.iter().map(|e| {
                    let (cost, depth) = e.node.weight();
                    (cost + e.key.len(), depth)
                });
                weights.fold((0, 0), add_weight)
            }
        };
        (cost + NODE_COST, depth + 1)
    }
}

fn add_weight(sum: (usize, usize), one: (usize, usize)) -> (usize, usize) {
    (sum.0 + one.0, sum.1.max(one.1))
}

/// The documents of `text`, in order; an empty document is a [`Yaml::Null`].
///
/// After a fault the documents read before it are still returned.
pub(super) fn documents(text: &str) -> (Vec<Node>, Option<Fault>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    let mut options = Options::default();
    options.set_emit_comments(false);
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.take(as_written(event, span.end.index(), text), span.start.line()),
            Err(e) => Err(syntax_fault(&e, text)),
        };
        if let Err(fault) = step {
            return (builder.documents, Some(fault));
        }
    }
    (builder.documents, None)
}

/// The one document of `text` as a value, for tests of what writes YAML.
#[cfg(test)]
pub(crate) fn value(text: &str) -> Option<serde_json::Value> {
    fn of(node: Node) -> serde_json::Value {
        match node.value {
            Yaml::Null => serde_json::Value::Null,
            Yaml::Bool(value, _) => value.into(),
            Yaml::Number(number, _) => number.into(),
            Yaml::Text(text) => text.into(),
            Yaml::List(items) => items.into_iter().map(of).collect(),
            Yaml::Map(entries) => entries.into_iter().map(|entry| (entry.key, of(entry.node))).collect(),
        }
    }
    match documents(text) {
        (mut documents, None) if documents.len() == 1 => documents.pop().map(of),
        _ => None,
    }
}

/// A block scalar that ends the file without a line break has none at its end, for kubectl; the parser adds one.
fn as_written<'a>(event: Event<'a>, end: usize, text: &str) -> Event<'a> {
    match event {
        Event::Scalar(value, style @ (ScalarStyle::Literal | ScalarStyle::Folded), anchor, tag)
            if text.rsplit('\n').next().is_some_and(|last| !last.trim_start_matches(' ').is_empty())
                && end >= text.chars().count() =>
        {
            let value = value.strip_suffix('\n').unwrap_or(&value).to_owned();
            Event::Scalar(value.into(), style, anchor, tag)
        }
        event => event,
    }
}

/// A collection that is still being read.
enum Open {
    List { line: usize, anchor: usize, items: Vec<Node> },
    Map { line: usize, anchor: usize, entries: Vec<Entry>, key: Option<Key>, merges: Vec<Node> },
}

enum Key {
    Name(String, usize),
    Merge,
}

/// What an alias refers to, and what a copy of it costs.
struct Anchored {
    node: Node,
    cost: usize,
    depth: usize,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Anchored>,
    alias_cost: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), line),
            Event::SequenceStart(_, anchor, tag) => {
                known_tag(tag.as_deref(), "seq", line)?;
                self.begin(Open::List { line, anchor, items: Vec::new() }, line)
            }
            Event::MappingStart(_, anchor, tag) => {
                known_tag(tag.as_deref(), "map", line)?;
                self.begin(Open::Map { line, anchor, entries: Vec::new(), key: None, merges: Vec::new() }, line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(line),
            Event::Alias(id) => self.alias(id, line),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<(), Fault> {
        let value = scalar_value(text, style, tag, line)?;
        if let Some(Open::Map { key: key @ None, .. }) = self.open.last_mut() {
            if text == "<<" && style == ScalarStyle::Plain {
                *key = Some(Key::Merge);
                return Ok(());
            }
            *key = Some(Key::Name(key_name(&value, line)?, line));
            return self.remember(anchor, &Node { line, value });
        }
        let node = Node { line, value };
        self.remember(anchor, &node)?;
        self.place(node)
    }

    fn begin(&mut self, collection: Open, line: usize) -> Result<(), Fault> {
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            let mend = match collection {
                Open::Map { .. } => "quote a value that begins with {; a template ({{ ... }}) has to be rendered first",
                Open::List { .. } => "quote a value that begins with [",
            };
            return Err(Fault::new(line, "the name of a field must be a text, found a list or a mapping").mend(mend));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Fault::new(line, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.open.push(collection);
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), Fault> {
        let (node, anchor) = match self.open.pop() {
            Some(Open::List { line, anchor, items }) => (Node { line, value: Yaml::List(items) }, anchor),
            Some(Open::Map { line, anchor, mut entries, merges, .. }) => {
                self.merge(&mut entries, merges)?;
                (Node { line, value: Yaml::Map(entries) }, anchor)
            }
            None => return Err(Fault::new(line, "a collection ends that did not begin")),
        };
        self.remember(anchor, &node)?;
        self.place(node)
    }

    fn remember(&mut self, anchor: usize, node: &Node) -> Result<(), Fault> {
        if anchor != 0 {
            let (cost, depth) = node.weight();
            self.charge(cost, node.line)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), cost, depth });
        }
        Ok(())
    }

    fn charge(&mut self, cost: usize, line: usize) -> Result<(), Fault> {
        self.alias_cost += cost;
        if self.alias_cost > MAX_ALIAS_COST {
            return Err(Fault::new(line, "the file grows beyond 16 MiB through its aliases")
                .mend("write the values out, or split the file"));
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, line: usize) -> Result<(), Fault> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Fault::new(line, "this alias refers to the value that it is part of"));
        };
        if let Some(Open::Map { key: key @ None, .. }) = self.open.last_mut() {
            *key = Some(Key::Name(key_name(&anchored.node.value, line)?, line));
            return Ok(());
        }
        if self.open.len() + anchored.depth > MAX_DEPTH {
            return Err(Fault::new(line, format!("nested deeper than {MAX_DEPTH} levels through aliases")));
        }
        let cost = anchored.cost;
        self.charge(cost, line)?;
        let value = self.anchors.get(&id).map_or(Yaml::Null, |anchored| anchored.node.value.clone());
        self.place(Node { line, value })
    }

    /// Puts a finished node where the innermost open collection, or the stream, expects it.
    fn place(&mut self, node: Node) -> Result<(), Fault> {
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, merges, .. }) => match key.take() {
                Some(Key::Name(key, line)) => entries.push(Entry { key, line, node }),
                Some(Key::Merge) => merges.push(node),
                None => {
                    return Err(Fault::new(node.line, "the name of a field must be a text, found a list or a mapping"));
                }
            },
        }
        Ok(())
    }

    /// Adds what `<<` brings: fields that are not written in the mapping itself, the first source first.
    fn merge(&mut self, entries: &mut Vec<Entry>, merges: Vec<Node>) -> Result<(), Fault> {
        if merges.is_empty() {
            return Ok(());
        }
        let mut present: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        for source in merges {
            let maps = match source {
                Node { value: Yaml::List(items), .. } => items,
                map => vec![map],
            };
            for map in maps {
                let line = map.line;
                let Yaml::Map(fields) = map.value else {
                    return Err(Fault::new(line, "<< merges a mapping or a list of mappings"));
                };
                entries.extend(fields.into_iter().filter(|field| present.insert(field.key.clone())));
            }
        }
        Ok(())
    }
}

fn scalar_value(text: &str, style: ScalarStyle, tag: Option<&Tag>, line: usize) -> Result<Yaml, Fault> {
    let resolved = match tag.map(|tag| (tag.core_suffix(), tag)) {
        None if style == ScalarStyle::Plain => scalar::resolve(text),
        None | Some((Some("str"), _)) => Scalar::Text,
        Some((Some(wanted @ ("int" | "float" | "bool" | "null")), _)) => {
            let found = scalar::resolve(text);
            let fits = match found {
                Scalar::Null => wanted == "null",
                Scalar::Bool(_) => wanted == "bool",
                Scalar::Number(_) => matches!(wanted, "int" | "float"),
                Scalar::Text | Scalar::NotJson => false,
            };
            if !fits {
                return Err(Fault::new(line, format!("{text:?} is not what its tag !!{wanted} says")));
            }
            found
        }
        Some((_, tag)) if tag.original() == "!" => Scalar::Text,
        Some((_, tag)) => return Err(foreign_tag(tag, line)),
    };
    Ok(match resolved {
        Scalar::Null => Yaml::Null,
        Scalar::Bool(value) => Yaml::Bool(value, text.to_owned()),
        Scalar::Number(value) => Yaml::Number(value, text.to_owned()),
        Scalar::Text => Yaml::Text(text.to_owned()),
        Scalar::NotJson => {
            return Err(Fault::new(line, format!("{text} is a number that JSON, and so Kubernetes, cannot hold"))
                .mend(format!("write \"{text}\" in quotes if the text is meant")));
        }
    })
}

fn known_tag(tag: Option<&Tag>, wanted: &str, line: usize) -> Result<(), Fault> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(wanted) => Err(foreign_tag(tag, line)),
        _ => Ok(()),
    }
}

fn foreign_tag(tag: &Tag, line: usize) -> Fault {
    Fault::new(line, format!("the tag {} means nothing to Kubernetes", tag.original())).mend("remove the tag")
}

/// A field's name. One that YAML reads as something else (`on`, `010`) would silently become another name in a cluster.
fn key_name(value: &Yaml, line: usize) -> Result<String, Fault> {
    let (written, read) = match value {
        Yaml::Text(text) => return Ok(text.clone()),
        Yaml::Bool(value, written) => (written, value.to_string()),
        Yaml::Number(value, written) => (written, value.to_string()),
        Yaml::Null => return Err(Fault::new(line, "the name of a field is missing before its colon")),
        Yaml::List(_) | Yaml::Map(_) => return Err(Fault::new(line, "the name of a field must be a text")),
    };
    if *written == read {
        return Ok(read);
    }
    Err(Fault::new(line, format!("the name {written} is read as {read} by YAML"))
        .mend(format!("quote it: \"{written}\"")))
}

/// The parser's complaint, with a mend for the mistakes that newcomers make.
fn syntax_fault(e: &ScanError, text: &str) -> Fault {
    let line = e.marker().line();
    let complaint = e.info();
    let fault = Fault::new(line, format!("not YAML: {complaint}"));
    // The parser may complain at the end of the line before the one with the tab.
    let near = text.lines().skip(line.saturating_sub(1)).take(2);
    if complaint.contains("tab")
        && near.clone().any(|line| line.starts_with([' ', '\t']) && line.trim_start_matches(' ').starts_with('\t'))
    {
        return fault.mend("a line is indented with a tab; YAML takes spaces only");
    }
    let mends = [
        ("mapping values are not allowed", "is the indentation right? a value that contains \": \" must be in quotes"),
        ("did not find expected '-'", "is the indentation right? the items of a list begin in the same column"),
        ("did not find expected key", "is the indentation right? the fields of a mapping begin in the same column"),
        ("simple key", "is a colon missing after the name of a field?"),
        ("unexpected character: `\\", "remove the control character, or write it as an escape in double quotes"),
        ("unexpected character", "a value that begins with this character must be in quotes"),
        (
            "unknown anchor",
            "a * at the beginning refers to an anchor (&name) further up; quote the value if that is not meant",
        ),
        ("after single-quoted scalar", "a quote inside single quotes is written twice: ''"),
    ];
    match mends.into_iter().find(|(words, _)| complaint.contains(words)) {
        Some((_, mend)) => fault.mend(mend),
        None => fault,
    }
}
