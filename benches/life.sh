#!/bin/bash
# benches/life.sh [PART]...: the life of pods beside unshare and podman, as ratios in one run. Parts, all of them when none is named:
#
#   verbs   `exec` of /bin/true and `ps` with 20 pods, beside `unshare -Urmpfn --mount-proc chroot ROOTFS /bin/true`
#   pods    20 pods of three containers up and down, beside `podman kube play` and `down` of the same YAML (PODMAN_PODS of them, per pod)
#   many    100 pods at once: the time of each ten, the private memory of each supervisor
#   logs    LOG_MIB of log (1024) from a container to its file, and to `logs -f | cat`, beside podman's k8s-file driver (PODMAN_LOG_MIB, 512, and
#           an eighth of that for its logs -f), for lines of LENGTHS bytes; the time of a container that writes none is taken off
#
# Runs as the calling user, who must not be root: rootfs/as-user benches/life.sh. PODLING names the binary; the default is the newest release
# or quick build in target/. Needs the image archive that `rootfs/build busybox` makes (BUSYBOX names another), busybox-static, and podman, whose
# part is left out aloud where it cannot run. Pods, images and podman's storage are in a directory below $TMPDIR that goes afterwards.
#
# podman with crun wants a cgroup v2 hierarchy. On a host without one root gives this command its own:
#   unshare -m sh -c 'mount -t cgroup2 none /sys/fs/cgroup && exec rootfs/as-user benches/life.sh'
set -euo pipefail

