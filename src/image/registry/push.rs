//! The other way: blobs and manifests go to a repository (distribution-spec, "Push").

use std::io::{self, Read};

use ureq::http::header;

use super::endpoint::{Ask, Endpoint};
use super::repository::{Repository, Which};
use super::retry::Failure;
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::extent::{Extent, ExtentReader};

/// What became of a blob that was to be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The registry had it.
    Present,
    /// It was sent.
    Uploaded,
}

impl Repository {
    /// Brings a blob into the repository: nothing is sent where it is there, or where the registry has it in its repository `from`.
    /// `progress` is told how many more bytes went out.
    ///
    /// # Errors
    /// What the registry did.
    pub fn send_blob(
        &self,
        digest: &Digest,
        content: &Extent,
        from: Option<&str>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Sent> {
        let endpoint = self.own()?;
        self.patiently(|| {
            match endpoint.send(&Ask::new("HEAD", endpoint.path(&format!("blobs/{digest}")))) {
                Ok(_) => return Ok(Sent::Present),
                Err(Failure::Passing(e, after)) => return Err(Failure::Passing(e, after)),
                // Not there, or not to be asked by who may only write.
                Err(Failure::Final(_)) => {}
            }
            let mount = from.map(|from| format!("?mount={digest}&from={from}")).unwrap_or_default();
            let begin =
                Ask::new("POST", endpoint.path(&format!("blobs/uploads/{mount}"))).header(header::CONTENT_LENGTH, "0");
            let response = endpoint.send(&begin)?;
            if response.status() == 201 {
                return Ok(Sent::Present);
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location
                .ok_or_else(|| Error::new(format!("{} does not say where to send a blob", endpoint.domain())))?;
            let target = endpoint.upload(location, digest)?;
            let body = || -> Box<dyn Read> { Box::new(Told { input: content.reader(), progress }) };
            let upload = Ask { body: Some((&body, content.length())), ..Ask::new("PUT", target) };
            endpoint.send(&upload.header(header::CONTENT_TYPE, "application/octet-stream")).map(|_| Sent::Uploaded)
        })
    }

    /// Puts a manifest, byte for byte; its blobs must be there.
    ///
    /// # Errors
    /// What the registry did.
    pub fn put_manifest(&self, which: &Which, media_type: &str, content: &[u8]) -> Result<()> {
        let endpoint = self.own()?;
        self.patiently(|| {
            let body = || -> Box<dyn Read> { Box::new(content) };
            let ask = Ask {
                body: Some((&body, content.len() as u64)),
                ..Ask::new("PUT", endpoint.path(&format!("manifests/{which}")))
            };
            let response = endpoint.send(&ask.header(header::CONTENT_TYPE, media_type))?;
            let digest = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
            match digest.filter(|digest| **digest != Digest::of(content).to_string()) {
                Some(_) => Err(Error::new(format!("{} changed the manifest", endpoint.domain())).into()),
                None => Ok(()),
            }
        })
    }

    /// The repository itself: nothing is pushed to mirrors.
    fn own(&self) -> Result<&Endpoint> {
        self.endpoints.last().ok_or_else(|| Error::new("no server is configured"))
    }
}

impl Endpoint {
    /// Where an upload that was begun goes to be ended: the `Location`, with the digest added to its query. Another server may be
    /// meant, which gets no login ([`Endpoint::send`] sees to that).
    fn upload(&self, location: &str, digest: &Digest) -> Result<String> {
        let here = self.address(&self.path(""))?;
        let url = self.redirected(&here, location)?.to_string();
        let mark = if url.contains('?') { '&' } else { '?' };
        Ok(format!("{url}{mark}digest={digest}"))
    }
}

/// Tells how much was read.
struct Told<'a> {
    input: ExtentReader,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        (self.progress)(count as u64);
        Ok(count)
    }
}
