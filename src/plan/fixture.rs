//! Pods, images and hosts for the tests of this room.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, Container, PersistentVolumeClaim, Pod, Secret};
use serde_json::{Value, json};

use super::{ContainerPlan, LocalVolumes, Options, PodPaths, PodPlan, PolicyLevel, Sharing, plan};
use crate::error::Result;
use crate::host::{HostFacts, IdExtent, IdMap};
use crate::image::{Accounts, Group, Image, User};
use crate::manifest::{Bundle, ObjectKey, Said, Source};

/// One input of `plan`, to be changed by a test before it is planned.
pub(super) struct Fixture {
    pub pod: Value,
    pub bundle: Bundle,
    pub images: BTreeMap<String, Image>,
    pub host: HostFacts,
    pub options: Options,
    /// The absolute path of the pod's YAML file.
    pub file: Option<PathBuf>,
    pub known_volumes: BTreeMap<ObjectKey, Sharing>,
}

impl Fixture {
    /// `pod` on a host with the usual 65536 subordinate ids.
    pub fn new(pod: Value) -> Self {
        let images = ["busybox", "web"].map(|name| (name.to_owned(), image(name, json!({ "Cmd": ["sh"] }))));
        let extents = vec![
            IdExtent { inside: 0, outside: 1000, count: 1 },
            IdExtent { inside: 1, outside: 100_000, count: 65_536 },
        ];
        Fixture {
            pod,
            bundle: Bundle::default(),
            images: BTreeMap::from(images),
            host: HostFacts::sample(IdMap { uids: extents.clone(), gids: extents }),
            // What a policy forbids has tests of its own.
            options: Options { policy: Some(PolicyLevel::Privileged), ..Options::default() },
            file: None,
            known_volumes: BTreeMap::new(),
        }
    }

    /// A pod of one container `main` of image `busybox`, with `fields` added to the container.
    pub fn container(fields: Value) -> Self {
        let mut container = json!({ "name": "main", "image": "busybox" });
        if let (Some(container), Value::Object(fields)) = (container.as_object_mut(), fields) {
            container.extend(fields);
        }
        Fixture::new(json!({ "metadata": { "name": "pod" }, "spec": { "containers": [container] } }))
    }

    /// A pod of one container, with the fields of `spec` added to its own.
    pub fn pod_with(spec: Value) -> Self {
        let mut fixture = Fixture::container(json!({}));
        if let (Some(own), Value::Object(spec)) = (fixture.pod["spec"].as_object_mut(), spec) {
            own.extend(spec);
        }
        fixture
    }

    /// A pod of one container with this volume.
    pub fn with_volume(volume: Value) -> Self {
        Fixture::pod_with(json!({ "volumes": [volume] }))
    }

    /// The same on a host without subordinate ids.
    pub fn single_id(mut self) -> Self {
        let extent = vec![IdExtent { inside: 0, outside: 1000, count: 1 }];
        self.host.ids = IdMap { uids: extent.clone(), gids: extent };
        self
    }

    /// The same with `config` as the config of image `busybox`.
    pub fn config(mut self, config: Value) -> Self {
        self.images.insert("busybox".to_owned(), image("busybox", config));
        self
    }

    pub fn config_map(mut self, map: Value) -> Self {
        let object: ConfigMap = serde_json::from_value(map).unwrap();
        let key = key(object.metadata.name.clone().unwrap());
        self.bundle.config_maps.insert(key, Said { object, source: Source::default() });
        self
    }

    pub fn secret(mut self, secret: Value) -> Self {
        let object: Secret = serde_json::from_value(secret).unwrap();
        let key = key(object.metadata.name.clone().unwrap());
        self.bundle.secrets.insert(key, Said { object, source: Source::default() });
        self
    }

    pub fn claim(mut self, claim: Value) -> Self {
        let object: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
        let key = key(object.metadata.name.clone().unwrap());
        self.bundle.claims.insert(key, Said { object, source: Source::default() });
        self
    }

    /// The same where there is a local volume called `name`.
    pub fn known_volume(mut self, name: &str, sharing: Sharing) -> Self {
        self.known_volumes.insert(key(name.to_owned()), sharing);
        self
    }

    pub fn plan(&self) -> Result<PodPlan> {
        plan(&self.said(), &self.bundle, &self.images, &self.host, &self.paths(), &self.options)
    }

    /// The plan of one more container in this pod.
    pub fn ephemeral(&self, container: &Container) -> Result<ContainerPlan> {
        super::ephemeral(&self.said(), container, &self.bundle, &self.images, &self.host, &self.paths(), &self.options)
    }

    pub fn said(&self) -> Said<Pod> {
        let source = self.file.as_deref().map_or_else(Source::default, Source::of_file);
        Said { object: serde_json::from_value(self.pod.clone()).unwrap(), source }
    }

    fn paths(&self) -> PodPaths {
        PodPaths {
            uid: super::NO_UID.to_owned(),
            run_dir: PathBuf::from("/run/pod"),
            state_dir: PathBuf::from("/state/pod"),
            base: PathBuf::from("/state/base"),
            volumes: LocalVolumes { dir: PathBuf::from("/state/volumes"), known: self.known_volumes.clone() },
        }
    }

    /// The text of the error that planning must end with.
    pub fn refusal(&self) -> String {
        self.plan().expect_err("the plan must be refused").to_string()
    }

    /// The OCI spec of the only container, as JSON.
    pub fn spec(&self) -> Value {
        super::render(&self.plan().unwrap()).unwrap()["containers"][0]["spec"].clone()
    }
}

fn key(name: String) -> ObjectKey {
    ObjectKey { namespace: "default".to_owned(), name }
}

fn image(name: &str, config: Value) -> Image {
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let user = |name: &str, uid, gid, home: &str| User { name: name.to_owned(), uid, gid, home: home.to_owned() };
    let group = |name: &str, gid, members: &[&str]| Group {
        name: name.to_owned(),
        gid,
        members: members.iter().map(|member| (*member).to_owned()).collect(),
    };
    Image {
        reference: format!("docker.io/library/{name}:latest"),
        digest: "sha256:0123".to_owned(),
        config: serde_json::from_value(config).unwrap(),
        layers: vec![PathBuf::from("/layers/base"), PathBuf::from("/layers/top")],
        accounts: Accounts {
            users: vec![
                user("root", 0, 0, "/root"),
                user("www-data", 33, 33, "/var/www"),
                user("app", 1000, 1000, "/home/app"),
                user("far", 70_000, 70_000, "/"),
            ],
            groups: vec![
                group("root", 0, &[]),
                group("tty", 5, &[]),
                group("adm", 4, &["app"]),
                group("www-data", 33, &["app"]),
                group("app", 1000, &["app"]),
            ],
        },
    }
}
