use weir_point::{Category, Point, Text, Value};

use super::{CompileError, Engine, Limits, Outcome, RunError, Runner};

const TIME: u64 = 1_700_000_000_123_456_789;

fn point() -> Point {
    let mut point = Point::new(Category::Network, Text::new("netflow"));
    (point.time, point.start) = (TIME, TIME - 1_000);
    for (key, value) in [
        ("src_domain", "Shop.Example"),
        ("dst_port", "443"),
        ("host", "node-1"),
    ] {
        point.tags.set(Text::new(key), Text::new(value));
    }
    point.fields.set(Text::new("bytes"), 4096);
    point.fields.set(Text::new("rtt"), 0.25);
    point
}

fn compile_error(source: &str) -> CompileError {
    let compiled = Engine::new(Vec::new()).compile(source);
    compiled.expect_err("a mistake")
}

fn run_on(source: &str, mut point: Point, limits: &Limits) -> (Point, Result<Outcome, RunError>) {
    let script = Engine::new(Vec::new()).compile(source);
    let script = script.unwrap_or_else(|error| panic!("{}", error.text));
    let result = Runner::default().run(&script, &mut point, limits);
    (point, result)
}

fn run(source: &str) -> (Point, Outcome) {
    let (point, result) = run_on(source, point(), &Limits::default());
    (point, result.unwrap_or_else(|error| panic!("{error}")))
}

fn fails(source: &str) -> String {
    let (left, result) = run_on(source, point(), &Limits::default());
    assert_eq!(left, point(), "edited by a failing script");
    result.expect_err("a failure").describe(source)
}

fn tag<'p>(point: &'p Point, key: &str) -> Option<&'p str> {
    point.tags.get(key).map(Text::as_str)
}

