//! Where a name may lead.

use std::net::IpAddr;

use hangar_network::{AddressKind, DenialReason, HostName, Trusted};

use crate::{
    border::{Border, with_border},
    world::{HOME, PUBLIC},
};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_allowed_name_is_reached() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        assert_eq!(border.curl("http://example.org/").await, "the world\n\n200");
        assert_eq!(border.curl("https://example.org/").await, "the world\n\n200");
        assert_eq!(border.curl("-6 https://example.org/").await, "the world\n\n200");
    });
}

#[test]
fn an_allowed_name_is_reached_over_version_6() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", address("2606:4700::6810:84e5"));
        assert_eq!(border.curl("-4 https://example.org/").await, "the world\n\n200");
    });
}

/// The name is allowed; where it leads is not.
async fn refused(border: &mut Border, leads_to: &str, kind: AddressKind) {
    border.world.name("example.org", address(leads_to));
    for scheme in ["http", "https"] {
        let said = border.curl(&format!("{scheme}://example.org/")).await;
        assert!(said.contains("which sandboxes do not reach") && said.ends_with("403"), "{leads_to}: {said}");
    }
    let told = border.told();
    assert!(told.iter().all(|denial| denial.reason == DenialReason::Address(kind)), "{leads_to}: {told:?}");
    assert!(!told.is_empty(), "{leads_to}");
    assert!(border.world.seen.nothing(), "{leads_to} was reached");
    assert!(!border.home.was_visited(), "{leads_to} was reached");
}

macro_rules! refuses {
    ($($test:ident: $address:expr => $kind:ident,)*) => {
        $(#[test]
        fn $test() {
            with_border(&["example.org"], |mut border| async move {
                refused(&mut border, $address, AddressKind::$kind).await;
            });
        })*
    };
}

refuses! {
    a_name_does_not_lead_to_the_metadata_service: "169.254.169.254" => Metadata,
    a_name_does_not_lead_to_the_metadata_service_over_version_6: "fd00:ec2::254" => Metadata,
    a_name_does_not_lead_to_10: "10.0.0.5" => Private,
    a_name_does_not_lead_to_172_16: "172.16.0.1" => Private,
    a_name_does_not_lead_to_192_168: "192.168.1.1" => Private,
    a_name_does_not_lead_to_carrier_nat: "100.64.0.1" => Shared,
    a_name_does_not_lead_to_loopback: "127.0.0.1" => Loopback,
    a_name_does_not_lead_to_zero: "0.0.0.0" => Loopback,
    a_name_does_not_lead_to_loopback_over_version_6: "::1" => Loopback,
    a_name_does_not_lead_to_a_local_network: "fd12:3456::5" => Private,
    a_name_does_not_lead_to_a_link: "fe80::1" => LinkLocal,
    a_name_does_not_lead_to_a_mapped_address: "::ffff:127.0.0.1" => Embedded,
    a_name_does_not_lead_through_nat64: "64:ff9b::a9fe:a9fe" => Embedded,
    a_name_does_not_lead_through_6to4: "2002:7f00:1::" => Embedded,
    a_name_does_not_lead_to_another_sandbox: "198.18.1.0" => Reserved,
    a_name_does_not_lead_to_many: "224.0.0.1" => Multicast,
}

#[test]
fn a_name_does_not_lead_to_the_machine_by_its_outer_address() {
    with_border(&["example.org"], |mut border| async move {
        // The address itself is a public one; it is the machine's.
        crate::namespaces::ip("addr add 1.2.3.4/24 dev out");
        // The second address of a network: what is sent there comes from the first.
        crate::namespaces::ip("addr add 1.2.3.5/24 dev out");
        crate::namespaces::ip("route add local 1.2.4.0/24 dev lo");
        for own in ["1.2.3.4", "1.2.3.5", "1.2.4.77", "2606:1::2"] {
            border.world.name("example.org", address(own));
            let said = border.curl("http://example.org/").await;
            assert!(said.contains("the machine that hangar runs on"), "{own}: {said}");
            assert!(!border.home.was_visited(), "{own} was reached");
        }
        assert_eq!(border.denial().await.reason, DenialReason::Address(AddressKind::Own));
        assert!(HOME.is_documentation());
    });
}