here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
fail() { echo "benches/life.sh: $*" >&2; exit 1; }
[ "$(id -u)" != 0 ] || fail "root has no need of user namespaces; measure as an ordinary user: rootfs/as-user benches/life.sh"
podling=${PODLING:-$(ls -t "$here"/../target/*/{release,quick}/podling 2>/dev/null | head -1)}
[ -x "$podling" ] || fail "no podling binary; build one with: cargo build --release"
archive=${BUSYBOX:-$here/../.cache/images/busybox.docker.tar}
[ -r "$archive" ] || fail "no image archive $archive; make it with: rootfs/build busybox"
busybox=$(command -v busybox) || fail "busybox is missing: sudo apt-get install busybox-static"
for part in "$@"; do
    case $part in verbs | pods | many | logs) ;; *) fail "there is no part $part: verbs, pods, many, logs" ;; esac
done
runs=${RUNS:-60}
wanted() { [ "${#parts[@]}" = 0 ] || [[ " ${parts[*]} " = *" $1 "* ]]; }
parts=("$@")

work=$(mktemp -d "${TMPDIR:-/var/tmp}/podling-life-XXXXXX")
export XDG_DATA_HOME=$work/data
clear_up() {
    "$podling" rm --all --force >/dev/null 2>&1 || true
    [ -z "$has_podman" ] || podman rm --all --force --time 0 >/dev/null 2>&1 || true
    # The process that keeps podman's namespaces.
    [ -z "$has_podman" ] || podman system migrate >/dev/null 2>&1 || true
    # Trees that other ids of the map own can be removed within the map only.
    rm -rf "$work" 2>/dev/null || unshare --map-auto --map-root-user rm -rf "$work" || true
}
has_podman=
trap clear_up EXIT
"$podling" image load "$archive" >/dev/null

mkdir -m 700 "$work/run"
podman() {
    XDG_RUNTIME_DIR=$work/run command podman --root "$work/podman/root" --runroot "$work/podman/run" --storage-driver overlay --cgroup-manager cgroupfs \
        --events-backend file "$@"
}
find_podman() {
    if ! command -v podman >/dev/null; then
        echo "podman is not installed; what is measured beside it is left out (sudo apt-get install podman)"
    elif [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
        echo "/sys/fs/cgroup is not cgroup v2, which podman wants; what is measured beside it is left out (see the head of $0)"
    elif ! podman load -q -i "$archive" >"$work/podman.log" 2>&1 || ! podman run --rm --network none busybox true >>"$work/podman.log" 2>&1; then
        echo "podman cannot run here; what is measured beside it is left out: $(tail -1 "$work/podman.log")"
    else
        has_podman=yes
    fi
}

now() { local t=$EPOCHREALTIME; echo "${t/./}"; }
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.3f", a / b}'; }

# pods FIRST LAST: the YAML of pods with three containers that sleep.
pods() {
    local n name
    for ((n = $1; n <= $2; n++)); do
        printf -- '---\napiVersion: v1\nkind: Pod\nmetadata: {name: life-%s}\nspec:\n  restartPolicy: Never\n  terminationGracePeriodSeconds: 0\n' "$n"
        printf '  volumes: [{name: shared-%s, emptyDir: {}}]\n  containers:\n' "$n"
        for name in a b c; do
            printf '  - {name: %s, image: "%s", imagePullPolicy: Never, command: [sleep, "1000000"], volumeMounts: [{name: shared-%s, mountPath: /shared}]}\n' \
                "$name" "${image:-busybox}" "$n"
        done
    done
}

# paired NAME COMMAND...: medians of the command's time and of unshare's beside it, run in turn.
paired() {
    local name=$1 start middle end
    shift
    for _ in 1 2 3 4 5; do peer; "$@" >/dev/null; done
    for _ in $(seq "$runs"); do
        start=$(now); peer; middle=$(now); "$@" >/dev/null; end=$(now)
        echo "$((middle - start)) $((end - middle))"
    done >"$work/times"
    printf '%-34s unshare %5s us, podling %5s us, ratio of pairs %s\n' "$name" "$(cut -d' ' -f1 "$work/times" | median)" \
        "$(cut -d' ' -f2 "$work/times" | median)" "$(awk '{printf "%.3f\n", $2 / $1}' "$work/times" | median)"
}
peer() { unshare -Urmpfn --mount-proc chroot "$work/rootfs" /bin/true; }

verbs() {
    mkdir -p "$work/rootfs/bin" "$work/rootfs/proc"
    cp "$busybox" "$work/rootfs/bin/true"
    pods 1 20 >"$work/20.yaml"
    "$podling" up -q "$work/20.yaml"
    paired "exec POD -c a -- /bin/true" "$podling" exec life-7 -c a -- /bin/true
    paired "exec POD -- /bin/true" "$podling" exec life-7 -- /bin/true 2>/dev/null
    paired "ps, 20 pods" "$podling" ps
    "$podling" down --all >/dev/null
}

# took COMMAND...: its time in microseconds.
took() { local start; start=$(now); "$@" >/dev/null || return; echo $(($(now) - start)); }

compare_pods() {
    local up down count=${PODMAN_PODS:-4} podman_up podman_down
    pods 1 20 >"$work/20.yaml"
    for _ in 1 2 3 4 5; do
        up=$(took "$podling" up -q "$work/20.yaml")
        [ "$("$podling" ps -q | wc -l)" = 20 ] || fail "not all of the 20 pods run"
        down=$(took "$podling" down "$work/20.yaml")
        echo "$up $down"
    done >"$work/times"
    up=$(($(cut -d' ' -f1 "$work/times" | median) / 20)) down=$(($(cut -d' ' -f2 "$work/times" | median) / 20))
    echo "20 pods of three containers: up $up us a pod, down $down us a pod (medians of 5)"
    [ -n "$has_podman" ] || return 0
    image=localhost/busybox:latest pods 1 "$count" >"$work/podman.yaml"
    # The first time podman makes its pause image.
    image=localhost/busybox:latest pods 0 0 >"$work/first.yaml"
    podman kube play --network none "$work/first.yaml" >/dev/null && podman kube down "$work/first.yaml" >/dev/null
    podman_up=$(($(took podman kube play --network none "$work/podman.yaml") / count))
    podman_down=$(($(took podman kube down "$work/podman.yaml") / count))
    echo "podman, $count pods of the same: kube play $podman_up us a pod, down $podman_down us a pod"
    echo "ratios: up $(ratio "$up" "$podman_up"), down $(ratio "$down" "$podman_down"), both $(ratio $((up + down)) $((podman_up + podman_down)))"
}

# private_memory PID: KiB.
private_memory() { awk '/^Private_/ {sum += $2} END {print sum}' "/proc/$1/smaps_rollup"; }

# Those of this run; the user may have pods of their own.
supervisors() {
    local pid
    for pid in $(pgrep -u "$(id -u)" -x podling-pod); do
        ! tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "XDG_DATA_HOME=$XDG_DATA_HOME" || echo "$pid"
    done
}

many() {
    local first start end pid
    for ((first = 1; first <= 91; first += 10)); do
        pods "$first" $((first + 9)) >"$work/ten.yaml"
        start=$(now); "$podling" up -q "$work/ten.yaml"; end=$(now)
        printf 'pods %3s to %3s: up in %s us a pod\n' "$first" "$((first + 9))" "$(((end - start) / 10))"
    done
    [ "$("$podling" ps -q | wc -l)" = 100 ] || fail "not all of the 100 pods run"
    for pid in $(supervisors); do private_memory "$pid"; done | sort -n |
        awk '{v[NR] = $1; sum += $1} END {print "100 pods: private memory of a supervisor: median " v[int((NR + 1) / 2)] " KiB, most " v[NR] " KiB (" NR " supervisors, " sum " KiB in all)"}'
    # Those that one command starts share what it had in memory; one that is started alone does not.
    pods 101 101 >"$work/alone.yaml"
    "$podling" up -q "$work/alone.yaml"
    pid=$(supervisors | sort -n | tail -1)
    echo "a pod that was started alone: private memory of its supervisor: $(private_memory "$pid") KiB"
    start=$(now); "$podling" ps >/dev/null; end=$(now)
    echo "100 pods: ps in $((end - start)) us"
    start=$(now); "$podling" down --all >/dev/null; end=$(now)
    echo "100 pods: down in $(((end - start) / 100)) us a pod"
}

# log_command LENGTH MIB: what writes so many MiB of lines of that length: a piece is made once and repeated.
log_command() {
    local line
    line=$(head -c $(($1 - 1)) /dev/zero | tr '\0' x)
    echo "yes $line | head -c 16777216 >/tmp/piece; i=0; while [ \$i -lt $(($2 / 16)) ]; do cat /tmp/piece; i=\$((i + 1)); done"
}

# ENGINE_WAY LENGTH MIB: a container writes a log until its end, to its file only, or while `logs -f` reads it.
podling_file() {
    "$podling" run -q -d "$work/log-$2.yaml" >/dev/null
    while [ -S "$XDG_DATA_HOME/podling/pods/log/control" ]; do sleep 0.01; done
}
podling_follow() {
    "$podling" run -q -d "$work/log-$2.yaml" >/dev/null
    "$podling" logs -f log 2>>"$work/lost" | cat | wc -c >"$work/bytes"
}
podman_start() { podman run -d --name log --network none --log-driver k8s-file busybox sh -c "$(log_command "$1" "$2")" >/dev/null; }
podman_file() { podman_start "$1" "$2" && podman wait log >/dev/null; }
podman_follow() { podman_start "$1" "$2" && podman logs -f log | cat | wc -c >"$work/bytes"; }
podling_end() { "$podling" rm -f log >/dev/null; }
podman_end() { podman rm -f log >/dev/null; }

# rate ENGINE WAY LENGTH MIB: MiB/s, without what a container takes that makes the piece and writes no log.
rate() {
    local mib start took=()
    for mib in 0 "$4"; do
        printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: log}\nspec:\n  restartPolicy: Never\n  containers:\n  - {name: a, image: busybox, command: [sh, -c, "%s"]}\n' \
            "$(log_command "$3" "$mib")" >"$work/log-$mib.yaml"
        start=$(now)
        "$1_$2" "$3" "$mib"
        took+=($(($(now) - start)))
        "$1_end"
    done
    awk -v mib="$4" -v us=$((took[1] - took[0])) 'BEGIN {printf "%.0f", mib * 1000000 / us}'
    if [ "$2" = follow ] && [ "$(cat "$work/bytes")" -lt $(($4 << 20)) ]; then
        echo "$1 logs -f lacks $((($4 << 20) - $(cat "$work/bytes"))) bytes of lines of $3 bytes" >>"$work/lacks"
    fi
}

compare_logs() {
    local length mib=${LOG_MIB:-1024} podman_mib=${PODMAN_LOG_MIB:-512} way own peer
    for length in ${LENGTHS:-20 100 1000 10000}; do
        for way in file follow; do
            own=$(rate podling "$way" "$length" "$mib")
            printf 'lines of %5s bytes, %-6s podling %4s MiB/s (%s MiB)' "$length" "$way:" "$own" "$mib"
            if [ -n "$has_podman" ]; then
                # podman logs -f reads short lines at 2 MiB/s.
                peer=$(rate podman "$way" "$length" "$([ "$way" = file ] && echo "$podman_mib" || echo $((podman_mib / 128 * 16)))")
                printf ', podman %3s MiB/s, ratio %s' "$peer" "$(ratio "$own" "$peer")"
            fi
            echo
        done
    done
    [ ! -s "$work/lacks" ] || cat "$work/lacks"
    [ ! -s "$work/lost" ] || sort "$work/lost" | uniq -c
}

find_podman
if wanted verbs; then verbs; fi
if wanted pods; then compare_pods; fi
if wanted many; then many; fi
if wanted logs; then compare_logs; fi
