//! `podling image save`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};
use crate::image::Store;
use crate::image::store::save::{Format, Saving};

/// Arguments of `podling image save`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling image save -o web.tar web:1.2 db:16       a file for docker load, podman load and podling image load
  podling image save web:1.2 | ssh host podling image load -
  podling image save --format oci-dir -o layout web:1.2")]
pub struct Args {
    /// Names, ids or digests
    #[arg(required = true, value_name = "IMAGE", add = crate::cli::complete::images())]
    images: Vec<String>,
    /// Write to FILE, or into the new directory FILE; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// What to write; all have the digests that the images have here
    #[arg(long, value_enum, default_value_t = As::DockerArchive)]
    format: As,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum As {
    DockerArchive,
    OciArchive,
    OciDir,
}

/// Runs the verb.
pub fn run(args: &Args, store: &Store) -> Result<()> {
    let saving = store.saving(&args.images)?;
    let to_stdout = args.output == Path::new("-");
    match args.format {
        As::OciDir if to_stdout => Err(Error::new("a directory needs a name").mend("say it with -o DIRECTORY")),
        As::OciDir => directory(&saving, &args.output),
        As::DockerArchive | As::OciArchive => {
            let format = if args.format == As::OciArchive { Format::OciArchive } else { Format::DockerArchive };
            if to_stdout { stdout(&saving, format) } else { file(&saving, format, &args.output) }
        }
    }
}

fn stdout(saving: &Saving, format: Format) -> Result<()> {
    let out = io::stdout().lock();
    if out.is_terminal() {
        return Err(
            Error::new("an archive would only confuse the terminal").mend("name a file with -o FILE, or use a pipe")
        );
    }
    saving.archive(format, out)
}

/// A new name becomes the file's own only when the archive is whole.
fn file(saving: &Saving, format: Format, path: &Path) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    // The file that a link leads to is replaced, not the link.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // What is no regular file, /dev/null say, cannot be replaced.
    if path.symlink_metadata().is_ok_and(|stat| !stat.is_file()) {
        let file = std::fs::OpenOptions::new().write(true).open(path).context(failed)?;
        return saving.archive(format, file).context(failed);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new();
    let temporary = temporary.prefix(".podling-save-").permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = temporary.tempfile_in(parent).context(failed)?;
    saving.archive(format, temporary.as_file()).context(failed)?;
    temporary.persist(path).map_err(|e| Error::from(e.error)).context(failed)?;
    Ok(())
}

fn directory(saving: &Saving, path: &Path) -> Result<()> {
    let used = match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(Error::new(format!("cannot write {}: {e}", path.display()))),
    };
    if used {
        return Err(
            Error::new(format!("{} is not empty", path.display())).mend("name a directory that is not there yet")
        );
    }
    let was_there = path.symlink_metadata().is_ok();
    let saved = saving.directory(path);
    if saved.is_err() {
        // It was empty or absent, so all of it is ours; what cannot be removed has no index.json, and so no images.
        let _ = if was_there { std::fs::remove_dir_all(path.join("blobs")) } else { std::fs::remove_dir_all(path) };
        let _ = std::fs::remove_file(path.join("oci-layout"));
        let _ = std::fs::remove_file(path.join("index.json"));
    }
    saved
}
