//! Which Points a subscriber wants.

use weir_point::Point;
use weir_proto::observe::v1::TagFilter;

/// More than anyone writes by hand.
const MOST_CONDITIONS: usize = 64;
/// The key that means the Point's name instead of a tag.
const NAME: &str = "name";

/// A filter that means nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    #[error("a filter has no key")]
    NoKey,
    #[error("there are {count} filters; at most {MOST_CONDITIONS} are taken")]
    TooMany { count: usize },
}

/// Conditions that must all hold.
#[derive(Debug)]
pub(super) struct Filter {
    conditions: Vec<TagFilter>,
}

impl Filter {
    pub(super) fn new(conditions: Vec<TagFilter>) -> Result<Self, FilterError> {
        let count = conditions.len();
        if count > MOST_CONDITIONS {
            return Err(FilterError::TooMany { count });
        }
        if conditions.iter().any(|condition| condition.key.is_empty()) {
            return Err(FilterError::NoKey);
        }
        Ok(Self { conditions })
    }

    pub(super) fn matches(&self, point: &Point) -> bool {
        self.conditions.iter().all(|TagFilter { key, value }| {
            if key == NAME {
                point.name == *value
            } else {
                point.tags.get(key).is_some_and(|tag| tag == value)
            }
        })
    }
}
