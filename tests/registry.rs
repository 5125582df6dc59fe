//! Promise: images come from registries. A name is asked for once, only what is missing is fetched, and whoever may have it, with a login,
//! from a mirror or over TLS, gets it; whoever may not gets one error that says why.

mod archives;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use archives::image::{Files, Layer, blob_path, config, digest, with};
use archives::tar::{Entry, archive as tar};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::registry::{Access, Fault, Proxy, Registry, answer, certificates};
use support::running::{on_a_terminal, output_of};
use support::{Feature, Output, Place, Running, archive, binary, container_yaml, pod, require};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// What a test gives in place of the registry's password.
const WRONG: &str = "not-the-secret";

/// A registry behind a proxy, and a podling whose home and configuration are the test's own.
struct Net {
    place: Place,
    registry: Registry,
    access: Access,
    proxy: Proxy,
}

fn can_run() -> bool {
    ["docker-registry", "skopeo", "htpasswd", "openssl"].iter().all(|tool| require(Feature::Program(tool)))
        && require(Feature::UserNamespaces)
}

fn insecure(host: &str) -> String {
    format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n")
}

/// What skopeo needs to log in.
const LOGIN: [&str; 2] = ["--dest-creds", "user:word"];

impl Net {
    /// With busybox as `t/busybox:1`.
    fn new(access: Access) -> Option<Net> {
        if !can_run() {
            return None;
        }
        let place = Place::with(&[]);
        let registry = Registry::start(place.path(), access, None);
        let options: &[&str] = if access == Access::Login { &LOGIN } else { &[] };
        registry.push(&archive("busybox"), "t/busybox:1", &[options, &["--format", "oci"]].concat());
        let proxy = Proxy::start(&registry.host());
        place.write_file("registries.conf", &insecure(&proxy.host()));
        Some(Net { place, registry, access, proxy })
    }

    /// The name of an image, as seen through the proxy.
    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.proxy.host())
    }

    /// podling with these registries; the user who runs the tests may have others, and logins.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.place.command(args);
        command.env("HOME", self.place.path().join("home")).env_remove("XDG_RUNTIME_DIR");
        command.env("CONTAINERS_REGISTRIES_CONF", self.place.path().join("registries.conf"));
        command
    }

    fn podling(&self, args: &[&str]) -> Output {
        Running::spawn(&self.place, self.command(args)).finish()
    }

    fn pull(&self, name: &str) -> Output {
        self.podling(&["pull", &self.name(name)])
    }

    /// `podling run` of a pod whose only container runs `script` in `image`.
    fn run(&self, image: &str, fields: &str, options: &[&str]) -> Output {
        let containers = [container_yaml("c", image, "cat /name 2>/dev/null || echo ran", fields)];
        self.place.write(&pod("p", "restartPolicy: Never", &containers));
        self.podling(&[&["run"][..], options, &["pod.yaml"]].concat())
    }

    fn conf(&self, text: &str) {
        self.place.write_file("registries.conf", text);
    }

    fn inspect(&self, name: &str) -> Value {
        let output = self.podling(&["image", "inspect", name]);
        let images: Value = serde_json::from_str(&output.expect_success().stdout).unwrap();
        images[0].clone()
    }

    /// The digest that a tag has in the registry, as skopeo says.
    fn digest(&self, name: &str) -> String {
        let name = format!("docker://{}/{name}", self.registry.host());
        let mut command = Command::new("skopeo");
        command.args(["inspect", "--raw", "--tls-verify=false"]);
        if self.access == Access::Login {
            command.args(["--creds", "user:word"]);
        }
        digest(output_of(command.arg(&name)).expect_success().stdout.as_bytes())
    }

    /// Brings a layout there.
    fn push(&self, files: &Files, name: &str) {
        let dir = self.place.path().join("layout");
        let _ = fs::remove_dir_all(&dir);
        files.write_to(&dir);
        self.registry.copy(&format!("oci:{}", dir.display()), name, &["--all"]);
    }

    /// How often manifests and blobs were asked for since the last time.
    fn asked(&self) -> (usize, usize) {
        let asked = (self.proxy.seen("/manifests/").len(), self.proxy.seen("/blobs/").len());
        self.proxy.forget();
        asked
    }

    /// Nobody was asked for anything.
    #[track_caller]
    fn assert_silent(&self) {
        let seen = self.proxy.seen("");
        assert!(seen.is_empty(), "{seen:?}");
    }
}

/// A layer with one file, `/name`, which no other layer has.
fn layer(content: &str) -> Layer {
    Layer::gzip(&tar(&[Entry::file("name", content)]))
}

/// The lines that podling itself wrote to standard error.
fn own_lines(output: &Output) -> Vec<&str> {
    output.stderr.lines().filter(|line| line.starts_with("podling: ")).collect()
}

