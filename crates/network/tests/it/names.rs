//! The sandbox's name server.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use hangar_network::{DenialReason, NAME_SERVER_V4, NAME_SERVER_V6};
use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};

use crate::border::{ask, with_border};

#[test]
fn a_name_is_answered_whoever_is_asked_and_nobody_outside_hears_of_it() {
    with_border(&["*.example.org"], |border| async move {
        let answers = border.sandbox.run(|| {
            let servers: [IpAddr; 5] = [
                NAME_SERVER_V4.into(),
                NAME_SERVER_V6.into(),
                Ipv4Addr::new(8, 8, 8, 8).into(),
                Ipv4Addr::LOCALHOST.into(),
                "2606:4700:4700::1111".parse::<Ipv6Addr>().unwrap().into(),
            ];
            servers.map(|server| ask("secret.payload.example.org", RecordType::A, SocketAddr::new(server, 53)).answers)
        });
        let answers = answers.await;
        assert!(answers.iter().all(|answer| *answer == answers[0] && answer.len() == 1), "{answers:?}");
        assert!(border.world.seen.names().is_empty());
    });
}

#[test]
fn text_cannot_be_fetched_by_asking() {
    with_border(&["*.example.org"], |border| async move {
        for kind in
            [RecordType::TXT, RecordType::NULL, RecordType::CNAME, RecordType::MX, RecordType::SRV, RecordType::HTTPS]
        {
            let reply = border.sandbox.run(move || ask("t.example.org", kind, (NAME_SERVER_V4, 53).into())).await;
            assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NoError, 0), "{kind}");
        }
        assert!(border.world.seen.names().is_empty());
    });
}

#[test]
fn addresses_are_what_programs_find_and_lead_back_to_the_name() {
    with_border(&[], |border| async move {
        let said = border
            .shell("python3 -c 'import socket; a=socket.gethostbyname(\"some.where.test\"); print(a, socket.gethostbyaddr(a)[0])'")
            .await;
        assert!(said.starts_with("198.18.") && said.trim().ends_with("some.where.test"), "{said}");
        let said = border.shell("getent ahosts localhost | head -1; getent hosts neighbour || echo none").await;
        assert!(said.contains("127.0.0.1") || said.contains("::1"), "{said}");
        assert!(said.contains("none"), "{said}");
    });
}

#[test]
fn questions_over_tcp_are_answered() {
    with_border(&[], |border| async move {
        let codes = border.sandbox.run(|| {
            let mut stream = TcpStream::connect((NAME_SERVER_V4, 53)).unwrap();
            let mut codes = Vec::new();
            for name in ["a.test.", "neighbour."] {
                let mut question = Message::query();
                question.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
                let bytes = question.to_vec().unwrap();
                stream.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(&bytes).unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut reply).unwrap();
                codes.push(Message::from_vec(&reply).unwrap().metadata.response_code);
            }
            codes
        });
        assert_eq!(codes.await, [ResponseCode::NoError, ResponseCode::NXDomain]);
    });
}

#[test]
fn a_flood_of_questions_is_refused_and_told() {
    with_border(&[], |mut border| async move {
        let refused = border.sandbox.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect((NAME_SERVER_V4, 53)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut refused = 0;
            for number in 0..6_000 {
                let mut question = Message::query();
                let name = format!("{number}.chunk-of-a-file.tunnel.test.");
                question.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
                socket.send(&question.to_vec().unwrap()).unwrap();
                let mut buffer = [0; 512];
                let count = socket.recv(&mut buffer).unwrap();
                let reply = Message::from_vec(&buffer[..count]).unwrap();
                refused += u32::from(reply.metadata.response_code == ResponseCode::Refused);
            }
            refused
        });
        let refused = refused.await;
        assert!(refused > 500, "{refused}");
        assert_eq!(border.denial().await.reason, DenialReason::TooManyQuestions);
        assert!(border.world.seen.names().is_empty());
    });
}

#[test]
fn noise_is_not_answered_and_does_no_harm() {
    with_border(&[], |border| async move {
        let answered = border.sandbox.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect((NAME_SERVER_V4, 53)).unwrap();
            for noise in [vec![], vec![0xff; 11], vec![0x80; 600], vec![0; 4000], b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
                socket.send(&noise).unwrap();
            }
            matches!(ask("a.test", RecordType::A, (NAME_SERVER_V4, 53).into()).answers[0].data, RData::A(_))
        });
        assert!(answered.await);
    });
}
