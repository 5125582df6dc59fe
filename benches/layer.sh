#!/bin/bash
# benches/layer.sh [--dir DIR] [--runs N] [PODLING]: `podling image load` of one large gzip layer beside `tar xzf` of the same file.
#
# The layer has 60,000 files, 900 MB (300 MB as gzip), always the same bytes. It is made once below DIR (a directory below $TMPDIR that goes
# afterwards, when it is not given), which needs 2.5 GB for each run. PODLING is the release build in target/ when it is not given. podling also
# keeps the blob, checks both digests and syncs; tar does neither. The last line is the ratio of the fastest runs.
set -euo pipefail
# shellcheck source=benches/large-image.sh
. "$(dirname "$(readlink -f "$0")")/large-image.sh"

parse_options "$@"

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

if [ ! -e "$dir/image/index.json" ]; then make_image "$dir/image" 1 layer:bench; fi
layer=$(largest "$dir/image")
cat "$layer" > /dev/null
tar_best=1e9
podling_best=1e9
for ((run = 0; run < runs; run++)); do
    mkdir "$dir/tar-$run" "$dir/data-$run"
    timed tar -xzf "$layer" -C "$dir/tar-$run" --no-same-owner
    tar_best=$(least "$took" "$tar_best")
    echo "tar xzf             $took s (user $user, system $system)"
    XDG_DATA_HOME=$dir/data-$run timed "$podling" image load "$dir/image"
    podling_best=$(least "$took" "$podling_best")
    echo "podling image load  $took s (user $user, system $system)"
done
echo "$(stat -c %s "$layer" | awk '{ printf "%.0f MB", $1 / 1e6 }'): podling image load takes $(ratio "$podling_best" "$tar_best") of tar xzf's time"