#[test]
fn a_tag_or_a_digest_is_pulled_in_oci_s_format_and_in_docker_s_and_its_digest_is_told() {
    let Some(net) = Net::new(Access::Open) else { return };
    for (format, media_type) in [
        ("oci", "application/vnd.oci.image.manifest.v1+json"),
        ("v2s2", "application/vnd.docker.distribution.manifest.v2+json"),
    ] {
        let tagged = format!("formats/{format}:1");
        net.registry.push(&archive("busybox"), &tagged, &["--format", format]);
        let digest = net.digest(&tagged);
        let output = net.pull(&tagged);
        assert_eq!(output.expect_success().stdout, format!("{digest}\n"), "{output}");
        assert!(own_lines(&output).iter().any(|line| line.ends_with(&format!("{tagged}: pulled"))), "{output}");
        let seen = net.inspect(&net.name(&tagged));
        assert_eq!((&seen["digest"], &seen["mediaType"]), (&json!(digest), &json!(media_type)));
        let table = net.podling(&["images", "--digests"]).expect_success().stdout.clone();
        let row = table.lines().find(|line| line.contains(&format!("formats/{format} "))).unwrap_or_default();
        assert_eq!(row.split_whitespace().nth(2), Some(digest.as_str()), "{table}");

        // What was pulled is what runs, by its tag and by the digest that was printed.
        let pinned = net.name(&format!("formats/{format}@{digest}"));
        for name in [&net.name(&tagged), &pinned] {
            assert_eq!(net.run(name, "", &[]).expect_success().said(), "ran");
        }
        net.podling(&["image", "rm", &net.name(&tagged)]).expect_success();
        let output = net.podling(&["pull", &pinned]);
        assert_eq!(output.expect_success().stdout, format!("{digest}\n"), "{output}");
        assert_eq!(net.run(&pinned, "", &[]).expect_success().said(), "ran");
        net.podling(&["image", "rm", &pinned]).expect_success();
    }
    // A pod tells what it runs as well.
    let output = net.run(&net.name("formats/oci:1"), "", &[]);
    let told = format!("podling: {}: pulled: {}", net.name("formats/oci:1"), net.digest("formats/oci:1"));
    assert!(output.expect_success().stderr.lines().any(|line| line == told), "{output}");

    let absent = format!("formats/oci@sha256:{}", "0".repeat(64));
    for name in ["formats/oci:2", "formats/none:1", &absent] {
        let output = net.pull(name);
        output.expect_refusal(&["cannot pull", &net.name(name), "there is no image"]);
        assert_eq!((own_lines(&output).len(), output.stdout.as_str()), (1, ""), "{output}");
    }
}

