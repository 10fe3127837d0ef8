//! The first message of a TLS client, as much of it as the border needs: which name it asks for, whether it hides another one, and
//! which protocols it speaks. RFC 8446 section 4, RFC 6066 section 3, RFC 7301, RFC 9849 (encrypted client hello).
//!
//! It is read strictly, because what is passed through will be read again by a server: where two readers could see different
//! names (an extension twice, two names, bytes left over) there is no name.

use crate::{host::HostName, limits::HELLO_BYTES_MAX};

/// What the client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The name it asks for.
    pub name: Option<HostName>,
    /// It carries an encrypted hello, inside which another name may be. Browsers also send empty ones, which look the same.
    pub encrypted: bool,
    /// The protocols it offers, best first; empty if it says nothing.
    pub protocols: Vec<Vec<u8>>,
}

/// What is known after some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Not all of it is there.
    More,
    /// All of it is there.
    Hello(Hello),
    /// This is no client's first message, and why.
    Not(&'static str),
}

const RECORD_HANDSHAKE: u8 = 22;
const RECORD_BYTES_MAX: usize = 1 << 14;
const CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_PROTOCOLS: u16 = 16;
const EXTENSION_ENCRYPTED_HELLO: u16 = 0xfe0d;
const NAME_TYPE_HOST: u8 = 0;

/// Reads the bytes that a client has sent so far.
#[must_use]
pub fn read(bytes: &[u8]) -> Reading {
    match message(bytes) {
        Ok(Some(body)) => match hello(&body) {
            Some(Ok(hello)) => Reading::Hello(hello),
            Some(Err(why)) => Reading::Not(why),
            None => Reading::Not("its first TLS message is damaged"),
        },
        Ok(None) if bytes.len() >= HELLO_BYTES_MAX => Reading::Not("its first TLS message is too large"),
        Ok(None) => Reading::More,
        Err(why) => Reading::Not(why),
    }
}

/// The handshake message's body out of its records; `None` while some of it is missing.
fn message(bytes: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut records = bytes;
    let mut message: Vec<u8> = Vec::new();
    loop {
        if let [kind, high, middle, low, body @ ..] = message.as_slice() {
            if *kind != CLIENT_HELLO {
                return Err("its first TLS message is not a hello");
            }
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            if length > HELLO_BYTES_MAX {
                return Err("its first TLS message is too large");
            }
            match body.len() {
                got if got == length => return Ok(Some(body.to_vec())),
                got if got > length => return Err("something follows its hello"),
                _ => {}
            }
        }
        match records {
            [RECORD_HANDSHAKE, 3, _, high, low, rest @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > RECORD_BYTES_MAX {
                    return Err("its first TLS record is damaged");
                }
                let Some((fragment, rest)) = rest.split_at_checked(length) else { return Ok(None) };
                message.extend_from_slice(fragment);
                records = rest;
            }
            []
            | [RECORD_HANDSHAKE]
            | [RECORD_HANDSHAKE, 3]
            | [RECORD_HANDSHAKE, 3, _]
            | [RECORD_HANDSHAKE, 3, _, _] => {
                return Ok(None);
            }
            _ => return Err("it does not speak TLS"),
        }
    }
}

/// `None`: damaged.
fn hello(body: &[u8]) -> Option<Result<Hello, &'static str>> {
    let mut body = Bytes(body);
    body.take(2 + 32)?;
    let session = body.list8()?;
    let suites = body.list16()?;
    let compressions = body.list8()?;
    if session.0.len() > 32 || suites.0.is_empty() || !suites.0.len().is_multiple_of(2) || compressions.0.is_empty() {
        return None;
    }
    let mut hello = Hello { name: None, encrypted: false, protocols: Vec::new() };
    if body.0.is_empty() {
        return Some(Ok(hello));
    }
    let mut extensions = body.list16()?;
    if !body.0.is_empty() {
        return None;
    }
    let mut seen = Vec::new();
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let data = extensions.list16()?;
        if seen.contains(&kind) {
            return Some(Err("its hello has an extension twice"));
        }
        seen.push(kind);
        match kind {
            EXTENSION_SERVER_NAME => match server_name(data)? {
                Ok(name) => hello.name = Some(name),
                Err(why) => return Some(Err(why)),
            },
            EXTENSION_PROTOCOLS => hello.protocols = protocols(data)?,
            EXTENSION_ENCRYPTED_HELLO => hello.encrypted = true,
            _ => {}
        }
    }
    Some(Ok(hello))
}

