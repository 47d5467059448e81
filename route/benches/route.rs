//! What a route costs.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use weir_route::Routes;

fn routes(criterion: &mut Criterion) {
    let plain = Routes::default();
    let patterns = (0..20).map(|number| format!("/api/v1/thing{number}/*/orders"));
    let own = Routes::new(patterns).expect("patterns");
    let mut group = criterion.benchmark_group("route");
    for (name, path) in [
        ("stays", "/api/v1/users/search/latest"),
        ("numbers", "/api/v1/users/4711/orders/42"),
        (
            "uuid",
            "/api/v1/jobs/550e8400-e29b-41d4-a716-446655440000/log",
        ),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(plain.route(black_box(path)).len()))
        });
    }
    group.bench_function("20_patterns", |bencher| {
        bencher.iter(|| black_box(own.route(black_box("/api/v1/users/4711/orders")).len()));
    });
    group.finish();
}

criterion_group!(benches, routes);
criterion_main!(benches);