/// A layout with an image for each platform, whose file `/name` names it.
fn index_of(platforms: &[&str]) -> Files {
    let mut files = Files::default();
    let mut manifests = Vec::new();
    for platform in platforms {
        let words: Vec<&str> = platform.split('/').collect();
        let layers = [layer(platform)];
        let mut described = json!({"os": words[0], "architecture": words[1]});
        if let Some(variant) = words.get(2) {
            described["variant"] = json!(variant);
        }
        let mut config = config(&layers);
        for (key, value) in described.as_object().unwrap() {
            config[key] = value.clone();
        }
        manifests.push(with(files.add_manifest(&layers, &config), "platform", described));
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let index = files.add_blob(INDEX, index.to_string().as_bytes());
    files.set_index(json!([index]));
    files
}

#[test]
fn of_an_index_only_the_platform_that_is_wanted_is_fetched() {
    let Some(net) = Net::new(Access::Open) else { return };
    let host = format!("linux/{}", config(&[])["architecture"].as_str().unwrap());
    net.push(&index_of(&["linux/s390x", &host, "linux/arm/v6", "linux/arm/v7"]), "t/multi:1");
    let index = net.digest("t/multi:1");
    for (option, platform, asked) in [
        (None, host.as_str(), (2, 2)),
        (Some("linux/s390x"), "linux/s390x", (2, 2)),
        (Some("linux/arm/v7"), "linux/arm/v7", (2, 2)),
        (Some("linux/arm/v6"), "linux/arm/v6", (2, 2)),
        // It lost its name to the others, but it is still there.
        (Some("s390x"), "linux/s390x", (1, 0)),
    ] {
        net.proxy.forget();
        let option = option.map(|platform| format!("--platform={platform}"));
        let name = net.name("t/multi:1");
        let args: Vec<&str> = ["pull"].into_iter().chain(option.as_deref()).chain([name.as_str()]).collect();
        let output = net.podling(&args);
        // The digest is that of the index, which means the same on every machine.
        assert_eq!(output.expect_success().stdout, format!("{index}\n"), "{output}");
        let seen = net.inspect(&name);
        assert_eq!((&seen["platform"], &seen["indexDigest"]), (&json!(platform), &json!(index)));
        let tree = PathBuf::from(seen["layers"][0]["unpacked"].as_str().unwrap());
        assert_eq!(fs::read_to_string(tree.join("name")).unwrap(), platform);
        // The index and one manifest; one config and one layer.
        assert_eq!(net.asked(), asked, "{platform}");
        assert_eq!(output.stderr.contains("will not run on this"), platform != host, "{output}");
    }
    let output = net.podling(&["pull", "--platform=linux/mips64le", &net.name("t/multi:1")]);
    output.expect_refusal(&["no image for linux/mips64le", "linux/s390x", &host, "linux/arm/v7"]);
    net.podling(&["pull", "--platform=windows/amd64", &net.name("t/multi:1")]).expect_refusal(&["windows/amd64"]);
    // The index's digest is a name of the image that was chosen from it.
    net.pull("t/multi:1").expect_success();
    let pinned = net.inspect(&net.name(&format!("t/multi@{index}")));
    assert_eq!(pinned["platform"], json!(host));
}

#[test]
fn what_is_present_is_not_fetched_again_and_a_name_is_asked_for_once() {
    let Some(net) = Net::new(Access::Open) else { return };
    let (shared, own) = (layer("shared"), layer("own"));
    net.push(&Files::oci("", std::slice::from_ref(&shared)), "t/small:1");
    net.push(&Files::oci("", &[shared.clone(), own.clone()]), "t/large:1");
    net.proxy.forget();
    let output = net.pull("t/small:1");
    let lines = own_lines(output.expect_success()).join("\n");
    assert!(lines.contains(": pulled") && !lines.contains("here already"), "{output}");
    assert_eq!(net.asked(), (1, 2), "its manifest, its config and its layer, once each");

    let output = net.pull("t/small:1");
    assert!(output.expect_success().stderr.contains("t/small:1: is up to date"), "{output}");
    assert_eq!(net.asked(), (1, 0), "what is present was fetched again");

    // Another image brings the layer that it does not share.
    let output = net.pull("t/large:1");
    assert!(output.expect_success().stderr.contains("is here already"), "{output}");
    assert_eq!(net.proxy.seen(&shared.digest).len(), 0);
    assert_eq!(net.proxy.seen(&own.digest).len(), 1);
    assert_eq!(net.asked(), (1, 2));

    // The same image under another name, and the same from another repository, bring nothing.
    net.push(&Files::oci("", std::slice::from_ref(&shared)), "other/again:2");
    net.pull("other/again:2").expect_success();
    assert_eq!(net.asked(), (1, 0));

    // Where a part of it was lost, that part is fetched, and nothing else.
    let blob = net.place.data().join("images").join(blob_path(&own.digest));
    fs::remove_file(&blob).unwrap();
    net.pull("t/large:1").expect_success();
    assert_eq!((net.proxy.seen(&own.digest).len(), net.asked()), (1, (1, 1)));
    net.podling(&["system", "check"]).expect_success();

    // Several names in one command are each asked for once, and what they share is fetched once.
    for name in ["t/small:1", "t/large:1", "other/again:2"] {
        net.podling(&["image", "rm", &net.name(name)]).expect_success();
    }
    let names = [net.name("t/large:1"), net.name("t/small:1")];
    let output = net.podling(&["pull", &names[0], &names[1]]);
    assert_eq!(output.expect_success().stdout.lines().count(), 2, "{output}");
    assert_eq!(net.proxy.seen(&shared.digest).len(), 1);
    assert_eq!(net.asked(), (2, 4));
}

// shows: spec.containers[].image, spec.containers[].imagePullPolicy
#[test]
fn a_pod_s_image_is_pulled_as_its_policy_says() {
    let Some(net) = Net::new(Access::Open) else { return };
    let name = net.name("t/busybox:1");
    let policy = |policy: &str| format!("imagePullPolicy: {policy}");

    let output = net.run(&name, &policy("Never"), &[]);
    output.expect_refusal(&["pod.yaml:", "spec.containers[0].image", "its pull policy is Never", "podling pull"]);
    net.run(&name, &policy("Always"), &["--pull", "never"]).expect_code(125);
    net.assert_silent();
    assert_eq!(net.run(&name, "", &[]).expect_success().said(), "ran");
    assert_eq!(net.asked().0, 1);

    // From here on the image is present.
    for (fields, options, manifests) in [
        ("", &[][..], 0),
        (policy("IfNotPresent").as_str(), &[], 0),
        (&policy("Never"), &[], 0),
        (&policy("Always"), &[], 1),
        (&policy("Always"), &["--pull=missing"], 0),
        (&policy("Always"), &["--pull=never"], 0),
        (&policy("Never"), &["--pull=always"], 1),
        ("", &["--pull", "always"], 1),
    ] {
        let output = net.run(&name, fields, options);
        assert_eq!(output.expect_success().said(), "ran", "{fields} {options:?}");
        assert_eq!(net.asked(), (manifests, 0), "{fields} {options:?}");
        assert_eq!(output.stderr.contains("is up to date"), manifests > 0, "{output}");
    }

    // Always means the image that the tag names now; IfNotPresent is content with the older one.
    net.push(&busybox_with("newer"), "t/busybox:1");
    assert_eq!(net.run(&name, &policy("IfNotPresent"), &[]).expect_success().said(), "ran");
    assert_eq!(net.run(&name, &policy("Always"), &[]).expect_success().said(), "newer");
}

// shows: spec.containers[].imagePullPolicy
#[test]
fn latest_implies_always_which_a_registry_out_of_reach_does_not_stop() {
    let Some(mut net) = Net::new(Access::Open) else { return };
    net.push(&busybox_with("first"), "t/busybox:latest");
    let (untagged, latest) = (net.name("t/busybox"), net.name("t/busybox:latest"));
    assert_eq!(net.run(&untagged, "", &[]).expect_success().said(), "first");
    net.push(&busybox_with("second"), "t/busybox:latest");
    net.proxy.forget();
    assert_eq!(net.run(&latest, "imagePullPolicy: IfNotPresent", &[]).expect_success().said(), "first");
    net.assert_silent();
    assert_eq!(net.run(&untagged, "", &[]).expect_success().said(), "second");
    assert_eq!(net.asked().0, 1);
    assert_eq!(net.run(&latest, "", &[]).expect_success().said(), "second");
    assert_eq!(net.asked(), (1, 0));
    let digest = net.digest("t/busybox:latest");
    net.run(&net.name(&format!("t/busybox@{digest}")), "", &[]).expect_success();
    net.assert_silent();

    // An image that was given here, and not pulled, is not asked for, whatever its name.
    net.podling(&["image", "load", "--name", &net.name("t/given"), archive("busybox").to_str().unwrap()])
        .expect_success();
    assert_eq!(net.run(&net.name("t/given"), "", &[]).expect_success().said(), "ran");
    net.assert_silent();

    // From here on nobody listens at the registry's address.
    let pulled = format!("{}/t/busybox", net.registry.host());
    net.conf(&insecure(&net.registry.host()));
    assert_eq!(net.run(&pulled, "", &[]).expect_success().said(), "second");
    net.registry.stop();
    let output = net.run(&pulled, "", &[]);
    assert_eq!(output.expect_success().said(), "second");
    let notices: Vec<&str> =
        own_lines(&output).into_iter().filter(|line| line.contains("as the store has it")).collect();
    assert_eq!(notices.len(), 1, "{output}");
    assert!(notices[0].contains("its tag is latest") && notices[0].contains("nobody listens"), "{output}");
    assert_eq!(net.run(&pulled, "", &["--quiet"]).expect_success().stderr, "");
    assert_eq!(net.run(&pulled, "", &["--pull=never"]).expect_success().said(), "second");
    // Where somebody wrote Always, nothing older will do.
    let refusal = ["spec.containers[0].image", "nobody listens at", &net.registry.host()];
    net.run(&pulled, "imagePullPolicy: Always", &[]).expect_refusal(&refusal);
    net.run(&pulled, "", &["--pull=always"]).expect_refusal(&refusal);
}

/// busybox with one more layer, whose file `/name` has this content.
fn busybox_with(content: &str) -> Files {
    Files::on_busybox("", &[layer(content)])
}

/// Neither the password nor anything that it can be read from was said.
#[track_caller]
fn assert_no_password(output: &Output) {
    let all = format!("{}{}", output.stdout, output.stderr);
    let word = all.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "word");
    let others = [STANDARD.encode("user:word"), STANDARD.encode(format!("user:{WRONG}")), WRONG.into(), TOKEN.into()];
    assert!(!word && others.iter().all(|secret| !all.contains(secret)), "a password is said:\n{output}");
}

