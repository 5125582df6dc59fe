//! The container's program: found in the image's own PATH, and executed.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, chdir, getcwd};
use oci_spec::runtime::Process;

use crate::error::{Error, Kind, Result};
use crate::sys::process::{StringList, execve};

/// An argument for execve(2). Errors are kept on the disk, and a Secret's value may be in it, so none shows it.
fn argument(i: usize, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(format!("argument {i} has a NUL byte in it")))
}

/// The same of a variable, `NAME=VALUE`.
fn variable(entry: &str) -> Result<CString> {
    let name = entry.split('=').next().unwrap_or_default();
    CString::new(entry).map_err(|_| Error::new(format!("the variable {name:?} has a NUL byte in it")))
}

/// What is executed, where it may be, and where it starts.
#[derive(Debug)]
pub(super) struct Program {
    argv: StringList,
    envp: StringList,
    candidates: Vec<CString>,
    cwd: CString,
}

impl Program {
    pub(super) fn new(process: &Process) -> Result<Program> {
        let args = process.args().iter().flatten().enumerate();
        let argv = args.map(|(i, arg)| argument(i, arg)).collect::<Result<Vec<_>>>()?;
        let envp = process.env().iter().flatten().map(|entry| variable(entry)).collect::<Result<Vec<_>>>()?;
        let Some(name) = argv.first() else { return Err(Error::new("the spec's process has no args")) };
        let path = envp.iter().find_map(|v| v.to_bytes().strip_prefix(b"PATH=")).unwrap_or_default();
        Ok(Program {
            candidates: candidates(name, path),
            cwd: CString::new(process.cwd().as_os_str().as_bytes())
                .map_err(|_| Error::new("the working directory has a NUL byte in it"))?,
            argv: StringList::new(argv),
            envp: StringList::new(envp),
        })
    }

    /// Another program with the same environment, beside `more`, and the same working directory, unless it has one of its own.
    pub(super) fn another(&self, argv: &[String], more: &[(String, String)], workdir: Option<&str>) -> Result<Program> {
        let argv = argv.iter().enumerate().map(|(i, arg)| argument(i, arg)).collect::<Result<Vec<_>>>()?;
        let Some(name) = argv.first() else { return Err(Error::new("no command is given")) };
        let names = |v: &CString| more.iter().any(|(name, _)| v.to_bytes().starts_with(format!("{name}=").as_bytes()));
        let mut envp: Vec<CString> = self.envp.strings().iter().filter(|v| !names(v)).cloned().collect();
        for (name, value) in more {
            envp.push(variable(&format!("{name}={value}"))?);
        }
        let path = envp.iter().find_map(|v| v.to_bytes().strip_prefix(b"PATH=")).unwrap_or_default();
        Ok(Program {
            candidates: candidates(name, path),
            cwd: match workdir {
                Some(path) if path.starts_with('/') => {
                    CString::new(path).map_err(|_| Error::new("the working directory has a NUL byte in it"))?
                }
                Some(path) => {
                    return Err(Error::new(format!(
                        "the working directory {path:?} does not begin at the container's root"
                    ))
                    .mend("write it with a / at its beginning"));
                }
                None => self.cwd.clone(),
            },
            argv: StringList::new(argv),
            envp: StringList::new(envp),
        })
    }

