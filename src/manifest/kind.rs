//! The kinds of objects that podling takes, and how their fields' paths are written.

/// The kinds of objects that podling takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pod,
    ConfigMap,
    Secret,
    /// `batch/v1`.
    Job,
    PersistentVolumeClaim,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [Kind::Pod, Kind::ConfigMap, Kind::Secret, Kind::PersistentVolumeClaim, Kind::Job];

    /// As `kind` has it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pod => "Pod",
            Kind::ConfigMap => "ConfigMap",
            Kind::Secret => "Secret",
            Kind::PersistentVolumeClaim => "PersistentVolumeClaim",
            Kind::Job => "Job",
        }
    }

    /// As `apiVersion` has it.
    pub fn version(self) -> &'static str {
        match self {
            Kind::Pod | Kind::ConfigMap | Kind::Secret | Kind::PersistentVolumeClaim => "v1",
            Kind::Job => "batch/v1",
        }
    }
}

/// Whether the field at `pattern` (or `path`) holds bytes, which are written in base64.
pub(super) fn is_base64(kind: Kind, pattern: &str) -> bool {
    match kind {
        Kind::Pod | Kind::Job | Kind::PersistentVolumeClaim => false,
        Kind::ConfigMap => pattern.starts_with("binaryData"),
        Kind::Secret => pattern.starts_with("data"),
    }
}

/// Whether the field at `pattern` holds a quantity.
pub(super) fn is_quantity(pattern: &str) -> bool {
    pattern.contains(".requests.")
        || pattern.contains(".limits.")
        || pattern.ends_with(".sizeLimit")
        || pattern.ends_with(".overhead.*")
}

/// Appends a field's name to a path: `.name`, or `[nginx.conf]` where a dot would mislead.
pub(super) fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*'));
    if plain {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        path.push('[');
        path.push_str(key);
        path.push(']');
    }
}