/// What the token service gives.
const TOKEN: &str = "a-token-of-the-service";

/// A file with logins, for one registry or a part of it.
fn auths(key: &str, password: &str) -> String {
    json!({"auths": {key: {"auth": STANDARD.encode(format!("user:{password}"))}}}).to_string()
}

/// A credential helper that knows one login and writes down what it was asked.
fn helper(answer: &str) -> String {
    format!("#!/bin/sh\nasked=$(cat)\necho \"$1 $asked\" >>\"$(dirname \"$0\")/asked\"\n{answer}\n")
}

/// A way to log in: files below the place, variables and options.
struct Way {
    what: &'static str,
    files: Vec<(&'static str, String)>,
    environment: Vec<(&'static str, String)>,
    options: Vec<String>,
}

impl Net {
    /// Every way to give the password `password`, each of a home of its own.
    fn ways(&self, password: &str) -> Vec<Way> {
        let host = self.proxy.host();
        let at = |path: &str| self.place.path().join(path).display().to_string();
        let way = |what, files, environment, options| Way { what, files, environment, options };
        let file = |path: &'static str| vec![(path, auths(&host, password))];
        let good = format!("echo '{{\"ServerURL\": \"x\", \"Username\": \"user\", \"Secret\": \"{password}\"}}'");
        let path = format!("{}:{}", at("bin"), std::env::var("PATH").unwrap());
        let part = json!({"auths": {
            &host: {"auth": STANDARD.encode(format!("user:{WRONG}"))},
            format!("{host}/t"): {"auth": STANDARD.encode(format!("user:{password}"))},
        }});
        vec![
            way("$REGISTRY_AUTH_FILE", file("own.json"), vec![("REGISTRY_AUTH_FILE", at("own.json"))], vec![]),
            way(
                "--authfile before $REGISTRY_AUTH_FILE",
                [file("own.json"), vec![("wrong.json", auths(&host, WRONG))]].concat(),
                vec![("REGISTRY_AUTH_FILE", at("wrong.json"))],
                vec![format!("--authfile={}", at("own.json"))],
            ),
            way("$XDG_RUNTIME_DIR", file("run/containers/auth.json"), vec![("XDG_RUNTIME_DIR", at("run"))], vec![]),
            way("~/.config", file("home/.config/containers/auth.json"), vec![], vec![]),
            way("docker's file", file("home/.docker/config.json"), vec![], vec![]),
            way("$DOCKER_CONFIG", file("docker/config.json"), vec![("DOCKER_CONFIG", at("docker"))], vec![]),
            way(
                "docker's file with a URL",
                vec![("home/.docker/config.json", auths(&format!("http://{host}/v2/"), password))],
                vec![],
                vec![],
            ),
            way("a part of a registry", vec![("home/.config/containers/auth.json", part.to_string())], vec![], vec![]),
            way(
                "a helper",
                vec![
                    ("home/.docker/config.json", json!({"credHelpers": {&host: "x"}}).to_string()),
                    ("bin/docker-credential-x", helper(&good)),
                ],
                vec![("PATH", path.clone())],
                vec![],
            ),
            way(
                "a store",
                vec![
                    ("home/.docker/config.json", json!({"auths": {&host: {}}, "credsStore": "x"}).to_string()),
                    ("bin/docker-credential-x", helper(&good)),
                ],
                vec![("PATH", path)],
                vec![],
            ),
            way("--creds", vec![], vec![], vec![format!("--creds=user:{password}")]),
            way(
                "--creds without a password",
                vec![("home/.docker/config.json", auths(&host, WRONG))],
                vec![("PODLING_PASSWORD", password.to_owned())],
                vec!["--creds=user".to_owned()],
            ),
        ]
    }

    /// Runs podling with one of them, whose files are gone afterwards.
    fn logged_in(&self, way: &Way, args: &[&str]) -> Output {
        for (path, content) in &way.files {
            let path = self.place.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let mut command = self.command(args);
        command.args(&way.options).envs(way.environment.iter().map(|(name, value)| (name, value)));
        let output = Running::spawn(&self.place, command).finish();
        for (path, _) in &way.files {
            fs::remove_file(self.place.path().join(path)).unwrap();
        }
        assert_no_password(&output);
        output
    }
}

#[test]
fn a_login_is_found_wherever_other_tools_leave_it_and_never_said() {
    let Some(net) = Net::new(Access::Login) else { return };
    let name = net.name("t/busybox:1");
    let host = net.proxy.host();
    net.podling(&["pull", &name]).expect_refusal(&["it wants a login", "podman login", "--creds"]);
    let digest = format!("{}\n", net.digest("t/busybox:1"));
    for way in net.ways("word") {
        let output = net.logged_in(&way, &["pull", &name]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), digest.as_str()), "{}: {output}", way.what);
        net.podling(&["image", "rm", &name]).expect_success();
    }
    let asked = fs::read_to_string(net.place.path().join("bin/asked")).unwrap();
    assert_eq!(asked, format!("get {host}\n").repeat(2), "what the helper was asked");
    for way in net.ways(WRONG) {
        let output = net.logged_in(&way, &["pull", &name]);
        assert_eq!(output.code, Some(125), "{}: {output}", way.what);
        output.expect_refusal(&["the login of user \"user\" is not accepted", "status 401", &host]);
        assert_eq!(own_lines(&output).len(), 1, "{}: {output}", way.what);
    }
    // Another registry's login goes nowhere else.
    let other = Way {
        what: "",
        files: vec![("home/.docker/config.json", auths("localhost:1", "word"))],
        environment: vec![],
        options: vec![],
    };
    net.logged_in(&other, &["pull", &name]).expect_refusal(&["it wants a login"]);
    // What cannot be read is named.
    let mut broken = net.ways("word");
    for way in &mut broken {
        way.files.iter_mut().for_each(|(_, content)| *content = content.replace("{\"auth", "{auth"));
    }
    for (n, file) in [(0, "own.json"), (3, "auth.json"), (4, "config.json")] {
        net.logged_in(&broken[n], &["pull", &name]).expect_refusal(&[file, "malformed"]);
    }
    let absent = Way { what: "", files: vec![], environment: vec![], options: vec!["--authfile=/no/such".into()] };
    net.logged_in(&absent, &["pull", &name]).expect_refusal(&["/no/such", "not there"]);
    let mut failing = net.ways("word");
    failing[8].files[1].1 = helper("echo 'the vault is locked' >&2; exit 3");
    net.logged_in(&failing[8], &["pull", &name]).expect_refusal(&["docker-credential-x", "the vault is locked"]);
    failing[8].files[1].1 = helper("echo word");
    net.logged_in(&failing[8], &["pull", &name])
        .expect_refusal(&["docker-credential-x", "did not answer with a login"]);
}

// shows: spec.imagePullSecrets[].name
#[test]
fn a_pod_brings_its_logins_in_secrets() {
    let Some(net) = Net::new(Access::Login) else { return };
    let (name, host) = (net.name("t/busybox:1"), net.proxy.host());
    let with = |secrets: &str, documents: &[String]| {
        let spec = format!("restartPolicy: Never\nimagePullSecrets: [{secrets}]");
        let yaml = pod("p", &spec, &[container_yaml("c", &name, "echo ran", "")]);
        net.place.write(&[&[yaml][..], documents].concat().join("---\n"));
        let output = net.podling(&["run", "pod.yaml"]);
        assert_no_password(&output);
        output
    };
    let secret = |name: &str, kind: &str, data: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/{kind}\n{data}\n")
    };
    let config = |name: &str, key: &str, password: &str| {
        let data = format!("data: {{.dockerconfigjson: {}}}", STANDARD.encode(auths(key, password)));
        secret(name, "dockerconfigjson", &data)
    };
    with("", &[]).expect_refusal(&["pod.yaml:", "it wants a login"]);
    let unnamed = [config("login", &host, "word")];
    with("", &unnamed).expect_refusal(&["it wants a login"]);
    let missing = with("{name: login}", &[]);
    missing.expect_refusal(&["spec.imagePullSecrets[0].name", "the input has no Secret \"login\"", "it wants a login"]);
    let wrong = with("{name: login}", &[config("login", &host, WRONG)]);
    wrong.expect_refusal(&["the login of user \"user\" is not accepted"]);
    assert_eq!(own_lines(&wrong).len(), 1, "{wrong}");