#[test]
fn an_address_without_a_name_is_refused() {
    with_border(&["example.org"], |mut border| async move {
        for literal in ["93.184.216.34", "169.254.169.254", "10.0.0.5", "[fd00:ec2::254]", "[2606:4700::1]"] {
            let said = border.curl(&format!("http://{literal}/latest/meta-data/")).await;
            assert!(said.contains("may not reach it") && said.ends_with("403"), "{literal}: {said}");
            assert!(border.curl(&format!("-k https://{literal}/")).await.contains("alert access denied"));
            let denial = border.denial().await;
            assert_eq!(
                (denial.host, denial.reason),
                (literal.trim_matches(['[', ']']).to_owned(), DenialReason::NotAllowed)
            );
            border.denial().await;
        }
        assert!(border.world.seen.nothing());
    });
}

#[test]
fn an_allowed_address_is_checked_like_a_name() {
    with_border(&["93.184.216.34", "10.0.0.5"], |border| async move {
        assert_eq!(border.curl("http://93.184.216.34/").await, "the world\n\n200");
        let said = border.curl("http://10.0.0.5/").await;
        assert!(said.contains("inner network"), "{said}");
        assert_eq!(border.world.seen.requests().len(), 1);
    });
}

#[test]
fn a_name_that_changes_its_address_is_checked_each_time() {
    with_border(&["example.org"], |border| async move {
        border.world.answers("example.org", &[&[PUBLIC], &[address("10.0.0.5")], &[address("127.0.0.1")]]);
        assert!(border.curl("http://example.org/").await.ends_with("200"));
        assert!(border.curl("http://example.org/").await.ends_with("403"));
        assert!(border.curl("https://example.org/").await.ends_with("403"));
        assert_eq!(border.world.seen.requests().len(), 1);
        assert!(!border.home.was_visited());
        // One look-up a connection, of both kinds: what is checked is what is connected to.
        assert_eq!(border.world.seen.names().len(), 6);
    });
}

#[test]
fn of_a_mixed_answer_only_the_public_address_is_used() {
    with_border(&["example.org:5432"], |border| async move {
        border.world.answers("example.org", &[&[address("10.0.0.5"), PUBLIC, address("169.254.169.254")]]);
        let at = std::net::SocketAddr::from((border.look_up("example.org").await, 5432));
        let said = border.sandbox.run(move || {
            use std::io::{BufRead, BufReader};
            let mut line = String::new();
            BufReader::new(std::net::TcpStream::connect(at).unwrap()).read_line(&mut line).unwrap();
            line
        });
        assert_eq!(said.await, "hello from 93.184.216.34:5432\n");
    });
}

#[test]
fn a_mirror_that_the_operator_trusts_is_reached_by_its_name_alone() {
    with_border(&["mirror.test", "example.org", "10.0.0.5"], |border| async move {
        border.change(|policy| {
            let host = HostName::parse("mirror.test").unwrap();
            policy.trusted.push(Trusted { host, addresses: vec!["10.0.0.0/24".parse().unwrap()] });
        });
        border.world.name("mirror.test", address("10.0.0.5"));
        border.world.name("example.org", address("10.0.0.5"));
        assert!(border.curl("https://mirror.test/").await.ends_with("200"));
        assert!(border.curl("https://example.org/").await.ends_with("403"));
        assert!(border.curl("http://10.0.0.5/").await.ends_with("403"));
        border.world.name("mirror.test", address("10.0.1.5"));
        assert!(border.curl("https://mirror.test/").await.ends_with("403"));
    });
}

#[test]
fn the_sandboxs_own_servers_are_its_own() {
    with_border(&[], |border| async move {
        let said = border.shell("python3 -m http.server 3000 --bind 127.0.0.1 >/dev/null 2>&1 & until curl -s http://localhost:3000/ | grep -q listing; do :; done; echo served; kill %1").await;
        assert!(said.contains("served"), "{said}");
        assert!(!border.home.was_visited());
    });
}
