//! A process in the middle of its death: its connections are closed already, and its socket still takes new ones.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use podling::sys::packet;

/// What is left of it.
pub struct Dying {
    is_over: Arc<AtomicBool>,
    answering: JoinHandle<()>,
}

/// Listens in `dir`, where a killed process listened: closes the first `connections` as they come, and then the socket.
pub fn start(dir: &Path, connections: usize) -> Dying {
    fs::remove_file(dir.join("control")).unwrap();
    let listener =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
            .unwrap();
    // The path itself may be too long for an address.
    let opened = File::open(dir).unwrap();
    let address = UnixAddr::new(format!("/proc/self/fd/{}/control", opened.as_raw_fd()).as_str()).unwrap();
    bind(listener.as_raw_fd(), &address).unwrap();
    listen(&listener, Backlog::new(16).unwrap()).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    let answering = std::thread::spawn(move || {
        let mut left = connections;
        while left > 0 && !told.load(Ordering::Relaxed) {
            match packet::accept(&listener) {
                Ok(_) => left -= 1,
                Err(_) => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    });
    Dying { is_over, answering }
}

impl Dying {
    /// It is dead.
    pub fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.answering.join().unwrap();
    }
}
