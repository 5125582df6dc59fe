//! TLS without verification: as with the kubelet, a probe asks whether the server answers, not who it is.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::socket::{Stream, Trouble};

/// A connection, plain or secured.
#[derive(Debug)]
pub(super) enum Connection {
    Plain(Stream),
    Secure(Box<StreamOwned<ClientConnection, Stream>>),
}

/// Secures `stream` to `host`, with `protocol` the only one offered (ALPN).
pub(super) fn secure(mut stream: Stream, host: &str, protocol: &[u8]) -> Result<Connection, Trouble> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| Trouble::Other(format!("tls: {error}")))?;
    let mut tls = config(protocol).and_then(|config| ClientConnection::new(config, name)).map_err(said)?;
    while tls.is_handshaking() {
        if let Err(error) = tls.complete_io(&mut stream) {
            return Err(if stream.spoke_http() { Trouble::other(GAVE_HTTP) } else { failed(error) });
        }
    }
    Ok(Connection::Secure(Box::new(StreamOwned::new(tls, stream))))
}

/// What Go says of an HTTPS request that was answered in plain HTTP; the hooks' fallback hangs on it.
pub(super) const GAVE_HTTP: &str = "http: server gave HTTP response to HTTPS client";

impl Connection {
    /// The protocol that the server chose (ALPN).
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        match self {
            Connection::Plain(_) => None,
            Connection::Secure(secure) => secure.conn.alpn_protocol(),
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Connection::Plain(stream) => stream.read(buffer),
            // Go takes an end without the goodbye of TLS for an end, since many servers leave it out.
            Connection::Secure(secure) => match secure.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                read => read,
            },
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Connection::Plain(stream) => stream.write(bytes),
            Connection::Secure(secure) => secure.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Connection::Plain(stream) => stream.flush(),
            Connection::Secure(secure) => secure.flush(),
        }
    }
}

/// Says goodbye, so that the server does not log a cut connection at each probe.
impl Drop for Connection {
    fn drop(&mut self) {
        if let Connection::Secure(secure) = self {
            secure.conn.send_close_notify();
            let _ = secure.conn.write_tls(&mut secure.sock);
        }
    }
}

fn config(protocol: &[u8]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn failed(error: io::Error) -> Trouble {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => said(error.clone()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Trouble::other("EOF"),
        None => error.into(),
    }
}

fn said(error: rustls::Error) -> Trouble {
    Trouble::Other(match error {
        rustls::Error::InvalidMessage(_) => "tls: first record does not look like a TLS handshake".to_owned(),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "remote error: tls: protocol version not supported".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("remote error: tls: {}", apart(&format!("{alert:?}"))),
        other => format!("tls: {other}"),
    })
}

/// `HandshakeFailure` as `handshake failure`.
fn apart(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(character.to_lowercase());
    }
    text
}

/// Takes every certificate, and any signature with it: a signature by a key that nobody vouches for proves nothing.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
