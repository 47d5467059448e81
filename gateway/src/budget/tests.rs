use std::collections::BTreeSet;

use fastrand::Rng;
use weir_runtime::config::{ConfigError, Document};

use super::*;

fn values(names: &[&'static str], limits: &Limits) -> LabelValues {
    let label = |tag: &&'static str| Label {
        tag,
        name: format!("label_{tag}"),
        shown: Gauge::noop(),
        folded: Counter::noop(),
    };
    LabelValues::new("flow", names.iter().map(label), limits)
}

fn at_most(default: usize) -> Limits {
    Limits {
        default,
        own: Vec::new(),
    }
}

fn fold(values: &mut LabelValues, text: &str) -> String {
    let mut out = String::from("what was there before");
    let folded = values.fold(text, &mut out);
    assert_eq!(!folded.is_none(), out.contains("\"~other\""), "{out}");
    out
}

#[test]
fn a_value_without_room_becomes_other_and_the_rest_of_its_label_set_stays() {
    let mut values = values(&["a", "b", "c"], &at_most(1));
    let first = r#"label_a="1",label_c="x""#;
    assert_eq!(fold(&mut values, first), first);
    values.hold(first);
    assert_eq!(fold(&mut values, first), first, "it is known");
    assert_eq!(
        fold(&mut values, r#"label_a="2",label_b="y",label_c="x""#),
        r#"label_a="~other",label_b="y",label_c="x""#
    );
}

#[test]
fn a_value_goes_with_the_last_label_set_that_has_it() {
    let mut values = values(&["a", "b"], &at_most(1));
    let sets = [r#"label_a="1",label_b="1""#, r#"label_a="1""#];
    sets.iter().for_each(|set| values.hold(set));
    let other = r#"label_a="2""#;
    values.release(sets[0]);
    assert_eq!(fold(&mut values, other), r#"label_a="~other""#);
    values.release(sets[1]);
    assert_eq!(fold(&mut values, other), other);
    assert!(values.labels.iter().all(|values| values.held.is_empty()));
}

#[test]
fn quotes_commas_and_backslashes_in_values_confuse_nobody() {
    let mut values = values(&["a", "b"], &at_most(1));
    let odd = r#"label_a="x\",label_b=\"y\\\\",label_b="\\""#;
    assert_eq!(fold(&mut values, odd), odd);
    values.hold(odd);
    assert_eq!(fold(&mut values, odd), odd);
    assert_eq!(
        fold(&mut values, r#"label_a="x\\",label_b="\\""#),
        r#"label_a="~other",label_b="\\""#
    );
}

/// The oracle keeps every text there is.
#[test]
fn whatever_comes_and_goes_no_label_has_more_values_than_it_may() {
    let mut rng = Rng::with_seed(7);
    let limits = Limits {
        default: 3,
        own: vec![("b".to_owned(), 5)],
    };
    let mut values = values(&["a", "b"], &limits);
    let mut held: BTreeSet<String> = BTreeSet::new();
    for _ in 0..20_000 {
        if rng.u8(..4) == 0
            && let Some(gone) = rng.choice(held.clone())
        {
            held.remove(&gone);
            values.release(&gone);
            continue;
        }
        let (a, b) = (rng.u8(..9), rng.u8(..9));
        let set = fold(&mut values, &format!(r#"label_a="{a}",label_b="{b}""#));
        if held.insert(set.clone()) {
            values.hold(&set);
        }
        for (place, (name, most)) in [("label_a", 3), ("label_b", 5)].into_iter().enumerate() {
            let texts: BTreeSet<&str> = held
                .iter()
                .flat_map(|set| parts(set))
                .filter(|(own, value)| *own == name && *value != OTHER)
                .map(|(_, value)| value)
                .collect();
            assert!(texts.len() <= most, "{texts:?}");
            assert_eq!(texts.len(), values.labels[place].held.len());
        }
    }
}

#[test]
fn no_data_set_has_more_labels_than_can_be_folded() {
    for profile in [&SEMCONV, &NATIVE] {
        for set in profile.data_sets {
            for group in set.groups {
                let labels = set.attributes_of(group).count();
                assert_ne!(bit(labels), 0, "{} {}", profile.name, group.name);
            }
        }
    }
}

#[test]
fn a_full_budget_is_said_once_an_hour() {
    let mut notice = Notice::default();
    assert!(notice.is_due());
    assert!(!notice.is_due());
    notice.said = Instant::now().checked_sub(LOG_EVERY);
    assert!(notice.is_due());
}

fn read(text: &str) -> Result<Limits, ConfigError> {
    Document::parse("gateway.yaml", text, "TEST", []).and_then(|file| file.read(Limits::read))
}

#[test]
fn each_tag_has_the_number_that_was_given_to_it_or_else_to_all() {
    let limits = read("label_values: {src_ip: 2000, default: 50}").expect("limits");
    assert_eq!((limits.of("src_ip"), limits.of("dst_ip")), (2000, 50));
    assert_eq!(read("").expect("limits").of("dst_ip"), VALUES);
}

#[test]
fn a_tag_that_is_no_label_and_a_budget_of_nothing_are_refused() {
    for (text, what) in [
        ("source_ip: 5", "source_ip"),
        ("pid: 5", "pid"),
        ("dst_ip: 0", "dst_ip"),
    ] {
        let error = read(&format!("label_values: {{{text}}}")).expect_err("a mistake");
        let error = error.to_string();
        assert!(
            error.contains(what) && error.contains("gateway.yaml:1:"),
            "{error}"
        );
    }
}
