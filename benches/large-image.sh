# shellcheck shell=bash
# Sourced by the benches: a large image, always the same bytes, as the layers of real images are: 60,000 files and 6,000 links in 6,060
# directories, 900 MB (300 MB as gzip).

# make_tar FIRST LAST: a tar of the tops FIRST to LAST of 60. The files' contents are pieces of one pool of words and noise, cut at places that a generator with a fixed seed chooses.
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
        my $wanted;
        sub member {
            return unless $wanted;
            my ($name, $type, $mode, $link, $content) = @_;
            my $header = pack("a100a8a8a8a12a12A8aa100a6a2a32a32a8a8a155x12", $name, sprintf("%07o", $mode), "0000000", "0000000",
                sprintf("%011o", length $content), "13000000000", "", $type, $link, "ustar", "00", "root", "root", "", "", "");
            my $sum = unpack("%32C*", $header);
            substr($header, 148, 8) = sprintf("%06o\0 ", $sum);
            print $header, $content, "\0" x (-length($content) & 511);
        }
        for my $top (0 .. 59) {
            $wanted = $top >= $ARGV[0] && $top <= $ARGV[1];
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
    ' "$1" "$2"
}

digest() { sha256sum | cut -d' ' -f1; }

# blob DIR FILE: moves FILE among the blobs of the layout DIR; prints its digest and length.
blob() {
    local hex
    hex=$(digest < "$2")
    mv "$2" "$1/blobs/sha256/$hex"
    echo "$hex $(stat -c %s "$1/blobs/sha256/$hex")"
}

# make_image DIR LAYERS NAME: an OCI layout of the whole in so many layers, whose last index entry is written last.
make_image() {
    local dir=$1 count=$2 name=$3 layer hex size architecture diff_ids="" layers=""
    mkdir -p "$dir/blobs/sha256"
    for ((layer = 0; layer < count; layer++)); do
        rm -f "$dir/diff_id"
        make_tar $((60 * layer / count)) $((60 * (layer + 1) / count - 1)) | tee >(digest > "$dir/diff_id") | gzip -6 -n > "$dir/layer"
        while [ ! -s "$dir/diff_id" ]; do sleep 0.1; done
        diff_ids+=${diff_ids:+,}\"sha256:$(cat "$dir/diff_id")\"
        read -r hex size < <(blob "$dir" "$dir/layer")
        layers+=${layers:+,}$(printf '{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":%d}' "$hex" "$size")
    done
    rm -f "$dir/diff_id"
    architecture=$(case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac)
    printf '{"architecture":"%s","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%s]}}' "$architecture" "$diff_ids" > "$dir/config"
    read -r hex size < <(blob "$dir" "$dir/config")
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%d},"layers":[%s]}' \
        "$hex" "$size" "$layers" > "$dir/manifest"
    read -r hex size < <(blob "$dir" "$dir/manifest")
    echo '{"imageLayoutVersion":"1.0.0"}' > "$dir/oci-layout"
    printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d,"annotations":{"org.opencontainers.image.ref.name":"%s"}}]}' \
        "$hex" "$size" "$name" > "$dir/index.json"
}

digest() { sha256sum | cut -d' ' -f1; }

# largest DIR: the largest blob of a layout, which is its one layer.
largest() { find "$1/blobs" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-; }

# timed CMD...: wall-clock, user and system time as $took, $user and $system, with nothing of earlier runs waiting to be written. A
# command that fails ends the bench: it would be the fastest of all.
# shellcheck disable=SC2034
timed() {
    local TIMEFORMAT='%R %U %S'
    sync
    if ! { time "$@" > /dev/null 2>&4; } 4>&2 2> "$dir/time"; then
        echo "$(basename "$0"): failed: $*" >&2
        exit 1
    fi
    read -r took user system < "$dir/time"
}

least() { awk "BEGIN { print $1 < $2 ? $1 : $2 }"; }
ratio() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }

# parse_options ARG...: the options that the benches share, as $dir (an existing directory), $temporary (the same where it goes afterwards),
# $runs and $podling (the binary to measure: the release build when none is given).
# shellcheck disable=SC2034
parse_options() {
    local here candidate
    here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
    dir=''
    temporary=''
    runs=3
    podling=''
    while [ $# -gt 0 ]; do
        case $1 in
            --dir) dir=${2:?--dir wants a directory}; shift ;;
            --runs) runs=${2:?--runs wants a number}; [ "$runs" -gt 0 ] || exit 2; shift ;;
            -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
            *) podling=$1 ;;
        esac
        shift
    done
    for candidate in ${podling:+"$podling"} "$here"/../target/release/podling "$here"/../target/*/release/podling; do
        # One that was named and is not there is not made good by another.
        if [ -x "$candidate" ] || [ -n "$podling" ]; then break; fi
    done
    [ -x "$candidate" ] || { echo "$(basename "$0"): build podling first: cargo build --release" >&2; exit 2; }
    podling=$(readlink -f "$candidate")
    if [ -z "$dir" ]; then
        dir=$(mktemp -d)
        temporary=$dir
    fi
    mkdir -p "$dir"
}