    let legacy = json!({&host: {"username": "user", "password": "word"}}).to_string();
    let text = serde_json::to_string(&auths(&host, "word")).unwrap();
    for (secrets, documents) in [
        ("{name: login}", vec![config("login", &host, "word")]),
        ("{name: login}", vec![config("login", &format!("http://{host}/v1/"), "word")]),
        (
            "{name: login}",
            vec![secret("login", "dockerconfigjson", &format!("stringData: {{.dockerconfigjson: {text}}}"))],
        ),
        (
            "{name: login}",
            vec![secret("login", "dockercfg", &format!("data: {{.dockercfg: {}}}", STANDARD.encode(&legacy)))],
        ),
        // Each is tried, as a kubelet does; that of the repository's own part first.
        ("{name: wrong}, {name: login}", vec![config("wrong", &host, WRONG), config("login", &host, "word")]),
        ("{name: login}", vec![config("login", &format!("{host}/t/busybox"), "word")]),
    ] {
        let output = with(secrets, &documents);
        assert_eq!(output.expect_success().said(), "ran", "{documents:?}");
        net.podling(&["image", "rm", &name]).expect_success();
    }
    let broken = secret("login", "dockerconfigjson", "data: {.dockerconfigjson: e30K}")
        .replace("e30K", &STANDARD.encode("{\"auths\": 1}"));
    with("{name: login}", &[broken]).expect_refusal(&["Secret \"login\"", ".dockerconfigjson"]);
}

