//! `segue bench recommend`: threads that ask for lists of listeners drawn with a seed, for some seconds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::bench_recall::{Sample, sample};
use super::output::{note, print, print_json};
use crate::error::{Error, Result};
use crate::pipeline::recipe::{DEFAULT, Recipe};
use crate::pipeline::request::RecommendRequest;
use crate::telemetry;
use crate::types::{SplitMix64, Surface, Timestamp, UserId};

/// Listeners asked for; the benchmark draws from the first so many.
const LISTENERS_MAX: usize = 100_000;
/// Listeners a page.
const PAGE: u32 = 1_000;
/// Time before measuring starts, as a share of the measured time.
const WARM_UP: f64 = 0.1;

/// Measure finished lists.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchRecommendArgs {
    /// Where the lists are shown
    #[arg(long, value_name = "NAME")]
    surface: Surface,
    /// Clients that ask one after the other
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    concurrency: u32,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    seconds: f64,
    /// The time of the requests [default: now, the same for all]
    #[arg(long, value_name = "RFC3339")]
    as_of: Option<Timestamp>,
    /// List length [default: the recipe's]
    #[arg(long, value_name = "COUNT")]
    n: Option<u32>,
    /// Ask only for these listeners: a file with one id a line [default: the first 100,000]
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Decides which listeners are asked for
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Requests asked again, exactly, after measuring, for the recall of each vector source; 0 for none
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    recall_requests: u32,
    /// Also the mean time of each stage of the pipeline; needs --data
    #[arg(long, conflicts_with = "endpoint")]
    stages: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

/// What one client saw.
#[derive(Debug, Default)]
struct Seen {
    latencies: Vec<Duration>,
    errors: u64,
    first_error: Option<Error>,
    short_lists: u64,
}

impl BenchRecommendArgs {
    /// Runs the benchmark.
    ///
    /// # Errors
    /// Those of the database before measuring; errors while measuring are counted.
    pub fn run(self) -> Result<()> {
        if !(self.seconds > 0.0 && self.seconds <= 86_400.0) {
            return Err(Error::invalid(
                "seconds",
                format!("must be above 0, at most 86400. seconds=`{}`", self.seconds),
            ));
        }
        // Metrics are recorded from here on, before the first request.
        telemetry::metrics()?;
        let backend = Backend::open(&self.backend)?;
        if let Backend::Local(engine) = &backend {
            engine.wait_until_warm()?;
        }
        let users = match &self.users {
            Some(path) => listed(path)?,
            None => listeners(&backend)?,
        };
        let n = match self.n {
            Some(n) => n,
            None => recipe_length(&backend.recipes()?, &self.surface)?,
        };
        let as_of = self.as_of.unwrap_or_else(Timestamp::now);
        let client = &Client { backend: &backend, users: &users, surface: &self.surface, n, as_of };
        let measured = Duration::from_secs_f64(self.seconds);
        client.ask_until(Instant::now() + measured.mul_f64(WARM_UP), self.seed);
        let start = Instant::now();
        let seen = std::thread::scope(|scope| {
            let seeds = (0..self.concurrency).map(|thread| self.seed.wrapping_add(1 + u64::from(thread)));
            let threads: Vec<_> =
                seeds.map(|seed| scope.spawn(move || client.ask_until(start + measured, seed))).collect();
            threads
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect::<std::result::Result<Vec<_>, _>>()
        });
        let elapsed = start.elapsed();
        let seen = seen.map_err(|_| Error::Internal("a client of the benchmark failed".to_owned()))?;
        // Read before the exact requests, which are no part of what is measured.
        let stages = if self.stages { telemetry::stage_means()? } else { BTreeMap::new() };
        let first = &mut SplitMix64::new(self.seed.wrapping_add(1));
        let requests = (0..self.recall_requests).map(|_| client.draw(first));
        let sample = sample(&backend, requests)?;
        self.report(seen, elapsed, &stages, &sample)?;
        backend.close()
    }

