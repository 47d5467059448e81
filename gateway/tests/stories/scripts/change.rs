//! A script that is edited while Points go through it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use weir_proto::observe::v1::{Point, field::Value, subscribe_response::Message};

use super::{scripted, tags, write};
use crate::support::{Agent, Subscriber, flow, netflow, scrape};

const FILE: &str = "network/netflow.vrl";
const BATCH: u64 = 500;
/// Batches per second: 50,000 Points.
const BATCHES: u64 = 100;

fn script(version: u32) -> String {
    // Something in between, so that an edit in the middle of a Point could be seen.
    format!(
        ".tags.first = \"{version}\"\n.fields.sum = to_int!(.fields.bytes_read) + \
         to_int!(.fields.bytes_written)\n.tags.second = \"{version}\""
    )
}

/// Sends numbered flows at 50,000 a second, or as fast as the gateway takes them, until told to stop; how many,
/// and when each batch was acked.
async fn send(mut agent: Agent, stop: Arc<AtomicBool>) -> (u64, Vec<Instant>) {
    let begin = Instant::now();
    let (mut sequence, mut sent, mut acked) = (0, 0, Vec::new());
    while !stop.load(Ordering::Acquire) {
        let numbered = |number| {
            netflow(flow(443), |data| {
                data.bytes_read = number;
                data.bytes_written = 1;
            })
        };
        sequence += 1;
        agent
            .deliver(sequence, (sent..sent + BATCH).map(numbered).collect())
            .await;
        acked.push(Instant::now());
        sent += BATCH;
        let due = begin + Duration::from_millis(sequence * 1000 / BATCHES);
        tokio::time::sleep_until(due.into()).await;
    }
    (sent, acked)
}

/// The version that edited `point`, wholly.
fn version(point: &Point) -> u32 {
    let tags = tags(point);
    assert_eq!(tags["first"], tags["second"], "half edited");
    assert_eq!(number(point, "sum"), number(point, "bytes_read") + 1);
    tags["first"].parse().expect("a version")
}

fn number(point: &Point, key: &str) -> i64 {
    let field = point.fields.iter().find(|field| field.key == key);
    match field.and_then(|field| field.value.as_ref()) {
        Some(Value::Int(number)) => *number,
        other => panic!("no number but {other:?}"),
    }
}

/// What a subscriber has got.
struct Received {
    subscriber: Subscriber,
    numbers: BTreeSet<i64>,
    /// The first Point of each version, by its number.
    first: BTreeMap<u32, i64>,
}

impl Received {
    /// The version that edited the latest Point.
    fn latest(&self) -> u32 {
        self.first.keys().last().copied().unwrap_or(0)
    }

    /// Read one message.
    async fn more(&mut self) {
        let Some(Message::Batch(batch)) = self.subscriber.message().await else {
            panic!("Points are lost");
        };
        for point in &batch.points {
            let (version, number) = (version(point), number(point, "bytes_read"));
            assert!(version >= self.latest(), "an older script came back");
            self.first.entry(version).or_insert(number);
            assert!(self.numbers.insert(number), "doubled");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
#[expect(clippy::print_stdout, reason = "rate and times are a result")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_script_takes_effect_within_a_second_and_no_point_is_lost_doubled_or_half_edited()
{
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), FILE, &script(1));
    let gateway = scripted(folder.path(), "").await;
    let subscriber = Subscriber::connect(gateway.flow, &[]).await;
    let agent = Agent::connect(gateway.flow, "a", 1).await;
    let stop = Arc::new(AtomicBool::new(false));
    let sending = tokio::spawn(send(agent, Arc::clone(&stop)));

    let mut received = Received {
        subscriber,
        numbers: BTreeSet::new(),
        first: BTreeMap::new(),
    };
    let mut written = BTreeMap::new();
    for version in 2..=4 {
        while received.latest() < version - 1 {
            received.more().await;
        }
        // A mistake in between changes nothing.
        write(folder.path(), FILE, "this is no program");
        let broken = [("namespace", "local")];
        while scrape(gateway.prometheus)
            .await
            .sum("weir_gateway_scripts_broken", &broken)
            == 0.0
        {
            received.more().await;
        }
        // As editors do it, and once as a shell does it.
        if version == 3 {
            write(folder.path(), FILE, &script(version));
        } else {
            write(folder.path(), "network/new", &script(version));
            let (from, to) = ("network/new", FILE);
            fs::rename(folder.path().join(from), folder.path().join(to)).expect("a file");
        }
        written.insert(version, Instant::now());
    }
    while received.latest() < 4 {
        received.more().await;
    }
    stop.store(true, Ordering::Release);
    let (sent, acked) = sending.await.expect("all acked");
    while received.numbers.len() < usize::try_from(sent).expect("a count") {
        received.more().await;
    }
    assert_eq!(
        received.numbers.last().copied(),
        Some(sent.cast_signed() - 1)
    );
    assert_eq!(
        received.first.keys().copied().collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );

    // The intake has processed a batch before it acks it; what subscribers wait for is their own affair.
    let batch = |number: i64| usize::try_from(number.cast_unsigned() / BATCH).expect("a place");
    let effect = |version: &u32| acked[batch(received.first[version])] - written[version];
    let waits: Vec<Duration> = (2..=4).map(|version| effect(&version)).collect();
    let rate = sent as f64 / (acked[acked.len() - 1] - acked[0]).as_secs_f64();
    println!("at {rate:.0} Points/s in force within {waits:.0?}");
    for wait in &waits {
        let limit = Duration::from_secs(1);
        assert!(*wait < limit, "at {rate:.0} Points/s within {waits:?}");
    }
    let page = scrape(gateway.prometheus).await;
    let labels = [("script", "netflow")];
    let through = page.sum("weir_gateway_script_points_total", &labels);
    assert_eq!(through, sent as f64);
    gateway.stop().await;
}