    /// Whether its environment has the variable `name`.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.envp.strings().iter().any(|v| v.to_bytes().starts_with(format!("{name}=").as_bytes()))
    }

    /// Becomes the program; returns only why it could not.
    pub(super) fn execute(&self) -> Error {
        if let Err(errno) = chdir(self.cwd.as_c_str()) {
            return Error::new(format!("the working directory {:?} cannot be entered: {}", self.cwd, errno.desc()))
                .mend("check workingDir, and whether the container's user may enter it")
                .kind(Kind::NotExecutable);
        }
        // The kernel says so when the directory is outside the container's root (getcwd(2)), whatever way led there.
        if !getcwd().is_ok_and(|cwd| cwd.is_absolute()) {
            return Error::new(format!("the working directory {:?} leads out of the container", self.cwd))
                .kind(Kind::NotExecutable);
        }
        let mut refused: Option<(&CStr, Errno)> = None;
        for path in &self.candidates {
            let errno = execve(path, &self.argv, &self.envp);
            // As execvp(3): a name that is there but cannot be executed is remembered while the search goes on.
            match errno {
                Errno::ENOENT | Errno::ENOTDIR if access(path.as_c_str(), AccessFlags::F_OK).is_err() => {}
                _ => refused = refused.or(Some((path, errno))),
            }
        }
        self.why(refused)
    }

    fn why(&self, refused: Option<(&CStr, Errno)>) -> Error {
        let name = self.argv.strings().first().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let Some((path, errno)) = refused else {
            let place = if name.contains('/') { "in the image" } else { "in the directories of the image's PATH" };
            let error = Error::new(format!("the command {name:?} was not found {place}")).kind(Kind::NotFound);
            // The usual mistake: a whole command line where the name of a program belongs.
            return match name.split_once(' ') {
                Some((program, _)) => error.mend(format!(
                    "write the program and each argument as an item of its own: command: [{program:?}, …]"
                )),
                None => error,
            };
        };
        let path = path.to_string_lossy();
        match errno {
            Errno::ENOENT => {
                Error::new(format!("{path:?} exists, but the interpreter or loader that it names does not"))
                    .mend("look at the script's first line, or at `file` of the program: the image lacks what it names")
                    .kind(Kind::NotFound)
            }
            Errno::ENOEXEC => Error::new(format!("{path:?} is no program for this machine"))
                .mend("a script needs a first line such as #!/bin/sh; a program must be built for this architecture")
                .kind(Kind::NotExecutable),
            Errno::E2BIG => {
                Error::new(format!("{path:?} cannot be executed: its arguments and variables are too long"))
                    .mend("one of them may have 128 KiB, all together a quarter of the limit on the stack (ulimit -s)")
                    .kind(Kind::NotExecutable)
            }
            Errno::EACCES => Error::new(format!("{path:?} may not be executed by the container's user"))
                .mend("check that it is a file with its x bit set, not a directory")
                .kind(Kind::NotExecutable),
            errno => Error::new(format!("execve({path:?}) = {errno:?} ({})", errno.desc())).kind(Kind::NotExecutable),
        }
    }
}

/// Where execvp(3) would look: the name itself when it has a slash, else below each directory of PATH.
fn candidates(name: &CStr, path: &[u8]) -> Vec<CString> {
    let bytes = name.to_bytes();
    if bytes.contains(&b'/') {
        return vec![name.to_owned()];
    }
    if bytes.is_empty() {
        return Vec::new();
    }
    path.split(|b| *b == b':')
        .map(|dir| if dir.is_empty() { b".".as_slice() } else { dir })
        .filter_map(|dir| CString::new([dir, b"/", bytes].concat()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::ProcessBuilder;

    use super::*;

    #[test]
    fn what_has_a_nul_byte_in_it_is_named_and_not_shown() {
        let process = |args: &[&str], env: &[&str]| {
            let list = |strings: &[&str]| strings.iter().map(ToString::to_string).collect::<Vec<_>>();
            ProcessBuilder::default().args(list(args)).env(list(env)).cwd("/").build().unwrap()
        };
        for (args, env, expected) in [
            (&["sh", "of-a-Secret\0"][..], &[][..], "argument 1 has a NUL byte in it"),
            (&["sh"], &["A=x", "B=of-a-Secret\0"], "the variable \"B\" has a NUL byte in it"),
        ] {
            assert_eq!(Program::new(&process(args, env)).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_bare_name_is_looked_for_below_each_directory_of_path() {
        assert_eq!(candidates(c"sh", b"/bin::/usr/bin"), [c"/bin/sh", c"./sh", c"/usr/bin/sh"].map(CStr::to_owned));
        assert_eq!(candidates(c"./run", b"/bin"), [c"./run".to_owned()]);
        assert!(candidates(c"", b"/bin").is_empty());
    }
}