fn server_name(mut data: Bytes<'_>) -> Option<Result<HostName, &'static str>> {
    let mut names = data.list16()?;
    if !data.0.is_empty() || names.u8()? != NAME_TYPE_HOST {
        return None;
    }
    let name = names.list16()?;
    if !names.0.is_empty() {
        return Some(Err("its hello has more than one name"));
    }
    // A final dot is not allowed here (RFC 6066), and servers differ in what they make of it.
    let text = std::str::from_utf8(name.0).ok().filter(|text| !text.ends_with('.'));
    let name = text.and_then(|text| HostName::parse(text).ok());
    Some(name.ok_or("its hello has a name that is none"))
}

fn protocols(mut data: Bytes<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = data.list16()?;
    if !data.0.is_empty() {
        return None;
    }
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let protocol = list.list8()?;
        if protocol.0.is_empty() {
            return None;
        }
        protocols.push(protocol.0.to_vec());
    }
    Some(protocols)
}

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn list8(&mut self) -> Option<Self> {
        let length = self.u8()?;
        self.take(usize::from(length)).map(Self)
    }

    fn list16(&mut self) -> Option<Self> {
        let length = self.u16()?;
        self.take(usize::from(length)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello with these extensions, in one record.
    fn hello_with(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let list: Vec<u8> =
            extensions.iter().flat_map(|(kind, data)| [&kind.to_be_bytes(), &with_length(data)[..]].concat()).collect();
        let body = [&[3, 3], &[7; 32][..], &[0], &[0, 2, 0x13, 1], &[1, 0], &with_length(&list)].concat();
        let message = [&[CLIENT_HELLO, 0], &with_length(&body)[..]].concat();
        [&[RECORD_HANDSHAKE, 3, 1], &with_length(&message)[..]].concat()
    }

    fn with_length(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn names(names: &[&str]) -> Vec<u8> {
        with_length(
            &names
                .iter()
                .flat_map(|name| [&[NAME_TYPE_HOST], &with_length(name.as_bytes())[..]].concat())
                .collect::<Vec<u8>>(),
        )
    }

    fn refused(bytes: &[u8]) -> bool {
        matches!(read(bytes), Reading::Not(_))
    }

    #[test]
    fn one_name_is_a_name() {
        let Reading::Hello(hello) = read(&hello_with(&[(0, &names(&["Example.org"])), (16, &[0, 3, 2, b'h', b'2'])]))
        else {
            panic!("not read");
        };
        assert_eq!(hello.name, HostName::parse("example.org").ok());
        assert_eq!((hello.encrypted, hello.protocols), (false, vec![b"h2".to_vec()]));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let name = names(&["example.org"]);
        assert!(refused(&hello_with(&[(0, &name), (0, &names(&["other.org"]))])), "an extension twice");
        assert!(refused(&hello_with(&[(0, &names(&["example.org", "other.org"]))])), "two names");
        assert!(refused(&hello_with(&[(0, &names(&["example.org."]))])), "a final dot");
        assert!(refused(&hello_with(&[(0, &names(&["93.184.216.34"]))])), "an address");
        assert!(refused(&hello_with(&[(0, &names(&["example.org\0"]))])), "a zero byte");
        assert!(refused(&hello_with(&[(0, &[&name[..], &[0]].concat())])), "a byte left over in the extension");
        let mut longer = hello_with(&[(0, &name)]);
        longer.extend([RECORD_HANDSHAKE, 3, 1, 0, 1, 0]);
        assert!(matches!(read(&longer), Reading::Hello(_)), "a second record is the server's to judge");
        let mut same_record = hello_with(&[(0, &name)]);
        same_record.push(0);
        let length = u16::try_from(same_record.len() - 5).unwrap().to_be_bytes();
        same_record[3..5].copy_from_slice(&length);
        assert!(refused(&same_record), "a byte left over in the record");
    }

    #[test]
    fn a_hidden_hello_is_seen() {
        let Reading::Hello(hello) = read(&hello_with(&[(0, &names(&["example.org"])), (0xfe0d, &[0; 40])])) else {
            panic!("not read");
        };
        assert!(hello.encrypted);
    }
}
