//! `mesh-sim --cases 10000 --seed 1`: how many faults the core places and names. `--case K` shows one case in full.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use mesh_proto::Report;
use mesh_sim::{Case, Draw, Score};

const USAGE: &str = "mesh-sim [--cases N] [--seed N] [--nodes MIN..MAX] [--faults MIN..MAX] [--loss SHARE] [--peers N] [--case K] [--only FAULT]";

/// What was asked for.
struct Options {
    draw: Draw,
    cases: u64,
    case: Option<u64>,
    /// Only cases with a fault of this kind.
    only: Option<String>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match options.case {
        Some(number) => show(&options.draw, number),
        None => measure(&options),
    }
    ExitCode::SUCCESS
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let draw = Draw {
        seed: 1,
        nodes: (10, 1_000),
        faults: (1, 3),
        loss: 0.01,
        peers: None,
    };
    let mut options = Options {
        draw,
        cases: 1_000,
        case: None,
        only: None,
    };
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
        let bad = || format!("{word} {value}: not understood");
        let draw = &mut options.draw;
        match word.as_str() {
            "--cases" => options.cases = value.parse().map_err(|_| bad())?,
            "--seed" => draw.seed = value.parse().map_err(|_| bad())?,
            "--nodes" => draw.nodes = range(&value).filter(|(least, _)| *least >= 2).ok_or_else(bad)?,
            "--faults" => draw.faults = range(&value).ok_or_else(bad)?,
            "--loss" => {
                let share = value.parse().ok().filter(|share| (0.0..0.5).contains(share));
                draw.loss = share.ok_or_else(bad)?;
            }
            "--peers" => draw.peers = Some(value.parse().map_err(|_| bad())?),
            "--case" => options.case = Some(value.parse().map_err(|_| bad())?),
            "--only" => options.only = Some(value),
            _ => return Err(format!("{word} is no option")),
        }
    }
    Ok(options)
}

/// `3..8` or `5`.
fn range(text: &str) -> Option<(usize, usize)> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let (least, most) = (least.parse().ok()?, most.parse().ok()?);
    (least <= most).then_some((least, most))
}

/// A case, its report, how well that did, and how long the decision took.
fn decide(draw: &Draw, number: u64) -> (Case, Report, Score, Duration) {
    let case = Case::draw(draw, number);
    let seeing = case.run();
    let begin = on_cpu();
    let report = seeing.matrix.into_report(case.info());
    let took = on_cpu().saturating_sub(begin);
    let score = Score::new(&case, &seeing.shows_in, &report, draw.loss > 0.0);
    (case, report, score, took)
}

/// How long this thread ran so far: what others do on the machine does not count (proc(5), `schedstat`). The wall clock where
/// the kernel does not say.
fn on_cpu() -> Duration {
    static BEGIN: LazyLock<Instant> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "a driver: it measures")]
        Instant::now()
    });
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = stat.and_then(|stat| stat.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| BEGIN.elapsed(), Duration::from_nanos)
}

fn show(draw: &Draw, number: u64) {
    let (case, report, score, took) = decide(draw, number);
    println!("{:#?}", case.site);
    for fault in &case.faults {
        println!("{fault:?}");
    }
    for found in &score.found {
        println!("{found:?}");
    }
    for (number, finding) in report.findings.iter().enumerate() {
        let place = &finding.place;
        println!(
            "\n#{number} {} {} {} explains {}\n  {}\n  nodes {:?} pairs {:?} plane {:?} direction {:?} protocol {:?} port {:?} service {:?} endpoint {:?}",
            finding.confidence,
            finding.severity,
            finding.cause,
            finding.explains,
            finding.summary,
            place.nodes,
            place.pairs,
            place.plane,
            place.direction,
            place.protocol,
            place.port,
            place.service,
            place.endpoint,
        );
        for line in &finding.evidence {
            println!("  - {line}");
        }
    }
    println!(
        "\nmisplaced {:?}, false culprits {:?}, {took:?}",
        score.misplaced, score.false_culprits
    );
    println!(
        "coverage {:?}, unexplained {}",
        report.coverage, report.unexplained
    );
    if let Some(memory) = most_memory() {
        println!("memory at the most: {memory} MiB");
    }
}

