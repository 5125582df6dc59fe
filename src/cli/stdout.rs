//! Standard output, for verbs that print: a reader that has gone, as `head` does, is no error, and any other failure says where.

use std::io::{self, ErrorKind, StdoutLock, Write};

/// Standard output, locked.
pub(super) struct Stdout(StdoutLock<'static>);

impl Stdout {
    pub(super) fn lock() -> Stdout {
        Stdout(io::stdout().lock())
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            Err(e) => Err(io::Error::new(e.kind(), format!("write(standard output): {e}"))),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(e) => Err(io::Error::new(e.kind(), format!("write(standard output): {e}"))),
            flushed => flushed,
        }
    }
}

/// What is printed: for people, or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    Json,
}
