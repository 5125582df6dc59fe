# Which Debian packages an image needs, and fetching them: apt resolves and verifies, as on any Debian, but against an imaginary machine
# on which nothing is installed, and into our own cache, so that an ordinary user may do it. Sourced, not run.

cache=${PODLING_ROOTFS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/podling-rootfs}

# fetch_packages LIST PACKAGE...: writes the .deb files of the packages and of all they depend on into LIST, one path a line.
#
# $without names packages that the image does without although others depend on them (a package's scripts are never run here, so what only
# these need is dead weight): apt is told that they are installed already.
fetch_packages() {
    local list=$1 arch key kept
    shift
    arch=$(dpkg --print-architecture)
    key=$(echo "$arch $(. /etc/os-release && echo "$ID-${VERSION_ID:-sid}") $* / ${without:-}" | sha256sum | cut -c1-16)
    kept=$cache/resolved/$key
    mkdir -p "$cache/resolved" "$cache/apt/lists/partial" "$cache/debs/partial"
    [ $update = no ] || rm -f "$kept"
    if ! all_there "$kept"; then
        imaginary_machine "$arch" >"$cache/apt/status.$$"
        say "$name: asking apt for $* and what they need"
        if [ $update = yes ] || ! resolve_and_download /var/lib/apt/lists "$kept" "$@"; then
            # The machine's own package lists are absent or older than the mirror's packages.
            update_lists
            resolve_and_download "$cache/apt/lists" "$kept" "$@" || {
                cat "$cache/apt/log.$$" >&2
                rm -f "$cache/apt"/*.$$
                die "apt could not fetch the packages (above is what it said); is the mirror of /etc/apt/sources.list* reachable?"
            }
        fi
        rm -f "$cache/apt"/*.$$
    fi
    sed "s|^|$cache/debs/|" "$kept" >"$list"
}

all_there() {
    local deb
    [ -s "$1" ] || return 1
    while read -r deb; do [ -s "$cache/debs/$deb" ] || return 1; done <"$1"
}

apt() {
    apt-get -qq -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Dir::State::status="$cache/apt/status.$$" \
        -o Dir::Cache="$cache/apt" -o Dir::Cache::archives="$cache/debs" -o Dir::Log=/dev/null -o Acquire::Retries=3 -o Acquire::Languages=none "$@"
}

update_lists() {
    [ ! -e "$out/.lists-are-new" ] || return 0
    say "reading the mirror's package lists (the machine's own are absent or old)"
    apt -o Dir::State::lists="$cache/apt/lists" update >"$cache/apt/log.$$" 2>&1 || true
    : >"$out/.lists-are-new"    # once is enough for one run
}

resolve_and_download() {
    local lists=$1 kept=$2
    shift 2
    # What is asked for goes through --print-uris twice: apt leaves those out that it has already, so the first answer is taken without a cache.
    apt -o Dir::State::lists="$lists" -o Dir::Cache::archives=/nonexistent/ --print-uris -y install "$@" >"$cache/apt/uris.$$" 2>"$cache/apt/log.$$" || return 1
    deb_names <"$cache/apt/uris.$$" >"$kept.new"
    [ -s "$kept.new" ] || return 1
    apt -o Dir::State::lists="$lists" -y --download-only install "$@" >"$cache/apt/log.$$" 2>&1 || return 1
    mv "$kept.new" "$kept"
    all_there "$kept"
}

# 'http://…/x.deb' x.deb 123 SHA256:…  →  x.deb
deb_names() { sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p" | sort; }

imaginary_machine() {
    local package
    for package in ${without:-}; do
        printf 'Package: %s\nStatus: install ok installed\nArchitecture: %s\nMulti-Arch: foreign\nVersion: 999:0\nMaintainer: nobody\nDescription: not here\n\n' "$package" "$1"
    done
}
