//! What a repository is asked for: manifests, small blobs, and large ones as streams that survive a bad network.

use std::io::Read;
use std::thread;
use std::time::Duration;

use ureq::http::header;
use ureq::{Body, http::Response};

use super::endpoint::{Ask, Endpoint};
use super::printable;
use super::retry::{Failure, Patience};
use crate::error::{Error, Result};
use crate::image::digest::{Digest, Hasher};
use crate::image::layer::limits::human;

/// What a manifest may be (OCI image-spec; docker's image manifest version 2, schema 2).
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
const BUFFER: usize = 256 << 10;
/// Progress that makes a failure count as the first one again.
const PROGRESS: u64 = 1 << 20;

/// Which manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one that a tag names now.
    Tag(String),
    /// This one.
    Digest(Digest),
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Which::Tag(tag) => f.write_str(tag),
            Which::Digest(digest) => digest.fmt(f),
        }
    }
}

/// A manifest or index as the registry has it.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its bytes.
    pub content: Vec<u8>,
    /// What the registry says it is.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
}

/// Where a download goes.
pub trait Sink {
    /// Takes the next bytes.
    fn write(&mut self, piece: &[u8]) -> Result<()>;

    /// Everything so far is void: the blob comes again from its first byte.
    fn restart(&mut self) -> Result<()>;
}

/// A repository, on one server or several.
#[derive(Debug)]
pub struct Repository {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) patience: Patience,
}

impl Repository {
    pub(super) fn new(endpoints: Vec<Endpoint>, patience: Patience) -> Repository {
        Repository { endpoints, patience }
    }

    /// A manifest or an index of at most `limit` bytes. Where it was asked for by digest, it has that digest.
    ///
    /// # Errors
    /// What each server did.
    pub fn manifest(&self, which: &Which, limit: u64) -> Result<Document> {
        self.each(|endpoint| {
            self.patiently(|| {
                let ask =
                    Ask::new("GET", endpoint.path(&format!("manifests/{which}"))).header(header::ACCEPT, MANIFESTS);
                let response = endpoint.send(&ask)?;
                let media_type = media_type(&response);
                let promised = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
                let promised = promised.map(str::to_owned);
                let content = bounded(endpoint, response, limit)?;
                let digest = Digest::of(&content);
                let expected = match which {
                    Which::Digest(digest) => Some(*digest),
                    // Other algorithms cannot be checked here, and need not be.
                    Which::Tag(_) => promised.and_then(|text| Digest::parse(&text).ok()),
                };
                if let Some(expected) = expected.filter(|expected| *expected != digest) {
                    let what = format!(
                        "{} sends a manifest with the digest {digest}, and promised {expected}",
                        endpoint.domain()
                    );
                    return Err(Failure::Passing(Error::new(what), None));
                }
                let schema_1 = media_type.contains("docker.distribution.manifest.v1");
                if schema_1 {
                    let what = "its manifest has docker's schema 1, which ended long ago";
                    return Err(Error::new(what).mend("push the image again with any tool of today").into());
                }
                Ok(Document { content, media_type, digest })
            })
        })
    }

    /// The digest that a tag means now, where the registry says it.
    ///
    /// # Errors
    /// What each server did.
    pub fn head(&self, which: &Which) -> Result<Option<Digest>> {
        self.each(|endpoint| {
            self.patiently(|| {
                let ask =
                    Ask::new("HEAD", endpoint.path(&format!("manifests/{which}"))).header(header::ACCEPT, MANIFESTS);
                let response = endpoint.send(&ask)?;
                let digest = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
                Ok(digest.and_then(|text| Digest::parse(text).ok()))
            })
        })
    }

    /// A blob of at most `limit` bytes, a config say; it has the digest.
    ///
    /// # Errors
    /// What each server did.
    pub fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        self.each(|endpoint| {
            self.patiently(|| {
                let response = endpoint.send(&Ask::new("GET", endpoint.path(&format!("blobs/{digest}"))))?;
                let content = bounded(endpoint, response, limit)?;
                let found = Digest::of(&content);
                if found == *digest {
                    return Ok(content);
                }
                let what =
                    format!("{} sends something else for blob {digest}: its digest is {found}", endpoint.domain());
                Err(Failure::Passing(Error::new(what), None))
            })
        })
    }

    /// A blob of `size` bytes, to `sink`, which has got exactly it when this returns. What breaks off goes on where it broke off.
    ///
    /// # Errors
    /// What each server did, or the sink's own error.
    pub fn download(&self, digest: &Digest, size: u64, sink: &mut dyn Sink) -> Result<()> {
        let mut download =
            Download { digest, size, sink, got: 0, hasher: Hasher::default(), restarted: false, sunk: None };
        // What was had before counts as no progress when it comes again.
        let mut highest = 0;
        let result = self.each(|endpoint| {
            let mut failures = 0;
            // What another server sent was cut off, or wrong.
            if std::mem::take(&mut download.restarted) && download.got > 0 {
                download.restart().map_err(|_| Error::new("the download was stopped"))?;
            }
            loop {
                match download.attempt(endpoint) {
                    Ok(()) => return Ok(()),
                    Err(_) if download.sunk.is_some() => return Err(Error::new("the download was stopped")),
                    Err(Failure::Final(e)) => return Err(e),
                    Err(Failure::Passing(e, asked)) => {
                        failures = if download.got >= highest + PROGRESS { 1 } else { failures + 1 };
                        highest = highest.max(download.got);
                        if failures >= self.patience.attempts {
                            return Err(given_up(e, failures));
                        }
                        thread::sleep(self.patience.wait(failures, asked));
                    }
                }
            }
        });
        match download.sunk {
            Some(e) => Err(e),
            None => result,
        }
    }

    /// Asks one server after the other; the error says what each of them did.
    pub(super) fn each<T>(&self, mut ask: impl FnMut(&Endpoint) -> Result<T>) -> Result<T> {
        let mut errors: Vec<Error> = Vec::new();
        for endpoint in &self.endpoints {
            match ask(endpoint) {
                Ok(answer) => return Ok(answer),
                Err(e) => errors.push(e),
            }
        }
        let mend = errors.last().and_then(|e| e.hint().map(str::to_owned));
        let all: Vec<&str> = errors.iter().map(Error::what).collect();
        let error = Error::new(if all.is_empty() { "no server is configured".to_owned() } else { all.join("; ") });
        Err(match mend {
            Some(mend) => error.mend(mend),
            None => error,
        })
    }

    /// Tries again what may pass.
    pub(super) fn patiently<T>(&self, mut attempt: impl FnMut() -> std::result::Result<T, Failure>) -> Result<T> {
        let mut failures = 0;
        loop {
            match attempt() {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(e)) => return Err(e),
                Err(Failure::Passing(e, asked)) => {
                    failures += 1;
                    if failures >= self.patience.attempts {
                        return Err(given_up(e, failures));
                    }
                    thread::sleep(self.patience.wait(failures, asked));
                }
            }
        }
    }
}

