//! From OTLP names to Prometheus names, by the rules of the OpenTelemetry
//! specification ("Prometheus and OpenMetrics Compatibility").

/// What a metric is, as far as its Prometheus name depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A monotonic sum.
    Counter,
    /// Anything that goes up and down.
    Gauge,
    /// Values counted by size.
    Histogram,
}

impl Kind {
    /// The word of the `# TYPE` line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The Prometheus name of the metric `name` with the UCUM unit `unit`: invalid
/// characters become `_`, the unit is spelled out at the end unless the name has it,
/// and counters end in `_total`.
pub fn metric(name: &str, unit: &str, kind: Kind) -> String {
    let counter = kind == Kind::Counter;
    name_of(name, spell_unit(unit, kind == Kind::Gauge), counter)
}

/// The Prometheus name of the metric `name` that is neither a counter nor a gauge by nature:
/// a histogram, a summary, a sum that goes up and down. It ends with its unit.
pub fn plain(name: &str, unit: &str) -> String {
    name_of(name, spell_unit(unit, false), false)
}

/// The unit as it stands in names; empty if it has no word there.
pub fn unit(unit: &str, is_gauge: bool) -> String {
    spell_unit(unit, is_gauge).join("_")
}

fn name_of(name: &str, unit: Vec<String>, counter: bool) -> String {
    let mut words = words(name);
    if counter {
        words.retain(|word| word != "total");
    }
    // The unit's words count as present wherever they stand in the name.
    if !unit.is_empty() && !words.windows(unit.len()).any(|part| part == unit) {
        words.extend(unit);
    }
    if counter {
        words.push("total".to_owned());
    }
    let mut whole = words.join("_");
    if whole.is_empty() {
        // No letter or digit that Prometheus takes.
        whole.push('_');
    }
    no_leading_digit(whole)
}

/// The Prometheus label of the attribute `name`.
pub fn label(name: &str) -> String {
    let mut label = String::with_capacity(name.len() + 1);
    push_label(name, &mut label);
    label
}

/// Append the Prometheus label of the attribute `name`.
pub fn push_label(name: &str, out: &mut String) {
    let start = out.len();
    let mut gap = false;
    for byte in name.bytes() {
        if !byte.is_ascii_alphanumeric() {
            gap = true;
            continue;
        }
        if out.len() == start {
            if byte.is_ascii_digit() {
                out.push('_');
            }
        } else if gap {
            out.push('_');
        }
        gap = false;
        out.push(char::from(byte));
    }
    if out.len() == start {
        out.push('_');
    }
}

fn words(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn no_leading_digit(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

/// The words of a unit. Annotations in braces have no word; `1` is a ratio, but only
/// of a gauge; what follows a `/` is a single one.
fn spell_unit(unit: &str, gauge: bool) -> Vec<String> {
    let unit = without_annotations(unit);
    if unit == "1" {
        return match gauge {
            true => vec!["ratio".to_owned()],
            false => Vec::new(),
        };
    }
    let (main, per) = match unit.split_once('/') {
        Some((main, per)) => (main, per),
        None => (unit.as_str(), ""),
    };
    let mut spelled = words(plural(main));
    let per = words(singular(per));
    if !per.is_empty() {
        spelled.push("per".to_owned());
        spelled.extend(per);
    }
    spelled
}

fn without_annotations(unit: &str) -> String {
    let mut depth = 0_usize;
    unit.chars()
        .filter(|c| {
            match c {
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}

fn plural(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "%" => "percent",
        other => other,
    }
}

fn singular(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_opentelemetry_rules() {
        for (name, unit, kind, wanted) in [
            (
                "weir.network.flow.io",
                "By",
                Kind::Counter,
                "weir_network_flow_io_bytes_total",
            ),
            (
                "weir.network.flow.packets",
                "{packet}",
                Kind::Counter,
                "weir_network_flow_packets_total",
            ),
            (
                "weir.network.tcp.rtt",
                "s",
                Kind::Gauge,
                "weir_network_tcp_rtt_seconds",
            ),
            (
                "http.server.active_requests",
                "{request}",
                Kind::Gauge,
                "http_server_active_requests",
            ),
            ("disk.io.total", "By", Kind::Counter, "disk_io_bytes_total"),
            ("already.bytes", "By", Kind::Gauge, "already_bytes"),
            ("cpu.utilization", "1", Kind::Gauge, "cpu_utilization_ratio"),
            ("things.done", "1", Kind::Counter, "things_done_total"),
            (
                "disk.speed",
                "By/s",
                Kind::Gauge,
                "disk_speed_bytes_per_second",
            ),
            ("fan.turns", "{turn}/m", Kind::Gauge, "fan_turns_per_minute"),
            (
                "odd..name-with+signs",
                "",
                Kind::Gauge,
                "odd_name_with_signs",
            ),
            ("5xx.answers", "", Kind::Counter, "_5xx_answers_total"),
        ] {
            assert_eq!(metric(name, unit, kind), wanted, "{name} in {unit}");
        }
        assert_eq!(label("process.executable.name"), "process_executable_name");
        assert_eq!(label("0.weird"), "_0_weird");
        assert_eq!(label("..a--b.."), "a_b");
        assert_eq!(label("_private"), "private");
        assert_eq!(label("größe"), "gr_e");
        assert_eq!(label("温度"), "_");
        assert_eq!(metric("温度", "", Kind::Gauge), "_");
        assert_eq!(
            plain("http.server.request.duration", "s"),
            "http_server_request_duration_seconds"
        );
        assert_eq!(plain("queue.fill", "1"), "queue_fill");
    }
}
