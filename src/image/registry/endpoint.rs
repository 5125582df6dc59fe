//! One repository on one server: requests, redirects, logins, and what a failure means.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::{HeaderMap, Request, Response, Uri, header};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout, time};
use ureq::{Agent, Body, SendBody};

use super::challenge::{Challenge, best};
use super::conf::Place;
use super::credentials::Credential;
use super::retry::{Failure, retry_after};
use super::tls::Authorities;
use super::{Options, printable};
use crate::error::{Error, Result};

/// Answers that are errors are read so far, and tokens.
const ERROR_LIMIT: u64 = 16 << 10;
const TOKEN_LIMIT: u64 = 1 << 20;
const REDIRECTS: usize = 5;

/// A request of the distribution API.
pub struct Ask<'a> {
    /// The HTTP method.
    pub method: &'static str,
    /// The path below the registry's root, or a whole URL that the registry gave.
    pub target: String,
    /// Further headers.
    pub headers: Vec<(header::HeaderName, String)>,
    /// What to send, and its length in bytes.
    pub body: Option<(&'a MakeBody<'a>, u64)>,
}

/// Makes a body anew for each attempt.
pub type MakeBody<'a> = dyn Fn() -> Box<dyn Read + 'a> + 'a;

impl Ask<'_> {
    /// A request without a body.
    pub fn new(method: &'static str, target: impl Into<String>) -> Self {
        Ask { method, target: target.into(), headers: Vec::new(), body: None }
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A repository on a server.
#[derive(Debug)]
pub struct Endpoint {
    place: Place,
    agent: Agent,
    scheme: OnceLock<&'static str>,
    login: Mutex<Login>,
}

#[derive(Debug, Default)]
struct Login {
    credentials: Vec<Credential>,
    /// Which of them is tried.
    at: usize,
    /// The `Authorization` that worked last.
    header: Option<String>,
}

impl Endpoint {
    /// Nothing is asked yet.
    pub(super) fn new(
        place: Place,
        credentials: Vec<Credential>,
        authorities: &Authorities,
        options: &Options,
    ) -> Result<Endpoint> {
        let verify = options.tls_verify.unwrap_or(!place.insecure);
        let place = Place { insecure: !verify, ..place };
        let config = Agent::config_builder()
            .tls_config(authorities.config(&place.domain, verify)?)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("podling/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_connect(Some(options.connect_deadline))
            .timeout_per_read(Some(options.stall_deadline))
            .timeout_per_write(Some(options.stall_deadline))
            .max_idle_connections_per_host(8)
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), OnThisThread);
        let login = Mutex::new(Login { credentials, ..Login::default() });
        Ok(Endpoint { place, agent, scheme: OnceLock::new(), login })
    }

    /// The server's name, as the configuration has it.
    pub fn domain(&self) -> &str {
        &self.place.domain
    }

    /// `/v2/PATH/REST`.
    pub fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.place.path)
    }

    /// Sends a request, logs in where that is asked for, follows redirects, and answers with a success or says what the failure means.
    ///
    /// # Errors
    /// Whether it may pass is in the answer.
    pub fn send(&self, ask: &Ask<'_>) -> std::result::Result<Response<Body>, Failure> {
        let mut tries = 0;
        loop {
            let header = self.login.lock().unwrap_or_else(PoisonError::into_inner).header.clone();
            let (response, own) = self.follow(ask, header.as_deref())?;
            if response.status() != 401 || !own {
                return self.check(ask, response);
            }
            let values = response.headers().get_all(header::WWW_AUTHENTICATE).iter();
            let challenge = best(values.filter_map(|value| value.to_str().ok()));
            if !self.log_in(challenge, header.as_deref(), ask, tries)? {
                return self.check(ask, response);
            }
            tries += 1;
        }
    }

    /// Follows redirects; says whether the answer came from the registry itself. To other servers no login goes.
    fn follow(&self, ask: &Ask<'_>, login: Option<&str>) -> std::result::Result<(Response<Body>, bool), Failure> {
        let mut url = self.address(&ask.target)?;
        for _ in 0..=REDIRECTS {
            let own = url.host() == self.base()?.host() && url.port_u16() == self.base()?.port_u16();
            let response = self.request(ask, &url, login.filter(|_| own))?;
            let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !moved || !matches!(ask.method, "GET" | "HEAD") {
                return Ok((response, own));
            }
            let to = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            url = self.redirected(&url, to)?;
        }
        Err(Error::new(format!("{} redirects more than {REDIRECTS} times", self.domain())).into())
    }

    /// Where a `Location` leads from `url`.
    pub fn redirected(&self, url: &Uri, to: &str) -> Result<Uri> {
        let bad =
            || Error::new(format!("{} redirects to {}, which is no address to go to", self.domain(), printable(to)));
        let target: Uri = match to {
            _ if to.contains("://") => to.parse().map_err(|_| bad())?,
            _ if to.starts_with("//") => {
                format!("{}:{to}", url.scheme_str().unwrap_or("https")).parse().map_err(|_| bad())?
            }
            _ if to.starts_with('/') => {
                let (scheme, authority) = (url.scheme_str().unwrap_or("https"), url.authority().ok_or_else(bad)?);
                format!("{scheme}://{authority}{to}").parse().map_err(|_| bad())?
            }
            _ => return Err(bad()),
        };
        match (url.scheme_str(), target.scheme_str()) {
            (_, Some("https")) | (Some("http"), Some("http")) => Ok(target),
            (_, Some("http")) => {
                Err(Error::new(format!("{} redirects to {}, which has no TLS", self.domain(), printable(to))))
            }
            _ => Err(bad()),
        }
    }

    fn base(&self) -> Result<Uri> {
        self.address("/")
    }

    pub(super) fn address(&self, target: &str) -> Result<Uri> {
        let bad = |_| Error::new(format!("{} is no registry's address", printable(&self.place.domain)));
        if target.contains("://") {
            return target.parse().map_err(bad);
        }
        // Docker Hub's registry is not where its name says.
        let host = if self.place.domain == "docker.io" { "registry-1.docker.io" } else { &self.place.domain };
        format!("{}://{host}{target}", self.scheme.get().unwrap_or(&"https")).parse().map_err(bad)
    }

    /// One request. A registry that may be asked without TLS is asked with it first.
    fn request(&self, ask: &Ask<'_>, url: &Uri, login: Option<&str>) -> std::result::Result<Response<Body>, Failure> {
        let first = self.request_once(ask, url, login);
        // Another thread may have found out meanwhile that it is plain HTTP, and this address was made before.
        let is_own = || self.address("/").is_ok_and(|own| own.authority() == url.authority());
        let is_guess = url.scheme_str() == Some("https") && self.scheme.get() != Some(&"https") && is_own();
        if !is_guess {
            return first.map_err(|e| self.failure(e));
        }
        match first {
            Ok(response) => {
                let _ = self.scheme.set("https");
                Ok(response)
            }
            Err(ureq::Error::Timeout(_) | ureq::Error::HostNotFound) if !self.place.insecure => {
                first.map_err(|e| self.failure(e))
            }
            Err(e) if self.place.insecure => {
                let plain = url.to_string().replacen("https://", "http://", 1).parse::<Uri>();
                let plain = plain.map_err(|_| Error::new("no address"))?;
                match self.request_once(ask, &plain, login) {
                    Ok(response) => {
                        let _ = self.scheme.set("http");
                        Ok(response)
                    }
                    // Where neither answers, what plain HTTP came to says more: it is not about certificates.
                    Err(plain) => Err(self.failure(if is_connection(&plain) { plain } else { e })),
                }
            }
            Err(e) => Err(self.failure(e)),
        }
    }

    fn request_once(
        &self,
        ask: &Ask<'_>,
        url: &Uri,
        login: Option<&str>,
    ) -> std::result::Result<Response<Body>, ureq::Error> {
        let mut builder = Request::builder().method(ask.method).uri(url);
        for (name, value) in &ask.headers {
            builder = builder.header(name, value);
        }
        if let Some(login) = login {
            builder = builder.header(header::AUTHORIZATION, login);
        }
        match &ask.body {
            None => self.agent.run(builder.body(())?),
            Some((body, length)) => {
                let mut reader = body();
                self.agent
                    .run(builder.header(header::CONTENT_LENGTH, *length).body(SendBody::from_reader(&mut reader))?)
            }
        }
    }

    /// Gets a new `Authorization`; `false` where there is nothing left to try. `used` is the one that was refused.
    fn log_in(
        &self,
        challenge: Option<Challenge>,
        used: Option<&str>,
        ask: &Ask<'_>,
        tries: usize,
    ) -> std::result::Result<bool, Failure> {
        let mut login = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        if login.header.as_deref() != used && tries < 8 {
            // Another thread has just got a new one.
            return Ok(true);
        }
        let Some(challenge) = challenge else { return Ok(false) };
        // The first refusal of a token may mean that it expired; a fresh one that is refused, that the login is no good here.
        if tries > 0 {
            login.at += 1;
        }
        if tries > login.credentials.len() {
            return Ok(false);
        }
        let credential = login.credentials.get(login.at).cloned();
        if credential.is_none() && (tries > 0 || !login.credentials.is_empty()) {
            return Ok(false);
        }
        login.header = match (&challenge, credential) {
            (Challenge::Basic, None) => return Ok(false),
            (Challenge::Basic, Some(credential)) => Some(basic(&credential)),
            (Challenge::Bearer { realm, service, scope }, credential) => {
                let actions = if matches!(ask.method, "GET" | "HEAD") { "pull" } else { "pull,push" };
                let default = format!("repository:{}:{actions}", self.place.path);
                let scope = scope.as_deref().unwrap_or(&default);
                match self.token(realm, service.as_deref(), scope, credential.as_ref())? {
                    Some(token) => Some(format!("Bearer {token}")),
                    None => return Ok(login.credentials.len() > login.at + 1),
                }
            }
        };
        Ok(true)
    }

    /// Gets a token; `None` where the service refuses the login.
    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        credential: Option<&Credential>,
    ) -> std::result::Result<Option<String>, Failure> {
        let elsewhere =
            |why: &str| Error::new(format!("{} sends for a token to {}, {why}", self.domain(), printable(realm)));
        let url: Uri = realm.parse().map_err(|_| elsewhere("which is no address"))?;
        match url.scheme_str() {
            Some("https") => {}
            Some("http") if self.place.insecure => {}
            _ => return Err(elsewhere("which has no TLS, and a login must not go there").into()),
        }
        let mut query = String::new();
        for (key, value) in [("service", service), ("scope", Some(scope))] {
            let Some(value) = value else { continue };
            let _ = write!(query, "{}{key}={}", if query.is_empty() { "" } else { "&" }, encode(value));
        }
        let result = match credential.and_then(|credential| credential.identity_token.as_deref()) {
            Some(refresh) => {
                let form =
                    format!("{query}&client_id=podling&grant_type=refresh_token&refresh_token={}", encode(refresh));
                let request = Request::post(&url).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                self.agent.run(request.body(form).map_err(|_| elsewhere("which is no address"))?)
            }
            None => {
                let mark = if realm.contains('?') { '&' } else { '?' };
                let mut request = Request::get(format!("{realm}{mark}{query}"));
                if let Some(credential) = credential {
                    request = request.header(header::AUTHORIZATION, basic(credential));
                }
                self.agent.run(request.body(()).map_err(|_| elsewhere("which is no address"))?)
            }
        };
        let mut response = result.map_err(|e| self.failure(e))?;
        match response.status().as_u16() {
            200 => {}
            400 | 401 | 403 => return Ok(None),
            _ => return self.check(&Ask::new("GET", realm), response).map(|_| None),
        }
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let content = response.body_mut().with_config().limit(TOKEN_LIMIT).read_to_vec();
        let content = content.map_err(|e| self.failure(e))?;
        let answer: Option<Answer> = serde_json::from_slice(&content).ok();
        let token = answer.and_then(|answer| answer.token.filter(|t| !t.is_empty()).or(answer.access_token));
        let token = token.filter(|token| token.bytes().all(|b| b.is_ascii_graphic()));
        token.map(Some).ok_or_else(|| elsewhere("which answers without a token").into())
    }

    /// Tells success from failure, and what a failure means.
    fn check(&self, ask: &Ask<'_>, response: Response<Body>) -> std::result::Result<Response<Body>, Failure> {
        let status = response.status().as_u16();
        if response.status().is_success() || (status == 416 && ask.method == "GET") {
            return match encoding(response.headers()) {
                None => Ok(response),
                Some(name) => Err(Error::new(format!(
                    "{} answers in the encoding {name}, which was not asked for",
                    self.domain()
                ))
                .into()),
            };
        }
        let asked = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|value| retry_after(value, SystemTime::now()));
        let said = reason(response);
        let (domain, path) = (&self.place.domain, &self.place.path);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Err(match status {
            404 => Failure::Final(Error::new(format!("there is no {} at {domain}{said}", what(&ask.target, path)))),
            401 | 403 => Failure::Final(self.refused(status, &said)),
            408 | 429 | 500 | 502 | 503 | 504 => {
                let error = Error::new(format!("{domain} answers with status {status}{said}"));
                let mend = "wait a while, or log in, which most registries allow more requests";
                Failure::Passing(if status == 429 { error.mend(mend) } else { error }, asked)
            }
            _ => Failure::Final(Error::new(format!("{domain} answers {} with status {status}{said}", ask.method))),
        })
    }

    fn refused(&self, status: u16, said: &str) -> Error {
        let (domain, path) = (&self.place.domain, &self.place.path);
        let login = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        let mend = format!(
            "log in with `podman login {domain}`, `skopeo login {domain}` or `docker login {domain}`, or give --creds USER:PASSWORD"
        );
        let why = match (status, login.credentials.first()) {
            (_, Some(credential)) => format!("the login of user {:?} is not accepted", credential.user),
            (401, None) => "it wants a login, or there is no such repository".to_owned(),
            (_, None) => "it is forbidden without a login, or there is no such repository".to_owned(),
        };
        Error::new(format!("{domain} refuses access to {path} with status {status}: {why}{said}")).mend(mend)
    }

    /// What a failed exchange means.
    pub(super) fn failure(&self, e: ureq::Error) -> Failure {
        let domain = &self.place.domain;
        let host = domain.rsplit_once(':').map_or(domain.as_str(), |(host, _)| host);
        let passing = |why: String| Failure::Passing(Error::new(format!("{domain}: {why}")), None);
        let tls = match &e {
            ureq::Error::Rustls(e) => Some(e),
            ureq::Error::Io(e) => e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()),
            _ => None,
        };
        match tls {
            Some(rustls::Error::InvalidMessage(_)) => {
                return Failure::Final(Error::new(format!("{domain} does not speak TLS, but probably plain HTTP")).mend(format!(
                    "if that is meant, say so in ~/.config/containers/registries.conf: [[registry]], location = \"{domain}\", \
                     insecure = true; or give --tls-verify=false"
                )));
            }
            Some(rustls::Error::InvalidCertificate(e)) => {
                let (why, mend) = certificate_error(e, domain);
                return Failure::Final(
                    Error::new(format!("the certificate of {domain} is not accepted: {why}")).mend(mend),
                );
            }
            Some(e) => return Failure::Final(Error::new(format!("{domain}: {}", printable(&e.to_string())))),
            None => {}
        }
        match e {
            ureq::Error::Timeout(_) => passing("nothing came for too long".into()),
            ureq::Error::HostNotFound => Failure::Final(Error::new(format!("the host {host} was not found"))),
            ureq::Error::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                Failure::Final(Error::new(format!("nobody listens at {domain}: connection refused")))
            }
            ureq::Error::Io(e) if e.to_string().contains("lookup address") => {
                Failure::Final(Error::new(format!("the host {host} was not found: {}", printable(&e.to_string()))))
            }
            ureq::Error::Io(e) => passing(printable(&e.to_string())),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::LargeResponseHeader(..) => {
                Failure::Final(Error::new(format!("{domain}: {}", printable(&e.to_string()))))
            }
            e => passing(printable(&e.to_string())),
        }
    }
}

