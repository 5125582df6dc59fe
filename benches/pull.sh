#!/bin/bash
# benches/pull.sh [--dir DIR] [--runs N] [PODLING]: pulling a large image from a registry on loopback, beside podman and beside curl and tar.
#
# The image has 60,000 files, 900 MB (300 MB as gzip), in one layer and in ten. It is made once below DIR (a directory below $TMPDIR that goes
# afterwards, when it is not given), which needs 8 GB for each run. PODLING is the release build in target/ when it is not given. Needs
# docker-registry, skopeo, curl and podman. All run as the caller, who must not be root. Ratios are of the fastest runs.
set -euo pipefail
# shellcheck source=benches/large-image.sh
. "$(dirname "$(readlink -f "$0")")/large-image.sh"

for tool in docker-registry skopeo curl podman; do
    command -v "$tool" > /dev/null || { echo "pull.sh: $tool is missing: apt-get install docker-registry skopeo curl podman" >&2; exit 2; }
done
parse_options "$@"
registry=

# Each run writes to directories of its own, and all go at the end: ext4 does not give the inodes of files that were removed in the last
# minutes to new ones, and searches for others, which takes longer than all else.
clear_runs() {
    [ -z "$registry" ] || kill "$registry" 2> /dev/null || true
    chmod -R u+rwX "$dir"/tar-* "$dir"/data-* "$dir"/podman-* 2> /dev/null || true
    unshare --map-auto --map-root-user rm -rf "$dir"/tar-* "$dir"/data-* "$dir"/podman-* 2> /dev/null || rm -rf "$dir"/tar-* "$dir"/data-* "$dir"/podman-*
    rm -rf ${temporary:+"$temporary"}
}
trap clear_runs EXIT

for count in 1 10; do
    [ -e "$dir/image-$count/index.json" ] || make_image "$dir/image-$count" "$count" "bench:$count"
done
layer=$(largest "$dir/image-1")

# A port is taken from those that are free by trying.
for port in 15031 15032 15033 15034; do
    printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:%s"}\n' \
        "$dir/registry" "$port" > "$dir/registry.yml"
    docker-registry serve "$dir/registry.yml" > "$dir/registry.log" 2>&1 &
    registry=$!
    for ((i = 0; i < 50; i++)); do
        if curl -sf "http://localhost:$port/v2/" > /dev/null && kill -0 "$registry" 2> /dev/null; then break 2; fi
        kill -0 "$registry" 2> /dev/null || break
        sleep 0.1
    done
done
host=localhost:$port
for count in 1 10; do
    skopeo copy -q --insecure-policy --dest-tls-verify=false "oci:$dir/image-$count:bench:$count" "docker://$host/bench:$count"
done
# The archive that `image load` reads.
[ -e "$dir/image-1.tar" ] || tar -cf "$dir/image-1.tar" -C "$dir/image-1" blobs index.json oci-layout

# memory CMD...: the highest sum of the resident memory of the command and its children, in MiB, looked at every 5 ms.
memory() {
    perl -e '
        use strict;
        my $pid = fork // die "fork: $!";
        if (!$pid) { open STDOUT, ">", "/dev/null"; open STDERR, ">", "/dev/null"; exec @ARGV or die "exec: $!" }
        my $peak = 0;
        sub resident { open my $file, "<", "/proc/$_[0]/status" or return 0; local $/; return <$file> =~ /^VmRSS:\s+(\d+)/m ? $1 : 0 }
        sub children { open my $file, "<", "/proc/$_[0]/task/$_[0]/children" or return (); return map { ($_, children($_)) } split " ", <$file> // "" }
        while (!waitpid $pid, 1) {
            my $sum = 0;
            $sum += resident($_) for $pid, children($pid);
            $peak = $sum if $sum > $peak;
            select undef, undef, undef, 0.005;
        }
        $? == 0 or die "it failed\n";
        printf "%.0f\n", $peak / 1024;
    ' "$@"
}

pull_and_untar() { curl -sf "http://$host/v2/bench/blobs/sha256:$(basename "$layer")" -o "$1/layer" && tar -xzf "$1/layer" -C "$1" --no-same-owner; }
declare -A best
measure() {
    local what=$1
    shift
    timed "$@"
    best[$what]=$(least "$took" "${best[$what]:-1e9}")
    printf '%-28s %s s (user %s, system %s)\n' "$what" "$took" "$user" "$system"
}

cat "$layer" "$dir/image-1.tar" > /dev/null
for ((run = 0; run < runs; run++)); do
    mkdir "$dir"/tar-{both,only}-$run "$dir"/data-{one,ten,load}-$run "$dir/podman-$run"
    XDG_DATA_HOME=$dir/data-one-$run measure "podling pull" "$podling" pull -q --tls-verify=false "$host/bench:1"
    XDG_DATA_HOME=$dir/data-ten-$run measure "podling pull, ten layers" "$podling" pull -q --tls-verify=false "$host/bench:10"
    XDG_DATA_HOME=$dir/data-one-$run measure "podling pull, present" "$podling" pull -q --tls-verify=false "$host/bench:1"
    XDG_DATA_HOME=$dir/data-load-$run measure "podling image load" "$podling" image load "$dir/image-1.tar"
    measure "curl, then tar xzf" pull_and_untar "$dir/tar-both-$run"
    measure "tar xzf" tar -xzf "$layer" -C "$dir/tar-only-$run" --no-same-owner
    measure "podman pull" podman --root "$dir/podman-$run" --runroot "$dir/podman-$run/run" pull -q --tls-verify=false "$host/bench:1"
done
mkdir "$dir"/data-memory-{1,10}
for count in 1 10; do
    best[memory $count]=$(XDG_DATA_HOME=$dir/data-memory-$count memory "$podling" pull -q --tls-verify=false "$host/bench:$count")
done
echo
echo "podling pull: $(ratio "${best[podling pull]}" "${best[podman pull]}") of podman pull, $(ratio "${best[podling pull]}" "${best[curl, then tar xzf]}") of curl and tar xzf"
echo "podling image load: $(ratio "${best[podling image load]}" "${best[tar xzf]}") of tar xzf"
echo "podling pull of ten layers: $(ratio "${best[podling pull, ten layers]}" "${best[podling pull]}") of one layer"
echo "podling pull of what is present: ${best[podling pull, present]} s"
echo "peak memory of podling pull: ${best[memory 1]} MiB, ten layers ${best[memory 10]} MiB"
