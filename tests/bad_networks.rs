//! A registry that fails, lies or stalls: what may pass is tried again, what broke off goes on where it broke off, and what remains is
//! one error that says what the server did.

mod support;

use std::time::Duration;

use podling::error::Result;
use podling::image::Reference;
use podling::image::digest::Digest;
use podling::image::registry::conf::parse;
use podling::image::registry::{Options, Patience, Registries, Repository, Sink, Which};
use support::registry::{Access, Fault, Proxy, Registry, answer};
use support::{Feature, Place, archive, require};

/// A registry with busybox behind the proxy, and the repository as a client that does not wait long.
struct Net {
    _place: Place,
    _registry: Registry,
    proxy: Proxy,
    repository: Repository,
    /// The one layer and its length.
    layer: (Digest, u64),
}

fn options() -> Options {
    Options {
        stall_deadline: Duration::from_millis(500),
        patience: Patience {
            attempts: 4,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(1500),
        },
        ..Options::default()
    }
}

fn repository(host: &str) -> Repository {
    let conf = format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true");
    let registries = Registries::new(parse(&conf, "test").unwrap(), options()).unwrap();
    registries.repository(&Reference::parse(&format!("{host}/t/busybox:1")).unwrap()).unwrap()
}

impl Net {
    fn new() -> Option<Net> {
        if !["docker-registry", "skopeo"].iter().all(|tool| require(Feature::Program(tool))) {
            return None;
        }
        let place = Place::with(&[]);
        let registry = Registry::start(place.path(), Access::Open, None);
        registry.push(&archive("busybox"), "t/busybox:1", &["--format", "oci"]);
        let proxy = Proxy::start(&registry.host());
        let repository = repository(&proxy.host());
        let manifest = repository.manifest(&Which::Tag("1".into()), 1 << 20).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest.content).unwrap();
        let layer = &manifest["layers"][0];
        let layer = (Digest::parse(layer["digest"].as_str().unwrap()).unwrap(), layer["size"].as_u64().unwrap());
        proxy.forget();
        Some(Net { _place: place, _registry: registry, proxy, repository, layer })
    }

    fn download(&self) -> (Result<()>, Bytes) {
        let mut bytes = Bytes::default();
        (self.repository.download(&self.layer.0, self.layer.1, &mut bytes), bytes)
    }

    /// The layer comes whole in spite of the faults, in `requests` requests, whose ranges are returned.
    #[track_caller]
    fn comes_through(&self, faults: Vec<Fault>, requests: usize, restarts: usize) -> Vec<Option<String>> {
        self.proxy.forget();
        let what = format!("{faults:?}");
        self.proxy.fault("/blobs/", faults);
        let (result, bytes) = self.download();
        result.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(Digest::of(&bytes.got), self.layer.0, "{what}");
        let seen = self.proxy.seen("/blobs/");
        assert_eq!((seen.len(), bytes.restarts), (requests, restarts), "{what}");
        seen.iter().map(|request| request.header("range").map(str::to_owned)).collect()
    }

    /// The layer does not come, and the error has all of `parts`.
    #[track_caller]
    fn fails(&self, faults: Vec<Fault>, parts: &[&str]) {
        let what = format!("{faults:?}");
        self.proxy.fault("/blobs/", faults);
        let error = self.download().0.expect_err(&what).to_string();
        for part in parts {
            assert!(error.contains(part), "{what}: {part:?} is not said: {error}");
        }
        assert!(!error.contains(|c: char| c.is_control() && c != '\n'), "{error:?}");
    }
}

#[derive(Default)]
struct Bytes {
    got: Vec<u8>,
    restarts: usize,
}

impl Sink for Bytes {
    fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.got.extend(piece);
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.got.clear();
        self.restarts += 1;
        Ok(())
    }
}

