//! Promise: a pull is all or nothing, for itself and for others. Killed at any moment it leaves a store that is whole and that the next
//! podling clears up; any number of pulls at once fetch each layer once; and what a pod or a pull uses is not taken from it.

mod archives;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use archives::image::{Files, Layer};
use archives::tar::{Entry, archive as tar};
use nix::sys::signal::Signal;
use support::registry::{Access, Fault, Proxy, Registry};
use support::running::program;
use support::{Feature, Output, Place, Running, container_yaml, pod, require};

/// How often the pull is killed.
const KILLS: usize = 200;
/// After so many kills a pull may go on to its end, and what came of it is looked at.
const EVERY: usize = 20;

/// xorshift64, so that a seed that was printed brings the same moments again.
struct Random(u64);

impl Random {
    /// The seed is `PODLING_TEST_SEED`, or another one each time.
    fn new() -> Random {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("PODLING_TEST_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
        eprintln!("PODLING_TEST_SEED={seed}");
        Random(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Some part of `whole`.
    fn part_of(&mut self, whole: Duration) -> Duration {
        whole.mul_f64((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// How many small files a layer has.
const SMALL: usize = 50;

/// A layer that cannot be compressed: a file of `size` bytes, many small ones, some of which are another user's, and a whiteout.
fn layer(name: &str, size: usize, compress: fn(&[u8]) -> Layer) -> Layer {
    let mut random = Random(name.bytes().fold(1, |hash, byte| hash * 31 + u64::from(byte)));
    let mut content = Vec::new();
    while content.len() < size {
        content.extend(random.next().to_le_bytes());
    }
    let mut entries = vec![Entry::dir(name), Entry::file(format!("{name}/large"), &content)];
    for n in 0..SMALL {
        entries.push(Entry::file(format!("{name}/small-{n}"), &content[n..n + 1000]).uid(n as u64 % 2 * 33));
    }
    entries.extend([Entry::file(".wh.gone", ""), Entry::file("last", name)]);
    compress(&tar(&entries))
}

/// Layers of both compressions that travel, the largest of `size` bytes.
fn layers(size: usize) -> Vec<Layer> {
    vec![layer("a", size, Layer::gzip), layer("b", size / 2, Layer::zstd), layer("c", size / 4, Layer::gzip)]
}

/// A registry behind a proxy, with images that have more than one layer.
struct Net {
    place: Place,
    registry: Registry,
    proxy: Proxy,
}

impl Net {
    fn new() -> Option<Net> {
        let tools = ["docker-registry", "skopeo"].iter().all(|tool| require(Feature::Program(tool)));
        if !tools || !require(Feature::UserNamespaces) {
            return None;
        }
        let place = Place::with(&[]);
        let registry = Registry::start(place.path(), Access::Open, None);
        let proxy = Proxy::start(&registry.host());
        Some(Net { place, registry, proxy })
    }

    /// Pushes busybox with these layers, and answers with the name that the image has behind the proxy.
    fn push(&self, name: &str, layers: &[Layer]) -> String {
        let dir = self.place.path().join("layout");
        let _ = fs::remove_dir_all(&dir);
        Files::on_busybox("", layers).write_to(&dir);
        self.registry.copy(&format!("oci:{}", dir.display()), name, &[]);
        format!("{}/{name}", self.proxy.host())
    }

    fn start_pull(&self, name: &str) -> Running {
        Running::spawn(&self.place, self.place.command(&["pull", "--tls-verify=false", name]))
    }

    fn pull(&self, name: &str) -> Output {
        self.start_pull(name).finish()
    }

    fn podling(&self, args: &[&str]) -> Output {
        self.place.podling(args)
    }

    /// Runs `script` in a pod of this image, which must be in the store.
    fn run(&self, name: &str, script: &str) -> Output {
        self.place.run(&self.yaml(name, script))
    }

    fn yaml(&self, name: &str, script: &str) -> String {
        let container = container_yaml("c", name, script, "imagePullPolicy: Never");
        pod("p", "restartPolicy: Never", &[container])
    }

    /// Everything below one of the store's directories, a path a line.
    fn listed(&self, dir: &str) -> Vec<PathBuf> {
        let list = |dir: &Path| fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        list(&self.place.data().join(dir))
    }

    /// Blobs, and layers of all id maps.
    fn parts(&self) -> (usize, usize) {
        let layers =
            self.listed("layers").into_iter().map(|map| fs::read_dir(map.join("sha256")).map_or(0, Iterator::count));
        (self.listed("images/blobs/sha256").len(), layers.sum())
    }

    #[track_caller]
    fn assert_whole(&self) {
        let output = self.podling(&["system", "check"]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "the store is damaged: {output}");
    }

    /// The image comes, is whole, runs, and goes without a trace: nothing hinders it that earlier podlings have left.
    #[track_caller]
    fn assert_a_fresh_pull_is_whole(&self, name: &str, layers: usize) {
        self.pull(name).expect_success();
        assert_eq!(self.listed("staging"), Vec::<PathBuf>::new(), "orphans");
        self.assert_whole();
        assert_eq!(self.parts(), (layers + 2, layers), "blobs and layers of the image");
        let said = self.run(name, "cat /last; echo; ls /a | wc -l");
        assert_eq!(said.expect_success().said(), "c\n51", "{said}");
        self.podling(&["image", "rm", name]).expect_success();
        assert_eq!(self.parts(), (0, 0), "something is left of an image that was removed");
    }
}

#[test]
fn a_pull_that_is_killed_at_any_moment_leaves_a_whole_store() {
    let Some(net) = Net::new() else { return };
    let mut random = Random::new();
    let name = net.push("t/image:1", &layers(600_000));
    net.assert_a_fresh_pull_is_whole(&name, 4);
    let pull = || {
        let begun = Instant::now();
        (net.start_pull(&name), begun)
    };
    let (running, begun) = pull();
    running.finish().expect_success();
    let mut whole = begun.elapsed();
    net.podling(&["image", "rm", &name]).expect_success();

    // Where the kills met it, as the store shows: before it made anything, making, moving into the store, and named.
    let (mut early, mut making, mut moving, mut named) = (0, 0, 0, 0);
    let mut ended = 0;
    while early + making + moving + named < KILLS {
        let moment = random.part_of(whole);
        let (running, begun) = pull();
        std::thread::sleep(moment);
        running.signal(Signal::SIGKILL);
        let output = running.finish();
        let is_named = match net.podling(&["images", "-q"]).expect_success().stdout.lines().count() {
            0 => false,
            1 => true,
            more => panic!("{more} images"),
        };
        if output.signal != Some(9) {
            // It was faster than ever.
            output.expect_success();
            assert!(is_named, "{output}");
            whole = whole.min(begun.elapsed());
            ended += 1;
            assert!(ended < 10 * KILLS, "no pull is killed before its end");
        } else if is_named {
            named += 1;
        } else if net.parts() != (0, 0) {
            moving += 1;
        } else if net.listed("staging").is_empty() {
            early += 1;
        } else {
            making += 1;
        }
        let kills = early + making + moving + named;
        if is_named {
            net.assert_whole();
            net.podling(&["image", "rm", &name]).expect_success();
        } else if kills % EVERY == 0 {
            net.assert_a_fresh_pull_is_whole(&name, 4);
        }
    }
    eprintln!(
        "killed {early} times before anything was made, {making} while it was, {moving} on its way into the store, {named} thereafter; {ended} ended"
    );
    assert!(making >= KILLS / 4, "the moments are not those of the work: {early} {making} {moving} {named}");
    net.assert_a_fresh_pull_is_whole(&name, 4);
    net.place.assert_nothing_left();
}

/// Publication is short, so random moments seldom meet it: here the kernel ends podling at each of its steps, before the step is taken.
#[test]
fn a_pull_that_is_killed_at_any_step_of_its_publication_leaves_a_whole_store() {
    let Some(net) = Net::new() else { return };
    if !require(Feature::Tracing) {
        return;
    }
    let name = net.push("t/image:1", &layers(20_000));
    let steps = "rename,renameat,renameat2,fsync,syncfs";
    // strace follows only the first process, so that newuidmap keeps its privilege.
    let killed_at = |step: usize| {
        let mut command = Command::new(program("strace"));
        net.place.environment(&mut command).args(["-qq", "-o", "/dev/null", "-e", &format!("trace={steps}")]);
        command.args(["-e", &format!("inject={steps}:signal=SIGKILL:when={step}")]).arg(support::binary());
        Running::spawn(&net.place, {
            command.args(["pull", "--tls-verify=false", &name]);
            command
        })
        .finish()
    };
    let mut moving = 0;
    for step in 1.. {
        let output = killed_at(step);
        if output.code == Some(0) {
            assert!(step > 10, "publication has only {step} steps");
            break;
        }
        assert_eq!(output.signal, Some(9), "{output}");
        let named = net.podling(&["images", "-q"]).expect_success().stdout.lines().count();
        moving += usize::from(named == 0 && net.parts() != (0, 0));
        // Nothing that is named lacks anything, at once and after the next pull.
        net.assert_whole();
        net.assert_a_fresh_pull_is_whole(&name, 4);
    }
    assert!(moving >= 4, "only {moving} kills left parts without a name in the store");
    net.podling(&["image", "rm", &name]).expect_success();
    net.assert_a_fresh_pull_is_whole(&name, 4);
}

#[test]
fn twenty_pulls_at_once_fetch_each_blob_once() {
    let Some(net) = Net::new() else { return };
    let own = layers(600_000);
    let first = net.push("t/first:1", &own);
    // The second image shares all but one of its layers with the first.
    let other = [&own[1..], &[layer("d", 100_000, Layer::gzip)]].concat();
    let second = net.push("t/second:1", &other);
    net.proxy.forget();
    let all: Vec<Running> = (0..24).map(|n| net.start_pull(if n % 6 < 5 { &first } else { &second })).collect();
    let outputs: Vec<Output> = all.into_iter().map(Running::finish).collect();
    for (n, output) in outputs.iter().enumerate() {
        let like = &outputs[if n % 6 < 5 { 0 } else { 5 }];
        assert_eq!(output.expect_success().stdout, like.stdout, "{output}");
    }
    assert!(outputs.iter().any(|output| output.stderr.contains("another podling")), "they were not at work at once");
    for layer in own.iter().chain(&other) {
        let requests = net.proxy.seen(&layer.digest);
        assert_eq!(requests.len(), 1, "layer {}: {requests:?}", layer.digest);
    }
    // Each asks once what the tag means.
    assert_eq!(net.proxy.seen("/manifests/1 ").len(), 24);
    // The layers of both, and their two configs.
    assert_eq!(net.proxy.seen("/blobs/").len(), own.len() + 1 + 1 + 2);
    assert_eq!(net.listed("staging"), Vec::<PathBuf>::new());
    // busybox's layer and the four that were made here; two configs and two manifests.
    assert_eq!(net.parts(), (9, 5));
    net.assert_whole();
    assert_eq!(net.run(&first, "cat /last").expect_success().said(), "c");
    assert_eq!(net.run(&second, "cat /last").expect_success().said(), "d");
}

#[test]
fn who_waits_for_a_pull_that_is_killed_takes_over() {
    let Some(net) = Net::new() else { return };
    let own = layers(100_000);
    let name = net.push("t/image:1", &own);
    net.proxy.fault(&own[1].digest, [Fault::Stall(10_000)]);
    let maker = net.start_pull(&name);
    maker.wait_until("the request that stalls", || (!net.proxy.seen(&own[1].digest).is_empty()).then_some(()));
    let waiting: Vec<Running> = (0..3).map(|_| net.start_pull(&name)).collect();
    for one in &waiting {
        one.wait_for("another podling");
    }
    maker.signal(Signal::SIGKILL);
    assert_eq!(maker.finish().signal, Some(9));
    for one in waiting {
        one.finish().expect_success();
    }
    assert_eq!(net.proxy.seen(&own[1].digest).len(), 2, "the killed one's request, and that of its successor");
    net.assert_whole();
    assert_eq!(net.run(&name, "cat /last").expect_success().said(), "c");
    // Those who waited were at work already when it was killed; the next podling finds what it left.
    assert_eq!(net.listed("staging"), Vec::<PathBuf>::new());
}

#[test]
fn an_image_that_a_pod_uses_is_not_taken_from_it() {
    let Some(net) = Net::new() else { return };
    let name = net.push("t/image:1", &layers(10_000));
    net.pull(&name).expect_success();
    let id = net.podling(&["images", "-q"]).expect_success().stdout.trim().to_owned();
    let script = "trap 'cat /a/small-* | wc -c; exit 0' TERM; echo ready; while true; do sleep 0.05; done";
    let running = net.place.start(&net.yaml(&name, script));
    running.wait_for("ready");
    for words in [&["image", "rm", &name][..], &["image", "rm", &id], &["image", "rm", "--force", &id]] {
        net.podling(words).expect_refusal(&["used by a running pod"]);
    }
    for words in [&["image", "prune", "--force"][..], &["image", "prune", "--all", "--force"]] {
        net.podling(words).expect_success();
        assert_eq!(net.podling(&["images", "-q"]).expect_success().stdout.trim(), id);
    }
    // The tag may go to a newer image, and then the older one stays without a name.
    net.push("t/image:1", &[layer("newer", 10_000, Layer::gzip)]);
    net.pull(&name).expect_success();
    net.podling(&["image", "prune", "--force"]).expect_success();
    net.podling(&["image", "prune", "--all", "--force"]).expect_success();
    assert_eq!(net.podling(&["images", "-q"]).expect_success().stdout.trim(), id, "what is not used is pruned");
    net.assert_whole();
    assert_eq!(running.stop().expect_success().lines_of("c"), ["ready", "50000"]);
    net.podling(&["image", "prune", "--all", "--force"]).expect_success();
    assert_eq!(net.parts(), (0, 0));
    net.place.assert_nothing_left();
}

#[test]
fn prune_takes_nothing_that_a_pull_needs() {
    let Some(net) = Net::new() else { return };
    let own = layers(100_000);
    let first = net.push("t/first:1", &own[..2]);
    let second = net.push("t/second:1", &own);
    net.pull(&first).expect_success();
    net.proxy.forget();
    // It needs two layers that are here, and waits for the third one.
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    net.proxy.fault(&own[2].digest, [Fault::Held(gate.clone())]);
    let pull = net.start_pull(&second);
    pull.wait_until("the layer's request", || (!net.proxy.seen(&own[2].digest).is_empty()).then_some(()));
    let before = net.parts();
    for words in [&["image", "prune", "--force"][..], &["image", "prune", "--all", "--force"], &["image", "rm", &first]]
    {
        let output = net.podling(words);
        // The last one finds the image pruned already.
        assert_eq!(output.code, Some(if words[1] == "rm" { 125 } else { 0 }), "{output}");
    }
    assert_eq!(net.parts().1, before.1, "layers that the pull needs are gone");
    drop(held);
    pull.finish().expect_success();
    for layer in &own[..2] {
        assert_eq!(net.proxy.seen(&layer.digest).len(), 0, "a layer that was here was fetched again");
    }
    net.assert_whole();
    assert_eq!(net.run(&second, "cat /last; echo; ls /a | wc -l").expect_success().said(), "c\n51");
}
