//! What holders of a Point rely on.

use std::{collections::BTreeMap, mem::size_of};

use weir_point::{Table, Text, ToText as _, Value};

/// A reproducible stream of small numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

#[test]
fn a_table_answers_like_a_map_whatever_the_order_of_changes() {
    let mut dice = Dice(7);
    for _ in 0..200 {
        let mut table = Table::<Text>::default();
        let mut oracle = BTreeMap::new();
        for _ in 0..60 {
            let key = format!("key{}", dice.roll(20)).to_smolstr();
            let value = dice.roll(1000).to_smolstr();
            let before = table.set(key.clone(), value.clone());
            assert_eq!(before, oracle.insert(key, value));
            assert_eq!(table.len(), oracle.len());
        }
        assert!(table.iter().eq(oracle.iter()), "sorted, each key once");
        for key in (0..20).map(|n| format!("key{n}")) {
            assert_eq!(table.get(&key), oracle.get(key.as_str()));
        }
    }
}

#[test]
fn a_tag_costs_48_bytes_and_addresses_need_no_allocation() {
    assert_eq!(size_of::<(Text, Text)>(), 48);
    for text in [
        "255.255.255.255",
        "fe80::1234:5678:9abc",
        "65535",
        "outgoing",
    ] {
        assert!(!Text::new(text).is_heap_allocated(), "{text}");
    }
}

#[test]
fn long_text_is_shared_and_not_copied_by_a_clone() {
    let id = Text::new("0123456789abcdef".repeat(4));
    assert_eq!(id.clone().as_ptr(), id.as_ptr());
}

#[test]
fn only_numbers_are_counted() {
    assert_eq!(Value::from(7).as_count(), Some(7));
    assert_eq!(Value::from(-7).as_count(), None);
    assert_eq!(Value::from(7.5).as_count(), None);
    assert_eq!(Value::from(7.5).as_f64(), Some(7.5));
    assert_eq!(Value::from(true).as_f64(), None);
    assert_eq!(Value::from(Text::new_static("7")).as_f64(), None);
}
