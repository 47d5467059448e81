//! Which Points a subscriber wants.

use weir_point::{
    Category, Point,
    otlp::{PointRef, Resource},
};
use weir_proto::observe::v1::{self as wire, TagFilter};

/// More than anyone writes by hand.
const MOST_CONDITIONS: usize = 64;
/// The key that means the Point's name instead of a tag.
const NAME: &str = "name";
/// What keys begin with that mean attributes of the resource.
const RESOURCE: &str = "resource.";

/// A filter that means nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    #[error("a filter has no key")]
    NoKey,
    #[error("there are {count} filters; at most {MOST_CONDITIONS} are taken")]
    TooMany { count: usize },
    #[error("there is no category {number}")]
    NoCategory { number: i32 },
}

/// Conditions that must all hold.
#[derive(Debug)]
pub(super) struct Filter {
    categories: Vec<Category>,
    conditions: Vec<Condition>,
}

#[derive(Debug)]
struct Condition {
    subject: Subject,
    value: String,
}

/// What a condition is about.
#[derive(Debug)]
enum Subject {
    Name,
    Tag(String),
    Resource(String),
}

impl Filter {
    pub(super) fn new(conditions: Vec<TagFilter>, categories: &[i32]) -> Result<Self, FilterError> {
        let count = conditions.len();
        if count > MOST_CONDITIONS {
            return Err(FilterError::TooMany { count });
        }
        let condition = |TagFilter { key, value }| {
            let subject = match key.strip_prefix(RESOURCE) {
                _ if key.is_empty() => return Err(FilterError::NoKey),
                _ if key == NAME => Subject::Name,
                Some(attribute) => Subject::Resource(attribute.to_owned()),
                None => Subject::Tag(key),
            };
            Ok(Condition { subject, value })
        };
        let mut chosen = Vec::new();
        for number in categories {
            let category = category(*number)?;
            if !chosen.contains(&category) {
                chosen.push(category);
            }
        }
        if chosen.is_empty() {
            chosen.push(Category::Network);
        }
        Ok(Self {
            categories: chosen,
            conditions: conditions
                .into_iter()
                .map(condition)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Those that are asked for, each once.
    pub(super) fn categories(&self) -> &[Category] {
        &self.categories
    }

    pub(super) fn takes(&self, category: Category) -> bool {
        self.categories.contains(&category)
    }

    /// Whether every Point of its categories matches.
    pub(super) fn takes_all(&self) -> bool {
        self.conditions.is_empty()
    }

    pub(super) fn matches(&self, point: &Point) -> bool {
        self.takes(point.category)
            && self.conditions.iter().all(|condition| {
                let value = match &condition.subject {
                    Subject::Name => Some(point.name.as_str()),
                    Subject::Tag(key) => point.tags.get(key).map(|tag| tag.as_str()),
                    Subject::Resource(key) => {
                        let resource = point.resource.as_deref();
                        resource.and_then(|own| Resource::text(own, key))
                    }
                };
                value == Some(condition.value.as_str())
            })
    }

    /// As [`Self::matches`], reading no more of the request than it has to.
    pub(super) fn matches_ref(&self, point: &PointRef<'_>) -> bool {
        self.conditions.iter().all(|condition| {
            let value = match &condition.subject {
                Subject::Name => Some(point.name()),
                Subject::Tag(key) => point.tag(key),
                Subject::Resource(key) => point.resource().text(key),
            };
            value == Some(condition.value.as_str())
        })
    }
}

fn category(number: i32) -> Result<Category, FilterError> {
    match wire::Category::try_from(number) {
        Ok(wire::Category::Network) => Ok(Category::Network),
        Ok(wire::Category::Metric) => Ok(Category::Metric),
        Ok(wire::Category::Tracing) => Ok(Category::Tracing),
        Ok(wire::Category::Logging) => Ok(Category::Logging),
        Ok(wire::Category::Unspecified) | Err(_) => Err(FilterError::NoCategory { number }),
    }
}
