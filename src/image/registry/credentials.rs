//! Logins: the files that `podman login`, `skopeo login` and `docker login` write, their helpers, and a pod's own secrets
//! (containers-auth.json(5); Kubernetes, "Pull an Image from a Private Registry").

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::error::{Context, Error, Result};
use crate::host::find_program;

/// One login.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user's name.
    pub user: String,
    /// The password; empty where there is a token.
    pub password: String,
    /// A refresh token to exchange, in place of a password.
    pub identity_token: Option<String>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The logins of one Secret of a pod's `imagePullSecrets`.
#[derive(Debug, Clone)]
pub struct PullSecret(BTreeMap<String, Credential>);

impl PullSecret {
    /// Reads an entry of a Secret's data; `None` where its key is none of a Secret with logins.
    ///
    /// # Errors
    /// The value is not what its key promises.
    pub fn parse(key: &str, value: &[u8]) -> Result<Option<PullSecret>> {
        let bad = |e: serde_json::Error| Error::new(format!("{key}: {}", without_secrets(&e)));
        let auths = match key {
            ".dockerconfigjson" => serde_json::from_slice::<File>(value).map_err(bad)?.auths,
            ".dockercfg" => serde_json::from_slice(value).map_err(bad)?,
            _ => return Ok(None),
        };
        Ok(Some(PullSecret(read(auths).context(|| key.to_owned())?)))
    }

    /// The logins for a repository: those whose host, labels of it may be `*`, and path fit.
    fn matching(&self, domain: &str, path: &str) -> Vec<Credential> {
        let mut found: Vec<(&String, &Credential)> =
            self.0.iter().filter(|(key, _)| fits(&host_and_path(key), domain, path)).collect();
        // The longest key says the most.
        found.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
        found.into_iter().map(|(_, credential)| credential.clone()).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(…)")
    }
}

impl Auth {
    fn read(self) -> Result<Option<Credential>> {
        let (mut user, mut password) = (self.username.unwrap_or_default(), self.password.unwrap_or_default());
        if let Some(auth) = self.auth.filter(|auth| !auth.is_empty()) {
            let bad = || Error::new("its auth is not the base64 of USER:PASSWORD");
            let text =
                STANDARD.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(bad)?;
            let (name, word) = text.split_once(':').ok_or_else(bad)?;
            (user, password) = (name.to_owned(), word.trim_end_matches('\0').to_owned());
        }
        let identity_token = self.identitytoken.filter(|token| !token.is_empty());
        let says_something = identity_token.is_some() || !user.is_empty();
        Ok(says_something.then_some(Credential { user, password, identity_token }))
    }
}

fn read(auths: BTreeMap<String, Auth>) -> Result<BTreeMap<String, Credential>> {
    let mut read = BTreeMap::new();
    for (key, auth) in auths {
        if let Some(credential) = auth.read().context(|| format!("{key:?}"))? {
            read.insert(key, credential);
        }
    }
    Ok(read)
}

/// All that may know a login, best first.
#[derive(Debug)]
pub struct Logins {
    given: Option<Credential>,
    secrets: Vec<PullSecret>,
    files: Vec<PathBuf>,
}

