//! The archive in memory that a machine starts from: cpio in the form the kernel reads ("newc", Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! A writer of its own, because it is a header and some padding, and the crates for it read and write files where this writes three kinds of entries.

/// Every entry begins with this.
const MAGIC: &str = "070701";
/// Directories and programs, read by everybody.
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
/// The name of the entry that ends an archive.
const LAST: &str = "TRAILER!!!";

/// An archive that is being written.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a directory. Its parent is there already.
    pub(super) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, &[]);
    }

    /// Adds a program.
    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, content);
    }

    /// Adds a file.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE, content);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry(LAST, 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let path = path.trim_start_matches('/');
        let links = 1;
        // Number, mode, owner, group, links, time, size, device and its own (two numbers each), length of the name with its end, checksum.
        let fields = [self.entries, mode, 0, 0, links, 0, length(content.len()), 0, 0, 0, 0, length(path.len() + 1), 0];
        self.bytes.extend(MAGIC.bytes());
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A length as the header has it; no driver and no guest comes near its end.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_as_the_kernel_reads_them() {
        let mut archive = Archive::default();
        archive.directory("/d");
        archive.file("d/f", b"hello");
        let bytes = archive.finish();
        let header = |number: u32, mode: &str, size: u32, name: u32| {
            format!(
                "070701{number:08x}{mode}{zero}{zero}00000001{zero}{size:08x}{zero}{zero}{zero}{zero}{name:08x}{zero}",
                zero = "00000000"
            )
        };
        let mut wanted = header(1, "000041ed", 0, 2).into_bytes();
        wanted.extend(b"d\0");
        wanted.extend(header(2, "000081a4", 5, 4).bytes());
        wanted.extend(b"d/f\0\0\0hello\0\0\0");
        wanted.extend(header(3, "00000000", 0, 11).bytes());
        wanted.extend(b"TRAILER!!!\0\0\0\0");
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&wanted));
    }
}
