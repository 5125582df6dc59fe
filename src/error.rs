//! One error type for the whole crate: what failed, where, why, and what to do about it.

use std::fmt;

/// A `Result` whose error is podling's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What the exit code must tell the caller about a failure (the convention of `docker run` and `podman run`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// podling itself failed, or its input was refused: exit code 125.
    #[default]
    Podling,
    /// The container's command exists but cannot be executed: exit code 126.
    NotExecutable,
    /// The container's command was not found: exit code 127.
    NotFound,
}

/// A failure, with the chain of what podling was doing and, where one is known, the mend.
///
/// Texts are lower case without a full stop; `main` prints them once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

/// Behind a pointer, since every `Result` on the stack has room for an error, and deep recursions have many.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    what: String,
    mend: Option<String>,
    kind: Kind,
    place: Option<(String, String)>,
}

impl Error {
    /// A failure described by `what`, for example `"image \"web\" is not in the store"`.
    pub fn new(what: impl Into<String>) -> Self {
        Error(Box::new(Inner { what: what.into(), mend: None, kind: Kind::Podling, place: None }))
    }

    /// Adds what the user can do: one sentence or one command line.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.0.mend = Some(mend.into());
        self
    }

    /// Sets the exit-code class.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Puts `context` before the description: `context: what`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.what = format!("{context}: {}", self.0.what);
        self
    }

    /// The same in other words: `reword` makes them, of the description and of the mend.
    #[must_use]
    pub fn reworded(mut self, reword: impl Fn(&str) -> String) -> Self {
        self.0.what = reword(&self.0.what);
        self.0.mend = self.0.mend.as_deref().map(reword);
        self
    }

    /// Remembers that the error is about the field `path` of the input, which is written at `at` (`file:line`).
    #[must_use]
    pub fn place(mut self, at: String, path: String) -> Self {
        self.0.place = Some((at, path));
        self
    }

    /// Where the field is written (`file:line`), its path, and what is wrong with it, for an error about a field of the input.
    ///
    /// This is lost on the way to another process.
    pub fn field(&self) -> Option<(&str, &str, &str)> {
        let (at, path) = self.0.place.as_ref()?;
        let why = self.0.what.strip_prefix(&format!("{at}: {path}: ")).unwrap_or(&self.0.what);
        Some((at, path, why))
    }

    /// The description without the mend.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// The mend, where there is one.
    pub fn hint(&self) -> Option<&str> {
        self.0.mend.as_deref()
    }

    /// The error as bytes that [`Error::decode`] reads in another process: a letter for the kind, the description, NUL, the mend.
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.0.kind {
            Kind::Podling => 'p',
            Kind::NotExecutable => 'x',
            Kind::NotFound => 'n',
        };
        format!("{kind}{}\0{}", self.0.what, self.0.mend.as_deref().unwrap_or_default()).into_bytes()
    }

    /// The error that [`Error::encode`] wrote; cut or foreign bytes still become a readable error.
    pub fn decode(bytes: &[u8]) -> Error {
        let text = String::from_utf8_lossy(bytes);
        let mut chars = text.chars();
        let kind = match chars.next() {
            Some('x') => Kind::NotExecutable,
            Some('n') => Kind::NotFound,
            _ => Kind::Podling,
        };
        let (what, mend) = chars.as_str().split_once('\0').unwrap_or((chars.as_str(), ""));
        let mend = (!mend.is_empty()).then(|| mend.to_owned());
        Error(Box::new(Inner { what: what.to_owned(), mend, kind, place: None }))
    }

    /// The exit code that a podling command ends with because of this error.
    pub fn exit_code(&self) -> u8 {
        match self.0.kind {
            Kind::Podling => 125,
            Kind::NotExecutable => 126,
            Kind::NotFound => 127,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        if let Some(mend) = &self.0.mend {
            write!(f, "\n  {mend}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Adds context to the error of a `Result`, as `anyhow` does.
pub trait Context<T> {
    /// Puts the lazily made `context` before the error's description.
    fn context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|e| e.into().context(context()))
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Error::new(e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_between_processes() {
        for error in [Error::new("a: b"), Error::new("x").mend("do y"), Error::new("").kind(Kind::NotFound)] {
            assert_eq!(Error::decode(&error.encode()), error);
        }
    }
}
