//! Answers to a sandbox's DNS questions. Pure but for the table of names.
//!
//! Every well-formed name gets an address, whether the policy allows it or not: the denial is then seen at the connection, with
//! its port, where a person can approve it, and no program in the sandbox has cached that the name does not exist. The price
//! is that a name that does not exist fails at the connection as well. No question is ever forwarded, so nothing can be
//! carried out by asking (tunnels in names or TXT records).

use std::net::IpAddr;

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, PTR},
    },
};

use crate::{host::HostName, limits::ANSWER_TTL_SECONDS, names::Names};

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Send this.
    Answer(Vec<u8>),
    /// This too, and tell that the sandbox has used up its addresses.
    NoAddressLeft(Vec<u8>),
    /// It is not a question; say nothing.
    Noise,
}

/// The names that have no address here and why.
fn has_none(name: &HostName) -> bool {
    let text = name.as_str();
    // Firefox uses DNS over HTTPS unless this name does not exist (https://support.mozilla.org/kb/canary-domain-use-application-dnsnet).
    const BROWSERS_CANARY: &str = "use-application-dns.net";
    // A name without a dot is a neighbour's, and there are no neighbours; `.arpa` is for questions about addresses.
    !text.contains('.') || text == BROWSERS_CANARY || text.ends_with(".arpa") || text.ends_with(".onion")
}

/// Answers one message.
#[must_use]
pub fn answer(question: &[u8], names: &mut Names) -> Asked {
    let Ok(message) = Message::from_vec(question) else { return Asked::Noise };
    if message.metadata.message_type != MessageType::Query {
        return Asked::Noise;
    }
    let mut reply = Message::response(message.metadata.id, message.metadata.op_code);
    reply.metadata.recursion_desired = message.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    if message.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1_232).set_version(0);
        reply.set_edns(edns);
    }
    let mut exhausted = false;
    reply.metadata.response_code = match (message.metadata.op_code, message.queries.as_slice()) {
        (OpCode::Query, [query]) if query.query_class == DNSClass::IN => {
            reply.add_query(query.clone());
            match records(query, names) {
                Found::Records(records) => {
                    reply.add_answers(records);
                    ResponseCode::NoError
                }
                Found::NoSuchName => ResponseCode::NXDomain,
                Found::Exhausted => {
                    exhausted = true;
                    ResponseCode::ServFail
                }
            }
        }
        (OpCode::Query, [_]) => ResponseCode::Refused,
        (OpCode::Query, _) => ResponseCode::FormErr,
        _ => ResponseCode::NotImp,
    };
    match reply.to_vec() {
        Ok(bytes) if exhausted => Asked::NoAddressLeft(bytes),
        Ok(bytes) => Asked::Answer(bytes),
        Err(_) => Asked::Noise,
    }
}

/// Says that too much was asked.
pub(crate) fn refuse(question: &[u8]) -> Option<Vec<u8>> {
    let message = Message::from_vec(question).ok()?;
    if message.metadata.message_type != MessageType::Query {
        return None;
    }
    Message::error_msg(message.metadata.id, message.metadata.op_code, ResponseCode::Refused).to_vec().ok()
}

enum Found {
    /// Perhaps none: the name is there, a record of this type is not.
    Records(Vec<Record>),
    NoSuchName,
    Exhausted,
}

fn records(query: &Query, names: &mut Names) -> Found {
    if query.query_type == RecordType::PTR {
        return reverse(query, names);
    }
    let text = query.name.to_ascii();
    let Ok(name) = HostName::parse(&text) else { return Found::NoSuchName };
    let local = name.as_str() == "localhost" || name.as_str().ends_with(".localhost");
    if !local && has_none(&name) {
        return Found::NoSuchName;
    }
    let addresses = if local {
        (std::net::Ipv4Addr::LOCALHOST, std::net::Ipv6Addr::LOCALHOST)
    } else {
        match names.addresses(&name) {
            Some(addresses) => addresses,
            None => return Found::Exhausted,
        }
    };
    let data = match query.query_type {
        RecordType::A => RData::A(A(addresses.0)),
        RecordType::AAAA => RData::AAAA(AAAA(addresses.1)),
        // Also HTTPS: an empty answer offers neither HTTP/3 nor a key for an encrypted hello.
        _ => return Found::Records(Vec::new()),
    };
    Found::Records(vec![Record::from_rdata(query.name.clone(), ANSWER_TTL_SECONDS, data)])
}

