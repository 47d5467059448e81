//! What it costs to look up where addresses are, in the database that `make geoip` fetches.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use weir_point::{Category, Point, Text};
use weir_script::{
    Engine, Limits, PLACES, Runner,
    functions::own,
    lookups::{GeoSettings, LookupSettings, Lookups},
};

fn lookups() -> Arc<Lookups> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/geoip");
    let geoip = GeoSettings {
        files: vec![folder],
        ..GeoSettings::default()
    };
    let settings = LookupSettings {
        geoip,
        ..LookupSettings::default()
    };
    let lookups = Lookups::open(&settings).expect("settings");
    assert_eq!(
        lookups.geo().files().0,
        2,
        "`make geoip` fetches the databases"
    );
    Arc::new(lookups)
}

fn any_address() -> IpAddr {
    Ipv4Addr::from(fastrand::u32(0x0100_0000..0xdf00_0000)).into()
}

fn flow(dst: IpAddr) -> Point {
    let mut point = Point::new(Category::Network, Text::new_static("netflow"));
    for (key, value) in [
        ("src_ip", "10.0.0.1".to_owned()),
        ("dst_ip", dst.to_string()),
    ] {
        point.tags.set(Text::new_static(key), Text::new(value));
    }
    point
}

fn places(criterion: &mut Criterion) {
    let lookups = lookups();
    let known: Vec<IpAddr> = (0..1000).map(|_| any_address()).collect();
    let mut next = known.iter().cycle();
    let mut group = criterion.benchmark_group("place");
    group.bench_function("known", |bencher| {
        bencher.iter(|| black_box(lookups.geo().place(*next.next().expect("endless"))));
    });
    group.bench_function("any", |bencher| {
        bencher.iter_batched(
            any_address,
            |address| black_box(lookups.geo().place(address)),
            BatchSize::SmallInput,
        );
    });
    let script = Engine::new(own(&lookups))
        .compile(PLACES)
        .expect("a program");
    let mut runner = Runner::default();
    let mut run = |mut point: Point| {
        let outcome = runner.run(&script, &mut point, &Limits::default());
        black_box(outcome).expect("a result");
        point
    };
    let flows: Vec<Point> = known.iter().map(|address| flow(*address)).collect();
    let mut next = flows.iter().cycle();
    group.bench_function("script_known", |bencher| {
        bencher.iter_batched(
            || next.next().expect("endless").clone(),
            &mut run,
            BatchSize::SmallInput,
        );
    });
    group.bench_function("script_any", |bencher| {
        bencher.iter_batched(|| flow(any_address()), &mut run, BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, places);
criterion_main!(benches);
