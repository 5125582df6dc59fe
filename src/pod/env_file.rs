//! Files of variables that containers write for others, `valueFrom.fileKeyRef`.
//!
//! The format is Kubernetes' (KEP-3721, "Env File"), which reads as a POSIX shell would: `NAME='value'`, all between the quotes as it
//! is, line breaks too; blank lines, and comments from `#` on. Whatever a shell could read otherwise is an error.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::{Error, Result};
use crate::plan::FileKey;
use crate::sys::Named;
use crate::sys::fs::open_in_root;

/// A longer file is not read, in bytes: what a ConfigMap may hold.
const LONGEST: u64 = 1 << 20;

/// The value of `key`; `None` where there is no such file, or nothing of the key in it. As with the kubelet, an empty value is none.
///
/// The file may be of a container's making and so may be the links on its way: they lead nowhere but below the volume, and what is no
/// plain file is not read.
///
/// # Errors
/// A file that cannot be read, or is not one of variables; with its name and the line.
pub(super) fn value(key: &FileKey) -> Result<Option<String>> {
    let named = |e: Error| {
        let volume = key.volume.file_name().unwrap_or_default().to_string_lossy();
        e.context(format_args!("file {:?} in volume {volume:?}", key.path.display().to_string()))
    };
    let Some(text) = read(key).map_err(named)? else { return Ok(None) };
    find(&text, &key.key).map_err(|why| named(Error::new(why))).map(|value| value.filter(|value| !value.is_empty()))
}

