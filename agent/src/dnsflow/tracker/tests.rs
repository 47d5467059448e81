use super::*;

const TIMEOUT: u64 = 5_000;
const HERE: Roles = Roles {
    client: true,
    server: false,
};

fn endpoints(port: u16) -> Endpoints {
    Endpoints {
        netns: 1,
        client: ([10, 0, 0, 1], port).into(),
        server: ([10, 0, 0, 2], 53).into(),
        is_tcp: false,
    }
}

fn asks(name: &str) -> Question {
    Question {
        name: name.into(),
        kind: 1,
        class: 1,
    }
}

/// A client at port 40000.
struct Client(Tracker);

impl Client {
    fn new() -> Self {
        Self(Tracker::new(100, TIMEOUT))
    }

    fn asks(&mut self, id: u16, name: &str, now: u64) -> bool {
        self.0.query(endpoints(40_000), id, asks(name), HERE, now)
    }

    /// Response code and latency.
    fn hears(&mut self, id: u16, name: &str, now: u64) -> Result<(u16, u64), Stray> {
        self.hears_at(40_000, id, name, now)
    }

    fn hears_at(&mut self, port: u16, id: u16, name: &str, now: u64) -> Result<(u16, u64), Stray> {
        let done = self
            .0
            .answer(endpoints(port), id, Some(&asks(name)), 3, now)?;
        let (rcode, latency) = done.answer.unwrap();
        Ok((rcode, latency.unwrap()))
    }

    /// Names of the queries that have timed out.
    fn gives_up(&mut self, now: u64) -> Vec<String> {
        let mut given_up = Vec::new();
        self.0.sweep(now, |done| {
            assert!(done.answer.is_none());
            given_up.push(done.question.name.to_string());
        });
        given_up
    }
}

#[test]
fn an_answer_ends_its_query_whatever_order_answers_come_in() {
    let mut client = Client::new();
    assert!(client.asks(1, "a", 100) && client.asks(2, "b", 200) && client.asks(1, "c", 300));
    assert_eq!(client.hears(1, "c", 310), Ok((3, 10)));
    assert_eq!(client.hears(2, "b", 350), Ok((3, 150)));
    assert_eq!(client.hears(1, "a", 400), Ok((3, 300)));
    assert_eq!(client.0.count, 0);
}

#[test]
fn a_repeated_query_is_another_and_the_answer_belongs_to_the_latest() {
    let mut client = Client::new();
    client.asks(1, "a", 0);
    client.asks(1, "a", 1000);
    assert_eq!(client.hears(1, "a", 1020), Ok((3, 20)));
    assert_eq!(client.gives_up(TIMEOUT), ["a"]);
    assert_eq!(client.0.count, 0);
}

#[test]
fn a_query_without_an_answer_times_out_and_the_answer_after_that_is_late() {
    let mut client = Client::new();
    client.asks(1, "a", 100);
    assert!(client.gives_up(TIMEOUT).is_empty());
    assert_eq!(client.gives_up(TIMEOUT + 100), ["a"]);
    assert_eq!(client.hears(1, "a", TIMEOUT + 101), Err(Stray::Late));
}

#[test]
fn a_second_answer_is_a_duplicate() {
    let mut client = Client::new();
    client.asks(1, "a", 100);
    assert!(client.hears(1, "a", 110).is_ok());
    assert_eq!(client.hears(1, "a", 120), Err(Stray::Duplicate));
    client.asks(1, "b", 130);
    assert_eq!(client.hears(1, "a", 140), Err(Stray::Duplicate));
    assert!(client.hears(1, "b", 150).is_ok());
}

#[test]
fn forged_answers_end_no_query() {
    let mut client = Client::new();
    client.asks(1, "bank.example", 100);
    assert_eq!(client.hears(1, "evil.example", 101), Err(Stray::Forged));
    assert_eq!(client.hears(2, "bank.example", 102), Err(Stray::Unasked));
    assert_eq!(
        client.hears_at(40_001, 1, "bank.example", 103),
        Err(Stray::Unasked)
    );
    assert_eq!(client.hears(1, "bank.example", 104), Ok((3, 4)));
}

#[test]
fn an_answer_without_a_question_ends_the_latest_query_of_its_transaction() {
    let mut client = Client::new();
    client.asks(1, "a", 100);
    let done = client.0.answer(endpoints(40_000), 1, None, 1, 105).unwrap();
    assert_eq!(done.answer, Some((1, Some(5))));
}

#[test]
fn a_full_table_takes_no_query_until_others_end() {
    let mut client = Client::new();
    for id in 0..100 {
        assert!(client.asks(id, "a", 0));
    }
    assert!(!client.asks(100, "a", 0));
    assert!(client.hears(7, "a", 1).is_ok());
    assert!(client.asks(100, "a", 1));
    assert_eq!(client.gives_up(2 * TIMEOUT).len(), 100);
    for _ in 0..MOST_ASKED {
        assert!(client.asks(1, "again", 0));
    }
    assert!(
        !client.asks(1, "again", 0),
        "one transaction is bounded, too"
    );
}

#[test]
fn what_is_remembered_of_ended_queries_is_bounded() {
    let mut tracker = Tracker::new(10, TIMEOUT);
    for number in 0..200_000_u32 {
        let (port, id) = ((number >> 16) as u16, number as u16);
        tracker.query(endpoints(port), id, asks("a"), HERE, 0);
        assert!(tracker.answer(endpoints(port), id, None, 0, 1).is_ok());
    }
    let kept: usize = tracker.outcomes.iter().map(HashMap::len).sum();
    assert!(kept <= 2 * MOST_OUTCOMES, "{kept}");
}
