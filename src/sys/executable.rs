//! The file that this process executes, seen through another mount (prctl(2), `PR_SET_MM_MAP`).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::errno::Errno;

use super::SysError;

/// `PR_SET_MM_MAP` (include/uapi/linux/prctl.h), which libc lacks.
const SET_MM_MAP: libc::c_int = 14;

/// One piece of this process's memory that shows its executable (proc_pid_maps(5)).
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    start: usize,
    length: usize,
    protection: i32,
    offset: u64,
}

/// `struct prctl_mm_map` (include/uapi/linux/prctl.h).
#[repr(C)]
struct MemoryMap {
    /// start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start, arg_end, env_start, env_end.
    addresses: [u64; 11],
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Makes `file`, which must be the file that this process executes, opened through another mount, its `/proc/self/exe`: what reaches it
/// there meets that mount's attributes. Children inherit it. This process must have one thread.
///
/// The kernel allows it once no memory shows the file through the old mount, so every piece of it is mapped anew at its place; those
/// that may have been written are copied.
///
/// # Errors
/// Another file, or the failed call; `EINVAL` where the kernel was built without CONFIG_CHECKPOINT_RESTORE. The process goes on as
/// well as before.
pub fn move_to(file: BorrowedFd) -> Result<(), SysError> {
    let failed = |what: &'static str| {
        move |e: std::io::Error| SysError::new(what, Errno::from_raw(e.raw_os_error().unwrap_or(0)))
    };
    let file = File::from(file.try_clone_to_owned().map_err(failed("dup(podling's file)"))?);
    let (new, now) = (file.metadata(), std::fs::metadata("/proc/self/exe"));
    let (new, now) = (new.map_err(failed("fstat(podling's file)"))?, now.map_err(failed("stat(\"/proc/self/exe\")"))?);
    if (new.dev(), new.ino()) != (now.dev(), now.ino()) {
        return Err(SysError::new("podling's path, where another file is now", Errno::ESTALE));
    }
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(failed("read(\"/proc/self/maps\")"))?;
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(failed("read(\"/proc/self/stat\")"))?;
    let written = written_parts(&file).map_err(failed("read(podling's file)"))?;
    let pieces = pieces(&maps, new.ino());
    let not_elf = || SysError::new("podling's own memory, which cannot be read", Errno::ENOEXEC);
    let addresses = addresses(&stat).ok_or_else(not_elf)?;
    if pieces.is_empty() || written.is_empty() {
        return Err(not_elf());
    }
    for piece in &pieces {
        let end = piece.offset + piece.length as u64;
        let is_written = written.iter().any(|(from, to)| piece.offset < *to && *from < end);
        replace(piece, (!is_written).then_some(&file))?;
    }
    let map = MemoryMap { addresses, auxv: 0, auxv_size: 0, exe_fd: file.as_raw_fd().unsigned_abs() };
    // SAFETY: the kernel reads one whole prctl_mm_map, which lives through the call; its addresses are this process's present ones.
    let r = unsafe { libc::prctl(libc::PR_SET_MM, SET_MM_MAP, &raw const map, size_of::<MemoryMap>(), 0) };
    Errno::result(r).map(drop).map_err(|errno| SysError::new("prctl(PR_SET_MM_MAP)", errno))
}

/// Puts the same bytes at the place of `piece`: mapped from `file`, or copied.
fn replace(piece: &Piece, file: Option<&File>) -> Result<(), SysError> {
    let &Piece { start, length, protection, offset } = piece;
    let old = start as *mut libc::c_void;
    let (protection_now, flags, fd) = match file {
        Some(file) => (protection, libc::MAP_PRIVATE, file.as_raw_fd()),
        None => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
    };
    let offset = if file.is_some() { offset as libc::off_t } else { 0 };
    // SAFETY: a new mapping at a place of the kernel's choice touches nothing that is there.
    let new = unsafe { libc::mmap(std::ptr::null_mut(), length, protection_now, flags, fd, offset) };
    if new == libc::MAP_FAILED {
        return Err(SysError::new("mmap(podling's own memory)", Errno::last()));
    }
    if file.is_none() {
        // SAFETY: both are mapped for `length` bytes, the old one readable as all that a program loads, and they do not overlap. Nothing
        // else writes the old one meanwhile: this is the only thread, and between here and mremap(2) it makes system calls only.
        unsafe { std::ptr::copy_nonoverlapping(old.cast::<u8>(), new.cast::<u8>(), length) };
        // SAFETY: the mapping is this function's own.
        if unsafe { libc::mprotect(new, length, protection) } != 0 {
            return Err(SysError::new("mprotect(podling's own memory)", Errno::last()));
        }
    }
    // SAFETY: the kernel puts the new pages in the place of the old ones at once, and they hold the same bytes with the same protection,
    // so that no pointer and no instruction notices.
    let moved = unsafe { libc::mremap(new, length, length, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, old) };
    if moved == libc::MAP_FAILED { Err(SysError::new("mremap(podling's own memory)", Errno::last())) } else { Ok(()) }
}