fn read(key: &FileKey) -> Result<Option<String>> {
    let volume = &key.volume;
    let root = open(volume, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .named(|| format!("open({volume:?}, O_PATH)"))?;
    let found = match open_in_root(&root, &key.path, OFlag::O_PATH) {
        Err(e) if matches!(e.errno, Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        opened => File::from(opened?),
    };
    if !found.metadata().named(|| "fstat()")?.is_file() {
        return Err(Error::new("is not a plain file"));
    }
    let file = reopen(&found)?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).named(|| "read()")?;
    if bytes.len() as u64 > LONGEST {
        return Err(Error::new(format!("is longer than {LONGEST} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| Error::new("is not UTF-8 text"))
}

/// Opens what `found`, opened with O_PATH, refers to, and waits for nobody: who wrote the file may hold a lease on it (fcntl(2)).
fn reopen(found: &File) -> Result<File> {
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    match open(path.as_str(), OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::EAGAIN) => Err(Error::new("is held by a lease of whoever wrote it")),
        opened => Ok(File::from(opened.named(|| "open()")?)),
    }
}

/// The value of `key` in the text of a file of variables.
fn find(text: &str, key: &str) -> std::result::Result<Option<String>, String> {
    let mut found: Option<&str> = None;
    let mut rest = text;
    let line = |rest: &str| text[..text.len() - rest.len()].matches('\n').count() + 1;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n']);
        if rest.is_empty() {
            return Ok(found.map(str::to_owned));
        }
        if rest.starts_with('#') {
            rest = after_line(rest);
            continue;
        }
        let at = line(rest);
        let this_line = rest.split('\n').next().unwrap_or_default();
        let (name, _) = this_line.split_once('=').ok_or_else(|| format!("line {at} has no \"=\""))?;
        if name.is_empty() {
            return Err(format!("line {at} has no name before \"=\""));
        }
        if name.ends_with([' ', '\t']) {
            return Err(format!("line {at} has white space before \"=\""));
        }
        let quoted = rest.get(name.len() + 1..).unwrap_or_default();
        let Some(quoted) = quoted.strip_prefix('\'') else {
            return Err(format!("line {at}: the value must be in single quotes, right behind \"=\""));
        };
        let Some((value, behind)) = quoted.split_once('\'') else {
            return Err(format!("line {at}: the value's closing quote is missing"));
        };
        let end_of_line = behind.split('\n').next().unwrap_or_default();
        let comment = end_of_line.trim_start_matches([' ', '\t']);
        // Without a blank before it, `#` belongs to the value for a shell.
        let is_comment = comment.starts_with('#') && comment.len() < end_of_line.len();
        if !comment.is_empty() && !is_comment {
            return Err(format!("line {}: there is more behind the closing quote", line(behind)));
        }
        if name == key {
            if found.is_some_and(|found| found != value) {
                return Err(format!("line {at} sets {key:?} once more, to another value"));
            }
            found = Some(value);
        }
        rest = after_line(behind);
    }
}

/// What is behind the first line of `text`.
fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;
    use crate::plan::Otherwise;

    #[test]
    fn values_as_a_shell_reads_them() {
        for (text, expected) in [
            ("K='v'", Some("v")),
            ("K='v'\n", Some("v")),
            ("  \tK='v' \t\n", Some("v")),
            ("# K='no'\n\nK='v' # comment\n", Some("v")),
            ("K='  a # b\t'\n", Some("  a # b\t")),
            ("K='one\n\n two'\nL='x'", Some("one\n\n two")),
            ("K='$X ${Y} `z` \\n \"q\"'", Some("$X ${Y} `z` \\n \"q\"")),
            ("K='a=b=c'", Some("a=b=c")),
            ("K='ä🌍'", Some("ä🌍")),
            ("K=''", Some("")),
            ("L='K=x'\nM='\nK=\n'", None),
            ("KK='x'\n", None),
            ("K='v'\nK='v'\n", Some("v")),
            ("", None),
            ("#", None),
        ] {
            assert_eq!(find(text, "K"), Ok(expected.map(str::to_owned)), "{text:?}");
        }
    }

    #[test]
    fn whatever_a_shell_could_read_otherwise_is_an_error() {
        for (text, why) in [
            ("K=v", "line 1: the value must be in single quotes"),
            ("\nK=\"v\"", "line 2: the value must be in single quotes"),
            ("K= 'v'", "single quotes"),
            ("K ='v'", "line 1 has white space before"),
            ("='v'", "line 1 has no name"),
            ("L='1\n2'\nwords", "line 3 has no \"=\""),
            ("export\nK='v'", "line 1 has no \"=\""),
            ("K='v", "line 1: the value's closing quote is missing"),
            ("K='v'w", "line 1: there is more"),
            ("K='a''b'", "there is more"),
            ("K='a\nb'c", "line 2: there is more"),
            ("K='v'#c", "there is more"),
            ("K='v'\r\n", "there is more"),
            ("K='v'\nK='w'", "line 2 sets \"K\" once more"),
        ] {
            let error = find(text, "K").unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn takes_any_text(text in "[K='#\n \\w]{0,40}|.{0,20}", key in "[K\\w]{0,3}") {
            let _ = find(&text, &key);
        }

        #[test]
        fn any_value_without_a_quote_comes_back(value in "[^'\0]{1,30}", before in "[^'\0\n]{0,9}") {
            let text = format!("# {before}\nA='{before}'\nK='{value}'\n");
            prop_assert_eq!(find(&text, "K"), Ok(Some(value)));
        }
    }

    fn key(volume: &Path, path: &str) -> FileKey {
        FileKey {
            volume: volume.to_owned(),
            path: PathBuf::from(path),
            key: "K".to_owned(),
            otherwise: Otherwise::Unset,
        }
    }

    #[test]
    fn links_lead_nowhere_else_and_nothing_keeps_the_reader_waiting() {
        let place = tempfile::tempdir().unwrap();
        let volume = place.path().join("v");
        std::fs::create_dir_all(volume.join("dir")).unwrap();
        std::fs::write(place.path().join("secret"), "K='outside'").unwrap();
        std::fs::write(volume.join("plain"), "K='inside'").unwrap();
        std::fs::write(volume.join("binary"), b"K='\xff'").unwrap();
        std::fs::write(volume.join("empty"), b"K=''").unwrap();
        std::fs::File::create(volume.join("huge")).unwrap().set_len(1 << 40).unwrap();
        nix::unistd::mkfifo(&volume.join("pipe"), Mode::S_IRWXU).unwrap();
        for (link, to) in [
            ("near", "dir/../plain"),
            ("rooted", "/plain"),
            ("climbs", "../secret"),
            ("circle", "circle"),
            ("host", "/proc/self/environ"),
            ("pipes", "pipe"),
        ] {
            symlink(to, volume.join(link)).unwrap();
        }
        symlink(place.path().join("secret"), volume.join("absolute")).unwrap();
        let read = |path: &str| value(&key(&volume, path));
        for path in ["plain", "near", "rooted", "./plain"] {
            assert_eq!(read(path).unwrap().as_deref(), Some("inside"), "{path}");
        }
        for path in ["none", "plain/x", "climbs", "absolute", "host", "empty"] {
            assert_eq!(read(path).unwrap(), None, "{path}");
        }
        for (path, why) in [
            ("dir", "is not a plain file"),
            ("pipe", "is not a plain file"),
            ("pipes", "is not a plain file"),
            ("huge", "is longer than 1048576 bytes"),
            ("binary", "is not UTF-8"),
            ("circle", "ELOOP"),
        ] {
            let error = read(path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(&format!("file {path:?} in volume \"v\"")), "{error}");
        }
    }
}
