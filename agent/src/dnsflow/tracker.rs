//! Queries that wait for their answers.
//!
//! An answer belongs to a query of the same namespace, endpoints, transport, transaction and question. A client that asks again
//! before it was answered has made another query; an answer belongs to the latest, because an earlier one, or its
//! answer, is what got lost. What then is not answered by a further answer has timed out.

use std::{
    hash::{BuildHasher as _, Hash},
    net::SocketAddr,
};

use hashbrown::{DefaultHashBuilder, HashMap, hash_map::Entry};

use super::message::Question;

/// Queries of one transaction that may wait: a client that asks more often is not asking.
const MOST_ASKED: usize = 16;

/// Outcomes remembered of either generation.
const MOST_OUTCOMES: usize = 65_536;

/// Between whom, and where it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Endpoints {
    /// Inode of the network namespace.
    pub(super) netns: u32,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) is_tcp: bool,
}

/// Which ends are in the namespace. Neither, where a query only passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) client: bool,
    pub(super) server: bool,
}

/// A query that came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) endpoints: Endpoints,
    pub(super) roles: Roles,
    pub(super) question: Question,
    /// `CLOCK_REALTIME` of the query.
    pub(super) sent_ns: u64,
    /// Response code and time to the answer, where one is waited for; `None` if it did not come.
    pub(super) answer: Option<(u16, Option<u64>)>,
}

/// Why an answer belongs to no query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// The query was answered already.
    Duplicate,
    /// The query had timed out.
    Late,
    /// Such a transaction waits, for the answer to another question.
    Forged,
    /// Nobody asked, as far as was seen.
    Unasked,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Answered,
    TimedOut,
}

type Key = (Endpoints, u16);

#[derive(Debug)]
struct Asked {
    question: Question,
    roles: Roles,
    sent_ns: u64,
}

/// Queries of one transaction that wait: mostly one, for which nothing is allocated.
#[derive(Debug)]
struct Waiting {
    latest: Asked,
    earlier: Vec<Asked>,
}

impl Waiting {
    /// Whether there was room.
    fn push(&mut self, asked: Asked) -> bool {
        if self.earlier.len() + 1 >= MOST_ASKED {
            return false;
        }
        self.earlier
            .push(std::mem::replace(&mut self.latest, asked));
        true
    }

    fn earlier_place(&self, question: &Question) -> Option<usize> {
        self.earlier
            .iter()
            .rposition(|asked| asked.question == *question)
    }
}

/// The table of queries.
#[derive(Debug)]
pub(super) struct Tracker {
    pending: HashMap<Key, Waiting>,
    count: usize,
    most: usize,
    timeout_ns: u64,
    hasher: DefaultHashBuilder,
    /// How transactions ended lately, the younger generation first.
    outcomes: [HashMap<u64, Outcome>; 2],
}

impl Tracker {
    /// Room for `most` queries, which wait for `timeout_ns`.
    pub(super) fn new(most: usize, timeout_ns: u64) -> Self {
        Self {
            pending: HashMap::new(),
            count: 0,
            most,
            timeout_ns,
            hasher: DefaultHashBuilder::default(),
            outcomes: [HashMap::new(), HashMap::new()],
        }
    }

    /// Takes a query. Whether there was room.
    pub(super) fn query(
        &mut self,
        endpoints: Endpoints,
        id: u16,
        question: Question,
        roles: Roles,
        sent_ns: u64,
    ) -> bool {
        if self.count >= self.most {
            return false;
        }
        let asked = Asked {
            question,
            roles,
            sent_ns,
        };
        let has_room = match self.pending.entry((endpoints, id)) {
            Entry::Occupied(mut waiting) => waiting.get_mut().push(asked),
            Entry::Vacant(place) => {
                let earlier = Vec::new();
                place.insert(Waiting {
                    latest: asked,
                    earlier,
                });
                true
            }
        };
        self.count += usize::from(has_room);
        has_room
    }

    /// Takes an answer, and returns the query that it ends.
    ///
    /// # Errors
    /// If it belongs to none.
    pub(super) fn answer(
        &mut self,
        endpoints: Endpoints,
        id: u16,
        question: Option<&Question>,
        rcode: u16,
        now_ns: u64,
    ) -> Result<Done, Stray> {
        let key = (endpoints, id);
        let Entry::Occupied(mut entry) = self.pending.entry(key) else {
            return Err(self.stray(&key, question).unwrap_or(Stray::Unasked));
        };
        let waiting = entry.get_mut();
        let asked = if question.is_none_or(|question| waiting.latest.question == *question) {
            match waiting.earlier.pop() {
                Some(earlier) => std::mem::replace(&mut waiting.latest, earlier),
                None => entry.remove().latest,
            }
        } else if let Some(place) = question.and_then(|question| waiting.earlier_place(question)) {
            waiting.earlier.remove(place)
        } else {
            return Err(self.stray(&key, question).unwrap_or(Stray::Forged));
        };
        self.count -= 1;
        self.remember(&key, &asked.question, Outcome::Answered);
        Ok(Done {
            endpoints,
            roles: asked.roles,
            question: asked.question,
            sent_ns: asked.sent_ns,
            answer: Some((rcode, Some(now_ns.saturating_sub(asked.sent_ns)))),
        })
    }

    /// Calls `each` with the queries that have waited too long.
    pub(super) fn sweep(&mut self, now_ns: u64, mut each: impl FnMut(Done)) {
        let timeout = self.timeout_ns;
        let mut ended = Vec::new();
        let gone = self.pending.extract_if(|(endpoints, id), waiting| {
            let is_late = |asked: &Asked| now_ns.saturating_sub(asked.sent_ns) >= timeout;
            let late = waiting.earlier.extract_if(.., |asked| is_late(asked));
            ended.extend(late.map(|asked| (*endpoints, *id, asked)));
            // The earlier ones are late too then, unless the clock was set: they wait until it is right.
            is_late(&waiting.latest) && waiting.earlier.is_empty()
        });
        let gone: Vec<_> = gone.collect();
        ended.extend(
            gone.into_iter()
                .map(|((endpoints, id), waiting)| (endpoints, id, waiting.latest)),
        );
        self.count -= ended.len();
        // After a burst; not each time, or it would grow again each time.
        if self.pending.capacity() / 16 > self.pending.len() {
            self.pending.shrink_to(self.pending.len() * 2);
        }
        for (endpoints, id, asked) in ended {
            self.remember(&(endpoints, id), &asked.question, Outcome::TimedOut);
            each(Done {
                endpoints,
                roles: asked.roles,
                question: asked.question,
                sent_ns: asked.sent_ns,
                answer: None,
            });
        }
    }

    /// What became of the query that this would have been the answer to.
    fn stray(&self, key: &Key, question: Option<&Question>) -> Option<Stray> {
        let place = self.place(key, question?);
        let outcome = self.outcomes.iter().find_map(|known| known.get(&place))?;
        Some(match outcome {
            Outcome::Answered => Stray::Duplicate,
            Outcome::TimedOut => Stray::Late,
        })
    }

    fn remember(&mut self, key: &Key, question: &Question, outcome: Outcome) {
        let place = self.place(key, question);
        let [young, old] = &mut self.outcomes;
        if young.len() >= MOST_OUTCOMES {
            std::mem::swap(old, young);
            young.clear();
        }
        young.insert(place, outcome);
    }

    fn place(&self, key: &Key, question: impl Hash) -> u64 {
        self.hasher.hash_one((key, question))
    }
}

#[cfg(test)]
mod tests;
