//! A real registry (Debian's docker-registry) on loopback, and a proxy before it that misbehaves as it is told.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::running::output_of;

/// The running registry; it ends with its owner.
pub struct Registry {
    process: Child,
    port: u16,
}

/// What a registry asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Open,
    /// A login: user `user`, password `word`.
    Login,
}

impl Registry {
    /// Starts one whose files are below `dir`. `tls` is a certificate and its key.
    pub fn start(dir: &Path, access: Access, tls: Option<(&Path, &Path)>) -> Registry {
        let storage = dir.join("registry");
        fs::create_dir_all(&storage).unwrap();
        let mut http = String::new();
        if let Some((certificate, key)) = tls {
            http += &format!("  tls: {{certificate: {}, key: {}}}\n", certificate.display(), key.display());
        }
        let mut auth = String::new();
        if access == Access::Login {
            let file = dir.join("htpasswd");
            let output = output_of(Command::new("htpasswd").args(["-Bbn", "user", "word"]));
            fs::write(&file, output.expect_success().stdout.clone()).unwrap();
            auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display());
        }
        // Another program may take a free port before the registry does.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = dir.join("registry.yml");
            let text = format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n{auth}http:\n  addr: 127.0.0.1:{port}\n{http}",
                storage.display()
            );
            fs::write(&config, text).unwrap();
            let log = fs::File::create(dir.join("registry.log")).unwrap();
            let mut process = Command::new("docker-registry")
                .args([Path::new("serve"), &config])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            let until = Instant::now() + Duration::from_secs(20);
            while Instant::now() < until && process.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Registry { process, port };
                }
                thread::sleep(Duration::from_millis(20));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("the registry does not start: {}", fs::read_to_string(dir.join("registry.log")).unwrap_or_default());
    }

    /// `localhost:PORT`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Brings a docker archive of rootfs/ there as `name`; `options` are skopeo's.
    pub fn push(&self, archive: &Path, name: &str, options: &[&str]) {
        self.copy(&format!("docker-archive:{}", archive.display()), name, options);
    }

    /// Brings any image that skopeo can read there as `name`.
    pub fn copy(&self, source: &str, name: &str, options: &[&str]) {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]).args(options);
        output_of(command.args([source, &format!("docker://{}/{name}", self.host())])).expect_success();
    }
}

impl Registry {
    /// Ends it; nobody listens at its address any more.
    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the proxy does with an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Passes it on as it is.
    None,
    /// Answers itself: the whole head and body.
    Answer(String),
    /// Resets the connection after so many bytes of the body.
    Reset(usize),
    /// Closes the connection after so many bytes of the body.
    Cut(usize),
    /// Says nothing more after so many bytes of the body.
    Stall(usize),
    /// Passes it on when the test lets go of this.
    Held(Arc<Mutex<()>>),
    /// Changes a byte of the body.
    Spoil,
    /// Sends the whole although a part was asked for.
    IgnoreRange,
    /// Says that it goes on somewhere else than asked.
    WrongRange,
    /// Sends more than the length says, which it leaves out.
    Endless,
}

/// A request that came: its first line and its header lines.
#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    pub headers: Vec<String>,
}

impl Request {
    /// The value of a header, whose name is written small.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A rule: the faults for requests whose first line contains a text, one after the other; after them all goes well.
type Rules = Vec<(String, VecDeque<Fault>)>;

/// The proxy.
pub struct Proxy {
    port: u16,
    rules: Arc<Mutex<Rules>>,
    seen: Arc<Mutex<Vec<Request>>>,
    /// The bearer token that it demands, and whom it sends for it.
    token: Arc<Mutex<Option<String>>>,
}

impl Proxy {
    /// A proxy before `upstream`, `HOST:PORT`.
    pub fn start(upstream: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Proxy { port, rules: Arc::default(), seen: Arc::default(), token: Arc::default() };
        let (rules, seen, token) = (proxy.rules.clone(), proxy.seen.clone(), proxy.token.clone());
        let upstream = upstream.to_owned();
        // It ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, rules, seen, token) = (upstream.clone(), rules.clone(), seen.clone(), token.clone());
                thread::spawn(move || {
                    let _ = serve(client, &upstream, port, &rules, &seen, &token);
                });
            }
        });
        proxy
    }

    /// `localhost:PORT`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Requests whose first line contains `text` meet these faults, one each.
    pub fn fault(&self, text: &str, faults: impl IntoIterator<Item = Fault>) {
        self.rules.lock().unwrap().push((text.to_owned(), faults.into_iter().collect()));
    }

    /// All goes well from now on.
    pub fn clear_faults(&self) {
        self.rules.lock().unwrap().clear();
    }

    /// Demands a token, which its own token service gives to `user` with the password `word`.
    pub fn demand_token(&self, token: &str) {
        *self.token.lock().unwrap() = Some(token.to_owned());
    }

    /// The requests whose first line contains `text`.
    pub fn seen(&self, text: &str) -> Vec<Request> {
        self.seen.lock().unwrap().iter().filter(|request| request.line.contains(text)).cloned().collect()
    }

    /// Forgets all requests.
    pub fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }
}

/// An answer of the proxy's own.
pub fn answer(status: &str, headers: &[&str], body: &str) -> Fault {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    Fault::Answer(format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}",
        body.len()
    ))
}

