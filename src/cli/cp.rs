//! `podling cp`: what the command line says about a copy.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::manifest::check_pod_name;
use crate::pod::Links;

/// Copy files out of a container, or into one
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// POD:PATH, a path on this host, or `-` for a tar archive on standard input
    #[arg(value_name = "SOURCE")]
    source: OsString,

    /// POD:PATH, a path on this host, or `-` for a tar archive on standard output
    #[arg(value_name = "DESTINATION")]
    destination: OsString,

    /// The pod's container; the first one where none is named
    #[arg(short, long, value_name = "NAME", add = super::complete::containers())]
    container: Option<String>,

    /// Copy what SOURCE points to if it is a symbolic link, not the link
    #[arg(short = 'L', long)]
    follow_link: bool,

    /// Keep the numeric owners of the source; without it files belong to the container's user, or to you
    #[arg(short, long)]
    archive: bool,

    /// Print nothing about what was copied
    #[arg(short, long)]
    quiet: bool,
}

const AFTER: &str =
    "A file goes into DESTINATION if that is a directory, else it gets that name. A directory does so, too:
DESTINATION/SOURCE, or DESTINATION if there is nothing of that name yet. SOURCE/. is what is in the
directory. Directories above DESTINATION are not made. Paths in a container begin at its root.

The image needs neither tar nor a shell. A local path with a colon is written ./a:b.

Examples:
  podling cp web:/srv/www ./www
  podling cp ./nginx.conf web:/etc/nginx/ -c nginx
  podling cp ./site/. web:/srv/www
  podling cp web:/var/log - | tar tv
  podling cp - web:/srv < site.tar.gz";

/// One copy: which way it goes, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Which way.
    pub direction: Direction,
    /// The container's name; the first of the pod where there is none.
    pub container: Option<String>,
    /// What becomes of a source that is a symbolic link.
    pub links: Links,
    /// Whose the copies are.
    pub ownership: Ownership,
    /// What is said about it.
    pub report: Report,
}

/// Which way a copy goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    /// Out of a container.
    Out {
        /// The source.
        from: InPod,
        /// The destination.
        to: Local,
    },
    /// Into a container.
    In {
        /// The source.
        from: Local,
        /// The destination.
        to: InPod,
    },
}

/// `POD:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InPod {
    /// The pod's name.
    pub pod: String,
    /// The path in its container, from the container's root whether it begins with `/` or not.
    pub path: PathBuf,
}

/// The side on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    /// A path, relative to the working directory.
    Path(PathBuf),
    /// A tar archive on standard input or output.
    Stream,
}

/// Whose the copies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// In a container its user's, on this host the caller's.
    Destination,
    /// `--archive`: the numbers of the source.
    Source,
}

/// What is said about a copy that worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// How much was copied.
    Summary,
    /// Nothing.
    Quiet,
}

impl Args {
    /// What is to be copied where.
    ///
    /// # Errors
    /// Not exactly one side is in a pod, or a side is not written as one.
    pub fn copy(&self) -> Result<Copy> {
        let direction = match (Side::parse(&self.source)?, Side::parse(&self.destination)?) {
            (Side::Pod(from), Side::Local(to)) => Direction::Out { from, to },
            (Side::Local(from), Side::Pod(to)) => Direction::In { from, to },
            (Side::Pod(_), Side::Pod(_)) => {
                return Err(Error::new("both sides are in a pod, and podling copies between a pod and this host")
                    .mend("copy through an archive: podling cp POD:PATH - | podling cp - POD:DIRECTORY"));
            }
            (Side::Local(_), Side::Local(_)) => {
                return Err(Error::new(format!(
                    "neither {:?} nor {:?} is in a pod",
                    self.source.display().to_string(),
                    self.destination.display().to_string()
                ))
                .mend("write the pod's side as POD:PATH, for example web:/srv/www"));
            }
        };
        if self.follow_link && matches!(direction, Direction::In { from: Local::Stream, .. }) {
            return Err(
                Error::new("--follow-link says nothing about an archive on standard input").mend("leave it out")
            );
        }
        Ok(Copy {
            direction,
            container: self.container.clone(),
            links: if self.follow_link { Links::Follow } else { Links::Keep },
            ownership: if self.archive { Ownership::Source } else { Ownership::Destination },
            report: if self.quiet { Report::Quiet } else { Report::Summary },
        })
    }
}

enum Side {
    Pod(InPod),
    Local(Local),
}

