use super::*;

const SECOND: u64 = 1_000_000_000;
const NETNS: u32 = 7;

fn names(most: usize) -> Names {
    Names::new(&config::Names {
        floor: Duration::from_secs(60),
        max_entries: most,
    })
}

fn address(number: u32) -> IpAddr {
    IpAddr::from(number.to_be_bytes())
}

fn learn(names: &Names, netns: u32, number: u32, name: &str, at_s: u64) {
    let ttl = Duration::from_secs(1);
    names.learn(netns, address(number), &name.into(), ttl, at_s * SECOND);
}

fn find(names: &Names, netns: u32, number: u32, at_s: u64) -> String {
    let found = names.find(netns, address(number), at_s * SECOND);
    found.as_deref().unwrap_or_default().to_owned()
}

#[test]
fn a_connection_has_the_name_that_was_the_latest_when_it_began() {
    let names = names(100);
    learn(&names, NETNS, 1, "a", 10);
    learn(&names, NETNS, 1, "b", 20);
    learn(&names, NETNS, 1, "a", 30);
    for (at, name) in [
        (5, ""),
        (10, "a"),
        (19, "a"),
        (20, "b"),
        (29, "b"),
        (30, "a"),
        (89, "a"),
    ] {
        assert_eq!(find(&names, NETNS, 1, at), name, "{at}");
    }
}

#[test]
fn a_name_lives_for_its_ttl_and_at_least_for_the_floor() {
    let names = names(100);
    learn(&names, NETNS, 1, "short", 0);
    let long = Duration::from_secs(3600);
    names.learn(NETNS, address(2), &"long".into(), long, 0);
    assert_eq!(find(&names, NETNS, 1, 60), "short");
    assert_eq!(find(&names, NETNS, 1, 61), "");
    assert_eq!(find(&names, NETNS, 2, 3600), "long");
    learn(&names, NETNS, 1, "short", 50);
    assert_eq!(find(&names, NETNS, 1, 110), "short", "told again");
    names.sweep(200 * SECOND, |_| true);
    assert_eq!(names.len(), 1);
}

#[test]
fn each_namespace_has_names_of_its_own_and_they_go_with_it() {
    let names = names(100);
    learn(&names, 1, 1, "one", 0);
    learn(&names, 2, 1, "two", 0);
    assert_eq!(find(&names, 1, 1, 1), "one");
    assert_eq!(find(&names, 2, 1, 1), "two");
    assert_eq!(find(&names, 3, 1, 1), "");
    names.sweep(0, |netns| netns == 2);
    assert_eq!((find(&names, 1, 1, 1).as_str(), names.len()), ("", 1));
}

#[test]
fn a_flood_in_one_namespace_takes_no_room_from_the_others() {
    let names = names(100);
    learn(&names, 1, 1, "kept", 0);
    for number in 0..10_000 {
        learn(&names, 2, number, "flood", 0);
    }
    assert_eq!(names.len(), 26);
    assert_eq!(names.evicted(), 10_000 - 25);
    assert_eq!(find(&names, 1, 1, 1), "kept");
}

#[test]
fn the_room_is_bounded_however_many_namespaces_there_are() {
    let names = names(100);
    let mut random = fastrand::Rng::with_seed(11);
    for step in 0..20_000 {
        learn(
            &names,
            random.u32(0..40),
            random.u32(0..50),
            "x",
            step / 100,
        );
        assert!(names.len() <= 100);
        if step % 1000 == 0 {
            names.sweep(step / 100 * SECOND, |netns| netns % 3 != 0);
        }
    }
    let off = self::names(0);
    learn(&off, 1, 1, "x", 0);
    assert!(off.is_empty());
}

#[test]
fn the_names_of_one_address_are_bounded() {
    let names = names(100);
    for second in 0..100 {
        learn(&names, NETNS, 1, &format!("name-{second}"), second);
    }
    assert_eq!(find(&names, NETNS, 1, 99), "name-99");
    assert_eq!(find(&names, NETNS, 1, 84), "name-84");
    assert_eq!(find(&names, NETNS, 1, 83), "");
}

#[test]
fn the_server_name_of_a_hello_names_the_connection_it_came_with_unless_dns_did() {
    let names = Names::new(&config::Names {
        floor: Duration::from_secs(60),
        max_entries: 100,
    });
    let (one, two) = (address(1), address(2));
    names.learn_server(NETNS, one, "by-hello", 10 * SECOND);
    let found = names.find(NETNS, one, 9 * SECOND).unwrap();
    assert_eq!((&*found, found.source), ("by-hello", DomainSource::Sni));

    names.learn(NETNS, two, &"by-dns".into(), Duration::ZERO, 9 * SECOND);
    names.learn_server(NETNS, two, "by-hello", 10 * SECOND);
    let found = names.find(NETNS, two, 10 * SECOND).unwrap();
    assert_eq!((&*found, found.source), ("by-dns", DomainSource::Dns));
}