fn read_head(stream: &mut TcpStream) -> io::Result<Vec<String>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
        // A handshake of TLS, to which no line end need ever come: it is answered as a server of plain HTTP does.
        if head == [0x16] {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")?;
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).trim_end().split("\r\n").map(str::to_owned).collect())
}

/// One request on one connection: the proxy always closes, so that faults do not spread.
fn serve(
    mut client: TcpStream,
    upstream: &str,
    port: u16,
    rules: &Mutex<Rules>,
    seen: &Mutex<Vec<Request>>,
    token: &Mutex<Option<String>>,
) -> io::Result<()> {
    let mut head = read_head(&mut client)?;
    let request = Request { line: head.remove(0), headers: head };
    seen.lock().unwrap().push(request.clone());
    if let Some(token) = token.lock().unwrap().clone() {
        let reply = if request.line.contains(" /token?") {
            let good = request.header("authorization") == Some("Basic dXNlcjp3b3Jk");
            let body = format!("{{\"token\": \"{token}\", \"expires_in\": 60}}");
            Some(if good { answer("200 OK", &[], &body) } else { answer("401 Unauthorized", &[], "") })
        } else if request.header("authorization") != Some(&format!("Bearer {token}")) {
            let challenge =
                format!("WWW-Authenticate: Bearer realm=\"http://localhost:{port}/token\",service=\"test\"");
            Some(answer("401 Unauthorized", &[&challenge], ""))
        } else {
            None
        };
        if let Some(Fault::Answer(text)) = reply {
            return client.write_all(text.as_bytes());
        }
    }
    let fault = {
        let mut rules = rules.lock().unwrap();
        let rule = rules.iter_mut().find(|(text, faults)| request.line.contains(text.as_str()) && !faults.is_empty());
        rule.and_then(|(_, faults)| faults.pop_front()).unwrap_or(Fault::None)
    };
    if let Fault::Answer(text) = &fault {
        return client.write_all(text.as_bytes());
    }
    let mut server = TcpStream::connect(upstream)?;
    let mut text = format!("{}\r\n", request.line);
    for line in &request.headers {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let dropped = match name.as_str() {
            "connection" => true,
            "authorization" => line.contains("Bearer"),
            "range" => matches!(fault, Fault::IgnoreRange),
            _ => false,
        };
        if !dropped {
            text += &format!("{line}\r\n");
        }
    }
    server.write_all(format!("{text}Connection: close\r\n\r\n").as_bytes())?;
    // Uploads go through on a thread of their own.
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || io::copy(&mut from, &mut to));
    let head = read_head(&mut server)?;
    let change = |line: &String| match &fault {
        Fault::WrongRange if line.to_ascii_lowercase().starts_with("content-range") => {
            "Content-Range: bytes 1-2/3".into()
        }
        _ => line.clone(),
    };
    let drop_length = matches!(fault, Fault::Endless);
    let kept = head.iter().filter(|line| !(drop_length && line.to_ascii_lowercase().starts_with("content-length")));
    let head: Vec<String> = kept.map(change).collect();
    client.write_all(format!("{}\r\n\r\n", head.join("\r\n")).as_bytes())?;
    let mut body = Vec::new();
    let _ = server.read_to_end(&mut body);
    match fault {
        Fault::Reset(count) => {
            client.write_all(&body[..count.min(body.len())])?;
            thread::sleep(Duration::from_millis(50));
            // With a linger time of zero a close is a reset (socket(7)).
            nix::sys::socket::setsockopt(
                &client,
                nix::sys::socket::sockopt::Linger,
                &libc::linger { l_onoff: 1, l_linger: 0 },
            )?;
            return Ok(());
        }
        Fault::Cut(count) => client.write_all(&body[..count.min(body.len())])?,
        Fault::Stall(count) => {
            client.write_all(&body[..count.min(body.len())])?;
            thread::sleep(Duration::from_secs(600));
        }
        Fault::Held(gate) => {
            let _let_go = gate.lock();
            client.write_all(&body)?;
        }
        Fault::Spoil => {
            if let Some(byte) = body.last_mut() {
                *byte ^= 1;
            }
            client.write_all(&body)?;
        }
        Fault::Endless => {
            client.write_all(&body)?;
            while client.write_all(&[0; 65536]).is_ok() {}
        }
        _ => client.write_all(&body)?,
    }
    client.shutdown(Shutdown::Write)?;
    let _ = io::copy(&mut client, &mut io::sink());
    Ok(())
}

/// A certificate for localhost and the authority that signed it, made by openssl: `ca.crt`, `cert.pem`, `key.pem`.
pub fn certificates(dir: &Path) -> [PathBuf; 3] {
    let openssl = |args: &[&str]| output_of(Command::new("openssl").current_dir(dir).args(args)).expect_success().code;
    fs::write(dir.join("san"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    openssl(&[&new[..], &["-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.crt"]].concat());
    let request = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost"];
    openssl(&[&request[..], &["-keyout", "key.pem", "-out", "request.pem"]].concat());
    let sign = ["x509", "-req", "-in", "request.pem", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(&[&sign[..], &["-days", "2", "-extfile", "san", "-out", "cert.pem"]].concat());
    ["ca.crt", "cert.pem", "key.pem"].map(|name| dir.join(name))
}
