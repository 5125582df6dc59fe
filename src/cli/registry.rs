//! What the verbs that talk to registries have in common: their options, and asking for an image.

use std::cell::OnceCell;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::image::Reference;
use crate::image::registry::{Options, PullSecret, Registries};

/// Options about registries.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RegistryArgs {
    /// Read logins from FILE instead of auth.json and docker's config.json
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,

    /// Log in as USER; the password comes from podling's own environment, PODLING_PASSWORD, where it is not given
    #[arg(long, value_name = "USER[:PASSWORD]")]
    creds: Option<String>,

    /// `false` takes any certificate, and registries without TLS
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls_verify: Option<bool>,
}

impl RegistryArgs {
    /// Refuses a login on the command line for images of several registries: a pod's author, who need not be its user, would choose who
    /// gets the password.
    pub fn check_one_registry<'a>(&self, images: impl Iterator<Item = &'a String>) -> Result<()> {
        if self.creds.is_none() {
            return Ok(());
        }
        let mut domains: Vec<String> =
            images.map(|name| Ok(Reference::parse(name)?.domain().to_owned())).collect::<Result<_>>()?;
        domains.sort_unstable();
        domains.dedup();
        match domains.as_slice() {
            [_, _, ..] => {
                Err(Error::new(format!("--creds is one login, and the images are in {}", domains.join(", "))).mend(
                    "log in to each registry with `podman login` or `docker login`, or give the pod imagePullSecrets",
                ))
            }
            _ => Ok(()),
        }
    }

    /// The registries as they are configured on this machine and by these options, with the logins that a pod brings.
    ///
    /// # Errors
    /// Options or files that cannot be read.
    pub fn registries(&self, pull_secrets: Vec<PullSecret>) -> Result<Registries> {
        let credentials = self.creds.as_deref().map(credentials).transpose()?;
        let auth_file = self.authfile.clone();
        Registries::from_host(Options {
            auth_file,
            credentials,
            tls_verify: self.tls_verify,
            pull_secrets,
            ..Options::default()
        })
    }
}

fn credentials(text: &str) -> Result<(String, String)> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user.to_owned(), Some(password.to_owned())),
        None => (text.to_owned(), std::env::var("PODLING_PASSWORD").ok()),
    };
    match password {
        Some(password) if !user.is_empty() => Ok((user, password)),
        _ => Err(Error::new("--creds needs a user and a password")
            .mend("write --creds USER:PASSWORD, or put the password into PODLING_PASSWORD")),
    }
}

/// Registries that are read when they are first needed.
pub struct Lazily<'a> {
    read: OnceCell<Registries>,
    how: Box<dyn Fn() -> Result<Registries> + 'a>,
}

impl<'a> Lazily<'a> {
    /// Reads them by `how`.
    pub fn new(how: impl Fn() -> Result<Registries> + 'a) -> Lazily<'a> {
        Lazily { read: OnceCell::new(), how: Box::new(how) }
    }

    /// The registries.
    ///
    /// # Errors
    /// Those of reading them.
    pub fn get(&self) -> Result<&Registries> {
        if let Some(read) = self.read.get() {
            return Ok(read);
        }
        let read = (self.how)()?;
        read.warnings().iter().for_each(super::say);
        Ok(self.read.get_or_init(|| read))
    }
}