fn is_connection(e: &ureq::Error) -> bool {
    matches!(e, ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::HostNotFound)
}

fn basic(credential: &Credential) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", credential.user, credential.password)))
}

/// Percent-encoding of everything but unreserved characters (RFC 3986, 2.3).
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

fn encoding(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_ENCODING)?.to_str().unwrap_or("?");
    (!value.is_empty() && value != "identity").then(|| printable(value))
}

/// What the target of a request is, for people.
fn what(target: &str, path: &str) -> String {
    let rest = target.split_once(path).map_or(target, |(_, rest)| rest);
    let name = rest.rsplit('/').next().unwrap_or(rest);
    match rest {
        _ if rest.contains("/manifests/sha256:") => format!("image {path}@{name}"),
        _ if rest.contains("/manifests/") => format!("image {path}:{name}"),
        _ if rest.contains("/blobs/") => format!("blob {name} of {path}"),
        _ => format!("such place as {}", printable(target)),
    }
}

/// The registry's own words about an error (distribution-spec, "Error Codes"), made fit for a terminal.
fn reason(mut response: Response<Body>) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Said>,
    }
    #[derive(Deserialize)]
    struct Said {
        code: Option<String>,
        message: Option<String>,
    }
    let mut content = Vec::new();
    let _ = response.body_mut().as_reader().take(ERROR_LIMIT).read_to_end(&mut content);
    let Ok(errors) = serde_json::from_slice::<Errors>(&content) else { return String::new() };
    let said = errors.errors.into_iter().take(2).filter_map(|said| {
        let message = said.message.filter(|m| !m.is_empty()).or(said.code)?;
        Some(printable(&message))
    });
    said.collect::<Vec<_>>().join("; ")
}

/// Names are looked up on the thread that asks: ureq would start another that may outlive the request, and podling clones later.
#[derive(Debug)]
struct OnThisThread;

impl Resolver for OnThisThread {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        let never = NextTimeout { after: time::Duration::NotHappening, ..timeout };
        DefaultResolver::default().resolve(uri, config, never)
    }
}
/// Why a certificate is refused, and what helps.
fn certificate_error(e: &rustls::CertificateError, domain: &str) -> (String, String) {
    use rustls::CertificateError;
    let anyway = "or give --tls-verify=false";
    let renew = format!("give the registry a certificate that fits, {anyway}");
    match e {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            "nobody that is trusted here has signed it".into(),
            format!("put the authority's certificate into ~/.config/containers/certs.d/{domain}/ca.crt, {anyway}"),
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("it is for other names".into(), renew)
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => ("it has expired".into(), renew),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("it is not valid yet".into(), renew)
        }
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => (
            "it is an authority's own (CA:TRUE), which no server may use".into(),
            format!("have the authority sign another for the registry (openssl x509 -req -CA …), {anyway}"),
        ),
        other => (printable(&other.to_string()), renew),
    }
}
