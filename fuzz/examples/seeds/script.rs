//! Programs on Points.

use crate::{repository, seed};

pub(crate) fn script() {
    let limits = [200, 255];
    let write = |name: &str, source: &[u8]| seed("script", name, &[&limits, source]);
    write("places", &repository("script/shipped/places.vrl"));
    for (name, source) in PROGRAMS {
        write(name, source.as_bytes());
    }
}

const PROGRAMS: [(&str, &str); 10] = [
    (
        "edits",
        r#"if .tags.dst_port == "9100" { abort }
.tags.process_name = downcase(to_string(.tags.process_name))
if starts_with(to_string(.tags.dst_ip), "10.8.") { .tags.site = "office" }
.fields.bytes_total = to_int!(.fields.bytes_read) + 1
del(.tags.netns)"#,
    ),
    (
        "emits",
        r#"emit({"name": "lookup", "time": .time - 1, "tags": {"host": .tags.host}, "fields": {"n": [1, 2.5, null, true]}})
.name = "x"; .start = from_unix_timestamp!(5); .time = now()"#,
    ),
    (
        "loops",
        r#".tags = map_keys(.tags) -> |key| { "my_" + key }
.fields |= {"a": {"b": 1}}
n = 0
for_each(array!(.fields.buckets)) -> |_i, value| { n = n + int!(value) }
.fields.n = n
.fields.big = filter(.fields) -> |_k, v| { is_integer(v) }"#,
    ),
    (
        "lookups",
        r#".tags.kind = ip_type(.tags.src_ip); .tags.site = subnet(.tags.src_ip)
if cidr_contains!(["office", "192.0.2.0/24"], .tags.dst_ip) { .tags.route = route(.fields.path) }
.fields.factor = sample(2, .tags.host)
.fields.row = lookup("owners", ["a", 1]) ?? geoip("1.1.1.1")"#,
    ),
    (
        "texts",
        r#"m = parse_regex!(.tags.dst_domain, r'(?i)^(?P<shop>[a-z]+)\.(.*)$')
.tags.shop = m.shop
.tags.url = encode_percent(parse_url!("http://a.b/c?d=e#f").path)
.tags.long = truncate(upcase("ab") * 20, 7, suffix: "…")
.fields.json = parse_json!(s'{"a":[1,{"b":"\u00e9"}]}')
.fields.hash = replace("a-b", r'-(.)', "$1$$") + slice!("hello", -3)"#,
    ),
    (
        "errors",
        r#"x, err = to_int(.tags.host)
if err != null { .tags.err = err } else { .fields.x = x / 0 ?? 1 }
.fields.y = to_float(.tags.host) ?? -1.5e3
assert!(is_string(.name), message: "no text")"#,
    ),
    (
        "times",
        r#"t = parse_timestamp!("2024-02-30T01:02:03", format: "%Y-%m-%dT%H:%M:%S") ?? t'2024-01-02T03:04:05.678Z'
.tags.when = format_timestamp!(t, "%c"); .fields.t = to_unix_timestamp(t, unit: "nanoseconds")"#,
    ),
    (
        "whole",
        r#". = merge({"tags": {"a": .tags.host}}, {"fields": {}})
.tags.copy = encode_json(.) ; del(.fields); .tags."a.b" = to_string(length(.))"#,
    ),
    (
        "deep",
        "x = [[[[[[[[[[{\"a\": {\"b\": {\"c\": -(-(!(!true)))}}}]]]]]]]]]]",
    ),
    (
        "mistake",
        ".tags.x = nothing\n.category = downcase(5)\nif { ",
    ),
];
