//! `podling top`: what containers use of the machine.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::stdout::Stdout;
use super::table::{row, table};
use super::{data, duration};
use crate::error::Result;
use crate::pod::list::{self, Found, Life};
use crate::pod::{Reply, Request, Usage};

/// Show what containers use of the machine, as `kubectl top pod --containers` does
#[derive(Debug, clap::Args)]
#[command(
    after_help = "CPU is the mean of the interval, in thousandths of a processor; memory is what is resident, pages that processes share
counted for each.

Examples:
  podling top
  podling top web --interval 5s
  podling top -w"
)]
pub struct Args {
    /// Only these pods
    #[arg(value_name = "POD", add = super::complete::pods())]
    pods: Vec<String>,

    /// Measure again and again
    #[arg(short, long)]
    watch: bool,

    /// Measure once, which is what happens without --watch: podman's and docker's stats need to be told
    #[arg(long, conflicts_with = "watch")]
    no_stream: bool,

    /// For how long the use of processors is measured
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> std::result::Result<Duration, String> {
    match duration::parse(text)? {
        short if short < Duration::from_millis(50) => {
            Err("must be 50ms at least: the kernel counts in hundredths".to_owned())
        }
        length => Ok(length),
    }
}

/// What each pod's containers use, and when that was.
#[derive(Debug, Default)]
struct Sample(BTreeMap<String, (Instant, Vec<Usage>)>);

/// Runs the verb.
///
/// # Errors
/// A pod that is not there or has ended, or cannot be asked.
pub fn run(args: &Args) -> Result<u8> {
    let data = data::of_pods()?;
    let mut before = sample(&data, &args.pods)?;
    if before.0.is_empty() {
        super::say("no pod runs");
        return Ok(0);
    }
    let on_terminal = std::io::stdout().is_terminal();
    loop {
        std::thread::sleep(args.interval);
        let after = sample(&data, &args.pods)?;
        let text = table(&rows(&before, &after));
        let mut out = Stdout::lock();
        if args.watch && on_terminal {
            // Home, and nothing below it (console_codes(4)).
            out.write_all(b"\x1b[H\x1b[2J")?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if !args.watch || after.0.is_empty() {
            return Ok(0);
        }
        before = after;
    }
}

fn sample(data: &Path, names: &[String]) -> Result<Sample> {
    let pods: Vec<Found> = if names.is_empty() {
        list::all(data)?.into_iter().filter(|pod| matches!(pod.life, Life::Live(_))).collect()
    } else {
        names.iter().map(|name| list::live(data, name).map(|(found, _)| found)).collect::<Result<_>>()?
    };
    let mut sample = Sample::default();
    for pod in pods {
        let Life::Live(connection) = &pod.life else { continue };
        // One that has just ended uses nothing.
        if let Some((Reply::Usage(usage), _)) = connection.call(&Request::Usage, &[])? {
            sample.0.insert(pod.name, (Instant::now(), usage));
        }
    }
    Ok(sample)
}

/// The header, and a row for each container of the second sample.
fn rows(before: &Sample, after: &Sample) -> Vec<Vec<String>> {
    let mut rows = vec![row(["POD", "CONTAINER", "CPU(cores)", "MEMORY(bytes)", "PIDS"])];
    for (name, (at, usage)) in &after.0 {
        let earlier = before.0.get(name);
        for now in usage {
            let then = earlier.and_then(|(_, usage)| usage.iter().find(|then| then.container == now.container));
            // Without an earlier sample nobody knows for how long it has used what it has.
            let cpu = earlier.map(|(then_at, _)| millicores(then, now, at.saturating_duration_since(*then_at)));
            let cpu = cpu.map_or_else(|| "<unknown>".to_owned(), |cpu| format!("{cpu}m"));
            let memory = format!("{}Mi", now.memory_bytes >> 20);
            rows.push(row([name, &now.container, &cpu, &memory, &now.processes.to_string()]));
        }
    }
    rows
}

/// Thousandths of a processor. A container that has less behind it than before was started again meanwhile.
fn millicores(before: Option<&Usage>, after: &Usage, time: Duration) -> u128 {
    let then = before.map_or(0, |usage| usage.cpu_nanoseconds);
    let used = after.cpu_nanoseconds.checked_sub(then).unwrap_or(after.cpu_nanoseconds);
    (u128::from(used) * 1000).div_ceil(time.as_nanos().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(cpu_nanoseconds: u64) -> Usage {
        Usage { container: "c".to_owned(), cpu_nanoseconds, memory_bytes: 5 << 20, processes: 2 }
    }

    #[test]
    fn millicores_are_of_the_time_between() {
        let second = Duration::from_secs(1);
        assert_eq!(millicores(Some(&usage(1_000_000_000)), &usage(1_250_000_000), second), 250);
        assert_eq!(millicores(Some(&usage(5_000_000_000)), &usage(500_000_000), second), 500);
        assert_eq!(millicores(None, &usage(10_000_000), second), 10);
        assert_eq!(millicores(Some(&usage(7)), &usage(7), Duration::ZERO), 0);
    }

    #[test]
    fn a_row_for_each_container_that_runs() {
        let at = Instant::now();
        let sample = |at: Instant, usage: Usage| Sample(BTreeMap::from([("p".to_owned(), (at, vec![usage]))]));
        let rows = rows(&sample(at, usage(0)), &sample(at + Duration::from_secs(2), usage(1_000_000_000)));
        assert_eq!(rows[1..], [row(["p", "c", "500m", "5Mi", "2"])]);
        let rows = super::rows(&Sample::default(), &sample(at, usage(0)));
        assert_eq!(rows[1][2], "<unknown>");
    }
}
