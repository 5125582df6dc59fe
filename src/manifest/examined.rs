//! What podling has to say about every object of an input: the answer to each field, and all that is wrong.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use super::decode::{self, Object};
use super::kind::Kind;
use super::problems::Problems;
use super::report::{self, Answer};
use super::{Bundle, Class, Input, Objection, Place, Problem, Said, Source, bundle, check, references};

/// What podling has to say about every object of an input, right or wrong.
#[derive(Debug)]
pub struct Examined {
    /// The objects, in the order of the input.
    pub objects: Vec<ExaminedObject>,
    /// What is wrong, in the order of the input.
    pub problems: Vec<Problem>,
    /// The objects, where an API server would take them all.
    pub bundle: Option<Bundle>,
    /// The Pods that could be decoded, where there is no bundle.
    pub pods: Vec<Said<Pod>>,
}

/// One object, right or wrong.
#[derive(Debug)]
pub struct ExaminedObject {
    /// Where it begins.
    place: Place,
    /// The file that it is in.
    pub file: String,
    /// `Pod`, `ConfigMap` …
    pub kind: &'static str,
    /// `metadata.name`, or nothing.
    pub name: String,
    /// The answer of the field table to each field, in the order of the lines.
    pub answers: Vec<Answer>,
}

/// Reads all `inputs` as [`read`] does, but tells everything that is wrong, and the table's answer to every field.
pub fn examine(inputs: &[Input]) -> Examined {
    let mut problems = Problems::default();
    let (objects, broken) = decode::decode(inputs, &mut problems);
    let whole = objects.iter().map(|object| (object.kind(), object.source()));
    let mut sources: Vec<(Kind, &Source)> = whole.chain(broken.iter().map(|(kind, source)| (*kind, source))).collect();
    sources.sort_by_key(|(_, source)| (source.order, source.line("")));
    let said: Vec<ExaminedObject> = sources.into_iter().map(|(kind, source)| examined(kind, source)).collect();
    if problems.any_invalid() {
        let pod = |object| match object {
            Object::Pod(pod) => Some(*pod),
            Object::Job(job) => Some(job.template),
            Object::ConfigMap(_) | Object::Secret(_) | Object::Claim(_) => None,
        };
        let pods = objects.into_iter().filter_map(pod).collect();
        return Examined { objects: said, problems: told(problems), bundle: None, pods };
    }
    for object in &objects {
        check::check(object, &mut problems);
    }
    let bundle = bundle(objects, &mut problems);
    references::check(&bundle, &mut problems);
    let (bundle, pods) = if problems.any_invalid() {
        let templates = bundle.jobs.into_iter().map(|job| job.template);
        (None, bundle.pods.into_iter().chain(templates).collect())
    } else {
        (Some(bundle), Vec::new())
    };
    Examined { objects: said, problems: told(problems), bundle, pods }
}

impl Examined {
    /// Adds what stands against the object at `source`.
    pub fn refuse(&mut self, source: &Source, objections: Vec<Objection>) {
        self.problems.extend(source.problems(objections).into_sorted());
    }

    /// Whether something stands against the field at `path` of the object at `source`.
    pub fn stands_against(&self, source: &Source, path: &str) -> bool {
        let (object, path) = (Some(source.place()), source.full_path(path));
        self.problems.iter().any(|problem| problem.object == object && problem.path == path)
    }

    /// Whether something stands against the field at `path` of the object at `source`, or against one within it.
    pub fn stands_within(&self, source: &Source, path: &str) -> bool {
        let (object, path) = (Some(source.place()), source.full_path(path));
        let is_within =
            |at: &str| at.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.problems.iter().any(|problem| problem.object == object && is_within(&problem.path))
    }

    /// Lays `answers`, which depend on values and the host, over those of the object at `source`.
    pub fn answer(&mut self, source: &Source, answers: Vec<Answer>) {
        if let Some(object) = self.objects.iter_mut().find(|object| object.place == source.place()) {
            report::overlay(&mut object.answers, answers);
        }
    }

    /// Sorts the problems, and makes them the answers of their fields.
    pub fn settle(&mut self) {
        self.problems.sort_by_key(Problem::order);
        for object in &mut self.objects {
            let own = self.problems.iter().filter(|problem| problem.object == Some(object.place));
            report::overlay(&mut object.answers, own.map(Problem::answer).collect::<Vec<_>>());
            object.answers.sort_by_key(|answer| answer.line);
        }
    }
}

/// What reading has found. What an API server refuses needs no refusal of podling's own besides; a policy's comes later, and stays.
fn told(problems: Problems) -> Vec<Problem> {
    let mut problems = problems.into_sorted();
    let invalid = |problem: &&Problem| problem.class == Class::Invalid && !problem.path.is_empty();
    let fields = problems.iter().filter(invalid).map(|problem| (problem.object, problem.path.clone()));
    let fields: BTreeSet<(Option<Place>, String)> = fields.collect();
    problems
        .retain(|problem| problem.class == Class::Invalid || !fields.contains(&(problem.object, problem.path.clone())));
    problems
}

fn examined(kind: Kind, source: &Source) -> ExaminedObject {
    let answers = report::answers(kind, source);
    let (place, file) = (source.place(), source.file.to_string());
    ExaminedObject { place, file, kind: kind.name(), name: source.name.clone(), answers }
}
