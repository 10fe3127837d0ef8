//! The entries of a tar stream, with everything that is said about them gathered and bounded.
//!
//! The tar crate reads what precedes an entry (long names, extended records) into memory without a bound, and splits extended records at
//! line feeds, which binary attributes contain. So entries are taken raw, and what precedes them is read here.

use std::{borrow::Cow, collections::BTreeMap, io::Read};

use tar::{Archive, Entries, Entry, EntryType};

use crate::oci::{
    Error,
    limits::{EXTENSION_BYTES_MAX, IDS},
};

/// Nanoseconds of a second.
const NANOS: i64 = 1_000_000_000;
/// The year 9999: no file is younger.
const MTIME_SECONDS_MAX: i64 = 253_402_300_799;
/// How much of a name is shown in an error, in characters.
const NAME_SHOWN_CHARS: usize = 200;
/// What a PAX record of an extended attribute begins with.
pub(crate) const XATTR_RECORD: &str = "SCHILY.xattr.";

/// What one entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    Device,
}

/// When a file was last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub seconds: i64,
    pub nanos: i64,
}

/// Everything about one entry but its content.
#[derive(Debug)]
pub(crate) struct Record {
    pub name: Vec<u8>,
    pub kind: Kind,
    /// Where a link leads.
    pub target: Vec<u8>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime: Moment,
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Record {
    pub(crate) fn refused(&self, reason: &'static str) -> Error {
        refused(&self.name, reason)
    }
}

pub(crate) fn refused(name: &[u8], reason: &'static str) -> Error {
    let entry = String::from_utf8_lossy(name).chars().take(NAME_SHOWN_CHARS).collect::<String>();
    Error::Refused { entry: entry.escape_debug().to_string(), reason }
}

/// Calls `each` with every entry of the archive and the reader of its content.
pub(crate) fn each<R: Read>(
    archive: &mut Archive<R>,
    mut each: impl FnMut(&Record, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut entries = archive.entries().map_err(Error::stream("read a layer"))?.raw(true);
    while let Some((record, mut entry)) = next(&mut entries)? {
        each(&record, &mut entry)?;
    }
    Ok(())
}

fn next<'a, R: Read>(entries: &mut Entries<'a, R>) -> Result<Option<(Record, Entry<'a, R>)>, Error> {
    let mut said = Said::default();
    loop {
        let Some(entry) = entries.next() else {
            return if said.is_empty() { Ok(None) } else { Err(refused(b"", "is announced and missing")) };
        };
        let mut entry = entry.map_err(Error::stream("read a layer"))?;
        let name = entry.header().path_bytes().into_owned();
        let kind = match entry.header().entry_type() {
            EntryType::XHeader => {
                said.records(&mut entry)?;
                continue;
            }
            // Says something about all that follow. Writers use it for comments alone.
            EntryType::XGlobalHeader => {
                read(&mut entry)?;
                continue;
            }
            EntryType::GNULongName => {
                said.name = Some(until_zero(read(&mut entry)?));
                continue;
            }
            EntryType::GNULongLink => {
                said.target = Some(until_zero(read(&mut entry)?));
                continue;
            }
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Link => Kind::HardLink,
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char | EntryType::Block => Kind::Device,
            EntryType::GNUSparse => return Err(refused(&name, "is a sparse file of GNU tar; write it whole")),
            _ => return Err(refused(&name, "is of a kind that layers do not have")),
        };
        return Ok(Some((said.record(name, kind, &entry)?, entry)));
    }
}

fn read(entry: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let count = entry.take(EXTENSION_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Error::stream("read a layer"))?;
    if count as u64 > EXTENSION_BYTES_MAX {
        return Err(Error::TooMuch { what: "bytes said about one file", limit: EXTENSION_BYTES_MAX });
    }
    Ok(bytes)
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// What was said ahead of an entry.
#[derive(Default)]
struct Said {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    records: BTreeMap<String, Vec<u8>>,
}

impl Said {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.target.is_none() && self.records.is_empty()
    }

    /// Reads `length key=value\n` records. The length counts all of its record.
    fn records(&mut self, entry: &mut impl Read) -> Result<(), Error> {
        let bytes = read(entry)?;
        let mut rest = bytes.as_slice();
        let wrong = || refused(b"", "is described by records that do not fit their format");
        while !rest.is_empty() {
            let space = rest.iter().take(20).position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length = rest.get(..space).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
            let length = length.ok_or_else(wrong)?;
            let record = rest.get(space + 1..length).ok_or_else(wrong)?;
            let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            let (key, value) = record.split_at(equals);
            let key = std::str::from_utf8(key).map_err(|_| wrong())?;
            self.records.insert(key.to_owned(), value.get(1..).unwrap_or_default().to_owned());
            rest = rest.get(length..).ok_or_else(wrong)?;
        }
        Ok(())
    }

    fn number(&self, key: &str) -> Option<u64> {
        std::str::from_utf8(self.records.get(key)?).ok()?.parse().ok()
    }

    fn record<R: Read>(mut self, header_name: Vec<u8>, kind: Kind, entry: &Entry<'_, R>) -> Result<Record, Error> {
        let header = entry.header();
        let long = self.records.remove("path").or(self.name.take());
        let name = long.unwrap_or(header_name);
        if self.records.keys().any(|key| key.starts_with("GNU.sparse")) {
            return Err(refused(&name, "is a sparse file of GNU tar; write it whole"));
        }
        let stream = |_| refused(&name, "has a header that does not fit its format");
        let size = header.entry_size().map_err(stream)?;
        // Two sizes of one entry are read differently by different programs: something could hide between them.
        if self.number("size").is_some_and(|said| said != size) {
            return Err(refused(&name, "has two sizes (or more than 8 GiB)"));
        }
        let id = |said: Option<u64>, header: std::io::Result<u64>| {
            let id = said.map_or_else(|| header.map_err(stream), Ok)?;
            if id >= IDS {
                return Err(refused(&name, "belongs to a user or group id above 65535"));
            }
            u32::try_from(id).map_err(|_| refused(&name, "belongs to a user or group id above 65535"))
        };
        let uid = id(self.number("uid"), header.uid())?;
        let gid = id(self.number("gid"), header.gid())?;
        let mode = header.mode().map_err(stream)? & 0o7777;
        let mtime = match self.records.get("mtime").and_then(|text| moment(text)) {
            Some(moment) => moment,
            None => Moment { seconds: i64::try_from(header.mtime().map_err(stream)?).unwrap_or(0), nanos: 0 },
        };
        let target = self.records.remove("linkpath").or(self.target.take());
        let target = target.or_else(|| header.link_name_bytes().map(Cow::into_owned)).unwrap_or_default();
        // Old archives mark directories by their name alone.
        let kind = if kind == Kind::File && name.ends_with(b"/") { Kind::Directory } else { kind };
        if kind != Kind::File && size != 0 {
            return Err(refused(&name, "has content and is no file"));
        }
        let xattrs = self
            .records
            .into_iter()
            .filter_map(|(key, value)| key.strip_prefix(XATTR_RECORD).map(|name| (name.to_owned(), value)));
        let mtime =
            Moment { seconds: mtime.seconds.clamp(0, MTIME_SECONDS_MAX), nanos: mtime.nanos.clamp(0, NANOS - 1) };
        Ok(Record { kind, target, mode, uid, gid, size, mtime, xattrs: xattrs.collect(), name })
    }
}

/// Reads decimal seconds with up to nine digits behind the point.
fn moment(text: &[u8]) -> Option<Moment> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanos: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    Some(Moment { seconds: seconds.parse().ok()?, nanos: nanos.parse().ok()? })
}
