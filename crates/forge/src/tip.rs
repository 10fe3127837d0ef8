//! Where a branch stands, read from the repository's own files.
//!
//! Every session begins with this question, and a process of git costs more than everything else that it asks. The two formats are those of
//! git's `gitrepository-layout(5)`: a file a branch, or a line of `packed-refs`. The order is git's own: packing writes the line before it
//! removes the file, so whoever looks at the file first finds the branch in one of them. Whatever looks otherwise (another ref
//! storage, a symbolic ref, no such branch) is for git to answer.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use crate::names::CommitId;

/// Longest file of one branch: 40 digits and a line's end. Symbolic refs may be longer and are not read here.
const LOOSE_BYTES_MAX: u64 = 64;
/// Longest `packed-refs` that is read: some 100,000 refs. Reading more would take as long as asking git.
const PACKED_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The commit that a branch (`refs/heads/…`) of the repository in `dir` stands on, where its files say so plainly. Blocks.
pub(crate) fn read(dir: &Path, full_ref: &str) -> Option<CommitId> {
    match text_of(&dir.join(full_ref), LOOSE_BYTES_MAX) {
        Ok(text) => text.trim_end().parse().ok(),
        // Only then: a file that cannot be understood outweighs the line all the same.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let packed = text_of(&dir.join("packed-refs"), PACKED_BYTES_MAX).ok()?;
            let of_branch = |line: &str| line.split_once(' ').filter(|(_, name)| *name == full_ref)?.0.parse().ok();
            packed.lines().find_map(of_branch)
        }
        Err(_for_git_to_say) => None,
    }
}

/// The text of a file of at most this length.
fn text_of(path: &Path, bytes_max: u64) -> io::Result<String> {
    let file = File::open(path)?;
    let mut text = String::new();
    let read = file.take(bytes_max + 1).read_to_string(&mut text)? as u64;
    if read > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_is_read_and_the_rest_is_left_to_git() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let repo = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            std::fs::create_dir_all(repo.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(repo.path().join(name), text).unwrap();
        };
        put("refs/heads/main", &format!("{one}\n"));
        put("refs/heads/alias", "ref: refs/heads/main\n");
        put("refs/heads/torn", "1111");
        put("refs/heads/long", &format!("ref: refs/heads/{}\n", "x".repeat(200)));
        put(
            "packed-refs",
            &format!(
                "# pack-refs with: peeled fully-peeled sorted \n{two} refs/heads/main\n{two} refs/heads/old/er\n{two} refs/heads/long\n{one} refs/tags/v1\n^{two}\n"
            ),
        );
        let table = [
            ("refs/heads/main", Some(one.as_str())),
            ("refs/heads/old/er", Some(two.as_str())),
            ("refs/heads/er", None),
            ("refs/heads/alias", None),
            ("refs/heads/torn", None),
            ("refs/heads/long", None),
            ("refs/heads/none", None),
        ];
        for (name, expected) in table {
            assert_eq!(read(repo.path(), name).as_ref().map(CommitId::as_str), expected, "{name}");
        }
    }
}
