//! Blobs that are broken, too large, or not what they are said to be: refused, with nothing left of them.

mod archives;
mod support;

use std::os::unix::fs::MetadataExt;

use archives::image::{Files, Layer, blob_path, config, digest, gzip, gzip_best, zstd};
use archives::tar::{Entry, archive, without_end};
use archives::yard::Yard;
use serde_json::json;
use support::Output;

/// A layer that is larger than one of podling's buffers, and does not compress to nothing.
fn honest_tar() -> Vec<u8> {
    let noise: Vec<u8> = (0u64..60_000).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    archive(&[Entry::dir("usr"), Entry::file("usr/first", &noise), Entry::file("usr/last", "end")])
}

fn refused(yard: &Yard, what: &str, files: &Files, fragments: &[&str]) {
    let before = yard.snapshot();
    let output = yard.load(&files.to_tar());
    yard.assert_refused(what, &output, &before, fragments);
}

/// The layer in an OCI layout, then in a docker archive, whose only promise is the diffID.
fn refused_everywhere(yard: &Yard, what: &str, layer: &Layer, fragments: &[&str]) {
    refused(yard, what, &Files::oci("hostile:1", std::slice::from_ref(layer)), fragments);
    refused(yard, what, &Files::docker("hostile:1", std::slice::from_ref(layer)), fragments);
}

#[test]
fn truncated_blobs_are_refused() {
    let yard = Yard::new();
    let tar = honest_tar();
    for layer in [Layer::gzip(&tar), Layer::zstd(&tar), Layer::plain(&tar)] {
        let whole = layer.blob.clone();
        for cut in [1, 11, 700, whole.len() / 2, whole.len() - 600, whole.len() - 4] {
            let what = format!("{} cut to {cut}", layer.media_type);
            let cut = whole[..cut].to_vec();
            refused_everywhere(&yard, &what, &layer.clone().with_blob(cut.clone()), &["layer"]);
            let lying = Files::oci("hostile:1", std::slice::from_ref(&layer));
            let mut shorter = lying.clone();
            shorter.0.insert(blob_path(&layer.digest), cut);
            refused(&yard, &what, &shorter, &[&layer.digest, "truncated"]);
        }
    }
}

#[test]
fn a_layer_that_ends_in_an_entry_is_refused_and_the_entry_named() {
    let yard = Yard::new();
    let tar = honest_tar();
    let cut = tar[..100_000].to_vec();
    for layer in [Layer::gzip(&cut), Layer::zstd(&cut), Layer::plain(&cut)] {
        refused_everywhere(&yard, layer.media_type, &layer, &["truncated", "\"usr/first\""]);
    }
    let only_pax = &without_end(&[Entry::file("a", "x").pax("path", "b")])[..1024];
    refused_everywhere(&yard, "a PAX header alone", &Layer::gzip(only_pax), &["extended header"]);
    let garbage = [archive(&[Entry::file("a", "x")]), b"MZ and more".to_vec()].concat();
    refused_everywhere(&yard, "garbage after the end", &Layer::gzip(&garbage), &["garbage", "\"a\""]);
    let mut broken = archive(&[Entry::file("a", "x"), Entry::file("b", "y")]);
    broken[1024 + 3] ^= 1;
    refused_everywhere(&yard, "a broken header", &Layer::gzip(&broken), &["checksum", "\"a\""]);
}

#[test]
fn one_wrong_bit_is_noticed() {
    let yard = Yard::new();
    let tar = honest_tar();
    for layer in [Layer::gzip(&tar), Layer::zstd(&tar), Layer::plain(&tar)] {
        for at in [layer.blob.len() / 3, layer.blob.len() - 2] {
            let mut blob = layer.blob.clone();
            blob[at] ^= 4;
            let what = format!("{} with a wrong bit at {at}", layer.media_type);
            let mut files = Files::oci("hostile:1", std::slice::from_ref(&layer));
            files.0.insert(blob_path(&layer.digest), blob.clone());
            refused(&yard, &what, &files, &[&layer.digest, "corrupt"]);
            refused_everywhere(&yard, &what, &layer.clone().with_blob(blob), &["layer sha256:"]);
        }
    }
}

