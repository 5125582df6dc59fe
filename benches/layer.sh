#!/bin/bash
# benches/layer.sh [--dir DIR] [--runs N] [PODLING]: `podling image load` of one large gzip layer beside `tar xzf` of the same file.
#
# The layer has 60,000 files, 900 MB (300 MB as gzip), always the same bytes. It is made once below DIR (a directory below $TMPDIR that goes
# afterwards, when it is not given), which needs 2.5 GB for each run. PODLING is the release build in target/ when it is not given. podling also
# keeps the blob, checks both digests and syncs; tar does neither. The last line is the ratio of the fastest runs.
set -euo pipefail

dir=
temporary=
runs=3
podling=
while [ $# -gt 0 ]; do
    case $1 in
        --dir) dir=${2:?--dir wants a directory}; shift ;;
        --runs) runs=${2:?--runs wants a number}; [ "$runs" -gt 0 ] || exit 2; shift ;;
        -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        *) podling=$1 ;;
    esac
    shift
done
here=$(dirname "$(readlink -f "$0")")
for candidate in "$podling" "$here"/../target/release/podling "$here"/../target/*/release/podling; do
    [ -x "$candidate" ] && podling=$candidate && break
done
[ -x "$podling" ] || { echo "layer.sh: build podling first: cargo build --release" >&2; exit 2; }
podling=$(readlink -f "$podling")
if [ -z "$dir" ]; then
    dir=$(mktemp -d)
    temporary=$dir
fi
mkdir -p "$dir"

# The files' contents are pieces of one pool of words and noise, cut at places that a generator with a fixed seed chooses.
make_tar() {
    perl -e '
        use strict; use integer;
        my $state = 42;
        sub chance { $state = ($state * 1103515245 + 12345) & 0x7fffffff; return ($state >> 8) % $_[0] }
        my @words = map { join "", map { chr(97 + chance(26)) } 1 .. 3 + chance(8) } 1 .. 1000;
        my $pool = "";
        while (length $pool < 24 << 20) {
            $pool .= join(" ", map { $words[chance(scalar @words)] } 1 .. 200) . "\n";
            $pool .= pack("C*", map { chance(256) } 1 .. 60);
        }
        sub member {
            my ($name, $type, $mode, $link, $content) = @_;
            my $header = pack("a100a8a8a8a12a12A8aa100a6a2a32a32a8a8a155x12", $name, sprintf("%07o", $mode), "0000000", "0000000",
                sprintf("%011o", length $content), "13000000000", "", $type, $link, "ustar", "00", "root", "root", "", "", "");
            my $sum = unpack("%32C*", $header);
            substr($header, 148, 8) = sprintf("%06o\0 ", $sum);
            print $header, $content, "\0" x (-length($content) & 511);
        }
        for my $top (0 .. 59) {
            member("lib$top/", "5", 0755, "", "");
            for my $sub (0 .. 99) {
                my $dir = "lib$top/package$sub";
                member("$dir/", "5", 0755, "", "");
                for my $file (0 .. 9) {
                    # Most files are small and a few large, as in a real layer.
                    my $size = chance(10) ? 200 + chance(11000) : 20000 + chance(150000);
                    member("$dir/file$file.dat", "0", $file % 7 ? 0644 : 0755, "", substr($pool, chance(length($pool) - $size), $size));
                }
                member("$dir/current", "2", 0777, "file0.dat", "");
            }
        }
        print "\0" x 1024;
    '
}

digest() { sha256sum | cut -d' ' -f1; }

# An OCI layout of that one layer.
make_image() {
    local blobs=$dir/image/blobs/sha256 diff_id layer config manifest architecture
    mkdir -p "$blobs"
    make_tar | tee >(digest > "$dir/diff_id") | gzip -6 -n > "$dir/layer.tar.gz"
    while [ ! -s "$dir/diff_id" ]; do sleep 0.1; done
    diff_id=$(cat "$dir/diff_id")
    layer=$(digest < "$dir/layer.tar.gz")
    ln -f "$dir/layer.tar.gz" "$blobs/$layer"
    architecture=$(case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac)
    printf '{"architecture":"%s","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$architecture" "$diff_id" > "$dir/config"
    config=$(digest < "$dir/config")
    mv "$dir/config" "$blobs/$config"
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":%d}]}' \
        "$config" "$(stat -c %s "$blobs/$config")" "$layer" "$(stat -c %s "$blobs/$layer")" > "$dir/manifest"
    manifest=$(digest < "$dir/manifest")
    printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d,"annotations":{"org.opencontainers.image.ref.name":"layer:bench"}}]}' \
        "$manifest" "$(stat -c %s "$dir/manifest")" > "$dir/image/index.json"
    mv "$dir/manifest" "$blobs/$manifest"
    echo '{"imageLayoutVersion":"1.0.0"}' > "$dir/image/oci-layout"
}

# Each run writes to directories of its own, and all go at the end: ext4 does not give the inodes of files that were removed in the last
# minutes to new ones, and searches for others, which takes longer than all else.
clear_runs() {
    local data
    for data in "$dir"/data-*; do
        XDG_DATA_HOME=$data "$podling" image rm layer:bench > /dev/null 2>&1 || true
    done
    rm -rf "$dir"/tar-* "$dir"/data-* ${temporary:+"$temporary"}
}
trap clear_runs EXIT

# seconds CMD...: wall-clock, user and system time, with nothing of earlier runs waiting to be written.
seconds() {
    local TIMEFORMAT='%R %U %S'
    sync
    { time "$@" > /dev/null 2>&4; } 4>&2 2>&1
}

if [ ! -e "$dir/image/oci-layout" ]; then make_image; fi
cat "$dir/layer.tar.gz" > /dev/null
tar_best=1e9
podling_best=1e9
least() { awk "BEGIN { print $1 < $2 ? $1 : $2 }"; }
for ((run = 0; run < runs; run++)); do
    mkdir "$dir/tar-$run" "$dir/data-$run"
    read -r took user system < <(seconds tar -xzf "$dir/layer.tar.gz" -C "$dir/tar-$run" --no-same-owner)
    tar_best=$(least "$took" "$tar_best")
    echo "tar xzf             $took s (user $user, system $system)"
    read -r took user system < <(XDG_DATA_HOME=$dir/data-$run seconds "$podling" image load "$dir/image")
    podling_best=$(least "$took" "$podling_best")
    echo "podling image load  $took s (user $user, system $system)"
done
echo "$(stat -c %s "$dir/layer.tar.gz" | awk '{ printf "%.0f MB", $1 / 1e6 }'): podling image load takes $(awk "BEGIN { printf \"%.2f\", $podling_best / $tar_best }") of tar xzf's time"
