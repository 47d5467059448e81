use std::{fs, path::PathBuf};

use super::{Command, LookupArguments, ScriptError, run};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-script-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("a folder");
    }
}

const POINTS: &str = r#"
{"name":"netflow","time":5,"tags":{"dst_port":"443","host":"A"},"fields":{"bytes":2048}}
[{"name":"netflow","time":6,"tags":{"dst_port":"80"},"fields":{}},
 {"category":"tracing","name":"GET /","time":7,"start":6,"tags":{"dst_port":"22"},"fields":{"n":[1,{"a":null}]},
  "resource":{"attributes":{"service.name":"cart"}},"scope":{"name":"shop","attributes":{}}}]
"#;

const SCRIPT: &str = r#"
if .tags.dst_port == "80" {
    emit({"name": "refused", "fields": {"n": 1}})
    abort
}
.tags.host = downcase(to_string(.tags.host))
.fields.kib = (to_float(.fields.bytes) ?? 0.0) / 1024
if .resource."service.name" == "cart" { .name = to_string(.scope.name) ?? "" }
"#;

async fn test(script: &str, expect: Option<&str>, name: &str) -> (String, Result<(), ScriptError>) {
    let folder = Folder::new(name);
    let command = Command::Test {
        script: folder.file("script.vrl", script),
        input: folder.file("points.json", POINTS),
        expect: expect.map(|text| folder.file("expected.json", text)),
        lookups: LookupArguments::default(),
    };
    let mut out = Vec::new();
    let result = run(command, &mut out).await;
    (String::from_utf8(out).expect("text"), result)
}

#[tokio::test]
async fn a_test_shows_what_becomes_of_every_point() {
    let (text, result) = test(SCRIPT, None, "shows").await;
    result.expect("no failure");
    let wanted = r#"1 netflow: edited
  fields.kib: + 2.0
  tags.host: "A" -> "a"
2 netflow: dropped
  + {"category":"network","fields":{"n":1},"name":"refused","start":0,"tags":{},"time":6}
3 GET /: edited
  fields.kib: + 0.0
  name: "GET /" -> "shop"
  tags.host: + ""
3 points: 2 edited, 1 dropped, 1 added, 0 failed
"#;
    assert_eq!(text, wanted);
}

#[tokio::test]
async fn a_test_passes_only_if_what_is_expected_comes_out() {
    let right = r#"[{"name":"netflow","tags":{"dst_port":"443","host":"a"}},
        {"name":"refused","time":6}, {"fields":{"n":[1,{"a":null}],"kib":0.0}}]"#;
    let (_, result) = test(SCRIPT, Some(right), "right").await;
    result.expect("as expected");

    let wrong = right
        .replace("\"a\"}}", "\"b\"}}")
        .replace("\"time\":6", "\"time\":1");
    let (_, result) = test(SCRIPT, Some(&wrong), "wrong").await;
    let error = result.expect_err("a difference").to_string();
    assert!(
        error.contains("point 1: tags.host is \"a\", expected \"b\""),
        "{error}"
    );
    assert!(error.contains("point 2: time is 6, expected 1"), "{error}");

    let (_, result) = test(SCRIPT, Some("[]"), "count").await;
    let error = result.expect_err("a difference").to_string();
    assert!(error.contains("3 points came out, expected 0"), "{error}");
}

#[tokio::test]
async fn failures_and_mistakes_have_their_place() {
    let (text, result) = test("\n.fields.x = to_int!(.tags.host)", None, "fails").await;
    result.expect_err("a failure");
    assert!(
        text.contains("1 netflow: failed: line 2, column 13: "),
        "{text}"
    );

    let (_, result) = test(".tags.x = downcase(5)", None, "mistake").await;
    let error = result.expect_err("a mistake").to_string();
    assert!(error.contains("script.vrl does not compile"), "{error}");
    assert!(error.contains("^"), "{error}");
}