#[test]
fn wrong_promises_are_noticed() {
    let yard = Yard::new();
    let (layer, other) = (Layer::gzip(&honest_tar()), Layer::gzip(&archive(&[Entry::file("other", "x")])));
    let mut swapped = Files::oci("hostile:1", std::slice::from_ref(&layer));
    swapped.0.insert(blob_path(&layer.digest), other.blob.clone());
    refused(&yard, "another blob", &swapped, &[&layer.digest]);

    let lying = Layer { diff_id: other.diff_id.clone(), ..layer.clone() };
    refused_everywhere(&yard, "another diffID", &lying, &["diffID", &other.diff_id, &layer.diff_id]);

    for size in [json!(layer.blob.len() + 1), json!(layer.blob.len() - 1), json!(0), json!(-1), json!(1u64 << 62)] {
        let what = format!("size {size}");
        let mut files = Files::default();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": files.add_blob("application/vnd.oci.image.config.v1+json", config(std::slice::from_ref(&layer)).to_string().as_bytes()),
            "layers": [{"mediaType": layer.media_type, "digest": layer.digest, "size": size}],
        });
        files.0.insert(blob_path(&layer.digest), layer.blob.clone());
        let manifest = files.add_blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        files.set_index(json!([manifest]));
        refused(&yard, &what, &files, &["layer"]);
    }

    let unlike = Layer { media_type: "application/vnd.oci.image.layer.v1.tar+zstd", ..layer.clone() };
    refused(&yard, "another compression", &Files::oci("hostile:1", &[unlike]), &["zstd", "gzip"]);
    let foreign = Layer { media_type: "application/vnd.example.thing", ..layer.clone() };
    refused(&yard, "another kind", &Files::oci("hostile:1", &[foreign]), &["application/vnd.example.thing"]);

    for (what, ids) in [("more diffIDs", vec![&layer, &other]), ("fewer diffIDs", vec![])] {
        let ids: Vec<Layer> = ids.into_iter().cloned().collect();
        let files = Files::oci_with("hostile:1", std::slice::from_ref(&layer), &config(&ids));
        refused(&yard, what, &files, &["1 layers", &format!("{} diffIDs", ids.len())]);
    }
    let mut docker = Files::docker("hostile:1", std::slice::from_ref(&layer));
    docker.0.insert("config.json".into(), config(&[]).to_string().into_bytes());
    let docker = docker.edit("manifest.json", |manifest| manifest[0]["Config"] = "config.json".into());
    refused(&yard, "fewer diffIDs in a docker archive", &docker, &["1 layers", "0 diffIDs"]);
}

#[test]
fn what_is_no_tar_is_refused() {
    let yard = Yard::new();
    let noise: Vec<u8> = (0u64..2000).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    let elf = [b"\x7fELF\x02\x01\x01".to_vec(), vec![0; 4000]].concat();
    let html = b"<!DOCTYPE html><html><body>404 not found</body></html>".to_vec();
    for (what, content) in [("noise", noise), ("a program", elf), ("a web page", html), ("one byte", vec![b'x'])] {
        for layer in [Layer::plain(&content), Layer::gzip(&content), Layer::zstd(&content)] {
            refused_everywhere(&yard, what, &layer, &["layer sha256:", "not a tar"]);
        }
    }
    let empty = Layer::plain(b"");
    refused(&yard, "nothing", &Files::oci("hostile:1", &[empty]), &["not a tar"]);
    for (name, head) in [("xz", &b"\xfd7zXZ\0"[..]), ("bzip2", b"BZh91AY&SY"), ("lz4", b"\x04\x22\x4d\x18")] {
        refused_everywhere(&yard, name, &Layer::plain(&[head, &[7; 2000]].concat()), &[name]);
    }
}

