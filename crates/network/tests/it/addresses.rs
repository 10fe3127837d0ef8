//! Where a name may lead.

use hangar_network::{AddressKind, DenialReason};

use crate::{border::with_border, world::PUBLIC};

#[test]
fn an_allowed_name_is_reached() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        assert_eq!(border.curl("http://example.org/").await, "the world\n\n200");
        assert_eq!(border.curl("https://example.org/").await, "the world\n\n200");
    });
}

#[test]
fn a_name_that_leads_to_a_private_address_is_refused() {
    with_border(&["example.org"], |mut border| async move {
        border.world.name("example.org", "10.0.0.5".parse::<std::net::IpAddr>().unwrap());
        let said = border.curl("http://example.org/").await;
        assert!(said.contains("inner network") && said.ends_with("403"), "{said}");
        let denial = border.denial().await;
        assert_eq!(denial.reason, DenialReason::Address(AddressKind::Private));
        assert!(border.world.seen.nothing());
    });
}