#[test]
fn a_login_is_changed_for_a_token_where_the_registry_says_so() {
    let Some(net) = Net::new(Access::Open) else { return };
    let name = net.name("t/busybox:1");
    net.proxy.demand_token(TOKEN);
    for way in net.ways("word") {
        net.proxy.forget();
        let output = net.logged_in(&way, &["pull", &name]);
        assert_eq!(output.code, Some(0), "{}: {output}", way.what);
        let tokens = net.proxy.seen("/token?");
        assert_eq!(tokens.len(), 1, "{}: {tokens:?}", way.what);
        for part in ["service=test", "scope=repository%3At%2Fbusybox%3Apull"] {
            assert!(tokens[0].line.contains(part), "{tokens:?}");
        }
        // The password goes to the token service only.
        let bearer = format!("Bearer {TOKEN}");
        for request in net.proxy.seen("/v2/") {
            let sent = request.header("authorization");
            assert!(sent.is_none_or(|sent| sent == bearer), "{request:?}");
        }
        net.podling(&["image", "rm", &name]).expect_success();
    }
    for way in net.ways(WRONG) {
        let output = net.logged_in(&way, &["pull", &name]);
        assert_eq!(output.code, Some(125), "{}: {output}", way.what);
        output.expect_refusal(&["the login of user \"user\" is not accepted"]);
        assert_eq!(own_lines(&output).len(), 1, "{}: {output}", way.what);
    }
    net.podling(&["pull", &name]).expect_refusal(&["it wants a login"]);
}

#[test]
fn mirrors_are_asked_first_and_the_registry_itself_when_they_fail() {
    let Some(net) = Net::new(Access::Open) else { return };
    let mirror = Proxy::start(&net.registry.host());
    net.conf(&format!(
        "[[registry]]\nprefix = 'images.test'\nlocation = '{}'\ninsecure = true\n\
         [[registry.mirror]]\nlocation = '{}'\ninsecure = true\n",
        net.proxy.host(),
        mirror.host()
    ));
    let name = "images.test/t/busybox:1";
    let pull = || {
        let output = net.podling(&["pull", name]);
        let count = |proxy: &Proxy, text: &str| proxy.seen(text).len();
        let asked = ["/manifests/", "/blobs/"].map(|text| [count(&mirror, text), count(&net.proxy, text)]);
        mirror.forget();
        net.proxy.forget();
        (output, asked)
    };
    let (output, asked) = pull();
    assert_eq!(output.expect_success().stdout, format!("{}\n", net.digest("t/busybox:1")));
    assert_eq!(asked, [[1, 0], [2, 0]], "{output}");
    let names = &net.inspect(name)["names"];
    assert_eq!(names, &json!([name]), "the image has the name that was asked for, not the mirror's");
    assert_eq!(net.run(name, "", &[]).expect_success().said(), "ran");

    // What the mirror has not got comes from the registry itself, be it the manifest, what it leads to, or everything.
    for (lacks, expected) in
        [("/manifests/", [[1, 1], [2, 0]]), ("/blobs/", [[1, 0], [2, 2]]), ("/v2/", [[1, 1], [2, 2]])]
    {
        net.podling(&["image", "rm", name]).expect_success();
        mirror.clear_faults();
        mirror.fault(lacks, vec![answer("404 Not Found", &[], ""); 9]);
        let (output, asked) = pull();
        output.expect_success();
        assert_eq!(asked, expected, "the mirror lacks {lacks}: {output}");
        assert_eq!(net.run(name, "imagePullPolicy: Never", &[]).expect_success().said(), "ran");
    }

    // A mirror that lies about the layer is not believed twice, and its lie is not held against the registry.
    net.podling(&["image", "rm", name]).expect_success();
    mirror.clear_faults();
    mirror.fault("/blobs/", vec![Fault::Spoil; 9]);
    let (output, _) = pull();
    output.expect_success();
    assert_eq!(net.run(name, "imagePullPolicy: Never", &[]).expect_success().said(), "ran");

    // An image for one platform is not taken for another's.
    let other = net.podling(&["pull", "--platform", "linux/s390x", name]);
    other.expect_refusal(&["it has no image for linux/s390x, only for linux/"]);
    net.podling(&["pull", "--platform", "bogus", name]).expect_refusal(&["it has no image for linux/bogus"]);

    // A layer that is larger than it may become is not even asked for.
    net.podling(&["image", "rm", name]).expect_success();
    mirror.forget();
    net.proxy.forget();
    let bounded = net.podling(&["pull", "--limit", "layer-size=1000", name]);
    bounded.expect_refusal(&["layer sha256:", "more than 1.00kB", "--limit layer-size"]);
    let layer = bounded.stderr.split_once("layer ").unwrap().1.split(' ').next().unwrap();
    assert_eq!(mirror.seen(layer).len() + net.proxy.seen(layer).len(), 0, "{bounded}");
    net.podling(&["pull", name]).expect_success();

    // What cannot be pulled does not keep the next one from it.
    let two = net.podling(&["pull", "images.test/t/absent", name]);
    assert_eq!((two.code, two.stdout.lines().count()), (Some(125), 1), "{two}");

    // Where neither has it, the error tells of both.
    mirror.clear_faults();
    for proxy in [&mirror, &net.proxy] {
        proxy.fault("/manifests/", vec![answer("404 Not Found", &[], ""); 9]);
    }
    let (output, _) = pull();
    output.expect_refusal(&["images.test/t/busybox:1", &mirror.host(), &net.proxy.host()]);
    assert_eq!(own_lines(&output).len(), 1, "{output}");

    // A mirror that is switched off is none.
    net.proxy.clear_faults();
    let mirror = "[[registry.mirror]]\nlocation = 'localhost:1'\ninsecure = true\n";
    net.conf(&format!("{}{mirror}", insecure(&net.proxy.host())));
    net.pull("t/busybox:1").expect_success();
}

