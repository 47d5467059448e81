use weir_runtime::config::{ConfigError, Document};

use super::*;

fn settings(text: &str) -> Result<LookupSettings, ConfigError> {
    Document::parse("gateway.yaml", text, "WEIR_TEST", [])?.read(read)
}

#[test]
fn everything_that_can_be_looked_up_is_configured() {
    let read = settings(
        "geoip: {files: [/data/city.mmdb], cache: 100}
subnets:
  office: [10.1.0.0/16, 2001:db8::/32]
  printer: 10.1.2.3
tables:
  owners: {file: owners.csv, key: [ip, port]}
routes: [/user/*/orders]
",
    )
    .expect("settings");
    let subnets = Subnets::new(&read.subnets).expect("no network twice");
    assert_eq!(subnets.name([10, 1, 2, 3].into()), Some("printer"));
    assert_eq!(subnets.name([10, 1, 2, 4].into()), Some("office"));
    assert_eq!(read.tables[0].key, ["ip", "port"]);
    assert_eq!(read.geoip.files, [PathBuf::from("/data/city.mmdb")]);
    assert_eq!(read.routes, ["/user/*/orders"]);
    let none = settings("").expect("nothing is needed");
    assert_eq!(none, LookupSettings::default());
}

#[test]
fn mistakes_are_told_at_their_place() {
    let error = settings(
        "subnets: {office: [10.1.2.3/16], cellar: [dark], a: [::/0], b: [::/0]}
tables: {owners: {key: [ip]}}
routes: [user/*]
",
    );
    let error = error.expect_err("mistakes").to_string();
    for part in [
        "1:20: subnets.office[0]: expected a network such as",
        "the network is `10.1.0.0/16`",
        "1:43: subnets.cellar[0]: expected a network",
        "subnets: the network ::/0 is in `a` and in `b`",
        "tables.owners.file: a table needs a file",
        "routes: the route `user/*` does not begin with `/`",
    ] {
        assert!(error.contains(part), "{part}\nis not in\n{error}");
    }
}
