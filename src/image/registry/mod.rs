//! Registries (OCI distribution-spec): how they are configured, and what can be asked of them.
//!
//! [`Registries`] is what this machine's files say; [`Registries::candidates`] makes names full, [`Registries::repository`] leads to a
//! [`Repository`], which may be on several servers: mirrors, and the registry itself. A repository's methods may be called from several
//! threads at once, and no thread outlives a call. A registry is a stranger: whatever it sends is bounded, checked against a digest where
//! there is one, and never printed as it came.

mod challenge;
pub mod conf;
mod credentials;
mod endpoint;
mod push;
mod repository;
mod retry;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use self::conf::Conf;
use self::credentials::Logins;
pub use self::credentials::PullSecret;
use self::endpoint::Endpoint;
pub use self::push::Sent;
pub use self::repository::{Document, Repository, Sink, Which};
pub use self::retry::Patience;
use self::tls::Authorities;
use crate::error::Result;
use crate::image::reference::Reference;

/// What the caller says beside the configuration files.
#[derive(Debug, Clone)]
pub struct Options {
    /// The only file with logins.
    pub auth_file: Option<PathBuf>,
    /// User and password, in place of all other logins.
    pub credentials: Option<(String, String)>,
    /// Whether certificates are checked and TLS is wanted, whatever registries.conf says.
    pub tls_verify: Option<bool>,
    /// A pod's own logins.
    pub pull_secrets: Vec<PullSecret>,
    /// How long a connection may take.
    pub connect_deadline: Duration,
    /// How long a server may be silent.
    pub stall_deadline: Duration,
    /// How often things are tried.
    pub patience: Patience,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            auth_file: None,
            credentials: None,
            tls_verify: None,
            pull_secrets: Vec::new(),
            connect_deadline: Duration::from_secs(10),
            stall_deadline: Duration::from_secs(30),
            patience: Patience::default(),
        }
    }
}

/// The registries as this machine's files and the caller's options describe them.
#[derive(Debug)]
pub struct Registries {
    conf: Conf,
    logins: Logins,
    authorities: Authorities,
    options: Options,
}

impl Registries {
    /// Reads the configuration; no server is asked.
    ///
    /// # Errors
    /// A file that cannot be read or meant.
    pub fn from_host(options: Options) -> Result<Registries> {
        Registries::new(Conf::of_host()?, options)
    }

    /// The same with a configuration that was read already.
    ///
    /// # Errors
    /// A file with logins that was asked for and is not there.
    pub fn new(conf: Conf, options: Options) -> Result<Registries> {
        let logins = Logins::new(options.credentials.clone(), options.pull_secrets.clone(), options.auth_file.clone())?;
        Ok(Registries { conf, logins, authorities: Authorities::default(), options })
    }

    /// What was not understood of the configuration, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.conf.warnings
    }

    /// What a name as written may mean, best first.
    ///
    /// # Errors
    /// A bad name, or one that the configuration wants written in full.
    pub fn candidates(&self, written: &str) -> Result<Vec<Reference>> {
        self.conf.candidates(written)
    }

    /// The repository of `reference`, on its mirrors and its own server.
    ///
    /// # Errors
    /// It is blocked, or a login or certificate cannot be read.
    pub fn repository(&self, reference: &Reference) -> Result<Repository> {
        let places = self.conf.places(reference)?;
        // Behind the mirrors comes the registry itself, wherever `location` says that it is.
        let own = places.last().map(|place| place.domain.clone()).unwrap_or_default();
        let endpoint = |place: conf::Place| {
            let credentials = self.logins.find(&own, &place.domain, &place.path)?;
            Endpoint::new(place, credentials, &self.authorities, &self.options)
        };
        let endpoints = places.into_iter().map(endpoint).collect::<Result<Vec<_>>>()?;
        Ok(Repository::new(endpoints, self.options.patience))
    }
}

/// A stranger's text, cut, and without what could play tricks on a terminal.
fn printable(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