#[test]
fn a_mirror_may_serve_digests_only() {
    let Some(net) = Net::new(Access::Open) else { return };
    let mirror = Proxy::start(&net.registry.host());
    net.conf(&format!(
        "[[registry]]\nlocation = '{}'\ninsecure = true\n\
         [[registry.mirror]]\nlocation = '{}'\ninsecure = true\npull-from-mirror = 'digest-only'\n",
        net.proxy.host(),
        mirror.host()
    ));
    net.pull("t/busybox:1").expect_success();
    assert!(mirror.seen("").is_empty() && !net.proxy.seen("/blobs/").is_empty());
    net.podling(&["image", "rm", &net.name("t/busybox:1")]).expect_success();
    net.proxy.forget();
    net.pull(&format!("t/busybox@{}", net.digest("t/busybox:1"))).expect_success();
    assert!(!mirror.seen("/blobs/").is_empty());
    net.assert_silent();
}

#[test]
fn registries_conf_blocks_moves_and_completes_names() {
    let Some(net) = Net::new(Access::Open) else { return };
    let host = net.proxy.host();
    let digest = format!("{}\n", net.digest("t/busybox:1"));

    // The longest prefix counts: a part may be blocked, or be elsewhere.
    net.conf(&format!(
        "{}[[registry]]\nlocation = '{host}/t/secret'\nblocked = true\n\
         [[registry]]\nprefix = 'images.test/team'\nlocation = '{host}/t'\ninsecure = true\n\
         [[registry]]\nprefix = '*.wild.test'\nlocation = '{host}'\ninsecure = true\n",
        insecure(&host)
    ));
    net.pull("t/secret/x:1").expect_refusal(&["registries.conf blocks", &format!("{host}/t/secret")]);
    net.assert_silent();
    for name in [net.name("t/busybox:1"), "images.test/team/busybox:1".into(), "a.wild.test/t/busybox:1".into()] {
        assert_eq!(net.podling(&["pull", &name]).expect_success().stdout, digest);
        assert_eq!(net.inspect(&name)["names"].as_array().unwrap().iter().filter(|n| **n == json!(name)).count(), 1);
        assert_eq!(net.run(&name, "", &[]).expect_success().said(), "ran");
    }

    // A short name is looked for in one registry after the other, and keeps the name of the one that had it.
    let nobody = "localhost:1";
    net.conf(&format!(
        "unqualified-search-registries = ['{nobody}', '{host}']\n{}{}",
        insecure(nobody),
        insecure(&host)
    ));
    net.podling(&["image", "rm", &net.name("t/busybox:1")]).expect_success();
    assert_eq!(net.podling(&["pull", "t/busybox:1"]).expect_success().stdout, digest);
    net.inspect(&net.name("t/busybox:1"));
    net.proxy.forget();
    assert_eq!(net.run("t/busybox:1", "", &[]).expect_success().said(), "ran");
    net.assert_silent();
    let output = net.podling(&["pull", "t/none:1"]);
    output.expect_refusal(&["none of its names can be pulled", "localhost:1/t/none:1", &net.name("t/none:1")]);

    net.conf(&format!("[aliases]\nbb = '{host}/t/busybox'\n{}", insecure(&host)));
    assert_eq!(net.podling(&["pull", "bb:1"]).expect_success().stdout, digest);
    assert_eq!(net.run("bb:1", "", &[]).expect_success().said(), "ran");
}

#[test]
fn a_mistake_in_registries_conf_is_one_error_with_its_line() {
    let Some(net) = Net::new(Access::Open) else { return };
    let file = net.place.path().join("registries.conf").display().to_string();
    for (text, line, why) in [
        ("[[registry]]\nlocation = 1\n", ":2", "invalid type"),
        ("\n\nwhat is this\n", ":3", ""),
        (
            "[[registry]]\nlocation = 'a.test'\n[[registry.mirror]]\nlocation = 'b.test'\ninsecure = 'yes'\n",
            ":5",
            "invalid type",
        ),
        ("[[registry]]\nlocation = 'https://a.test'\n", "", "without http:// or https://"),
        ("[registries.search]\nregistries = ['a.test']\n", "", "version 1"),
    ] {
        net.conf(text);
        let output = net.pull("t/busybox:1");
        output.expect_refusal(&[&format!("{file}{line}"), why]);
        assert_eq!(own_lines(&output).len(), 1, "{output}");
    }
    // What is not known is said, and does no harm.
    net.conf(&format!("{}unsecure = true\n", insecure(&net.proxy.host())));
    let output = net.pull("t/busybox:1");
    assert!(output.expect_success().stderr.contains("unsecure"), "{output}");
    net.proxy.forget();
    fs::remove_file(&file).unwrap();
    net.pull("t/busybox:1").expect_refusal(&["CONTAINERS_REGISTRIES_CONF", &file, "not there"]);
    net.assert_silent();
}

