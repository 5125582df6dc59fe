//! A layer is unpacked into a directory of its own, from where nothing may get out.
#![no_main]

use std::fs::{self, File};

use libfuzzer_sys::fuzz_target;
use podling::host::{IdExtent, IdMap};
use podling::image::layer::limits::Limits;
use podling::image::layer::remove_tree;
use podling::image::layer::unpack::unpack;
use podling::image::namespace::Workplace;

fuzz_target!(|archive: &[u8]| {
    let base = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::write(base.path().join("outside"), "stays").unwrap();
    let tree = base.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let own = |id| vec![IdExtent { inside: 0, outside: id, count: 1 }];
    let ids = IdMap { uids: own(nix::unistd::geteuid().as_raw()), gids: own(nix::unistd::getegid().as_raw()) };
    // Whatever a size field promises, one run must not fill the memory.
    let limits = Limits { layer_size: 1 << 20, ..Limits::default() };
    let place = Workplace { dir: File::open(&tree).unwrap().into(), umask: 0o777 };
    let _ = unpack(archive, &place, &limits.of_blob(archive.len() as u64), &ids);
    let mut left: Vec<_> = fs::read_dir(base.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["outside", "tree"]);
    assert_eq!(fs::read(base.path().join("outside")).unwrap(), b"stays");
    remove_tree::empty(std::os::fd::AsFd::as_fd(&place.dir)).unwrap();
});
