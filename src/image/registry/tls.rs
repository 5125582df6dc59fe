//! Whom a registry's certificate must come from: the system's authorities, and the directories `certs.d` of containers and docker
//! (containers-certs.d(5)).

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::error::{Context, Error, Result};

/// The system's authorities; reading them takes longer than a request, so they are read once, and only for TLS.
#[derive(Debug, Default)]
pub struct Authorities(OnceLock<Vec<Certificate<'static>>>);

impl Authorities {
    fn system(&self) -> &[Certificate<'static>] {
        self.0.get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            found.certs.iter().map(|der| Certificate::from_der(der.as_ref()).to_owned()).collect()
        })
    }

    /// The TLS configuration for the registry `domain`, host and port.
    ///
    /// # Errors
    /// A file of `certs.d` that cannot be read.
    pub fn config(&self, domain: &str, verify: bool) -> Result<TlsConfig> {
        let mut roots = if verify { self.system().to_vec() } else { Vec::new() };
        let mut client = None;
        for dir in directories(domain) {
            let Ok(entries) = std::fs::read_dir(&dir) else { continue };
            for file in entries.filter_map(|entry| Some(entry.ok()?.path())) {
                match file.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => roots.extend(certificates(&file)?),
                    Some("cert") if client.is_none() => client = Some(client_certificate(&file)?),
                    _ => {}
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .client_cert(client)
            .disable_verification(!verify)
            .unversioned_rustls_crypto_provider(provider)
            .build())
    }
}

fn directories(domain: &str) -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    let user = config.map(|dir| dir.join("containers/certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    user.into_iter().chain(system).map(|dir| dir.join(domain)).collect()
}

fn pem(file: &Path) -> Result<Vec<PemItem<'static>>> {
    let content = std::fs::read(file).context(|| format!("cannot read {}", file.display()))?;
    let items: std::result::Result<Vec<_>, _> = parse_pem(&content).collect();
    items.map_err(|_| Error::new(format!("{} is no PEM file", file.display())))
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>> {
    let certificate = |item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    };
    let found: Vec<_> = pem(file)?.into_iter().filter_map(certificate).collect();
    if found.is_empty() { Err(Error::new(format!("there is no certificate in {}", file.display()))) } else { Ok(found) }
}

fn client_certificate(file: &Path) -> Result<ClientCert> {
    let key_file = file.with_extension("key");
    let content = std::fs::read(&key_file).context(|| format!("cannot read {}", key_file.display()))?;
    let key =
        PrivateKey::from_pem(&content).map_err(|_| Error::new(format!("there is no key in {}", key_file.display())))?;
    Ok(ClientCert::new_with_certs(&certificates(file)?, key))
}