impl Side {
    /// As docker reads it: what stands before the first colon is a pod, unless it begins a path.
    fn parse(word: &OsStr) -> Result<Side> {
        let bytes = word.as_bytes();
        let shown = || word.display().to_string();
        if bytes == b"-" {
            return Ok(Side::Local(Local::Stream));
        }
        if bytes.is_empty() {
            return Err(Error::new("a side of the copy is empty").mend("write `.` for the directory you are in"));
        }
        let colon = bytes.iter().position(|b| *b == b':');
        let Some((pod, path)) = colon.and_then(|at| Some((bytes.get(..at)?, bytes.get(at + 1..)?))) else {
            return Ok(Side::Local(Local::Path(word.into())));
        };
        if pod.starts_with(b".") || pod.contains(&b'/') {
            return Ok(Side::Local(Local::Path(word.into())));
        }
        let pod = String::from_utf8_lossy(pod).into_owned();
        check_pod_name(&pod).map_err(|why| {
            Error::new(format!("{:?}: no pod can be called {pod:?}: {why}", shown()))
                .mend(format!("a path on this host that has a colon is written ./{}", shown()))
        })?;
        if path.is_empty() {
            return Err(Error::new(format!("{:?} names no path in the pod", shown()))
                .mend(format!("write {pod}:/ for its root")));
        }
        Ok(Side::Pod(InPod { pod, path: OsStr::from_bytes(path).into() }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn copy(words: &[&str]) -> Result<Copy> {
        Command::try_parse_from([&["cp"], words].concat()).unwrap().args.copy()
    }

    fn pod(pod: &str, path: &str) -> InPod {
        InPod { pod: pod.into(), path: path.into() }
    }

    #[test]
    fn one_side_is_in_a_pod() {
        let local = |path: &str| Local::Path(path.into());
        for (source, destination, direction) in [
            ("web:/srv/www", "./www", Direction::Out { from: pod("web", "/srv/www"), to: local("./www") }),
            ("web:srv/.", ".", Direction::Out { from: pod("web", "srv/."), to: local(".") }),
            ("web.two:/a:b", "-", Direction::Out { from: pod("web.two", "/a:b"), to: Local::Stream }),
            ("./a:b", "web:/tmp/", Direction::In { from: local("./a:b"), to: pod("web", "/tmp/") }),
            ("/a:b", "web:/", Direction::In { from: local("/a:b"), to: pod("web", "/") }),
            ("d/a:b", "web:/", Direction::In { from: local("d/a:b"), to: pod("web", "/") }),
            ("..:b", "web:/", Direction::In { from: local("..:b"), to: pod("web", "/") }),
            ("-", "web:/srv", Direction::In { from: Local::Stream, to: pod("web", "/srv") }),
        ] {
            assert_eq!(copy(&[source, destination]).unwrap().direction, direction, "{source} {destination}");
        }
    }

    #[test]
    fn what_is_no_copy_says_how_to_write_one() {
        for (source, destination, words) in [
            ("a", "b", "POD:PATH"),
            ("-", "-", "POD:PATH"),
            ("a:/x", "b:/y", "podling cp POD:PATH - | podling cp - POD:DIRECTORY"),
            ("Web:/x", ".", "./Web:/x"),
            (":/x", ".", "./:/x"),
            ("web:", ".", "web:/"),
            ("", "web:/", "`.`"),
        ] {
            let error = copy(&[source, destination]).unwrap_err();
            assert!(error.hint().unwrap().contains(words), "{source} {destination}: {error}");
        }
        assert!(copy(&["-L", "-", "web:/"]).is_err());
    }

    #[test]
    fn options_say_how() {
        let plain = copy(&["web:/a", "."]).unwrap();
        assert_eq!(
            (plain.container, plain.links, plain.ownership, plain.report),
            (None, Links::Keep, Ownership::Destination, Report::Summary)
        );
        let all = copy(&["-Laq", "web:/a", ".", "-c", "nginx"]).unwrap();
        assert_eq!(
            (all.container.as_deref(), all.links, all.ownership, all.report),
            (Some("nginx"), Links::Follow, Ownership::Source, Report::Quiet)
        );
    }

    #[test]
    fn a_path_need_not_be_text() {
        let word = OsStr::from_bytes(b"web:/\xff");
        let Ok(Side::Pod(side)) = Side::parse(word) else { panic!("not in a pod") };
        assert_eq!(side.path.as_os_str().as_bytes(), b"/\xff");
    }
}