fn given_up(last: Error, failures: u32) -> Error {
    let mend = last.hint().map(str::to_owned);
    let error = Error::new(format!("{} (given up after {failures} attempts)", last.what()));
    match mend {
        Some(mend) => error.mend(mend),
        None => error.mend("try again later"),
    }
}

fn media_type(response: &Response<Body>) -> String {
    let value = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_owned()
}

/// The whole body, refused where it is longer than `limit`.
fn bounded(endpoint: &Endpoint, response: Response<Body>, limit: u64) -> std::result::Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let read = response.into_body().into_reader().take(limit + 1).read_to_end(&mut content);
    read.map_err(|e| endpoint.failure(ureq::Error::from(e)))?;
    if content.len() as u64 > limit {
        let what = format!("{} sends a document of more than {}, the limit", endpoint.domain(), human(limit));
        return Err(Error::new(what).into());
    }
    Ok(content)
}

/// A blob on its way.
struct Download<'a> {
    digest: &'a Digest,
    size: u64,
    sink: &'a mut dyn Sink,
    got: u64,
    hasher: Hasher,
    /// Whether it was wrong once already.
    restarted: bool,
    /// The sink's error, which no server is to blame for.
    sunk: Option<Error>,
}

impl Download<'_> {
    fn attempt(&mut self, endpoint: &Endpoint) -> std::result::Result<(), Failure> {
        if self.got < self.size || self.size == 0 {
            let mut ask = Ask::new("GET", endpoint.path(&format!("blobs/{}", self.digest)));
            if self.got > 0 {
                ask = ask.header(header::RANGE, format!("bytes={}-", self.got));
            }
            let response = endpoint.send(&ask)?;
            if self.got > 0 && !self.goes_on(&response) {
                // A server that cannot go on starts again, and one that goes on elsewhere is asked for the whole.
                self.restart()?;
                if response.status() != 200 {
                    return Err(Failure::Passing(
                        Error::new(format!("{} does not go on where the download broke off", endpoint.domain())),
                        Some(Duration::ZERO),
                    ));
                }
            }
            self.take(endpoint, response)?;
        }
        let found = std::mem::take(&mut self.hasher).finish();
        if found == *self.digest {
            return Ok(());
        }
        let what =
            format!("{} sends something else for blob {}: its digest is {found}", endpoint.domain(), self.digest);
        self.wrong(Error::new(what))
    }

    fn goes_on(&self, response: &Response<Body>) -> bool {
        let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
        response.status() == 206 && range.is_some_and(|range| range.starts_with(&format!("bytes {}-", self.got)))
    }

    fn take(&mut self, endpoint: &Endpoint, response: Response<Body>) -> std::result::Result<(), Failure> {
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = reader.read(&mut buffer).map_err(|e| endpoint.failure(ureq::Error::from(e)))?;
            let piece = buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            if self.got + count as u64 > self.size {
                let what =
                    format!("{} sends more for blob {} than its {} bytes", endpoint.domain(), self.digest, self.size);
                return self.wrong(Error::new(what));
            }
            self.hasher.update(piece);
            self.sink.write(piece).map_err(|e| self.stop(e))?;
            self.got += count as u64;
        }
        if self.got < self.size {
            let (got, size) = (self.got, self.size);
            let what = format!("{} ends blob {} after {got} of {size} bytes", endpoint.domain(), self.digest);
            return Err(Failure::Passing(Error::new(what), None));
        }
        Ok(())
    }

    /// The content is wrong: it may be better once more, but a server that says so twice means it.
    fn wrong(&mut self, e: Error) -> std::result::Result<(), Failure> {
        if self.restarted {
            return Err(Failure::Final(e));
        }
        self.restarted = true;
        self.restart()?;
        Err(Failure::Passing(e, None))
    }

    fn restart(&mut self) -> std::result::Result<(), Failure> {
        self.got = 0;
        self.hasher = Hasher::default();
        self.sink.restart().map_err(|e| self.stop(e))
    }

    fn stop(&mut self, e: Error) -> Failure {
        let failure = Failure::Final(Error::new(printable(e.what())));
        self.sunk = Some(e);
        failure
    }
}