/// Counts over all cases.
#[derive(Default)]
struct Totals {
    cases: u64,
    placed: u64,
    visible: u64,
    found: u64,
    to_name: u64,
    named: u64,
    culprits: u64,
    failing: Vec<u64>,
    /// Of faults that were not placed: in how many cells they show.
    missed: Vec<usize>,
    /// Cases with a finding at a place that is whole.
    misplaced: Vec<u64>,
    false_culprits: Vec<u64>,
    /// By kind of fault: what the finding at its place called it.
    confusion: BTreeMap<String, BTreeMap<String, u64>>,
    /// By kind: of how many cases not all was placed.
    misses: BTreeMap<String, u64>,
    times: Vec<(usize, Duration)>,
}

fn measure(options: &Options) {
    let mut totals = Totals::default();
    for number in 0..options.cases {
        if let Some(only) = &options.only {
            let case = Case::draw(&options.draw, number);
            if !case
                .faults
                .iter()
                .any(|fault| format!("{fault:?}").starts_with(only.as_str()))
            {
                continue;
            }
        }
        let (case, _, score, took) = decide(&options.draw, number);
        totals.add(number, &score);
        totals.times.push((case.site.nodes(), took));
    }
    totals.print();
}

impl Totals {
    fn add(&mut self, number: u64, score: &Score) {
        self.cases += 1;
        self.placed += u64::from(score.is_placed());
        if !score.is_placed() {
            self.failing.push(number);
            for found in &score.found {
                *self.misses.entry(found.kind.clone()).or_default() += 1;
            }
        }
        if !score.misplaced.is_empty() {
            self.misplaced.push(number);
        }
        if !score.false_culprits.is_empty() {
            self.false_culprits.push(number);
        }
        self.culprits += score.false_culprits.len() as u64;
        for fault in score.found.iter().filter(|fault| fault.shows_in > 0) {
            self.visible += 1;
            self.found += u64::from(fault.placed);
            if !fault.placed {
                self.missed.push(fault.shows_in);
            }
            if let Some(named) = fault.named {
                self.to_name += 1;
                self.named += u64::from(named);
            }
            let said = fault.cause.map_or("(not placed)", |cause| cause.name());
            *self
                .confusion
                .entry(fault.kind.clone())
                .or_default()
                .entry(said.to_owned())
                .or_default() += 1;
        }
    }

    fn print(&mut self) {
        let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        println!("cases           {}", self.cases);
        println!("placed          {:.2} % of cases", share(self.placed, self.cases));
        println!(
            "faults placed   {:.2} % of {} that show",
            share(self.found, self.visible),
            self.visible
        );
        println!(
            "right cause     {:.2} % of {} that need no facts",
            share(self.named, self.to_name),
            self.to_name
        );
        println!("false culprits  {}", self.culprits);
        println!("\nfault, and what the finding at its place says:");
        for (kind, said) in &self.confusion {
            let words: Vec<String> = said
                .iter()
                .map(|(cause, count)| format!("{cause} {count}"))
                .collect();
            let misses = self.misses.get(kind).copied().unwrap_or(0);
            println!(
                "  {kind:<24} {}{}",
                words.join(", "),
                if misses > 0 {
                    format!("   [in {misses} failing cases]")
                } else {
                    String::new()
                }
            );
        }
        println!("\nnot placed: {:?}", self.failing);
        self.missed.sort_unstable();
        println!("faults not placed show in so many cells: {:?}", self.missed);
        println!("placed where nothing is broken: {:?}", self.misplaced);
        println!("false culprits: {:?}", self.false_culprits);
        self.times.sort();
        println!("\ntime per decision:");
        for (least, most) in [
            (0, 16),
            (16, 32),
            (32, 64),
            (64, 128),
            (128, 256),
            (256, 512),
            (512, 1_024),
            (1_024, 2_048),
            (2_048, 4_096),
            (4_096, 1 << 20),
        ] {
            let mut times: Vec<Duration> = self
                .times
                .iter()
                .filter(|(nodes, _)| (least..most).contains(nodes))
                .map(|(_, took)| *took)
                .collect();
            times.sort();
            if let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) {
                println!(
                    "  {least:>4} nodes and more: {:>5} cases, median {median:?}, longest {longest:?}",
                    times.len()
                );
            }
        }
        if let Some(memory) = most_memory() {
            println!("\nmemory at the most: {memory} MiB");
        }
    }
}

/// The largest resident set so far, in MiB: the matrix, the network around it, and the decision.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1_024)
}
