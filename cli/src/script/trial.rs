//! A script on Points from a file.

use std::{collections::BTreeSet, fmt::Write as _, io::Write, path::Path};

use serde_json::{Map, Value as Json};
use weir_point::Point;
use weir_script::{Engine, Limits, Outcome, Runner, functions::own};

use super::{LookupArguments, ScriptError, json, read, write};

/// What became of all Points.
#[derive(Default)]
struct Counts {
    edited: usize,
    dropped: usize,
    emitted: usize,
    failed: usize,
}

pub(super) fn run(
    script: &Path,
    input: &Path,
    expect: Option<&Path>,
    lookups: &LookupArguments,
    out: &mut impl Write,
) -> Result<(), ScriptError> {
    let source = read(script)?;
    let compiled = Engine::new(own(&lookups.open()?)).compile(&source);
    let compiled = compiled.map_err(|error| ScriptError::Mistake {
        file: script.to_owned(),
        text: error.text,
    })?;
    let invalid = |file: &Path| {
        let file = file.to_owned();
        move |problem| ScriptError::Points { file, problem }
    };
    let points = json::points(&read(input)?).map_err(invalid(input))?;
    let expected = match expect {
        Some(file) => Some(json::objects(&read(file)?).map_err(invalid(file))?),
        None => None,
    };

    let (mut runner, limits) = (Runner::default(), Limits::default());
    let (mut counts, mut left, total) = (Counts::default(), Vec::new(), points.len());
    for (number, mut point) in (1..).zip(points) {
        let before = json::shown(&point);
        let name = point.name.clone();
        let line = match runner.run(&compiled, &mut point, &limits) {
            Ok(outcome) => counts.take(outcome, &before, point, &mut left),
            Err(error) => {
                counts.failed += 1;
                left.push(json::shown(&point));
                format!("failed: {}\n", error.describe(&source))
            }
        };
        write(out, &format!("{number} {name}: {line}"))?;
    }
    let Counts {
        edited,
        dropped,
        emitted,
        failed,
    } = counts;
    write(
        out,
        &format!(
            "{total} points: {edited} edited, {dropped} dropped, {emitted} added, {failed} failed\n"
        ),
    )?;
    match expected {
        Some(expected) => compare(&expected, &left),
        None if failed > 0 => Err(ScriptError::Failed(format!(
            "the script failed on {failed} of {total} points"
        ))),
        None => Ok(()),
    }
}

impl Counts {
    /// What to show of one Point; what is left of it comes to `left`.
    fn take(
        &mut self,
        outcome: Outcome,
        before: &Map<String, Json>,
        point: Point,
        left: &mut Vec<Map<String, Json>>,
    ) -> String {
        self.edited += usize::from(outcome.edited);
        self.dropped += usize::from(outcome.dropped);
        self.emitted += outcome.emitted.len();
        let mut line = String::new();
        if outcome.dropped {
            line.push_str("dropped\n");
        } else {
            let after = json::shown(&point);
            line.push_str(if outcome.edited {
                "edited\n"
            } else {
                "unchanged\n"
            });
            for (path, change) in differences(before, &after) {
                push(&mut line, &path, &change);
            }
            left.push(after);
        }
        for further in &outcome.emitted {
            let further = json::shown(further);
            let shown = Json::from(further.clone());
            writeln!(line, "  + {shown}").expect("a String takes everything");
            left.push(further);
        }
        line
    }
}

fn push(line: &mut String, path: &str, change: &Change<'_>) {
    let result = match change {
        (Some(old), Some(new)) => writeln!(line, "  {path}: {old} -> {new}"),
        (None, Some(new)) => writeln!(line, "  {path}: + {new}"),
        (Some(old), None) => writeln!(line, "  {path}: - {old}"),
        (None, None) => Ok(()),
    };
    result.expect("a String takes everything");
}

/// What was and what is.
type Change<'v> = (Option<&'v Json>, Option<&'v Json>);

/// Where two Points differ: parts, tags and fields.
fn differences<'v>(
    before: &'v Map<String, Json>,
    after: &'v Map<String, Json>,
) -> Vec<(String, Change<'v>)> {
    let mut found = Vec::new();
    let keys = |one: &'v Map<String, Json>, other: &'v Map<String, Json>| {
        one.keys().chain(other.keys()).collect::<BTreeSet<_>>()
    };
    for part in keys(before, after) {
        match (before.get(part), after.get(part)) {
            (Some(Json::Object(old)), Some(Json::Object(new))) => {
                for key in keys(old, new) {
                    let change = (old.get(key), new.get(key));
                    if change.0 != change.1 {
                        found.push((format!("{part}.{key}"), change));
                    }
                }
            }
            change if change.0 != change.1 => found.push((part.clone(), change)),
            _ => {}
        }
    }
    found
}

fn compare(expected: &[Map<String, Json>], left: &[Map<String, Json>]) -> Result<(), ScriptError> {
    let mut text = String::new();
    for (number, (expected, own)) in (1..).zip(expected.iter().zip(left)) {
        let given: Map<String, Json> = own
            .iter()
            .filter(|(key, _)| expected.contains_key(*key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        for (path, (wanted, got)) in differences(expected, &given) {
            let show = |value: Option<&Json>| value.map_or("nothing".to_owned(), Json::to_string);
            let (wanted, got) = (show(wanted), show(got));
            write!(
                text,
                "\n  point {number}: {path} is {got}, expected {wanted}"
            )
            .expect("a String takes everything");
        }
    }
    if expected.len() != left.len() {
        let (wanted, got) = (expected.len(), left.len());
        write!(text, "\n  {got} points came out, expected {wanted}")
            .expect("a String takes everything");
    }
    if text.is_empty() {
        return Ok(());
    }
    Err(ScriptError::Failed(format!("not what was expected:{text}")))
}