    fn report(
        &self,
        seen: Vec<Seen>,
        elapsed: Duration,
        stages: &BTreeMap<String, (u64, f64)>,
        sample: &Sample,
    ) -> Result<()> {
        let mut latencies: Vec<Duration> =
            seen.iter().flat_map(|seen| seen.latencies.iter().copied()).collect();
        latencies.sort_unstable();
        let errors: u64 = seen.iter().map(|seen| seen.errors).sum();
        let short_lists: u64 = seen.iter().map(|seen| seen.short_lists).sum();
        if let Some(error) = seen.into_iter().find_map(|seen| seen.first_error) {
            note(&format!("the first of {errors} errors: {error}"));
        }
        let qps = latencies.len() as f64 / elapsed.as_secs_f64();
        let [p50, p95, p99] = [0.50, 0.95, 0.99].map(|share| percentile_ms(&latencies, share));
        if !self.output.json {
            let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2} ms"));
            let stages: String = stages
                .iter()
                .map(|(stage, (count, mean_ms))| format!("{stage:>20} {mean_ms:>9.3} ms, {count} times\n"))
                .collect();
            let recall: String = sample
                .recall
                .iter()
                .map(|(source, recall)| format!("{source:>20} {recall:>9.4} recall against exact search\n"))
                .collect();
            return print(&format!(
                "{qps:.0} lists/s with {} clients: p50 {}, p95 {}, p99 {}, {errors} errors, {short_lists} short lists\n{recall}{stages}",
                self.concurrency,
                ms(p50),
                ms(p95),
                ms(p99)
            ));
        }
        let mut document = Map::new();
        document.insert("surface".into(), json!(self.surface));
        document.insert("concurrency".into(), json!(self.concurrency));
        document.insert("requests".into(), json!(latencies.len()));
        document.insert("qps".into(), json!(round(qps)));
        document.insert("p50_ms".into(), json!(p50));
        document.insert("p95_ms".into(), json!(p95));
        document.insert("p99_ms".into(), json!(p99));
        document.insert("errors".into(), json!(errors));
        document.insert("short_lists".into(), json!(short_lists));
        let recall =
            sample.recall.iter().map(|(source, recall)| (source.clone(), json!(round(*recall)))).collect();
        document.insert("recall".into(), Value::Object(recall));
        document.insert("recall_requests".into(), json!(self.recall_requests));
        document.insert("sample_digest".into(), json!(sample.digest));
        if self.stages {
            let means =
                stages.iter().map(|(stage, (_, mean_ms))| (stage.clone(), json!(round(*mean_ms)))).collect();
            document.insert("stages_mean_ms".into(), Value::Object(means));
        }
        print_json(&document)
    }
}

/// What every thread shares.
struct Client<'a> {
    backend: &'a Backend,
    users: &'a [UserId],
    surface: &'a Surface,
    n: u32,
    as_of: Timestamp,
}

impl Client<'_> {
    /// Asks one list after the other until `end`.
    fn ask_until(&self, end: Instant, seed: u64) -> Seen {
        let mut rng = SplitMix64::new(seed);
        let mut seen = Seen::default();
        while Instant::now() < end {
            let request = self.draw(&mut rng);
            let start = Instant::now();
            match self.backend.recommend(request) {
                Ok(list) => {
                    seen.latencies.push(start.elapsed());
                    seen.short_lists += u64::from(list.tracks.len() < self.n as usize);
                }
                Err(error) => {
                    seen.errors += 1;
                    seen.first_error.get_or_insert(error);
                }
            }
        }
        seen
    }

    /// The next request of a client.
    fn draw(&self, rng: &mut SplitMix64) -> RecommendRequest {
        let user = &self.users[usize::try_from(rng.below(self.users.len() as u64)).unwrap_or(0)];
        RecommendRequest {
            n: Some(self.n),
            as_of: Some(self.as_of),
            request_id: Some(format!("bench-{:016x}", rng.next_u64())),
            ..RecommendRequest::new(user.clone(), self.surface.clone())
        }
    }
}

/// The listeners named in a file.
fn listed(path: &Path) -> Result<Vec<UserId>> {
    let text = fs::read_to_string(path).map_err(|source| Error::io("read the listeners", path, source))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let users = lines.map(UserId::new).collect::<std::result::Result<Vec<_>, _>>()?;
    if users.is_empty() {
        return Err(Error::invalid("users", format!("names no listener. path=`{}`", path.display())));
    }
    Ok(users)
}

fn listeners(backend: &Backend) -> Result<Vec<UserId>> {
    let mut users = Vec::new();
    let mut cursor = None;
    loop {
        let (page, next) = backend.list_users(cursor, PAGE)?;
        users.extend(page.into_iter().map(|user| user.user_id));
        cursor = next;
        if cursor.is_none() || users.len() >= LISTENERS_MAX {
            break;
        }
    }
    if users.is_empty() {
        return Err(Error::not_found("user", "the database has none: run `segue load users` first"));
    }
    Ok(users)
}

/// The list length a surface's active recipe asks for.
fn recipe_length(recipes: &[(Recipe, bool)], surface: &Surface) -> Result<u32> {
    let active = |name: &str| recipes.iter().find(|(recipe, active)| *active && recipe.name == name);
    let found = active(surface.as_str()).or_else(|| active(DEFAULT));
    found.map(|(recipe, _)| recipe.n).ok_or_else(|| Error::not_found("recipe", DEFAULT))
}

/// The latency that the share of requests did not exceed; none without requests.
fn percentile_ms(sorted: &[Duration], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map(|latency| round(latency.as_secs_f64() * 1_000.0))
}

/// Three decimals.
fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile_ms(&sorted, 0.50), Some(100.0));
        assert_eq!(percentile_ms(&sorted, 0.99), Some(198.0));
        assert_eq!(percentile_ms(&sorted[..1], 0.99), Some(1.0));
        assert_eq!(percentile_ms(&[], 0.5), None);
    }
}
