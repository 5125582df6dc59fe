//! What GNU tar, bsdtar and Python write, podling never refuses, and unpacks to the tree that was packed, as umoci does.
//!
//! The trees are random; the seed is printed, and PODLING_TEST_SEED repeats it.

mod archives;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use archives::image::{Files, Layer};
use archives::tree::{Tree, comparable, differences, in_namespace, of_directory, of_layers, unpack};
use archives::yard::trees;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use podling::sys::xattr;
use support::running::output_of;
use support::{Feature, Ids, Place, ids, require};

const TREES: u64 = 12;
const ENTRIES: usize = 60;

/// A program that writes archives, in one of its formats.
struct Writer {
    name: &'static str,
    /// A shell's words; `$1` is the archive, `$2` the tree.
    script: &'static str,
    keeps: Keeps,
}

/// What of a tree a format has room for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// All.
    All,
    /// No attributes, and whole seconds.
    Seconds,
    /// The same, for a tree of short names.
    Short,
    /// No attributes, and times as floating point numbers.
    Floats,
}

const PYTHON: &str = "exec python3 -c 'import sys, tarfile
with tarfile.open(sys.argv[1], \"w\", format=getattr(tarfile, sys.argv[3])) as t: t.add(sys.argv[2], arcname=\".\")' \"$@\"";

// bsdtar stores files with holes as PAX sparse files unless told otherwise, and these no layer may have.
const WRITERS: [Writer; 7] = [
    Writer { name: "GNU tar, gnu", script: "exec tar --format=gnu -C \"$2\" -cf \"$1\" .", keeps: Keeps::Seconds },
    Writer {
        name: "GNU tar, pax",
        script: "exec tar --format=pax --xattrs '--xattrs-include=user.*' -C \"$2\" -cf \"$1\" .",
        keeps: Keeps::All,
    },
    Writer { name: "GNU tar, ustar", script: "exec tar --format=ustar -C \"$2\" -cf \"$1\" .", keeps: Keeps::Short },
    Writer {
        name: "bsdtar, pax",
        script: "exec bsdtar --format=pax --no-read-sparse -C \"$2\" -cf \"$1\" .",
        keeps: Keeps::All,
    },
    Writer {
        name: "bsdtar, ustar",
        script: "exec bsdtar --format=ustar --no-read-sparse -C \"$2\" -cf \"$1\" .",
        keeps: Keeps::Short,
    },
    Writer { name: "Python, GNU", script: "GNU_FORMAT", keeps: Keeps::Floats },
    Writer { name: "Python, PAX", script: "PAX_FORMAT", keeps: Keeps::Floats },
];

/// SplitMix64, which any seed will do for.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}

/// A tree on disk that belongs to this user still, and what its files are to become.
struct Grown {
    root: PathBuf,
    /// Paths below the root, with owner and mode.
    fates: BTreeMap<PathBuf, (u32, u32, u32)>,
    /// Files that may get another name.
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

/// A tree of about [`ENTRIES`] files; a `short` one fits the old formats.
fn grow(root: &Path, dice: &mut Dice, short: bool) -> Grown {
    fs::create_dir(root).unwrap();
    let mut grown = Grown {
        root: root.to_owned(),
        fates: BTreeMap::from([(PathBuf::from("."), (0, 0, 0o755))]),
        files: Vec::new(),
        directories: vec![PathBuf::new()],
    };
    let mut times = Vec::new();
    for number in 0..ENTRIES {
        let path = dice.of(&grown.directories).join(name(dice, number, short));
        if path.as_os_str().len() > if short { 140 } else { 900 } {
            continue;
        }
        let mode = plant(&mut grown, dice, &path, short);
        let owner = |dice: &mut Dice| dice.of(&[0, 0, 0, 1, 33, 1000, 65534]);
        grown.fates.insert(path.clone(), (owner(dice), owner(dice), mode));
        times.push(path);
    }
    times.push(PathBuf::new());
    // Last and deepest first, since every new file changes its directory's.
    for path in times.iter().rev() {
        // Python writes the moments around 1970 as 1e-09, which Go, and so umoci and docker, refuse as podling does.
        let seconds = dice.of(&[1, 951_827_696, 1_600_000_000, 2_147_483_647, 4_102_444_800]);
        let seconds = if short || dice.below(4) > 0 { seconds } else { -dice.of(&[2, 86_400, 2_000_000_000]) };
        let time = TimeSpec::new(seconds, dice.of(&[0, 1, 500_000_000, 123_456_789, 999_999_999]));
        utimensat(AT_FDCWD, &root.join(path), &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
    }
    grown
}

/// A name that no other entry has, by its number.
fn name(dice: &mut Dice, number: usize, short: bool) -> std::ffi::OsString {
    let filler = |length: usize| b"n".repeat(length);
    let odd: &[&[u8]] = &[
        b"plain",
        b"with space ",
        b" leading space",
        b"-leading-dash",
        b"--help",
        b".hidden",
        b"...",
        b"new\nline",
        b"tab\tand\x1bescape",
        b"back\\slash",
        b"quote'\"quote",
        b"$HOME `id` *?[a]",
        b"percent%41%",
        b"a=b",
        b"~",
        "\u{e9}t\u{e9}".as_bytes(),
        "e\u{301}te\u{301}".as_bytes(),
        "\u{6f22}\u{5b57}".as_bytes(),
        "\u{1f980}".as_bytes(),
        b"UPPER",
        b"upper",
    ];
    let mut name = match dice.below(8) {
        0 if !short => filler(dice.of(&[98, 99, 100, 101, 155, 200, 250])),
        0 => filler(dice.of(&[40, 55])),
        1 if !short => b"no utf-8 \xff\xfe\x80".to_vec(),
        _ => dice.of(odd).to_vec(),
    };
    name.extend(number.to_string().into_bytes());
    std::ffi::OsString::from_vec(name)
}

/// Makes one file of any type and returns the mode that it is to have.
fn plant(grown: &mut Grown, dice: &mut Dice, path: &Path, short: bool) -> u32 {
    let full = grown.root.join(path);
    // An old header has 100 bytes for the other name of a file with two, whichever comes first.
    let may_be_linked = !short || path.as_os_str().len() < 90;
    let mut mode = dice.of(&[0o644, 0o600, 0o755, 0o4755, 0o2755, 0o6711, 0o777, 0o444, 0o1644, 0]);
    match dice.below(12) {
        0..3 => {
            fs::create_dir(&full).unwrap();
            grown.directories.push(path.to_owned());
            mode = dice.of(&[0o755, 0o700, 0o1777, 0o2775, 0o555, 0o311, 0]);
        }
        3..5 => {
            let long = "l".repeat(if short { 90 } else { dice.of(&[99, 100, 101, 300, 2000]) });
            let targets =
                ["nowhere", "/etc/passwd", "../../../../up", ".", "/", "dash -> dash", "new\nline", "\u{e9}", &long];
            symlink(dice.of(&targets), &full).unwrap();
            // A symlink's own mode is always this.
            mode = 0o777;
        }
        5 => nix::unistd::mkfifo(&full, Mode::S_IRWXU).unwrap(),
        6 if may_be_linked && !grown.files.is_empty() => {
            let first = dice.of(&grown.files);
            fs::hard_link(grown.root.join(&first), &full).unwrap();
            // Both names are one file, which has one mode.
            mode = grown.fates[&first].2;
        }
        7 => {
            let mut file = fs::File::create(&full).unwrap();
            file.seek(SeekFrom::Start(300_000)).unwrap();
            file.write_all(&dice.bytes(3)).unwrap();
            file.set_len(1 << 20).unwrap();
        }
        kind => {
            let length = if kind == 8 { 0 } else { dice.of(&[1, 511, 512, 513, 10_240, 70_000]) };
            fs::write(&full, dice.bytes(length)).unwrap();
            if may_be_linked {
                grown.files.push(path.to_owned());
            }
        }
    }
    let stat = fs::symlink_metadata(&full).unwrap();
    if !short && (stat.is_dir() || stat.is_file()) && dice.below(4) == 0 {
        let file = fs::File::open(&full).unwrap();
        for name in [c"user.note", c"user.Other.name"].iter().take(1 + dice.below(2)) {
            let length = dice.of(&[1, 40, 1000]);
            xattr::set(&file, name, &dice.bytes(length)).unwrap();
        }
    }
    mode
}

/// Gives every file its owner and its mode, which may forbid this user to read it.
fn hand_over(grown: &Grown) {
    let words = |text: &dyn Fn(&(u32, u32, u32)) -> String, links: bool| {
        let mut out = Vec::new();
        for (path, fate) in &grown.fates {
            if links || !grown.root.join(path).is_symlink() {
                out.extend([text(fate).as_bytes(), b"\0./", path.as_os_str().as_bytes(), b"\0"].concat());
            }
        }
        out
    };
    let run = |program: &str, words: &[u8]| {
        let list = grown.root.with_extension("list");
        fs::write(&list, words).unwrap();
        let script = format!("cd \"$1\" && exec xargs -0 -n 2 {program} < \"$2\"");
        output_of(in_namespace().args(["sh", "-c", &script, "sh"]).arg(&grown.root).arg(&list)).expect_success();
    };
    if ids() == Ids::Subordinate {
        run("chown -h", &words(&|(uid, gid, _)| format!("{uid}:{gid}"), true));
    }
    // Five digits, since with fewer chmod lets a directory keep its setgid bit.
    run("chmod", &words(&|(_, _, mode)| format!("{mode:05o}"), false));
}

/// The archive of the tree at `root`.
fn write(writer: &Writer, place: &Place, root: &Path) -> Vec<u8> {
    let archive = place.path().join("archive.tar");
    let python = writer.script.ends_with("_FORMAT");
    let script = if python { PYTHON } else { writer.script };
    let mut command = in_namespace();
    // bsdtar converts names from the locale's encoding to PAX's, which is UTF-8.
    command.env("LC_ALL", "C.UTF-8").args(["sh", "-c", script, "sh"]).arg(&archive).arg(root);
    if python {
        command.arg(writer.script);
    }
    let output = output_of(&mut command);
    assert_eq!(output.code, Some(0), "{}: {output}", writer.name);
    let bytes = fs::read(&archive).unwrap();
    fs::remove_file(&archive).unwrap();
    bytes
}

/// What the archive can tell of the packed tree, and of podling's what it can be held to.
fn as_kept(mut tree: Tree, writer: &Writer, packed: &Tree) -> Tree {
    for (path, fields) in &mut tree {
        let known = packed.get(path).and_then(|fields| fields.get("mtime")).cloned().unwrap_or_default();
        let (_, fraction) = known.split_once('.').unwrap_or_default();
        // bsdtar writes 1.25 s before 1970 as -2.75, the kernel's two numbers as they are.
        let wrong =
            writer.name == "bsdtar, pax" && known.starts_with('-') && fraction.bytes().any(|digit| digit != b'0');
        if wrong || writer.keeps == Keeps::Floats {
            fields.remove("mtime");
        }
        if let (Keeps::Seconds | Keeps::Short, Some(time)) = (writer.keeps, fields.get_mut("mtime")) {
            // find(1) prints the kernel's two numbers, the second of which always counts upwards.
            time.truncate(time.find('.').unwrap());
        }
    }
    if writer.keeps != Keeps::All {
        tree.retain(|path, _| !path.starts_with("attributes of "));
    }
    tree
}

fn remove(path: &Path) {
    output_of(in_namespace().args(["rm", "-rf"]).arg(path)).expect_success();
}

/// Packs the tree with `writer`, unpacks it with podling and umoci, and says what differs.
fn differs(place: &Place, writer: &Writer, root: &Path, packed: &Tree) -> Vec<String> {
    let tar = write(writer, place, root);
    let (layout, bundle) = (place.path().join("layout"), place.path().join("bundle"));
    Files::oci("x", &[Layer::gzip(&tar)]).write_to(&layout);
    let loaded = place.podling(&["image", "load", "--name", "it:1", layout.to_str().unwrap()]);
    if loaded.code != Some(0) {
        fs::remove_dir_all(&layout).unwrap();
        return vec![format!("podling refuses it: {loaded}")];
    }
    let podling = comparable(of_layers(place.path(), &trees(place, "it:1")));
    let mut found = Vec::new();
    let mut compare = |what: &str, left: &Tree, right: &Tree| {
        let all = differences(left, right).into_iter();
        found.extend(all.map(|(path, field, values)| format!("{what}: {path}: {field}: {values}")));
    };
    compare(
        "podling and the tree",
        &as_kept(podling.clone(), writer, packed),
        &as_kept(packed.clone(), writer, packed),
    );
    unpack(&format!("{}:x", layout.display()), &bundle);
    let umoci = comparable(of_directory(place.path(), &bundle.join("rootfs")));
    compare("podling and umoci", &podling, &umoci);
    place.podling(&["image", "rm", "it:1"]).expect_success();
    remove(&bundle);
    fs::remove_dir_all(&layout).unwrap();
    found
}

fn check(trees: std::ops::Range<u64>) {
    let programs = ["unshare", "umoci", "getfattr", "tar", "bsdtar", "python3"];
    let tools = programs.iter().all(|tool| require(Feature::Program(tool)));
    if !tools || !require(Feature::UserNamespaces) || !require(Feature::OrdinaryUser) {
        return;
    }
    let seed =
        std::env::var("PODLING_TEST_SEED").ok().map(|seed| seed.parse().expect("PODLING_TEST_SEED is no number"));
    let seed = seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    println!("PODLING_TEST_SEED={seed}");
    let place = Place::with(&[]);
    let mut archives = 0;
    let mut failures = Vec::new();
    for number in trees {
        let short = number % 3 == 0;
        let root = place.path().join(format!("tree-{number}"));
        let grown = grow(&root, &mut Dice(seed.wrapping_mul(TREES).wrapping_add(number)), short);
        hand_over(&grown);
        let packed = comparable(of_directory(place.path(), &root));
        assert!(grown.fates.len() > ENTRIES / 2, "tree {number} has only {} files", grown.fates.len());
        for writer in WRITERS.iter().filter(|writer| short || writer.keeps != Keeps::Short) {
            archives += 1;
            for difference in differs(&place, writer, &root, &packed) {
                failures.push(format!("tree {number}, {}: {difference}", writer.name));
            }
        }
        remove(&root);
    }
    println!("{archives} archives");
    failures.truncate(40);
    assert!(failures.is_empty(), "PODLING_TEST_SEED={seed}:\n{}", failures.join("\n"));
}

#[test]
fn trees_that_others_pack_unpack_the_same() {
    check(0..TREES / 2);
}

/// Two processors unpack at a time.
#[test]
fn more_trees_that_others_pack_unpack_the_same() {
    check(TREES / 2..TREES);
}