#[test]
fn what_breaks_off_goes_on_where_it_broke_off() {
    let Some(net) = Net::new() else { return };
    for fault in [Fault::Reset(300_000), Fault::Cut(300_000), Fault::Stall(300_000)] {
        let ranges = net.comes_through(vec![fault], 2, 0);
        assert_eq!(ranges, [None, Some("bytes=300000-".to_owned())]);
    }
    let ranges = net.comes_through(vec![Fault::Cut(100_000), Fault::Cut(100_000), Fault::Cut(100_000)], 4, 0);
    assert_eq!(ranges[3].as_deref(), Some("bytes=300000-"));
}

#[test]
fn a_server_that_cannot_go_on_starts_again() {
    let Some(net) = Net::new() else { return };
    net.comes_through(vec![Fault::Cut(1000), Fault::IgnoreRange], 2, 1);
    net.comes_through(vec![Fault::Cut(1000), Fault::WrongRange], 3, 1);
}

#[test]
fn what_may_pass_is_tried_again_when_the_server_says() {
    let Some(net) = Net::new() else { return };
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let started = std::time::Instant::now();
        net.comes_through(vec![answer(status, &["Retry-After: 1"], "")], 2, 0);
        assert!(started.elapsed() >= Duration::from_secs(1), "{status}: Retry-After was not heeded");
    }
    for status in ["500 Internal Server Error", "502 Bad Gateway", "504 Gateway Timeout", "408 Request Timeout"] {
        net.comes_through(vec![answer(status, &[], ""), answer(status, &[], "")], 3, 0);
    }
    // A manifest as well.
    net.proxy.fault("/manifests/", [answer("500 Internal Server Error", &[], ""), Fault::Cut(10), Fault::Spoil]);
    assert!(net.repository.manifest(&Which::Tag("1".into()), 1 << 20).is_ok());
}

#[test]
fn a_wrong_content_is_fetched_once_more_and_then_refused() {
    let Some(net) = Net::new() else { return };
    let wrong_length = || answer("200 OK", &[], "short");
    net.comes_through(vec![Fault::Spoil], 2, 1);
    net.comes_through(vec![Fault::Endless], 2, 1);
    net.fails(vec![Fault::Spoil, Fault::Spoil], &["something else for blob sha256:", "its digest is sha256:"]);
    net.fails(vec![Fault::Endless, Fault::Endless], &["sends more for blob", "bytes"]);
    net.fails((0..9).map(|_| wrong_length()).collect(), &["blob sha256:"]);
}

