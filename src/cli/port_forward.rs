//! `podling port-forward`: ports of a pod on this host's loopback interface, for as long as podling runs.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

use super::asking::object;
use super::pump::Buffer;
use super::stdout::Stdout;
use super::tunnel::Tunnel;
use super::{data, say};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::pod::{Connection, Reply, Request, list};
use crate::sys::Named;

/// Make TCP ports of a pod reachable on this host, for as long as podling runs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The sockets are made inside the pod: nothing is published, the pod needs no `ports`, and what listens on its loopback
interface only is reached, too. REMOTE may be the name of a container's port.

Examples:
  podling port-forward web 8080:80
  podling port-forward web 80 443          the same ports on this host
  podling port-forward web :http           any free port here"
)]
pub struct Args {
    /// The pod
    #[arg(value_name = "POD", add = super::complete::pods())]
    pod: String,

    /// The port in the pod, and the one on this host if it is another
    #[arg(value_name = "[LOCAL:]REMOTE", required = true)]
    ports: Vec<String>,

    /// Where to listen: addresses of this host, with commas between. Others than loopback addresses
    /// make the pod reachable for whoever reaches this host
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,
}

/// A port in the pod, and the one on this host; 0 is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Forward {
    local: u16,
    remote: u16,
}

/// A socket that listens on this host.
#[derive(Debug)]
struct Listening {
    socket: TcpListener,
    forward: Forward,
}

/// Runs the verb until the pod ends.
///
/// # Errors
/// A port that the pod does not name, or that cannot be had here.
pub fn run(args: &Args) -> Result<u8> {
    let data = data::directory(&HostFacts::gather())?;
    let (found, connection) = list::live(&data, &args.pod)?;
    let object = object(&found)?;
    let forwards = args.ports.iter().map(|word| forward(word, &object)).collect::<Result<Vec<_>>>()?;
    let addresses = addresses(&args.address)?;
    allow_many_descriptors();
    let mut listening = Vec::new();
    for forward in forwards {
        listening.extend(listen(forward, &addresses)?);
    }
    {
        let mut out = Stdout::lock();
        for Listening { socket, forward } in &listening {
            writeln!(out, "Forwarding from {} -> {}", socket.local_addr()?, forward.remote)?;
        }
        out.flush()?;
    }
    serve(&connection, &listening)?;
    say(format_args!("pod {:?} has ended, and its ports with it", found.name));
    Ok(0)
}

/// `[LOCAL:]REMOTE`.
fn forward(word: &str, object: &Value) -> Result<Forward> {
    let wrong = |why: String| {
        Error::new(format!("port {word:?}: {why}")).mend("write REMOTE, LOCAL:REMOTE or :REMOTE, as in 8080:80")
    };
    let (local, remote) = match word.split_once(':') {
        Some((local, remote)) => (Some(local), remote),
        None => (None, word),
    };
    let remote = match remote.parse::<u16>() {
        Ok(0) => return Err(wrong("a port is a number from 1 to 65535".to_owned())),
        Ok(port) => port,
        Err(_) if remote.is_empty() || remote.bytes().all(|b| b.is_ascii_digit()) => {
            return Err(wrong("a port is a number from 1 to 65535".to_owned()));
        }
        Err(_) => named_port(object, remote).ok_or_else(|| wrong(format!("no container has a port {remote:?}")))?,
    };
    let local = match local {
        None => remote,
        Some("") => 0,
        Some(local) => local.parse().map_err(|_| wrong(format!("{local:?} is no port of this host")))?,
    };
    Ok(Forward { local, remote })
}

/// The number of the port that a container calls `name`.
fn named_port(object: &Value, name: &str) -> Option<u16> {
    let lists = [&object["spec"]["containers"], &object["spec"]["initContainers"]];
    let containers = lists.into_iter().filter_map(Value::as_array).flatten();
    let mut ports = containers.filter_map(|c| c["ports"].as_array()).flatten();
    let port = ports.find(|port| port["name"].as_str() == Some(name))?;
    u16::try_from(port["containerPort"].as_u64()?).ok()
}

/// Where to listen, and whether it must work there.
fn addresses(words: &[String]) -> Result<Vec<(IpAddr, Must)>> {
    let mut addresses = Vec::new();
    for word in words {
        match word.as_str() {
            // As kubectl: both families, where the host has them.
            "localhost" => {
                addresses.push((IpAddr::V4(Ipv4Addr::LOCALHOST), Must::Work));
                addresses.push((IpAddr::V6(Ipv6Addr::LOCALHOST), Must::NotFail));
            }
            word => {
                let address: IpAddr = word.parse().map_err(|_| {
                    Error::new(format!("--address {word:?} is no IP address")).mend("write 127.0.0.1, ::1 or localhost")
                })?;
                if !address.is_loopback() {
                    say(format_args!("warning: whoever reaches {address} reaches the pod"));
                }
                addresses.push((address, Must::Work));
            }
        }
    }
    Ok(addresses)
}

/// Whether listening at an address is what the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Must {
    Work,
    NotFail,
}

