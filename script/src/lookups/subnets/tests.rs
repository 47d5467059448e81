use super::*;

fn networks(texts: &[&str]) -> Vec<Cidr> {
    let parsed = texts.iter().map(|text| text.parse().expect("a network"));
    parsed.collect()
}

fn name(subnets: &Subnets, address: &str) -> Option<String> {
    let address = address.parse().expect("an address");
    subnets.name(address).map(str::to_owned)
}

#[test]
fn an_address_has_the_name_of_the_smallest_network_around_it() {
    let subnets = Subnets::new(&[
        ("all".to_owned(), networks(&["10.0.0.0/8", "fd00::/8"])),
        (
            "office".to_owned(),
            networks(&["10.1.0.0/16", "fd00:1::/32"]),
        ),
        ("printer".to_owned(), networks(&["10.1.2.3", "10.9.0.0/31"])),
    ]);
    let subnets = subnets.expect("lists");
    for (address, wanted) in [
        ("10.200.0.1", Some("all")),
        ("10.1.200.1", Some("office")),
        ("10.1.2.3", Some("printer")),
        ("10.1.2.4", Some("office")),
        ("10.9.0.1", Some("printer")),
        ("10.9.0.2", Some("all")),
        ("::ffff:10.1.0.1", Some("office")),
        ("fd00:1:2::3", Some("office")),
        ("fd00:2::1", Some("all")),
        ("11.0.0.1", None),
        ("::a01:203", None),
    ] {
        assert_eq!(name(&subnets, address).as_deref(), wanted, "{address}");
    }
    assert_eq!(subnets.networks("office").map(<[Cidr]>::len), Some(2));
    assert_eq!(subnets.networks("cellar"), None);
}

#[test]
fn a_network_of_everything_holds_its_family_only() {
    let subnets = Subnets::new(&[("six".to_owned(), networks(&["::/0"]))]).expect("a list");
    assert_eq!(name(&subnets, "2001:db8::1").as_deref(), Some("six"));
    assert_eq!(name(&subnets, "192.0.2.1"), None);
}

#[test]
fn what_is_no_network_is_refused_with_what_was_meant() {
    for text in [
        "",
        "10.0.0.0/33",
        "10.0.0/8",
        "::/129",
        "office",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
    ] {
        let refused = text.parse::<Cidr>();
        assert_eq!(refused, Err(CidrError::Text(text.to_owned())), "{text}");
    }
    let error = "10.1.2.3/16"
        .parse::<Cidr>()
        .expect_err("bits behind the length");
    assert!(
        error.to_string().ends_with("the network is `10.1.0.0/16`"),
        "{error}"
    );
    let error = Subnets::new(&[
        ("a".to_owned(), networks(&["10.0.0.0/8", "10.0.0.0/8"])),
        ("b".to_owned(), networks(&["10.0.0.0/8"])),
    ]);
    assert_eq!(
        error.expect_err("twice").to_string(),
        "the network 10.0.0.0/8 is in `a` and in `b`"
    );
}
