//! The container's program: found in the image's own PATH, and executed.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, chdir, getcwd};
use oci_spec::runtime::Process;

use crate::error::{Error, Kind, Result};
use crate::sys::process::{StringList, execve};

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
        let c_string = |s: &str| {
            CString::new(s).map_err(|_| Error::new(format!("the argument or variable {s:?} has a NUL byte in it")))
        };
        let list = |strings: &Option<Vec<String>>| -> Result<Vec<CString>> {
            strings.iter().flatten().map(|s| c_string(s)).collect()
        };
        let (argv, envp) = (list(process.args())?, list(process.env())?);
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
        let c_string = |s: String| {
            CString::new(s).map_err(|e| {
                let text = String::from_utf8_lossy(&e.into_vec()).into_owned();
                Error::new(format!("the argument or variable {text:?} has a NUL byte in it"))
            })
        };
        let argv: Vec<CString> = argv.iter().cloned().map(c_string).collect::<Result<_>>()?;
        let Some(name) = argv.first() else { return Err(Error::new("no command is given")) };
        let names = |v: &CString| more.iter().any(|(name, _)| v.to_bytes().starts_with(format!("{name}=").as_bytes()));
        let mut envp: Vec<CString> = self.envp.strings().iter().filter(|v| !names(v)).cloned().collect();
        for (name, value) in more {
            envp.push(c_string(format!("{name}={value}"))?);
        }
        let path = envp.iter().find_map(|v| v.to_bytes().strip_prefix(b"PATH=")).unwrap_or_default();
        Ok(Program {
            candidates: candidates(name, path),
            cwd: match workdir {
                Some(path) if path.starts_with('/') => c_string(path.to_owned())?,
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
    use super::*;

    #[test]
    fn a_bare_name_is_looked_for_below_each_directory_of_path() {
        assert_eq!(candidates(c"sh", b"/bin::/usr/bin"), [c"/bin/sh", c"./sh", c"/usr/bin/sh"].map(CStr::to_owned));
        assert_eq!(candidates(c"./run", b"/bin"), [c"./run".to_owned()]);
        assert!(candidates(c"", b"/bin").is_empty());
    }
}
