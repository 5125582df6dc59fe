# What every part of rootfs/build uses: messages, checks, and the encoding of manifests. Sourced, not run.

export LC_ALL=C
# Times in the images that are not a package's own. Any fixed moment makes the images reproducible.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600}

say() { echo "rootfs: $*" >&2; }
die() { echo "rootfs/build: $*" >&2; exit 1; }

known_images() { (cd "$here" && echo *.sh | sed 's/\.sh//g'); }

# need_tools TOOL[:PACKAGE]...: stops with the line that installs whatever is missing.
need_tools() {
    local tool missing=()
    for tool in "$@"; do
        command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
    done
    [ ${#missing[@]} -eq 0 ] || die "${missing[*]} is missing; install it with: $(as_root)apt-get install -y ${missing[*]}"
}

as_root() { [ "$(id -u)" = 0 ] || echo "sudo "; }

# Standard input as one word of a manifest (see tarlayer).
encode() { perl -0777 -pe 's/([^!-~]|%)/sprintf "%%%02X", ord $1/ge'; }

sha256() { sha256sum "$@" | cut -d' ' -f1; }

# repeat TEXT COUNT
repeat() { local i; for ((i = 0; i < $2; i++)); do printf %s "$1"; done; }