#[test]
fn sizes_that_lie_are_refused() {
    let yard = Yard::new();
    let sparse = Entry::file("s", "x").raw(156, b"S");
    let pax_sparse = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "9999999")];
    let pax_sparse = pax_sparse.iter().fold(Entry::file("s", "x"), |entry, (key, value)| entry.pax(key, value));
    let negative = Entry::file("n", "x").raw(124, &[0xff; 12]);
    let huge = Entry::file("h", "x").raw(124, &[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let words = Entry::file("w", "x").raw(124, b"not a number");
    let ten_gib = 10u64 << 30;
    let rows: Vec<(&str, Entry, &[&str])> = vec![
        ("old GNU sparse", sparse, &["entry \"s\"", "sparse"]),
        ("PAX sparse", pax_sparse, &["entry \"s\"", "sparse"]),
        ("a negative size", negative, &["\"n\""]),
        ("a size of 2^63", huge, &["\"h\""]),
        ("a size in words", words, &["size"]),
        ("ten gibibytes that are not there", Entry::file("b", "x").size(ten_gib), &["entry \"b\"", "bomb"]),
        (
            "ten gibibytes in a PAX record",
            Entry::file("b", "x").pax("size", ten_gib.to_string()),
            &["entry \"b\"", "bomb"],
        ),
        ("a negative size in a PAX record", Entry::file("b", "x").pax("size", "-1"), &["entry \"b\"", "not a number"]),
        (
            "a size of 20 digits",
            Entry::file("b", "x").pax("size", "99999999999999999999"),
            &["entry \"b\"", "not a number"],
        ),
        ("a PAX header of a gibibyte", Entry::new(b'x', "p").size(1 << 30), &["extended header"]),
        ("a long name of a gibibyte", Entry::new(b'L', "p").size(1 << 30), &["extended header"]),
        ("a PAX header that is none", Entry::new(b'x', "p").content("99999 path=x\n"), &["PAX header is corrupt"]),
        ("a global path", Entry::global("path", "etc/passwd"), &["global PAX header"]),
        ("a global size", Entry::global("size", "0"), &["global PAX header"]),
        ("an unknown type", Entry::file("u", "x").raw(156, b"~"), &["entry \"u\"", "type"]),
    ];
    for (what, entry, fragments) in rows {
        let layer = Layer::gzip(&archive(&[entry, Entry::file("after", "y")]));
        refused(&yard, what, &Files::oci("hostile:1", &[layer]), fragments);
    }
}

/// A PAX size smaller than the content must not let the content pass for entries, and one that is right must be heeded.
#[test]
fn a_pax_size_counts_and_the_header_does_not() {
    let yard = Yard::new();
    let inner = archive(&[Entry::file("smuggled", "x")]);
    let hidden = Entry::file("cover", &inner).size(0).pax("size", inner.len().to_string());
    let files = Files::oci("hostile:1", &[Layer::gzip(&archive(&[hidden, Entry::file("after", "y")]))]);
    let (tree, _) = yard.accept("a PAX size", &files.to_tar(), "hostile:1");
    assert_eq!(std::fs::read(tree.join("cover")).unwrap(), inner);
    assert!(tree.join("after").exists() && !tree.join("smuggled").exists());
}

/// podling with 256 MiB of address space, which may not write a file of more than `file` bytes.
fn load_within(yard: &Yard, file: u64, source: &[u8]) -> Output {
    yard.write(source);
    let (memory, file) = (format!("--as={}", 256 << 20), format!("--fsize={file}"));
    yard.podling_through(&["prlimit", &memory, &file], &["image", "load", "source.tar"])
}

/// 64 MiB of `content`, as often as it takes: both formats let one member follow another.
fn many(times: usize, compressed: &[u8]) -> Vec<u8> {
    compressed.repeat(times)
}

#[test]
fn bombs_are_refused_before_they_fill_memory_or_disk() {
    let yard = Yard::new();
    let before = yard.snapshot();
    let zeros = vec![0u8; 64 << 20];
    let header = without_end(&[Entry::file("usr/zeros", "").size(10 << 30)]);
    let rows: [(&str, Vec<u8>, &'static str); 2] = [
        (
            "gzip",
            [gzip(&header), many(160, &gzip_best(&zeros))].concat(),
            "application/vnd.oci.image.layer.v1.tar+gzip",
        ),
        ("zstd", [zstd(&header), many(160, &zstd(&zeros))].concat(), "application/vnd.oci.image.layer.v1.tar+zstd"),
    ];
    for (what, blob, media_type) in rows {
        assert!(blob.len() < 20 << 20);
        let layer = Layer { digest: digest(&blob), diff_id: digest(b""), blob, media_type };
        let output = load_within(&yard, 64 << 20, &Files::oci("hostile:1", &[layer]).to_tar());
        yard.assert_refused(what, &output, &before, &["\"usr/zeros\"", "bomb"]);
    }
    // No entry says it: what follows the last one only looks like padding.
    let end = gzip(&archive(&[Entry::file("a", "x")]));
    let blob = [end, many(160, &gzip_best(&zeros))].concat();
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    let layer = Layer { digest: digest(&blob), diff_id: digest(b""), blob, media_type };
    let output = load_within(&yard, 64 << 20, &Files::oci("hostile:1", &[layer]).to_tar());
    yard.assert_refused("padding", &output, &before, &["bomb"]);
}

#[test]
fn an_archive_that_is_a_bomb_is_refused() {
    let yard = Yard::new();
    let before = yard.snapshot();
    let header = without_end(&[Entry::file("manifest.json", "").size(10 << 30)]);
    let source = [gzip(&header), many(160, &gzip_best(&vec![0u8; 64 << 20]))].concat();
    // It is decompressed before anybody looks into it, so this one may write what a small archive may grow to.
    let output = load_within(&yard, 2 << 30, &source);
    yard.assert_refused("a compressed archive", &output, &before, &["bomb"]);
}

#[test]
fn a_full_disk_is_one_message() {
    let yard = Yard::new();
    let before = yard.snapshot();
    let files = Files::oci("hostile:1", &[Layer::plain(&honest_tar())]);
    yard.write(&files.to_tar());
    // A write beyond the limit is EFBIG where SIGXFSZ is ignored, much as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$@\"";
    let output = yard.podling_through(&["sh", "-c", script, "sh"], &["image", "load", "source.tar"]);
    yard.assert_refused("a file that cannot grow", &output, &before, &["layer"]);
    assert_eq!(output.stderr.matches("podling:").count(), 1, "{output}");
}

/// Gzip members and zstd frames in a row are one stream, and a sparse-looking honest file is no bomb.
#[test]
fn honest_oddities_are_accepted() {
    let yard = Yard::new();
    let tar = archive(&[Entry::file("a", vec![0u8; 50 << 20])]);
    let (first, second) = tar.split_at(1000);
    for (name, blob, layer) in [
        ("hostile:gzip", [gzip(first), gzip(second)].concat(), Layer::gzip(&tar)),
        ("hostile:zstd", [zstd(first), zstd(second)].concat(), Layer::zstd(&tar)),
    ] {
        let (tree, _) = yard.accept(name, &Files::oci(name, &[layer.with_blob(blob)]).to_tar(), name);
        assert_eq!(std::fs::metadata(tree.join("a")).unwrap().size(), 50 << 20);
    }
}
