# From a recipe to an image: layers, the configuration, and the two forms in which it is written. Sourced, not run.
#
# A recipe sets these and defines `layers`, which calls `layer` once for each layer, the lowest first:
#   packages   lines of `GROUP PACKAGE...`: a group holds what its packages need and the groups above it do not have already
#   without    packages to do without, see packages.sh
#   config     the image's configuration, lines of JSON such as "Cmd": ["sh"]
#   tools      TOOL[:PACKAGE] which only this recipe needs
make_image() (
    name=$1
    packages='' without='' config='' tools=''
    . "$here/$name.sh"
    need_tools $tools
    work=$(mktemp -d "$out/.$name.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir "$work/groups" "$work/layers" "$work/files"
    resolve_groups
    stamp=$(cat "$here"/build "$here"/lib/* "$here"/tarlayer "$here"/files/* "$here/base.inc" "$here/$name.sh" "$work"/groups/* <(echo "$SOURCE_DATE_EPOCH") | sha256)
    if [ "$(cat "$out/.$name.stamp" 2>/dev/null)" = "$stamp" ] && [ -e "$out/$name/index.json" ] && [ -e "$out/$name.docker.tar" ]; then
        say "$name is up to date in $out"
        exit 0
    fi
    started=$(date +%s%N)
    layers
    write_oci_layout
    write_docker_archive
    rm -rf "$out/.$name.stamp" "$out/$name" "$out/$name.docker.tar"
    mv "$work/oci" "$out/$name"
    mv "$work/docker.tar" "$out/$name.docker.tar"
    echo "$stamp" >"$out/.$name.stamp"
    took=$((($(date +%s%N) - started) / 100000000))
    say "$name: $(layer_count) layers, $(($(stat -c %s "$out/$name.docker.tar") / 1000000)) MB, made in $((took / 10)).$((took % 10)) s: $out/$name and $out/$name.docker.tar"
)

# Fills $work/groups/GROUP with the packages of each group.
resolve_groups() {
    local group wanted so_far=''
    : >"$work/seen"
    while read -r group wanted; do
        [ -n "$group" ] || continue
        so_far="$so_far $wanted"
        fetch_packages "$work/all" $so_far
        grep -vxFf "$work/seen" "$work/all" >"$work/groups/$group" || true
        cp "$work/all" "$work/seen"
    done <<<"$packages"
}

# layer gzip|zstd|plain < MANIFEST: adds a layer. Besides tarlayer's words a manifest has `group NAME`, all packages of a group.
layer() {
    local number tar
    number=$(printf %02d "$(layer_count)")
    tar=$work/layers/$number.tar
    while read -r line; do
        case $line in
            'group '*) sed 's/^/deb /' "$work/groups/${line#group }" ;;
            *) printf '%s\n' "$line" ;;
        esac
    done | "$here/tarlayer" >"$tar" || die "the manifest of layer $number of $name is wrong (see above)"
    sha256 "$tar" >"$work/layers/$number.diffid"
    echo "$1" >"$work/layers/$number.compression"
}

layer_count() { find "$work/layers" -name '*.diffid' | wc -l; }

# package_file GROUP PACKAGE PATTERN: prints one file out of a package.
package_file() {
    local deb
    deb=$(grep "/$2_" "$work/groups/$1")
    dpkg-deb --fsys-tarfile "$deb" | tar -xO --wildcards "$3"
}

oci_architecture() {
    case $(dpkg --print-architecture) in
        armhf) echo '"arm", "variant": "v7"' ;;
        i386) echo '"386"' ;;
        ppc64el) echo '"ppc64le"' ;;
        *) echo "\"$(dpkg --print-architecture)\"" ;;
    esac
}

# Items on standard input, one a line, with commas between them.
comma_list() { sed '$!s/$/,/'; }

image_config() {
    local created
    created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
    cat <<JSON
{
  "created": "$created",
  "architecture": $(oci_architecture),
  "os": "linux",
  "config": {
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
$(grep . <<<"$config" | comma_list | sed 's/^ */    /')
  },
  "rootfs": {
    "type": "layers",
    "diff_ids": [
$(cat "$work"/layers/*.diffid | sed 's/.*/      "sha256:&"/' | comma_list)
    ]
  },
  "history": [
$(for diffid in "$work"/layers/*.diffid; do echo "    {\"created\": \"$created\", \"created_by\": \"rootfs/$name.sh, layer $(basename "$diffid" .diffid)\"}"; done | comma_list)
  ]
}
JSON
}

# store_blob FILE: moves it to its place in the layout and prints `"digest": …, "size": …`.
store_blob() {
    local digest
    digest=$(sha256 "$1")
    mv "$1" "$work/oci/blobs/sha256/$digest"
    printf '"digest": "sha256:%s", "size": %s' "$digest" "$(stat -c %s "$work/oci/blobs/sha256/$digest")"
}

write_oci_layout() {
    local tar type config_blob manifest_blob
    mkdir -p "$work/oci/blobs/sha256"
    echo '{"imageLayoutVersion": "1.0.0"}' >"$work/oci/oci-layout"
    image_config >"$work/config.json"
    cp "$work/config.json" "$work/blob"
    config_blob=$(store_blob "$work/blob")
    for tar in "$work"/layers/*.tar; do
        type=application/vnd.oci.image.layer.v1.tar
        case $(cat "${tar%.tar}.compression") in
            gzip) gzip -n -5 <"$tar" >"$work/blob"; type=$type+gzip ;;
            zstd) zstd -q -6 <"$tar" >"$work/blob"; type=$type+zstd ;;
            plain) cp "$tar" "$work/blob" ;;
        esac
        echo "    {\"mediaType\": \"$type\", $(store_blob "$work/blob")}"
    done >"$work/descriptors"
    cat >"$work/blob" <<JSON
{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {"mediaType": "application/vnd.oci.image.config.v1+json", $config_blob},
  "layers": [
$(comma_list <"$work/descriptors")
  ]
}
JSON
    manifest_blob=$(store_blob "$work/blob")
    cat >"$work/oci/index.json" <<JSON
{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json", $manifest_blob,
      "platform": {"os": "linux", "architecture": $(oci_architecture)},
      "annotations": {"org.opencontainers.image.ref.name": "docker.io/library/$name:latest"}
    }
  ]
}
JSON
}

write_docker_archive() {
    local id tar diffid
    id=$(sha256 "$work/config.json")
    mkdir "$work/docker"
    cp "$work/config.json" "$work/docker/$id.json"
    for tar in "$work"/layers/*.tar; do
        diffid=$(cat "${tar%.tar}.diffid")
        mkdir -p "$work/docker/$diffid"
        mv "$tar" "$work/docker/$diffid/layer.tar"
        echo "\"$diffid/layer.tar\""
    done >"$work/descriptors"
    cat >"$work/docker/manifest.json" <<JSON
[{"Config": "$id.json", "RepoTags": ["$name:latest"], "Layers": [$(comma_list <"$work/descriptors")]}]
JSON
    tar -C "$work/docker" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=a=rX,u+w --mtime="@$SOURCE_DATE_EPOCH" \
        -cf "$work/docker.tar" manifest.json "$id.json" $(cd "$work/docker" && echo */)
}