fn reverse(query: &Query, names: &Names) -> Found {
    let address = query.name.parse_arpa_name().ok().map(|net| net.addr());
    let name = match address {
        Some(address @ (IpAddr::V4(_) | IpAddr::V6(_))) => names.peek(address),
        None => None,
    };
    match name.and_then(|name| Name::from_ascii(format!("{name}.")).ok()) {
        Some(name) => {
            Found::Records(vec![Record::from_rdata(query.name.clone(), ANSWER_TTL_SECONDS, RData::PTR(PTR(name)))])
        }
        None => Found::NoSuchName,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(names: &mut Names, name: &str, kind: RecordType) -> (ResponseCode, Vec<RData>) {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let Asked::Answer(bytes) = answer(&message.to_vec().unwrap(), names) else { panic!("no answer") };
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!(reply.metadata.id, message.metadata.id);
        assert_eq!(reply.queries, message.queries);
        (reply.metadata.response_code, reply.answers.into_iter().map(|record| record.data).collect())
    }

    #[test]
    fn every_name_has_addresses_of_both_kinds_and_nothing_else() {
        let mut names = Names::new();
        let (code, v4) = ask(&mut names, "Example.org.", RecordType::A);
        assert_eq!(code, ResponseCode::NoError);
        let [RData::A(A(v4))] = v4.as_slice() else { panic!("{v4:?}") };
        let (_, v6) = ask(&mut names, "example.ORG.", RecordType::AAAA);
        assert!(matches!(v6.as_slice(), [RData::AAAA(_)]));
        let [a, b, c, d] = v4.octets();
        let (code, name) = ask(&mut names, &format!("{d}.{c}.{b}.{a}.in-addr.arpa."), RecordType::PTR);
        assert_eq!(
            (code, name),
            (ResponseCode::NoError, vec![RData::PTR(PTR(Name::from_ascii("example.org.").unwrap()))])
        );
        for kind in
            [RecordType::TXT, RecordType::MX, RecordType::HTTPS, RecordType::SVCB, RecordType::NS, RecordType::ANY]
        {
            assert_eq!(ask(&mut names, "example.org.", kind), (ResponseCode::NoError, vec![]), "{kind}");
        }
    }

    #[test]
    fn names_that_are_nobodys_do_not_exist() {
        let mut names = Names::new();
        for name in ["neighbour.", "use-application-dns.net.", "a.home.arpa.", "x.onion.", "127.1.", "."] {
            assert_eq!(ask(&mut names, name, RecordType::A).0, ResponseCode::NXDomain, "{name}");
        }
        assert_eq!(ask(&mut names, "8.8.8.8.in-addr.arpa.", RecordType::PTR).0, ResponseCode::NXDomain);
        assert_eq!(ask(&mut names, "localhost.", RecordType::A).1, [RData::A(A::new(127, 0, 0, 1))]);
        assert_eq!(ask(&mut names, "hangar.internal.", RecordType::A).1, [RData::A(A::new(198, 18, 0, 1))]);
        assert_eq!(names.len(), 1);
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let mut names = Names::new();
        assert_eq!(answer(b"", &mut names), Asked::Noise);
        assert_eq!(answer(&[0xff; 40], &mut names), Asked::Noise);
        let reply = Message::response(7, OpCode::Query).to_vec().unwrap();
        assert_eq!(answer(&reply, &mut names), Asked::Noise);
        let mut transfer = Message::query();
        transfer.metadata.op_code = OpCode::Update;
        let Asked::Answer(bytes) = answer(&transfer.to_vec().unwrap(), &mut names) else { panic!("no answer") };
        assert_eq!(Message::from_vec(&bytes).unwrap().metadata.response_code, ResponseCode::NotImp);
    }
}
