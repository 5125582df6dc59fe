//! What every test of promises uses: a private place for podling's data, running pods in it, and seeing that nothing is left.
// Each file of tests takes a part of this.
#![allow(dead_code, unused_imports)]

pub mod detached;
pub mod dying;
pub mod feature;
pub mod job;
pub mod leftovers;
pub mod registry;
pub mod running;
pub mod store;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub use feature::{Feature, Ids, ids, require};
pub use running::{Output, Running};

/// A directory that is one test's own: `XDG_DATA_HOME`, the working directory and the YAML files of its pods.
pub struct Place {
    dir: PathBuf,
}

impl Place {
    /// A place whose store has `images` of rootfs/.
    pub fn with(images: &[&str]) -> Place {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let parent = match std::env::var_os("PODLING_TEST_SCRATCH") {
            Some(scratch) => PathBuf::from(scratch).join("data"),
            None => PathBuf::from("/var/tmp"),
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("podling-test-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap_or_else(|e| panic!("mkdir {dir:?}: {e}"));
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let place = Place { dir };
        for image in images {
            place.podling(&["image", "load", archive(image).to_str().unwrap()]).expect_success();
        }
        place
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// podling's own directory below it.
    pub fn data(&self) -> PathBuf {
        self.dir.join("podling")
    }

    /// podling with this place as its data's and the words of `args`, nothing else of the environment but what is needed to run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        self.environment(&mut command).args(args);
        command
    }

    /// Gives `command` the environment that podling runs in here.
    pub fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env_clear().current_dir(&self.dir).stdin(Stdio::null()).env("XDG_DATA_HOME", &self.dir);
        for name in ["PATH", "HOME", "USER", "XDG_RUNTIME_DIR", "RUST_BACKTRACE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Runs podling to its end.
    pub fn podling(&self, args: &[&str]) -> Output {
        Running::spawn(self, self.command(args)).finish()
    }

    /// Writes `pod.yaml`.
    pub fn write(&self, yaml: &str) {
        self.write_file("pod.yaml", yaml);
    }

    pub fn write_file(&self, name: &str, text: &str) {
        fs::write(self.dir.join(name), text).unwrap();
    }

    /// `podling run pod.yaml` with this text in the file, to its end.
    pub fn run(&self, yaml: &str) -> Output {
        self.run_with(yaml, &[])
    }

    pub fn run_with(&self, yaml: &str, options: &[&str]) -> Output {
        self.start_with(yaml, options).finish()
    }

    /// `podling run pod.yaml`, going on.
    pub fn start(&self, yaml: &str) -> Running {
        self.start_with(yaml, &[])
    }

    pub fn start_with(&self, yaml: &str, options: &[&str]) -> Running {
        self.write(yaml);
        let args: Vec<&str> = ["run"].iter().chain(options).chain(&["pod.yaml"]).copied().collect();
        Running::spawn(self, self.command(&args))
    }

    /// Nothing of any pod that ran here remains, now or in a moment: no process, no mount, no directory.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        leftovers::assert_none(self);
    }
}

impl Drop for Place {
    /// The layers' files have subordinate ids as their owners, so podling removes them itself.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the test's place was {}", self.dir.display());
        }
        if self.data().join("pods").exists() {
            // A test that fails must not leave its detached pods to others.
            let _ = self.command(&["rm", "--all", "--force"]).output();
        }
        if self.data().join("volumes").exists() {
            // Their files may have subordinate ids as owners, too.
            let _ = self.command(&["volume", "rm", "--all"]).output();
        }
        if self.data().join("images").exists() {
            let ids = self.command(&["images", "--quiet", "--no-trunc"]).output();
            for id in ids
                .iter()
                .flat_map(|o| String::from_utf8_lossy(&o.stdout).lines().map(str::to_owned).collect::<Vec<_>>())
            {
                let _ = self.command(&["image", "rm", "--force", &id]).output();
            }
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The podling that is tested: a copy that every user can execute where tests/run made one, else cargo's.
pub fn binary() -> PathBuf {
    std::env::var_os("PODLING_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_podling").into(), PathBuf::from)
}

/// The directory of the images that rootfs/build has made.
pub fn images() -> PathBuf {
    std::env::var_os("PODLING_TEST_IMAGES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/images"), PathBuf::from)
}

/// The docker archive of one of them.
pub fn archive(image: &str) -> PathBuf {
    let path = images().join(format!("{image}.docker.tar"));
    assert!(path.exists(), "{path:?} is missing; make it with: rootfs/build {image}");
    path
}

/// The YAML of a pod `p` with restartPolicy Never, whose one container `c` of busybox runs a shell script.
pub fn shell(script: &str) -> String {
    shell_with("busybox", script, "", "")
}

/// The same of any image, with more fields of the container and of the spec, each one line in flow style, as `env: [...]`.
pub fn shell_with(image: &str, script: &str, container: &str, spec: &str) -> String {
    pod("p", &format!("restartPolicy: Never\n{spec}"), &[container_yaml("c", image, script, container)])
}

/// A pod of containers made by [`container_yaml`], with more lines of spec.
pub fn pod(name: &str, spec: &str, containers: &[String]) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n{spec}  containers:\n{}",
        containers.concat()
    )
}

/// One container that runs a shell script; `fields` are more lines.
pub fn container_yaml(name: &str, image: &str, script: &str, fields: &str) -> String {
    // JSON's strings are YAML's, so that a script needs no quoting of its own; and in a command `$$` stands for one `$`.
    let script = serde_json::to_string(&script.replace("$$", "$$$$")).unwrap();
    let fields: String = fields.lines().map(|line| format!("    {line}\n")).collect();
    format!("  - name: {name}\n    image: {image}\n    command: [sh, -c, {script}]\n{fields}")
}