fn listen(forward: Forward, addresses: &[(IpAddr, Must)]) -> Result<Vec<Listening>> {
    let mut listening: Vec<Listening> = Vec::new();
    // The first socket chooses where any port will do, and the others take the same.
    let mut port = forward.local;
    for (address, must) in addresses {
        match TcpListener::bind(SocketAddr::new(*address, port)) {
            Ok(socket) => {
                socket.set_nonblocking(true)?;
                port = socket.local_addr()?.port();
                listening.push(Listening { socket, forward });
            }
            Err(_) if *must == Must::NotFail => {}
            Err(e) => return Err(cannot_listen(SocketAddr::new(*address, port), forward, &e)),
        }
    }
    Ok(listening)
}

fn cannot_listen(at: SocketAddr, forward: Forward, e: &std::io::Error) -> Error {
    let error = Error::new(format!("cannot listen on {at}: {e}"));
    let Forward { remote, .. } = forward;
    match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            error.mend(format!("choose another port of this host, or :{remote} for any free one"))
        }
        std::io::ErrorKind::PermissionDenied => error.mend(format!(
            "ports below 1024 are root's here; write {}:{remote}",
            8000_u16.saturating_add(remote % 1000)
        )),
        _ => error,
    }
}

/// A connection takes two descriptors, and the usual soft limit is 1024.
fn allow_many_descriptors() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Carries connections until the pod has ended.
fn serve(connection: &Connection, listening: &[Listening]) -> Result<()> {
    let mut tunnels: Vec<Tunnel> = Vec::new();
    let mut buffer = Buffer::new();
    let mut full = false;
    loop {
        let mut fds = vec![PollFd::new(connection.as_fd(), PollFlags::POLLIN)];
        // Where no descriptor is left, those who wait to be accepted go on waiting until one is.
        let taking = if full { &[] } else { listening };
        fds.extend(taking.iter().map(|l| PollFd::new(l.socket.as_fd(), PollFlags::POLLIN)));
        let mut whose = Vec::new();
        for (n, tunnel) in tunnels.iter().enumerate() {
            for (part, fd) in tunnel.waits_for() {
                whose.push((n, part));
                fds.push(fd);
            }
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            polled => polled.named(|| "poll(the forwarded connections)")?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        drop(fds);
        let (first, rest) = ready.split_at(1);
        let (accepting, carrying) = rest.split_at(taking.len());
        for ((n, part), _) in whose.into_iter().zip(carrying).filter(|(_, ready)| **ready) {
            if let Some(tunnel) = tunnels.get_mut(n) {
                tunnel.step(part, &mut buffer);
            }
        }
        let before = tunnels.len();
        for tunnel in tunnels.extract_if(.., |tunnel| tunnel.is_over()) {
            if let Some(why) = tunnel.complaint() {
                say(why);
            }
        }
        full &= tunnels.len() == before;
        if first == [true] && connection.answer()?.is_none() {
            return Ok(());
        }
        for (listening, _) in taking.iter().zip(accepting).filter(|(_, ready)| **ready) {
            match accept(connection, listening)? {
                Accepted::Tunnel(tunnel) => tunnels.push(tunnel),
                Accepted::Nobody => {}
                Accepted::Full => full = !tunnels.is_empty(),
                Accepted::PodEnded => return Ok(()),
            }
        }
    }
}

enum Accepted {
    Tunnel(Tunnel),
    Nobody,
    /// No descriptor is left.
    Full,
    PodEnded,
}

fn accept(connection: &Connection, listening: &Listening) -> Result<Accepted> {
    let local = match listening.socket.accept() {
        Ok((local, _)) => local,
        Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => return Ok(Accepted::Full),
        // It has gone again.
        Err(_) => return Ok(Accepted::Nobody),
    };
    let Forward { remote, .. } = listening.forward;
    let mut out = Stdout::lock();
    writeln!(out, "Handling connection for {}", listening.socket.local_addr()?.port())?;
    out.flush()?;
    let sockets = match connection.call(&Request::Sockets, &[]) {
        Ok(Some((Reply::Sockets, sockets))) => sockets,
        Ok(Some(_)) => Vec::new(),
        Ok(None) => return Ok(Accepted::PodEnded),
        Err(e) => {
            say(e);
            return Ok(Accepted::Nobody);
        }
    };
    local.set_nonblocking(true)?;
    match Tunnel::begin(OwnedFd::from(local), sockets, remote) {
        Ok(tunnel) => Ok(Accepted::Tunnel(tunnel)),
        Err(why) => {
            say(why);
            Ok(Accepted::Nobody)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_as_kubectl_writes_them() {
        let object = json!({ "spec": { "containers": [{ "ports": [{ "name": "http", "containerPort": 80 }] }] } });
        let of = |word: &str| forward(word, &object).map(|f| (f.local, f.remote));
        assert_eq!(of("80").unwrap(), (80, 80));
        assert_eq!(of("8080:80").unwrap(), (8080, 80));
        assert_eq!(of(":80").unwrap(), (0, 80));
        assert_eq!(of("http").unwrap(), (80, 80));
        assert_eq!(of("9:http").unwrap(), (9, 80));
        for wrong in ["", "0", "8080:", "x:80", "99999", "https", "1:2:3", "-1"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
