use std::fs;

use super::*;

fn table(content: &str, key: &[&str]) -> Result<Table, TableError> {
    let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
    Table::of(content.as_bytes(), &key)
}

fn settings(file: &Path, key: &[&str]) -> TableSettings {
    TableSettings {
        name: "owners".to_owned(),
        file: file.to_owned(),
        key: key.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn team(tables: &Tables, key: &[&str]) -> Option<String> {
    let row = tables.row("owners", key).expect("a table")?;
    let team = row.as_object()?.get("team")?;
    Some(team.to_string_lossy().into_owned())
}

#[test]
fn a_row_is_found_by_its_first_column_or_the_chosen_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("owners.csv");
    let content = "ip,port,team,note\n10.0.0.1,443, shop ,\n10.0.0.2,443,\"pay, ments\",new\n10.0.0.3,80,shop,\n";
    fs::write(&file, content).expect("written");
    let tables = Tables::open(vec![settings(&file, &[])]);
    assert_eq!(team(&tables, &["10.0.0.1"]).as_deref(), Some("shop"));
    assert_eq!(team(&tables, &["10.0.0.2"]).as_deref(), Some("pay, ments"));
    assert_eq!(team(&tables, &["10.0.0.9"]), None);
    let row = tables
        .row("owners", &["10.0.0.1"])
        .expect("a table")
        .expect("a row");
    let columns: Vec<_> = row
        .as_object()
        .expect("an object")
        .keys()
        .map(|key| key.to_string())
        .collect();
    assert_eq!(columns, ["ip", "port", "team"], "an empty cell is left out");

    tables.change(vec![settings(&file, &["port", "ip"])]);
    assert_eq!(team(&tables, &["443", "10.0.0.1"]).as_deref(), Some("shop"));
    assert_eq!(team(&tables, &["80", "10.0.0.1"]), None);
    let error = tables
        .row("owners", &["443"])
        .expect_err("one column is missing");
    assert_eq!(
        error.to_string(),
        "the key of table `owners` has 2 columns, and 1 are given"
    );
    let error = tables.row("cars", &["443"]).expect_err("no table");
    assert_eq!(error.to_string(), "no table `cars` is configured");
}

#[test]
fn a_table_is_read_again_when_it_changes_and_kept_when_the_new_one_is_broken() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("owners.csv");
    let tables = Tables::open(vec![settings(&file, &[])]);
    assert_eq!(tables.files(), (0, 1));
    let error = tables.row("owners", &["a"]).expect_err("no file");
    assert_eq!(error, NoTable::NotRead("owners".to_owned()));

    for (content, wanted, files) in [
        ("ip,team\na,shop\n", "shop", (1, 0)),
        ("ip,team\na,payments\n", "payments", (1, 0)),
        ("ip,team\na,shop\na,cart\n", "payments", (1, 1)),
        ("ip,team\na,search\n", "search", (1, 0)),
    ] {
        fs::write(&file, content).expect("written");
        tables.refresh();
        tables.refresh();
        assert_eq!(team(&tables, &["a"]).as_deref(), Some(wanted), "{content}");
        assert_eq!(tables.files(), files, "{content}");
    }
}

#[test]
fn a_file_that_is_no_table_is_refused_with_the_reason() {
    for (content, key, wanted) in [
        ("a,b\n1,2\n1,3\n", &[][..], "line 3: the same key as line 2"),
        ("a,b\n1\n", &[], "it is no CSV"),
        ("a,a\n1,2\n", &[], "two columns are called `a`"),
        ("a,b\n1,2\n", &["c"], "there is no column `c`"),
    ] {
        match table(content, key) {
            Ok(_) => assert_eq!(wanted, "", "{content:?}"),
            Err(error) => {
                let error = error.to_string();
                assert!(
                    !wanted.is_empty() && error.starts_with(wanted),
                    "{content:?}: {error}"
                );
            }
        }
    }
    let wide = "c,".repeat(300);
    assert!(matches!(table(&wide, &[]), Err(TableError::TooManyColumns)));
    let long = format!("a\n{}\n", "x".repeat(LONGEST_ROW + 1));
    assert!(matches!(table(&long, &[]), Err(TableError::LongRow(2))));
    assert!(matches!(
        Table::of(&b"a\n\xff\n"[..], &[]),
        Err(TableError::Csv(_))
    ));
}