#[test]
fn tags_fields_name_and_time_are_read_and_written() {
    let (point, outcome) = run(r#"
        .tags.src_domain = downcase(to_string(.tags.src_domain))
        if .tags.dst_port == "443" { .tags.scheme = "https" }
        .fields.kib = to_float!(.fields.bytes) / 1024
        .name = .name + "-" + to_string(.tags.host)
        .time = .time - 789
        .start = from_unix_timestamp!(5)
        del(.tags.host)
        del(.fields.rtt)
    "#);
    assert!(outcome.edited && !outcome.dropped && outcome.emitted.is_empty());
    assert_eq!(tag(&point, "src_domain"), Some("shop.example"));
    assert_eq!(tag(&point, "scheme"), Some("https"));
    assert_eq!(tag(&point, "host"), None);
    assert_eq!(point.fields.get("kib"), Some(&Value::Float(4.0)));
    assert_eq!(point.fields.get("bytes"), Some(&Value::Int(4096)));
    assert_eq!(point.fields.get("rtt"), None);
    assert_eq!(point.name, "netflow-node-1");
    assert_eq!((point.time, point.start), (TIME - 789, 5_000_000_000));
}

#[test]
fn tags_take_the_text_of_any_value_and_null_removes() {
    let (point, _) = run(r#"
        .tags.number = 7
        .tags.float = 2.5
        .tags.yes = true
        .tags.list = ["a", 1]
        .tags.when = t'2024-01-02T03:04:05Z'
        .tags.host = null
        .fields.rtt = null
        .fields.when = t'1970-01-01T00:00:01Z'
        .fields.map = {"a": [1, null, "x"], "b": {"c": 1.5}}
    "#);
    assert_eq!(tag(&point, "number"), Some("7"));
    assert_eq!(tag(&point, "float"), Some("2.5"));
    assert_eq!(tag(&point, "yes"), Some("true"));
    assert_eq!(tag(&point, "list"), Some(r#"["a",1]"#));
    assert_eq!(tag(&point, "when"), Some("2024-01-02T03:04:05Z"));
    assert_eq!(tag(&point, "host"), None);
    assert_eq!(point.fields.get("rtt"), None);
    assert_eq!(point.fields.get("when"), Some(&Value::Int(1_000_000_000)));
    let Some(Value::Map(map)) = point.fields.get("map") else {
        panic!("{point:?}");
    };
    let list = vec![Value::Int(1), Value::Null, Value::Text("x".into())];
    assert_eq!(map.get("a"), Some(&Value::List(list)));
}

#[test]
fn whole_tables_and_the_whole_point_are_what_their_parts_are() {
    let (point, _) = run(r#"
        .tags.new = "1"
        .tags = map_keys(.tags) -> |key| { "my_" + key }
        .fields |= {"more": 1}
        del(.fields.rtt)
    "#);
    let keys: Vec<_> = point.tags.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["my_dst_port", "my_host", "my_new", "my_src_domain"]);
    let keys: Vec<_> = point.fields.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["bytes", "more"]);

    let (point, outcome) = run(r#"
        .tags.copy = encode_json(.)
        .name = get!(., ["tags", "host"])
    "#);
    assert!(outcome.edited);
    assert_eq!(point.name, "node-1");
    let copy = tag(&point, "copy").expect("a copy");
    assert!(copy.contains(r#""category":"network""#), "{copy}");
    assert!(copy.contains(r#""bytes":4096"#), "{copy}");

    let (point, _) = run("del(.tags)\ndel(.fields)");
    assert!(point.tags.is_empty() && point.fields.is_empty());
}

#[test]
fn what_is_the_same_again_is_no_edit() {
    for source in [
        ".tags.host = .tags.host",
        ".fields = .fields",
        ".tags.x = 1\ndel(.tags.x)",
        ".name = \"netflow\"\n.time = .time",
        "x = .tags.host",
        "del(.tags.none)",
    ] {
        let (left, outcome) = run(source);
        assert_eq!(outcome, Outcome::default(), "{source}");
        assert_eq!(left, point(), "{source}");
    }
}

#[test]
fn abort_drops_the_point_and_what_was_emitted_still_comes() {
    let (left, outcome) = run(r#"
        .tags.host = "changed"
        emit({"name": "summary", "tags": {"host": .tags.host}, "fields": {"n": 1}})
        emit({})
        if .tags.dst_port == "443" { abort }
        .tags.host = "never"
    "#);
    assert!(outcome.dropped && !outcome.edited);
    assert_eq!(left, point());
    let [summary, plain] = &outcome.emitted[..] else {
        panic!("{outcome:?}");
    };
    assert_eq!(summary.name, "summary");
    assert_eq!(tag(summary, "host"), Some("changed"));
    assert_eq!(summary.fields.get("n"), Some(&Value::Int(1)));
    assert_eq!((summary.time, summary.start), (TIME, TIME - 1_000));
    assert_eq!(plain.name, "netflow");
    assert!(plain.tags.is_empty() && plain.fields.is_empty());
}

#[test]
fn a_failing_script_leaves_the_point_and_emits_nothing() {
    let text = fails(".tags.host = \"x\"\nemit({})\n.fields.n = to_int!(.tags.src_domain)");
    assert!(text.starts_with("line 3, column "), "{text}");
    assert!(text.contains("to_int"), "{text}");
    assert!(fails(".name = null").contains("name must be text"));
    assert!(fails("emit({\"tag\": 1})").contains("no tag"));
    assert!(fails("emit({\"tags\": 1})").contains("tags must be an object"));
    assert!(fails(".time = -1.5").contains("time must be"));
}

#[test]
fn nested_loops_are_stopped_by_the_budget() {
    let source = r#"
        list = split("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", ",")
        n = 0
        for_each(list) -> |_i, _a| {
            for_each(list) -> |_j, _b| {
                for_each(list) -> |_k, _c| { n = n + 1 }
            }
        }
        .fields.n = n
    "#;
    assert_eq!(fails(source), "more than 10000 operations for one Point");
    let limits = Limits {
        operations: 1_000_000,
        ..Limits::default()
    };
    let (point, result) = run_on(source, point(), &limits);
    result.expect("enough operations");
    assert_eq!(point.fields.get("n"), Some(&Value::Int(27_000)));
}

#[test]
fn a_result_that_is_too_large_is_a_failure() {
    let big = r#"text = "0123456789abcdef"
        text = text + text + text + text
        text = text + text + text + text
        text = text + text + text + text
        text = text + text + text + text
        text = text + text + text + text"#;
    let huge = "is larger than 65536 bytes";
    for end in [
        ".tags.text = text + text + text + text + text",
        ".fields.text = [text, text, text, text, text]",
        ".name = text + text + text + text + text",
        "emit({\"fields\": {\"a\": text + text, \"b\": text + text, \"c\": text}})",
    ] {
        let text = fails(&format!("{big}\n{end}"));
        assert!(text.contains(huge), "{end}: {text}");
    }
    let text = fails(&format!(
        "{big}\n.tags.x = join!([text, text, text, text, text, text, text, text, text, text, text, \
         text, text, text, text, text, text, text, text, text, text, text, text, text, text, text, \
         text, text, text, text, text, text, text, text, text, text, text, text, text, text, text, \
         text, text, text, text, text, text, text, text, text, text, text, text, text, text, text, \
         text, text, text, text, text, text, text, text, text, text, text, text, text, text], \"\")"
    ));
    assert!(text.contains("join gives back more than"), "{text}");
    let text = fails(
        "for_each(split(\"a,a,a,a,a,a,a,a,a,a,a\", \",\")) -> |_i, _v| {\nfor_each(split(\"a,a,a,a,a,a,a,a,a,a,a\", \",\")) -> |_j, _w| { emit({}) } }",
    );
    assert!(text.contains("more than 100 Points"), "{text}");
}

#[test]
fn mistakes_are_told_with_line_column_and_caret() {
    let error = compile_error(".tags.a = \"x\"\n.tags.b = downcase(5)\n");
    assert_eq!(error.line, 2, "{error:?}");
    assert!(error.column > 10, "{error:?}");
    assert!(error.text.contains("^"), "{}", error.text);
    assert!(
        error.text.contains(".tags.b = downcase(5)"),
        "{}",
        error.text
    );

    let error = compile_error("# .tag.x\n.tags.x = \"1\"\n  .tag.x = \"y\"");
    assert_eq!((error.line, error.column), (3, 3), "{error:?}");
    assert!(error.message.contains("`.tag.x` is no part of a Point"));
    assert!(error.text.contains("^^^^^^"), "{}", error.text);
}

#[test]
fn what_cannot_be_written_or_called_is_refused() {
    for source in [
        ".category = \"metric\"",
        ".resource.\"service.name\" = \"x\"",
        ".scope.name = \"x\"",
        ". = {}",
        "%emitted = {}",
        "while true { .tags.x = \"1\" }",
        "x = range(0, 1000000)",
        "x = decode_gzip!(\"x\")",
        "log(\"x\")",
        "x = get_env_var!(\"PATH\")",
        "x = http_request!(\"http://127.0.0.1\")",
        "x = get_secret(\"x\")",
        "x = %foo",
        ".fields.x = .nothing",
        "x = 1 +",
    ] {
        compile_error(source);
    }
    compile_error(&"#".repeat(65 * 1024));
}

#[test]
fn what_could_grow_without_end_is_refused_and_what_cannot_is_not() {
    let looped = |line: &str| {
        format!(
            "s = \"a\"\nt = \"b\"\nl = [1]\nn = 0\nfor_each(object(.tags)) -> |k, v| {{ {line} }}"
        )
    };
    for line in [
        "s = s + s",
        "s = \"{{ s }}{{ s }}\"",
        "l = [l, l]",
        "l = {\"a\": l, \"b\": [l]}",
        "s = s + t\nt = t + s",
        ".fields.x = s\n.fields = {\"a\": .fields.x, \"b\": .fields}",
        "s = if true { s + s } else { s }",
        "for_each(object(.fields)) -> |_k, _v| { s = s + s }",
    ] {
        let error = compile_error(&looped(line));
        assert!(error.message.contains("double"), "{line}: {error:?}");
        assert!(error.line >= 5, "{error:?}");
    }
    for source in [
        "x = \"a\" * int!(.fields.bytes)",
        "x = \"a\" * 2000",
        "x, err = .fields.a * .fields.b",
    ] {
        let error = compile_error(source);
        assert!(error.message.contains("repeat"), "{source}: {error:?}");
    }
    for source in [
        looped("s = s + v"),
        looped("n = n + length(v)"),
        looped("l = push(l, s)\ns = s + \",\" + v"),
        looped("n = int(n) + int(n)"),
        "x = \"-\" * 20".to_owned(),
        "x = int!(.fields.bytes) * int!(.fields.bytes)".to_owned(),
        "x = 1.5 * float!(.fields.rtt)\ny = (int!(.fields.bytes) - 1) * length(.tags)".to_owned(),
        "x = \"a\"\nx = x + x".to_owned(),
    ] {
        let compiled = Engine::new(Vec::new()).compile(&source);
        compiled.unwrap_or_else(|error| panic!("{source}\n{}", error.text));
    }
}

#[test]
fn what_functions_give_back_counts_as_operations() {
    let source = "text = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\" * 1000\n\
        for_each(split(\"a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\", \",\")) -> |_i, _v| {\n\
        for_each(split(\"a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\", \",\")) -> |_j, _w| { .tags.x = upcase(text) } }";
    assert_eq!(fails(source), "more than 10000 operations for one Point");
}

#[test]
fn no_program_takes_all_the_stack() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{", "}"),
        ("1 + ", ""),
        ("!", ""),
        ("[", ""),
    ] {
        let middle = if open == "!" { "true" } else { "1" };
        let source = format!("x = {}{middle}{}", open.repeat(5_000), close.repeat(5_000));
        if let Ok(script) = Engine::new(Vec::new()).compile(&source) {
            let outcome = Runner::default().run(&script, &mut point(), &Limits::default());
            assert!(outcome.is_err() || outcome.is_ok());
        }
    }
    compile_error(&format!("x = {}1", "1 + ".repeat(200)));
    run(&format!(".fields.x = {}1", "1 + ".repeat(100)));
}
