//! Kernels as machines start from them fastest: unpacked.
//!
//! An emulated machine spends more than half of its start on unpacking its kernel. That is done once on the host instead, where the program for it is there and the
//! kernel can be entered without its own unpacker (PVH, <https://xenbits.xen.org/docs/unstable/misc/pvh.html>).

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
};

use crate::backends::program;

/// Of the kernel's header (Documentation/arch/x86/boot.rst): its mark, how many sectors stand before the rest, where in that the packed kernel is, and how long.
const MARK: (usize, &[u8]) = (0x202, b"HdrS");
const SECTORS: usize = 0x1f1;
const SECTORS_WHEN_ZERO: usize = 4;
const SECTOR_BYTES: usize = 512;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// Behind the packed kernel stands how long it is unpacked.
const TRAILER_BYTES: usize = 4;
/// Largest kernel that is unpacked. Debian's has 66 MB.
const UNPACKED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// What packed kernels begin with, and which program unpacks them.
const PACKERS: &[(&[u8], &str)] =
    &[(b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x1f\x8b", "gzip"), (b"\x02\x21\x4c\x18", "lz4")];

/// The kernel in this image, unpacked; `None` when it cannot be, and the machine has to do it.
pub(super) fn unpacked(image: &[u8]) -> Option<Vec<u8>> {
    let packed = payload(image)?;
    let (_, name) = PACKERS.iter().find(|(magic, _)| packed.starts_with(magic))?;
    let kernel = run(&program::find(name)?, packed)?;
    enters_by_pvh(&kernel).then_some(kernel)
}

/// The packed kernel.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let (at, mark) = MARK;
    if image.get(at..at + mark.len())? != mark {
        return None;
    }
    let sectors = match usize::from(*image.get(SECTORS)?) {
        0 => SECTORS_WHEN_ZERO,
        sectors => sectors,
    };
    let start = (sectors + 1) * SECTOR_BYTES + number(image, PAYLOAD_OFFSET)?;
    let length = number(image, PAYLOAD_LENGTH)?.checked_sub(TRAILER_BYTES)?;
    image.get(start..start.checked_add(length)?)
}

/// Four bytes, the lowest first.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(four)).ok()
}

/// Sends the packed kernel through a program.
fn run(program: &std::path::Path, packed: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new(program);
    command.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let kernel = pass(&mut child, packed);
    if kernel.is_none() {
        // It may be waiting for more, or for somebody who reads.
        let _ = child.kill();
    }
    let ended = child.wait().ok()?;
    kernel.filter(|_| ended.success())
}

fn pass(child: &mut Child, packed: &[u8]) -> Option<Vec<u8>> {
    let (mut input, output) = (child.stdin.take()?, child.stdout.take()?);
    std::thread::scope(|scope| {
        // Its end closes the program's input. When the program ends early, what it has said is judged below.
        scope.spawn(move || drop(input.write_all(packed)));
        let mut kernel = Vec::new();
        output.take(UNPACKED_BYTES_MAX).read_to_end(&mut kernel).ok()?;
        Some(kernel)
    })
}

/// Whether this program says in its notes where it is entered by PVH.
fn enters_by_pvh(kernel: &[u8]) -> bool {
    /// XEN_ELFNOTE_PHYS32_ENTRY.
    const ENTRY: [u8; 4] = 18u32.to_le_bytes();
    const OWNER: &[u8] = b"Xen\0";
    notes(kernel).unwrap_or_default().into_iter().any(|notes| {
        // A note: three numbers (lengths of its owner's name and of itself, its kind), then the owner's name.
        notes.windows(16).any(|note| note[..4] == 4u32.to_le_bytes() && note[8..12] == ENTRY && &note[12..] == OWNER)
    })
}

/// The parts of a program file of 64 bits that hold notes.
fn notes(kernel: &[u8]) -> Option<Vec<&[u8]>> {
    const PARTS_AT: usize = 32;
    const PART_BYTES: usize = 54;
    const PARTS: usize = 56;
    const NOTES: usize = 4;
    if !kernel.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let short = |at: usize| Some(usize::from(u16::from_le_bytes(kernel.get(at..at + 2)?.try_into().ok()?)));
    // The upper halves of offsets and lengths are 0 in a file of less than 4 GiB.
    let (first, size, count) = (number(kernel, PARTS_AT)?, short(PART_BYTES)?, short(PARTS)?);
    let mut found = Vec::new();
    for part in (0..count).map(|index| first + index * size) {
        if number(kernel, part)? == NOTES {
            let (start, length) = (number(kernel, part + 8)?, number(kernel, part + 32)?);
            found.push(kernel.get(start..start.checked_add(length)?)?);
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program file with one part of notes.
    fn program_with(note: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 120];
        file[..5].copy_from_slice(b"\x7fELF\x02");
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        file[64] = 4;
        file[72] = 120;
        file[96] = u8::try_from(note.len()).unwrap();
        file.extend(note);
        file
    }

    fn image_of(packed: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x300 + 2 * SECTOR_BYTES];
        image[SECTORS] = 1;
        image[MARK.0..MARK.0 + 4].copy_from_slice(MARK.1);
        let start = image.len() - 2 * SECTOR_BYTES;
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&u32::try_from(start).unwrap().to_le_bytes());
        let length = u32::try_from(packed.len() + TRAILER_BYTES).unwrap();
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend(packed);
        image.extend([0; TRAILER_BYTES]);
        image
    }

    #[test]
    fn a_packed_kernel_is_found_and_unpacked() {
        let kernel = program_with(b"\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0ENTRY...");
        let mut gzip = Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let packed = pass(&mut gzip, &kernel).unwrap();
        assert!(gzip.wait().unwrap().success());
        assert_eq!(unpacked(&image_of(&packed)), Some(kernel));
        // Cut off, of no known kind, or no kernel at all.
        assert_eq!(unpacked(&image_of(&packed[..packed.len() / 2])), None);
        assert_eq!(unpacked(&image_of(b"unknown")), None);
        assert_eq!(unpacked(b"no kernel"), None);
    }

    #[test]
    fn a_kernel_without_the_entry_is_left_packed() {
        assert!(enters_by_pvh(&program_with(b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0ENTR")));
        assert!(!enters_by_pvh(&program_with(b"\x04\0\0\0\x04\0\0\0\x11\0\0\0Xen\0ENTR")));
        assert!(!enters_by_pvh(&program_with(b"\x04\0\0\0\x04\0\0\0\x12\0\0\0GNU\0ENTR")));
        assert!(!enters_by_pvh(b"\x7fELF"));
    }
}