#[test]
fn what_does_not_pass_is_one_error_that_says_what_the_server_did() {
    let Some(net) = Net::new() else { return };
    let again = |fault: &Fault| vec![fault.clone(); 4];
    let said = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow \u001b[31mdown"}]}"#;
    let host = net.proxy.host();
    for (fault, parts) in [
        (
            answer("429 Too Many Requests", &["Retry-After: 0"], said),
            vec!["status 429", "slow", "down", "after 4 attempts"],
        ),
        (answer("503 Service Unavailable", &["Retry-After: 0"], ""), vec!["status 503", "after 4 attempts"]),
        (Fault::Reset(0), vec!["after 4 attempts"]),
        (Fault::Cut(0), vec!["after 4 attempts"]),
        (Fault::Stall(0), vec!["nothing came for too long", "after 4 attempts"]),
        (answer("404 Not Found", &[], ""), vec!["there is no blob", "t/busybox"]),
        (answer("403 Forbidden", &[], ""), vec!["status 403", "log in with"]),
        (answer("418 I'm a teapot", &[], ""), vec!["status 418"]),
        (answer("200 OK", &["Content-Encoding: gzip"], "x"), vec!["encoding gzip", "not asked for"]),
        (answer("301 Moved", &["Location: ftp://x/y"], ""), vec!["redirects to ftp://x/y"]),
        (answer("301 Moved", &["Location: nowhere"], ""), vec!["redirects to nowhere"]),
    ] {
        net.proxy.forget();
        let mut parts = parts;
        parts.push(&host);
        net.fails(again(&fault), &parts);
        let final_ones = ["404", "403", "418", "gzip", "ftp", "nowhere"];
        if final_ones.iter().any(|word| format!("{fault:?}").contains(word)) {
            assert_eq!(net.proxy.seen("/blobs/").len(), 1, "{fault:?} was tried again");
        }
        net.proxy.clear_faults();
    }
    let loops = answer("307 Temporary Redirect", &[&format!("Location: http://{host}/v2/t/busybox/blobs/again")], "");
    net.fails(vec![loops; 9], &["redirects more than 5 times"]);
    net.proxy.clear_faults();
    net.proxy.fault("/manifests/", [answer("200 OK", &[], &"x".repeat(5000))]);
    let error = net.repository.manifest(&Which::Tag("1".into()), 4096).unwrap_err();
    assert!(error.what().contains("more than 4.10kB"), "{error}");
    net.proxy.fault("/manifests/", vec![answer("200 OK", &["Docker-Content-Digest: sha256:00"], "{}"); 1]);
    let wrong = Digest::of(b"other");
    let header = format!("Docker-Content-Digest: {wrong}");
    net.proxy.clear_faults();
    net.proxy.fault("/manifests/", vec![answer("200 OK", &[&header], "{}"); 4]);
    let error = net.repository.manifest(&Which::Tag("1".into()), 4096).unwrap_err();
    assert!(error.what().contains("promised") && error.what().contains(&wrong.to_string()), "{error}");
}

#[test]
fn another_host_gets_no_login() {
    let Some(net) = Net::new() else { return };
    let elsewhere = Proxy::start(&net._registry.host());
    net.proxy.demand_token("secret-token");
    let login = Options { credentials: Some(("user".into(), "word".into())), ..options() };
    let conf = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true", net.proxy.host());
    let registries = Registries::new(parse(&conf, "test").unwrap(), login).unwrap();
    let name = Reference::parse(&format!("{}/t/busybox:1", net.proxy.host())).unwrap();
    let repository = registries.repository(&name).unwrap();
    let (digest, size) = net.layer;
    let location = format!("Location: http://{}/v2/t/busybox/blobs/{digest}", elsewhere.host());
    net.proxy.fault("/blobs/", [answer("307 Temporary Redirect", &[&location], "")]);
    let mut bytes = Bytes::default();
    repository.download(&digest, size, &mut bytes).unwrap();
    assert_eq!(Digest::of(&bytes.got), digest);
    let asked = net.proxy.seen("/blobs/");
    assert_eq!(asked.last().unwrap().header("authorization"), Some("Bearer secret-token"));
    let asked = elsewhere.seen("/blobs/");
    assert_eq!((asked.len(), asked[0].header("authorization")), (1, None));
    // The token was asked for once, and a second thread needs none of its own.
    assert_eq!(net.proxy.seen("/token").len(), 1);
    repository.manifest(&Which::Tag("1".into()), 1 << 20).unwrap();
    assert_eq!(net.proxy.seen("/token").len(), 1);
}

#[test]
fn podling_pulls_through_faults_and_leaves_the_store_as_it_was_where_it_cannot() {
    let Some(net) = Net::new() else { return };
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&[]);
    let name = format!("{}/t/busybox:1", net.proxy.host());
    net.proxy.fault("/blobs/", [Fault::Cut(100), Fault::Spoil]);
    net.proxy.fault("/blobs/", vec![answer("404 Not Found", &[], ""); 1]);
    let output = place.podling(&["pull", "--tls-verify=false", &name]);
    output.expect_refusal(&["cannot pull", "there is no blob"]);
    assert_eq!(std::fs::read_dir(place.data().join("staging")).map_or(0, Iterator::count), 0, "{output}");
    assert_eq!(place.podling(&["images", "-q"]).stdout, "");
    net.proxy.clear_faults();
    net.proxy.fault(&net.layer.0.to_string(), [Fault::Reset(200_000), Fault::Spoil]);
    place.podling(&["pull", "--tls-verify=false", &name]).expect_success();
    place.podling(&["system", "check"]).expect_success();
}
