//! DNS: real servers and clients in network namespaces, and what is reported of them.
//!
//! The oracle is what dnsperf and dig say that they sent and heard.

mod counts;
mod domains;
mod forwarded;
mod intake;
mod named;
mod outcomes;

use weir_integration::{eventually, netns::Netns, weir::Agent};
use weir_proto::flow::v1::{Direction, Dnsflow, FlowEvent, Latency, flow_event::Data};

use self::intake::Intake;

/// An agent, and what it reports.
struct Watched {
    intake: Intake,
    _agent: Agent,
}

/// Queries of some rows, added up.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sum {
    count: u64,
    latency: Latency,
}

impl Watched {
    /// With these lines in the `dnsflow` section.
    fn start(dnsflow: &str) -> anyhow::Result<Self> {
        let intake = Intake::start()?;
        // Short, because a query without an answer is reported only then.
        let timeout = if dnsflow.contains("timeout") {
            ""
        } else {
            "  timeout: 2s\n"
        };
        let more = format!("  period: 500ms\ndnsflow:\n  period: 500ms\n{timeout}{dnsflow}");
        let agent = Agent::start(intake.address, &more)?;
        Ok(Self {
            intake,
            _agent: agent,
        })
    }

    /// DNS rows in a namespace.
    fn rows(&self, netns: &Netns) -> anyhow::Result<Vec<(FlowEvent, Dnsflow)>> {
        let inode: u32 = netns.inode()?.parse()?;
        let events = self.intake.events().into_iter().filter_map(|event| {
            let data = match &event.data {
                Some(Data::Dnsflow(data)) if event.netns == inode => data.clone(),
                _ => return None,
            };
            // The servers were asked for it until they answered.
            (data.query_name != "ready.invalid").then_some((event, data))
        });
        Ok(events.collect())
    }

    /// Sum of the rows in a namespace that `pick` takes.
    fn sum(
        &self,
        netns: &Netns,
        direction: Direction,
        pick: impl Fn(&FlowEvent, &Dnsflow) -> bool,
    ) -> anyhow::Result<Sum> {
        let mut sum = Sum::default();
        for (event, data) in self.rows(netns)? {
            if event.direction() == direction && pick(&event, &data) {
                sum.count += data.count;
                let latency = data.latency.unwrap_or_default();
                sum.latency.sum_nano += latency.sum_nano;
                sum.latency.max_nano = sum.latency.max_nano.max(latency.max_nano);
            }
        }
        Ok(sum)
    }

    /// Waits until a namespace has rows of so many queries of one side.
    fn until(
        &self,
        netns: &Netns,
        direction: Direction,
        count: u64,
        pick: impl Fn(&FlowEvent, &Dnsflow) -> bool,
    ) -> anyhow::Result<Sum> {
        eventually("rows of DNS", || {
            let sum = self
                .sum(netns, direction, &pick)
                .map_err(|error| error.to_string())?;
            if sum.count >= count {
                return Ok(sum);
            }
            let rows = self.rows(netns).unwrap_or_default();
            let last: Vec<_> = rows.iter().rev().take(10).collect();
            Err(format!("{} of {count}; {last:#?}", sum.count))
        })
    }

    /// Waits until the agent watches a namespace: what is asked there in a moment is reported.
    fn watches(&self, netns: &Netns) -> anyhow::Result<()> {
        eventually("the agent to watch a namespace", || {
            // Nobody listens: the query times out, or is refused by ICMP; it is seen all the same.
            let _nobody = netns.sh("dig @127.0.0.1 -p 5353 watched.invalid +tries=1 +time=1");
            let seen = self.rows(netns).map_err(|error| error.to_string())?;
            let seen = seen
                .iter()
                .any(|(_, data)| data.query_name == "watched.invalid");
            seen.then_some(()).ok_or_else(|| "not yet".to_owned())
        })
    }
}

/// Rows of one name.
fn of(name: &str) -> impl Fn(&FlowEvent, &Dnsflow) -> bool {
    move |_, data| data.query_name == name
}
