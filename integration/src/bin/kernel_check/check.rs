//! Runs the cases on this kernel.

use std::{
    fs,
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::Context as _;
use weir_integration::{
    cases::{self, Case},
    eventually,
    watched::Watched,
    weir::Gateway,
};

/// Hooks that are not the best of any tested kernel, or only of the oldest: forced, so that the verifier of
/// every kernel sees them.
const FALLBACKS: [&str; 1] = ["raw_tracepoint"];

/// The same for UDP.
const UDP_FALLBACK: &str = "fexit";

/// Runs this program again in a new network namespace.
pub(crate) fn in_own_namespace(only: &str) -> anyhow::Result<ExitCode> {
    let own = std::env::current_exe()?;
    // Named namespaces are mounts: those of the cases stay here.
    let script = "ip link set lo up && exec \"$0\" check --only \"$1\"";
    let status = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-ec", script])
        .arg(own)
        .arg(only)
        .status()
        .context("failed to run unshare")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs every case whose name contains `only`; whether all were right.
pub(crate) fn run(only: &str) -> anyhow::Result<bool> {
    let began = Instant::now();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    println!("kernel {}", release.trim());
    let mut failed = with_agent("", "", only, true);
    for hook in FALLBACKS {
        let agent = format!("  hook: {hook}\n");
        failed += with_agent(&agent, &format!("{hook}: "), only, false);
    }
    failed += udp_fallback(only);
    println!("end {failed} failed, {} s", began.elapsed().as_secs());
    Ok(failed == 0)
}

/// Runs the cases under one agent; the number that failed.
fn with_agent(agent: &str, prefix: &str, only: &str, every: bool) -> usize {
    let weir = match Watched::start(agent) {
        Ok(weir) => weir,
        Err(error) => {
            fail(&format!("{prefix}the agent starts"), &error);
            return 1;
        }
    };
    let mut cases = cases::tcp();
    match hooks(&weir.gateway) {
        Ok(hooks) => {
            let has_udp = hooks
                .iter()
                .any(|hook| hook.event == "udp" && hook.hook != "none");
            // UDP has a fallback of its own.
            if every && has_udp {
                cases.extend(cases::udp());
            }
            if every {
                for hook in &hooks {
                    println!("hook {} {} {}", hook.event, hook.hook, hook.reason);
                }
            }
        }
        Err(error) => {
            fail(&format!("{prefix}the agent says its hooks"), &error);
            return 1;
        }
    }
    let chosen = cases.iter().filter(|case| case.name.contains(only));
    let wrong = chosen.filter(|case| !is_right(case, &weir, agent, prefix));
    wrong.count()
}

/// Runs the cases about UDP under the fallback; the number that failed. A kernel that refuses it, or on which
/// the agent says that it is not exact, has no such lines; the document's table says where there are some.
fn udp_fallback(only: &str) -> usize {
    let agent = format!("  udp: {{hook: {UDP_FALLBACK}}}\n");
    let prefix = format!("{UDP_FALLBACK}: ");
    let started = Watched::start(&agent).and_then(|weir| {
        let hooks = hooks(&weir.gateway)?;
        Ok((weir, hooks))
    });
    let (weir, hooks) = match started {
        Ok(started) => started,
        Err(error) => {
            fail(&format!("{prefix}the agent starts"), &error);
            return 1;
        }
    };
    let unfit = |hook: &&Hook| {
        hook.event == "udp" && (hook.hook == "none" || hook.reason.contains("too low"))
    };
    if let Some(refused) = hooks.iter().find(unfit) {
        println!("without {UDP_FALLBACK}: {}", refused.reason);
        return 0;
    }
    let cases = cases::udp();
    let chosen = cases.iter().filter(|case| case.name.contains(only));
    chosen
        .filter(|case| !is_right(case, &weir, &agent, &prefix))
        .count()
}

fn is_right(case: &Case, weir: &Watched, agent: &str, prefix: &str) -> bool {
    let name = format!("{prefix}{}", case.name);
    match (case.check)(weir, agent) {
        Ok(()) => {
            println!("ok {name}");
            true
        }
        Err(error) => {
            fail(&name, &error);
            println!("    counted by the agent: {}", counted(&weir.gateway));
            false
        }
    }
}

fn fail(name: &str, error: &anyhow::Error) {
    println!("FAIL {name}");
    for line in format!("{error:#}").lines() {
        println!("    {line}");
    }
}

/// What the agent lost by its own account, and how many records came through.
fn counted(gateway: &Gateway) -> String {
    let page = gateway.metrics().unwrap_or_default();
    let lines = page.lines().filter_map(|line| {
        let (series, value) = line.strip_prefix("weir_agent_")?.rsplit_once(' ')?;
        let is_told = series.starts_with("records_") || series.starts_with("pass_");
        (is_told && value != "0").then(|| format!("{series} {value}"))
    });
    lines.collect::<Vec<_>>().join(", ")
}

struct Hook {
    event: String,
    hook: String,
    reason: String,
}

/// How the agent observes each event, as the gateway's metrics page says.
fn hooks(gateway: &Gateway) -> anyhow::Result<Vec<Hook>> {
    eventually("the agent's hooks on the metrics page", || {
        let page = gateway.metrics().map_err(|error| error.to_string())?;
        let hooks: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("weir_agent_hook_info{"))
            .filter_map(|line| {
                Some(Hook {
                    event: label(line, "event")?,
                    hook: label(line, "hook")?,
                    reason: label(line, "reason").unwrap_or_default(),
                })
            })
            .collect();
        if hooks.is_empty() {
            Err("none".to_owned())
        } else {
            Ok(hooks)
        }
    })
}

/// Value of a label; what it escapes stays escaped.
fn label(series: &str, name: &str) -> Option<String> {
    let (_, rest) = series.split_once(&format!("{name}=\""))?;
    let mut escaped = false;
    let end = rest.find(|character| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    })?;
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn a_label_ends_at_the_first_quote_that_is_not_escaped() {
        let series = r#"x{event="tcp",reason="said \"no\" \\",hook="y"} 1"#;
        assert_eq!(
            label(series, "reason").as_deref(),
            Some(r#"said \"no\" \\"#)
        );
        assert_eq!(label(series, "hook").as_deref(), Some("y"));
        assert_eq!(label(series, "host"), None);
    }
}
