//! A tree as the system's own tools see it, in a user namespace where all of the image's owners exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::running::output_of;
use crate::support::{Ids, ids};

/// For each name what it is: `type`, `mode`, `owner`, `mtime`, `target`, `size`, `sha256`, `same file as`, and its attributes.
pub type Tree = BTreeMap<String, BTreeMap<String, String>>;

/// A program in a new user and mount namespace, as its root: subordinate ids mapped as podling maps them, else one id. The machine's
/// root, who may do everything to every id, only gets a mount namespace.
pub fn in_namespace() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    command.args(match ids() {
        Ids::Subordinate => &["--user", "--map-root-user", "--map-auto"][..],
        Ids::One => &["--user", "--map-root-user"],
        Ids::Root => &[],
    });
    command.arg("--");
    command
}

/// What find(1), sha256sum(1) and getfattr(1) print of the directory `$1` into the directory `$2`. With more arguments, which are
/// overlayfs's lower directories from the top, these are mounted at `$1` first.
const LOOK: &str = r#"
set -e
out=$2
if [ -n "$3" ]; then mount -t overlay overlay -o "userxattr,lowerdir=$3" "$1"; fi
cd "$1"
find . -printf '%p\0%y\0%m\0%U:%G\0%T@\0%l\0%i\0%s\0' > "$out/find"
find . -type f -print0 | sort -z | xargs -0 -r sha256sum -z > "$out/sums"
getfattr -R -h -d -m '^user\.|^security\.capability$' -e hex . > "$out/attributes"
"#;

/// The tree that overlayfs makes of `layers`, bottom first.
pub fn of_layers(scratch: &Path, layers: &[std::path::PathBuf]) -> Tree {
    let (merged, empty) = (scratch.join("merged"), scratch.join("empty"));
    for dir in [&merged, &empty] {
        fs::create_dir_all(dir).unwrap();
    }
    // overlayfs wants two layers where nothing is written; an empty one at the bottom changes nothing.
    let layers = layers.iter().rev().chain([&empty]).map(|layer| layer.to_str().unwrap());
    look(scratch, &merged, &layers.collect::<Vec<_>>().join(":"))
}

/// The tree at `dir`.
pub fn of_directory(scratch: &Path, dir: &Path) -> Tree {
    look(scratch, dir, "")
}

fn look(scratch: &Path, dir: &Path, layers: &str) -> Tree {
    let out = tempfile::tempdir_in(scratch).unwrap();
    let output = in_namespace().args(["sh", "-c", LOOK, "look"]).arg(dir).arg(out.path()).arg(layers).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| fs::read(out.path().join(name)).unwrap();
    let mut tree = found(&read("find"));
    for line in read("sums").split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let line = line.escape_ascii().to_string();
        let (sum, name) = line.split_once("  ").unwrap();
        tree.get_mut(name).unwrap().insert("sha256".into(), sum.into());
    }
    // getfattr escapes names in its own way, which is the same for both trees. Names need not be UTF-8, so a byte is a character.
    let attributes: String = read("attributes").into_iter().map(char::from).collect();
    for block in attributes.split("\n\n").filter(|block| !block.is_empty()) {
        let (name, values) = block.split_once('\n').unwrap();
        let name = format!("attributes of {}", name.trim_start_matches("# file: "));
        let values = values.lines().filter_map(|line| line.split_once('='));
        tree.insert(name, values.map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
    }
    tree
}

/// Hard links are told by the first name that is seen of their file; the link count also counts names that a whiteout hides.
fn found(text: &[u8]) -> Tree {
    let fields: Vec<String> = text.split(|byte| *byte == 0).map(|field| field.escape_ascii().to_string()).collect();
    let mut tree = Tree::new();
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in fields.chunks_exact(8) {
        let [path, kind, mode, owner, mtime, target, inode, size] = row else { unreachable!() };
        let mut entry = BTreeMap::new();
        let fields = [("type", kind), ("mode", mode), ("owner", owner), ("mtime", mtime), ("target", target)];
        entry.extend(fields.map(|(key, value)| (key.to_owned(), value.clone())));
        if kind == "f" {
            entry.insert("size".into(), size.clone());
        }
        if kind != "d" {
            names.entry(inode.clone()).or_default().push(path.clone());
        }
        tree.insert(path.clone(), entry);
    }
    for mut group in names.into_values().filter(|group| group.len() > 1) {
        group.sort();
        for name in &group {
            tree.get_mut(name).unwrap().insert("same file as".into(), group[0].clone());
        }
    }
    tree
}

/// Unpacks an image of an OCI layout, `DIR:TAG`, with umoci, into the directory `rootfs` of `bundle`.
pub fn unpack(image: &str, bundle: &Path) {
    let mut command = in_namespace();
    command.args(["umoci", "unpack"]);
    if ids() == Ids::One {
        // It notes owners that it cannot give in an attribute, and makes no devices.
        command.arg("--rootless");
    }
    output_of(command.args(["--image", image]).arg(bundle)).expect_success();
}

/// With one id everything belongs to it, in podling's tree as in umoci's, which keeps the image's owners in an attribute.
pub fn comparable(mut tree: Tree) -> Tree {
    if ids() == Ids::One {
        for fields in tree.values_mut() {
            fields.remove("owner");
            fields.remove("user.rootlesscontainers");
            // A namespace of one id may set no capabilities of files on disks of the machine, and umoci passes over them.
            fields.remove("security.capability");
        }
    }
    tree.retain(|path, fields| !(path.starts_with("attributes of ") && fields.is_empty()));
    tree
}

/// What differs: path, field, and both values.
pub fn differences(left: &Tree, right: &Tree) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let empty = BTreeMap::new();
    let mut paths: Vec<&String> = left.keys().chain(right.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let (left, right) = (left.get(path).unwrap_or(&empty), right.get(path).unwrap_or(&empty));
        let mut fields: Vec<&String> = left.keys().chain(right.keys()).collect();
        fields.sort();
        fields.dedup();
        for field in fields {
            let (a, b) = (left.get(field), right.get(field));
            if a != b {
                found.push((path.clone(), field.clone(), format!("{a:?} and {b:?}")));
            }
        }
    }
    found
}