/// The pieces of memory that show the file with this inode number.
fn pieces(maps: &str, inode: u64) -> Vec<Piece> {
    let piece = |line: &str| -> Option<Piece> {
        let mut words = line.split_ascii_whitespace();
        let (range, flags, offset, _, found) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        if found.parse::<u64>().ok()? != inode {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
        let bits = [('r', libc::PROT_READ), ('w', libc::PROT_WRITE), ('x', libc::PROT_EXEC)];
        let protection = bits.iter().filter(|(letter, _)| flags.contains(*letter)).fold(0, |all, (_, bit)| all | bit);
        Some(Piece {
            start,
            length: end.checked_sub(start)?,
            protection,
            offset: u64::from_str_radix(offset, 16).ok()?,
        })
    };
    maps.lines().filter_map(piece).collect()
}

/// Which parts of an ELF file a program may write once they are loaded (elf(5), `PT_LOAD` with `PF_W`): from and to, in bytes of the file.
fn written_parts(file: &File) -> std::io::Result<Vec<(u64, u64)>> {
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0)?;
    let [e_phoff, e_phnum] = [(32, 8), (56, 2)].map(|(at, length)| number(&header, at, length));
    let mut table = Vec::new();
    let mut reader = file;
    reader.seek(SeekFrom::Start(e_phoff))?;
    reader.take(e_phnum * 56).read_to_end(&mut table)?;
    let entries = table.chunks_exact(56);
    let is_written = |entry: &&[u8]| number(entry, 0, 4) == 1 && number(entry, 4, 4) & 2 != 0;
    Ok(entries.filter(is_written).map(|e| (number(e, 8, 8), number(e, 8, 8) + number(e, 32, 8))).collect())
}

/// A little-endian number of `length` bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at + length).unwrap_or_default();
    bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// The addresses that the kernel knows of this process's memory (proc_pid_stat(5), fields 26 to 28 and 45 to 51).
fn addresses(stat: &str) -> Option<[u64; 11]> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |n: usize| -> Option<u64> { fields.get(n - 3)?.parse().ok() };
    // SAFETY: sbrk(0) changes nothing.
    let brk = unsafe { libc::sbrk(0) } as u64;
    Some([
        field(26)?,
        field(27)?,
        field(45)?,
        field(46)?,
        field(47)?,
        brk,
        field(28)?,
        field(48)?,
        field(49)?,
        field(50)?,
        field(51)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_those_of_the_file() {
        let maps = "1000-3000 r-xp 00002000 08:01 7 /bin/podling\n3000-4000 rw-p 00000000 00:00 0 \n5000-6000 rw-p 00004000 08:01 7 /bin/podling\n";
        let piece = |start, length, protection, offset| Piece { start, length, protection, offset };
        let (rx, rw) = (libc::PROT_READ | libc::PROT_EXEC, libc::PROT_READ | libc::PROT_WRITE);
        assert_eq!(pieces(maps, 7), [piece(0x1000, 0x2000, rx, 0x2000), piece(0x5000, 0x1000, rw, 0x4000)]);
    }

    #[test]
    fn this_test_has_a_part_that_is_written() {
        let parts = written_parts(&File::open("/proc/self/exe").unwrap()).unwrap();
        assert!(!parts.is_empty() && parts.iter().all(|(from, to)| from < to), "{parts:?}");
        assert!(addresses(&std::fs::read_to_string("/proc/self/stat").unwrap()).unwrap().iter().all(|a| *a > 0));
    }
}