#[test]
fn without_tls_a_registry_is_asked_only_where_that_was_said() {
    let Some(net) = Net::new(Access::Open) else { return };
    let host = net.proxy.host();
    net.conf("");
    for options in [&[][..], &["--tls-verify=true"]] {
        let output = net.podling(&[&["pull", &net.name("t/busybox:1")][..], options].concat());
        output.expect_refusal(&["does not speak TLS", "insecure = true", "--tls-verify=false", &host]);
        assert_eq!(own_lines(&output).len(), 1, "{output}");
        assert!(net.proxy.seen("/v2/").is_empty(), "it was asked all the same");
    }
    net.podling(&["pull", "--tls-verify=false", &net.name("t/busybox:1")]).expect_success();
    net.conf(&insecure(&host));
    net.pull("t/busybox:1").expect_success();
    net.podling(&["pull", "--tls-verify=true", &net.name("t/busybox:1")]).expect_refusal(&["does not speak TLS"]);
}

#[test]
fn a_certificate_must_come_from_an_authority_that_is_known() {
    if !can_run() {
        return;
    }
    let place = Place::with(&[]);
    let [authority, certificate, key] = certificates(place.path());
    let registry = Registry::start(place.path(), Access::Open, Some((&certificate, &key)));
    registry.push(&archive("busybox"), "t/busybox:1", &[]);
    let proxy = Proxy::start(&registry.host());
    let net = Net { place, registry, access: Access::Open, proxy };
    net.conf("");
    let host = net.registry.host();
    let name = format!("{host}/t/busybox:1");
    let dir = net.place.path().join("home/.config/containers/certs.d").join(&host);
    let pull = |options: &[&str]| net.podling(&[&["pull", &name][..], options].concat());
    let refused = || {
        let output = pull(&[]);
        output.expect_refusal(&["the certificate of", &host, "is not accepted", &format!("certs.d/{host}/ca.crt")]);
        assert_eq!(own_lines(&output).len(), 1, "{output}");
    };
    refused();
    // Another authority is none.
    fs::create_dir_all(&dir).unwrap();
    let stranger = net.place.path().join("stranger");
    fs::create_dir(&stranger).unwrap();
    fs::copy(&certificates(&stranger)[0], dir.join("ca.crt")).unwrap();
    refused();
    fs::write(dir.join("ca.crt"), "no certificate").unwrap();
    pull(&[]).expect_refusal(&["there is no certificate in", "ca.crt"]);
    fs::copy(&authority, dir.join("ca.crt")).unwrap();
    pull(&[]).expect_success();
    pull(&["--tls-verify=true"]).expect_success();
    assert_eq!(net.run(&name, "imagePullPolicy: Always", &[]).expect_success().said(), "ran");
    // An authority is one registry's, not all of them's.
    fs::rename(&dir, dir.with_file_name("localhost:1")).unwrap();
    refused();
    pull(&["--tls-verify=false"]).expect_success();
    net.conf(&insecure(&host));
    pull(&[]).expect_success();
}

#[test]
fn quiet_leaves_the_digest_and_elsewhere_each_layer_has_a_line() {
    let Some(net) = Net::new(Access::Open) else { return };
    net.push(&Files::oci("", &[layer("one"), layer("two")]), "t/two:1");
    let digest = format!("{}\n", net.digest("t/two:1"));
    let output = net.podling(&["pull", "-q", &net.name("t/two:1")]);
    assert_eq!((output.expect_success().stdout.as_str(), output.stderr.as_str()), (digest.as_str(), ""));
    net.podling(&["image", "rm", &net.name("t/two:1")]).expect_success();
    let output = net.pull("t/two:1");
    assert_eq!(output.expect_success().stdout, digest);
    let lines = own_lines(&output);
    assert_eq!(lines.len(), output.stderr.lines().count(), "{output}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("podling: layer ")).count(), 2, "{output}");
    assert!(!output.stderr.contains(|c: char| c.is_control() && c != '\n'), "{output}");
    // An error is never quiet.
    net.podling(&["pull", "-q", &net.name("t/none:1")]).expect_refusal(&["there is no image"]);
}

#[test]
fn on_a_terminal_a_bar_moves_for_each_layer() {
    let Some(net) = Net::new(Access::Open) else { return };
    if !require(Feature::Program("script")) {
        return;
    }
    let image = net.name("t/busybox:1");
    let home = net.place.path().join("home").display().to_string();
    let conf = net.place.path().join("registries.conf").display().to_string();
    let environment = [("HOME", home.as_str()), ("CONTAINERS_REGISTRIES_CONF", &conf), ("XDG_RUNTIME_DIR", "")];
    let pull = |more: &[(&str, &str)], options: &str| {
        let line = format!("{} pull {options} {image}; echo code $?", binary().display());
        // The download breaks off in the middle, so that there is something to see of the middle.
        net.proxy.fault("/blobs/", [Fault::None, Fault::Cut(300_000)]);
        let seen = on_a_terminal(&net.place, &[&environment[..], more].concat(), &line, "never typed", "");
        assert!(seen.contains("code 0"), "{seen:?}");
        net.podling(&["image", "rm", &image]).expect_success();
        net.proxy.clear_faults();
        seen
    };
    let digest = net.digest("t/busybox:1");
    let seen = pull(&[], "");
    assert!(
        seen.contains('\x1b') && seen.contains("=>") && seen.contains("done ") && seen.contains(&digest),
        "{seen:?}"
    );
    assert!(seen.contains("kB / ") && !seen.contains("iB"), "sizes are in the units of all other messages: {seen:?}");
    assert_eq!(pull(&[], "-q"), format!("{digest}\ncode 0\n"));
    let dumb = pull(&[("TERM", "dumb")], "");
    assert!(!dumb.contains('\x1b') && dumb.contains("podling: layer "), "{dumb:?}");
}