impl Logins {
    /// Those of the command line, of a pod and of this user's files. Nothing is read yet.
    ///
    /// # Errors
    /// A file that was asked for is not there.
    pub fn new(
        given: Option<(String, String)>,
        secrets: Vec<PullSecret>,
        auth_file: Option<PathBuf>,
    ) -> Result<Logins> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let files = match auth_file.or_else(|| variable("REGISTRY_AUTH_FILE")) {
            Some(file) if !file.exists() => {
                return Err(Error::new(format!("the file with logins, {}, is not there", file.display())));
            }
            Some(file) => vec![file],
            None => {
                let home = variable("HOME");
                let config = variable("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
                let docker = variable("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
                [
                    variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
                    config.map(|dir| dir.join("containers/auth.json")),
                    docker.map(|dir| dir.join("config.json")),
                    home.map(|dir| dir.join(".dockercfg")),
                ]
                .into_iter()
                .flatten()
                .collect()
            }
        };
        let given = given.map(|(user, password)| Credential { user, password, identity_token: None });
        Ok(Logins { given, secrets, files })
    }

    /// The logins for a repository, best first, of an image whose own registry is `own`. A login that was given on the command line is
    /// the only one there, and no mirror elsewhere gets it.
    ///
    /// # Errors
    /// A file or a helper that cannot be read.
    pub fn find(&self, own: &str, domain: &str, path: &str) -> Result<Vec<Credential>> {
        if let Some(given) = self.given.as_ref().filter(|_| own == domain) {
            return Ok(vec![given.clone()]);
        }
        let mut found: Vec<Credential> = self.secrets.iter().flat_map(|secret| secret.matching(domain, path)).collect();
        for file in &self.files {
            if let Some(credential) = in_file(file, domain, path).context(|| file.display().to_string())? {
                found.push(credential);
                break;
            }
        }
        Ok(found)
    }
}

fn in_file(path: &Path, domain: &str, repository: &str) -> Result<Option<Credential>> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(Error::new(format!("cannot read it: {e}"))),
    };
    let malformed = |e: serde_json::Error| Error::new(format!("it is malformed: {}", without_secrets(&e)));
    let file = match path.file_name().is_some_and(|name| name == ".dockercfg") {
        true => File { auths: serde_json::from_slice(&content).map_err(malformed)?, ..File::default() },
        false => serde_json::from_slice(&content).map_err(malformed)?,
    };
    if let Some(helper) = file.cred_helpers.iter().find(|(key, _)| host_and_path(key).0 == domain).map(|(_, name)| name)
    {
        return ask_helper(helper, domain);
    }
    let auths = read(file.auths)?;
    let whole = format!("{domain}/{repository}");
    // A key may name a part of the registry; the longest that the repository lies in counts.
    let mut key = whole.as_str();
    loop {
        if let Some(credential) = auths.get(key) {
            return Ok(Some(credential.clone()));
        }
        match key.rfind('/') {
            Some(slash) => key = key.get(..slash).unwrap_or_default(),
            None => break,
        }
    }
    if let Some((_, credential)) = auths.iter().find(|(key, _)| key.contains("://") && host_and_path(key).0 == domain) {
        return Ok(Some(credential.clone()));
    }
    file.creds_store.as_deref().filter(|name| !name.is_empty()).map_or(Ok(None), |store| ask_helper(store, domain))
}

/// Asks a credential helper of docker's: the registry on its standard input, the login as JSON on its output.
fn ask_helper(name: &str, domain: &str) -> Result<Option<Credential>> {
    if name.contains('/') || name.contains('\0') {
        return Err(Error::new(format!("{name:?} is no credential helper's name")));
    }
    let program = format!("docker-credential-{name}");
    // A configuration that came from another machine. That a directory of PATH cannot be searched is no reason to fail.
    let Some(file) = find_program(&program) else { return Ok(None) };
    let servers: &[&str] =
        if domain == "docker.io" { &["https://index.docker.io/v1/", "docker.io"] } else { &[domain] };
    for server in servers {
        let child =
            Command::new(&file).arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| Error::new(format!("cannot run {}: {e}", file.display())))?;
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(server.as_bytes());
        }
        let output = child.wait_with_output().context(|| program.clone())?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            if said.contains("credentials not found") {
                continue;
            }
            let why = format!("{}{}", said.trim(), String::from_utf8_lossy(&output.stderr).trim());
            let why: String = why.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect();
            return Err(Error::new(format!("{program} has no login for {server}: {why}")));
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            username: String,
            secret: String,
        }
        let answer: Answer = serde_json::from_slice(&output.stdout)
            .map_err(|_| Error::new(format!("{program} did not answer with a login")))?;
        let credential = match answer.username.as_str() {
            "<token>" => {
                Credential { user: String::new(), password: String::new(), identity_token: Some(answer.secret) }
            }
            _ => Credential { user: answer.username, password: answer.secret, identity_token: None },
        };
        return Ok(Some(credential));
    }
    Ok(None)
}

/// A key without its scheme, as host and path; Docker Hub has three names.
fn host_and_path(key: &str) -> (String, String) {
    let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    let path = path.trim_end_matches('/');
    // The version of the API is no part of a repository's name.
    (host.to_owned(), if matches!(path, "v1" | "v2") { String::new() } else { path.to_owned() })
}

/// Kubernetes's rule: `*` stands for a part of one label, ports are equal, and the path is a beginning.
fn fits((host, prefix): &(String, String), domain: &str, path: &str) -> bool {
    let split = |host: &str| match host.rsplit_once(':') {
        Some((name, port)) => (name.to_owned(), Some(port.to_owned())),
        None => (host.to_owned(), None),
    };
    let ((pattern, wanted), (name, port)) = (split(host), split(domain));
    let labels = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (patterns, names) = (labels(&pattern), labels(&name));
    wanted == port
        && patterns.len() == names.len()
        && patterns.iter().zip(&names).all(|(pattern, name)| glob(pattern, name))
        && (prefix.is_empty() || path == prefix || path.starts_with(&format!("{prefix}/")))
}

fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let (Some(first), last) = (parts.next(), parts.next_back()) else { return false };
    let Some(last) = last else { return pattern == name };
    // Each part where it comes first: an earlier place never leaves less for those behind it.
    let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

/// serde quotes what it cannot use, which here may be a password.
fn without_secrets(e: &serde_json::Error) -> String {
    let why = if e.is_data() { "something in it has the wrong type" } else { "it is not JSON" };
    format!("{why}, at line {} column {}", e.line(), e.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(key: &str) -> PullSecret {
        let text = format!("{{\"auths\": {{{key:?}: {{\"auth\": \"{}\"}}}}}}", STANDARD.encode("u:p:q"));
        PullSecret::parse(".dockerconfigjson", text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn secrets_fit_by_kubernetes_s_rule() {
        for (key, domain, path, fits) in [
            ("https://index.docker.io/v1/", "docker.io", "library/x", true),
            ("quay.io", "quay.io", "a/b", true),
            ("quay.io/a", "quay.io", "a/b", true),
            ("quay.io/a", "quay.io", "ab/c", false),
            ("*.io", "quay.io", "a", true),
            ("*.io", "a.quay.io", "a", false),
            ("re*ry.io:5000", "registry.io:5000", "a", true),
            ("registry.io", "registry.io:5000", "a", false),
        ] {
            assert_eq!(!secret(key).matching(domain, path).is_empty(), fits, "{key} {domain}/{path}");
        }
        assert_eq!(secret("quay.io").matching("quay.io", "a")[0].password, "p:q");
    }

    #[test]
    fn the_longest_key_of_a_file_counts_and_passwords_stay_unsaid() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("auth.json");
        let auth = |text: &str| STANDARD.encode(text);
        std::fs::write(
            &file,
            format!(
                "{{\"auths\": {{\"quay.io\": {{\"auth\": \"{}\"}}, \"quay.io/a/b\": {{\"auth\": \"{}\"}}, \"https://x.io/v2/\": {{\"username\": \"w\", \"password\": \"s\"}}}}}}",
                auth("one:1"),
                auth("two:2")
            ),
        )
        .unwrap();
        let logins = Logins::new(None, Vec::new(), Some(file.clone())).unwrap();
        for (domain, path, user) in [("quay.io", "a/b/c", "two"), ("quay.io", "a/bc", "one"), ("x.io", "y", "w")] {
            let found = logins.find(domain, domain, path).unwrap();
            assert_eq!(found[0].user, user);
            assert!(!format!("{found:?}").contains('2'));
        }
        assert!(logins.find("other.io", "other.io", "a").unwrap().is_empty());
        std::fs::write(&file, "{\"auths\": {\"quay.io\": {\"auth\": [\"hunter2\"]}}}").unwrap();
        let error = logins.find("quay.io", "quay.io", "a").unwrap_err();
        assert!(!error.to_string().contains("hunter2") && error.what().contains("wrong type"), "{error}");
    }

    #[test]
    fn helpers_are_asked() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let helper = dir.path().join("docker-credential-podlingtest");
        std::fs::write(&helper, "#!/bin/sh\nread -r host\ncase $host in known.io) echo '{\"Username\":\"u\",\"Secret\":\"s\"}';; *) echo credentials not found in native keychain; exit 1;; esac\n").unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let file = dir.path().join("config.json");
        let name = format!("../{}", "x");
        std::fs::write(
            &file,
            format!("{{\"credHelpers\": {{\"bad.io\": {name:?}, \"gone.io\": \"podling-no-such\"}}}}"),
        )
        .unwrap();
        assert!(in_file(&file, "bad.io", "a").unwrap_err().what().contains("no credential helper"));
        assert_eq!(in_file(&file, "gone.io", "a").unwrap(), None);
    }

    #[test]
    fn stars_stand_for_any_text_and_take_no_time() {
        for (pattern, name, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*a", "a", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("*ab*", "aab", true),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
        assert!(!glob(&("*a".repeat(100) + "*b"), &"a".repeat(5000)));
    }

    #[test]
    fn a_login_of_the_command_line_is_for_the_images_own_registry() {
        let logins = Logins::new(Some(("user".into(), "word".into())), Vec::new(), None).unwrap();
        assert_eq!(logins.find("a.io", "a.io", "x").unwrap()[0].user, "user");
        assert!(logins.find("a.io", "mirror.io", "x").unwrap().iter().all(|login| login.user != "user"));
    }
}
