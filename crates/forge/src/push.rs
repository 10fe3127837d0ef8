//! The beginning of a push: the list of refs it wants to move, which stands before the pack and decides whether the rest is
//! let through. Format: git's `pack-protocol`, "Reference Update Request"; refusals: "Report Status".

use gix_packetline::PacketLineRef;
use gix_packetline::decode::{PacketLineOrWantedSize, hex_prefix};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::names::CommitId;

/// One ref that a push wants to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) full_ref: String,
    pub(crate) old: CommitId,
    pub(crate) new: CommitId,
}

/// All that stands before the pack.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) commands: Vec<Command>,
    pub(crate) sideband: bool,
    pub(crate) report: bool,
    /// The bytes as they came, for git itself.
    pub(crate) raw: Vec<u8>,
}

/// Why the beginning of a push could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("the push is malformed: {0}")]
    Malformed(String),
    #[error("one push may move at most {0} refs; push them in smaller groups")]
    TooMany(usize),
    #[error("signed pushes are not supported; push without --signed")]
    Certificate,
}

/// Reads up to the flush packet that ends the commands. An empty list is git's way to try out the connection.
pub(crate) async fn read_head<R: AsyncRead + Unpin>(body: &mut R, commands_max: usize) -> Result<Head, HeadError> {
    let mut head = Head::default();
    loop {
        let mut prefix = [0; 4];
        read(body, &mut prefix).await?;
        head.raw.extend_from_slice(&prefix);
        let wanted = match hex_prefix(&prefix).map_err(|_| malformed("not a packet line"))? {
            PacketLineOrWantedSize::Line(PacketLineRef::Flush) => return Ok(head),
            PacketLineOrWantedSize::Line(_) => return Err(malformed("an unexpected packet")),
            PacketLineOrWantedSize::Wanted(wanted) => wanted,
        };
        let mut line = vec![0; usize::from(wanted)];
        read(body, &mut line).await?;
        head.raw.extend_from_slice(&line);
        if line.starts_with(b"shallow ") {
            continue;
        }
        if line.starts_with(b"push-cert") {
            return Err(HeadError::Certificate);
        }
        if head.commands.len() >= commands_max {
            return Err(HeadError::TooMany(commands_max));
        }
        let mut halves = line.splitn(2, |byte| *byte == 0);
        let command = halves.next().unwrap_or_default();
        if let Some(capabilities) = halves.next() {
            let text = String::from_utf8_lossy(capabilities);
            head.sideband = text.split_ascii_whitespace().any(|word| word == "side-band-64k");
            head.report =
                text.split_ascii_whitespace().any(|word| word == "report-status" || word == "report-status-v2");
        }
        head.commands.push(parse(command)?);
    }
}

fn parse(command: &[u8]) -> Result<Command, HeadError> {
    let text = std::str::from_utf8(command).map_err(|_| malformed("a ref's name is not UTF-8"))?;
    let mut words = text.trim_end_matches('\n').splitn(3, ' ');
    let mut id = || {
        words.next().and_then(|word| word.parse::<CommitId>().ok()).ok_or_else(|| malformed("a command without ids"))
    };
    let (old, new) = (id()?, id()?);
    let full_ref =
        words.next().filter(|name| !name.is_empty()).ok_or_else(|| malformed("a command without a ref"))?.to_owned();
    Ok(Command { full_ref, old, new })
}

async fn read<R: AsyncRead + Unpin>(body: &mut R, into: &mut [u8]) -> Result<(), HeadError> {
    body.read_exact(into).await.map(|_| ()).map_err(|_| malformed("it ends too early"))
}

fn malformed(what: &str) -> HeadError {
    HeadError::Malformed(what.to_owned())
}

/// The answer that makes stock git print `remote: <words>` and `! [remote rejected] … (<reason>)` for every ref of the push.
pub(crate) fn refusal(head: &Head, reason: &str, words: &str) -> Vec<u8> {
    let mut report = Vec::new();
    if head.report {
        report.extend(packet(b"unpack ok\n"));
        for command in &head.commands {
            report.extend(packet(format!("ng {} {reason}\n", command.full_ref).as_bytes()));
        }
        report.extend(b"0000");
    }
    if !head.sideband {
        return report;
    }
    let mut answer = Vec::new();
    for line in words.lines() {
        answer.extend(packet(&[b"\x02", line.as_bytes(), b"\n"].concat()));
    }
    // Within the limit of one packet: commands_max refs of at most 255 bytes each, and git's own limit on names.
    for piece in report.chunks(60_000) {
        answer.extend(packet(&[b"\x01", piece].concat()));
    }
    answer.extend(b"0000");
    answer
}

fn packet(data: &[u8]) -> Vec<u8> {
    let mut line = format!("{:04x}", data.len() + 4).into_bytes();
    line.extend_from_slice(data);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zero_to_one(name: &str, capabilities: &str) -> Vec<u8> {
        packet(format!("{} {} {name}\0{capabilities}", "0".repeat(40), "1".repeat(40)).as_bytes())
    }

    #[tokio::test]
    async fn the_head_of_a_push_is_read_to_its_last_byte() {
        let mut bytes = zero_to_one("refs/heads/x", " report-status side-band-64k agent=git/2");
        bytes.extend(packet(format!("{} {} refs/heads/y", "1".repeat(40), "0".repeat(40)).as_bytes()));
        bytes.extend(b"0000");
        let raw = bytes.clone();
        bytes.extend(b"PACK...");
        let mut body = bytes.as_slice();
        let head = read_head(&mut body, 10).await.unwrap();
        assert_eq!(body, b"PACK...");
        assert_eq!(head.raw, raw);
        assert!(head.sideband && head.report);
        let refs: Vec<_> =
            head.commands.iter().map(|command| (command.full_ref.as_str(), command.new.is_zero())).collect();
        assert_eq!(refs, [("refs/heads/x", false), ("refs/heads/y", true)]);
        let answer = String::from_utf8(refusal(&head, "not yours", "Push elsewhere.")).unwrap();
        assert!(
            answer.contains("\u{2}Push elsewhere.\n")
                && answer.contains("ng refs/heads/x not yours\n")
                && answer.ends_with("0000")
        );
    }

    #[tokio::test]
    async fn malformed_heads_are_refused() {
        let many: Vec<u8> = (0..3).flat_map(|n| zero_to_one(&format!("refs/heads/{n}"), "")).chain(*b"0000").collect();
        let bad: [&[u8]; 9] =
            [b"", b"00", b"zzzz", b"0003", b"0004", b"0008abcd", b"ffff", &packet(b"push-cert\0x"), &many];
        for bytes in bad {
            assert!(read_head(&mut { bytes }, 2).await.is_err(), "{bytes:?}");
        }
        assert!(read_head(&mut b"0000".as_slice(), 2).await.unwrap().commands.is_empty());
    }
}
