//! Many checks: several targets at the same time, and the spread of one that is repeated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Check, Report, run};
use crate::authority::Authority;
use crate::tunnel::Stage;

/// Checks under way at the same time: a proxy is asked faster than one by one, and neither it nor
/// a limit of 256 open files is overrun.
const AT_ONCE: usize = 64;

/// Checks every target, and gives each report in the order of the targets, as soon as those before
/// it are there. `false` from `tell` ends it.
pub async fn each(job: &Arc<Check>, targets: &[Authority], mut tell: impl FnMut(Report) -> bool) {
    let mut waiting = targets.iter().cloned().enumerate();
    let mut under_way = JoinSet::new();
    let mut early: BTreeMap<usize, Report> = BTreeMap::new();
    let mut next = 0;
    // The first goes ahead: where a proxy wants a password, a person is asked once, and what it
    // refuses is not sent 64 times.
    let mut at_once = 1;
    while next < targets.len() {
        while under_way.len() < at_once
            && let Some((place, target)) = waiting.next()
        {
            let job = Arc::clone(job);
            under_way.spawn(async move { (place, run(&job, &target).await) });
        }
        at_once = AT_ONCE;
        let Some(done) = under_way.join_next().await else { return };
        // A task ends by its report alone: a panic ends the program.
        if let Ok((place, report)) = done {
            early.insert(place, report);
        }
        while let Some(report) = early.remove(&next) {
            next += 1;
            if !tell(report) {
                return;
            }
        }
    }
}

/// The times of one target's repeated checks.
#[derive(Debug, Default)]
pub struct Statistics {
    /// How often it was checked.
    pub runs: u64,
    /// How often that failed.
    pub failed: u64,
    /// A chain has stages of the same name, one with each proxy. All times, in microseconds: what is
    /// told of them is exact, and a check a second is five megabytes a day.
    stages: Vec<(Stage, Authority, Vec<u64>)>,
}

/// How the times of one stage are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The shortest.
    pub min: Duration,
    /// The one in the middle; of an even number, the mean of the two.
    pub median: Duration,
    /// The shortest that 95 of 100 do not exceed.
    pub p95: Duration,
    /// The longest.
    pub max: Duration,
    /// How many there are: those of the checks that got so far.
    pub count: u64,
}

impl Statistics {
    /// Takes a report in. A stage that failed has no time that says anything.
    pub fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.failed += u64::from(report.failure.is_some());
        for stage in report.stages.iter().filter(|stage| stage.status == super::StageStatus::Ok) {
            let Some(took) = stage.took else { continue };
            let at = match self
                .stages
                .iter()
                .position(|(known, with, _)| (*known, with) == (stage.stage, &stage.with))
            {
                Some(at) => at,
                None => {
                    self.stages.push((stage.stage, stage.with.clone(), Vec::new()));
                    self.stages.len() - 1
                }
            };
            self.stages[at].2.push(microseconds(took));
        }
    }

    /// Whether there are stages of this name with several, as in a chain.
    pub fn has_several(&self, stage: Stage) -> bool {
        self.stages.iter().filter(|(known, ..)| *known == stage).count() > 1
    }

    /// The spread of each stage, and with whom it is, in order.
    pub fn spreads(&self) -> impl Iterator<Item = (Stage, &Authority, Spread)> {
        self.stages.iter().filter_map(|(stage, with, times)| Some((*stage, with, Spread::of(times)?)))
    }
}

impl Spread {
    fn of(times: &[u64]) -> Option<Self> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let micros = Duration::from_micros;
        // They are the same where there is one in the middle.
        let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self {
            min: micros(min),
            median: (micros(below) + micros(above)) / 2,
            p95: micros(sorted[(sorted.len() * 95).div_ceil(100) - 1]),
            max: micros(max),
            count: sorted.len() as u64,
        })
    }
}

/// A time as it is told: rounded to a microsecond, a single one as those of many, so that they agree.
pub fn microseconds(time: Duration) -> u64 {
    u64::try_from((time.as_nanos() + 500) / 1000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Findings, StageReport, StageStatus};
    use super::*;

    fn report(took: u64, status: StageStatus) -> Report {
        let target: Authority = "host:1".parse().expect("a target");
        let stage = StageReport {
            took: Some(Duration::from_micros(took)),
            ..StageReport::new(Stage::Tcp, target.clone(), status)
        };
        Report {
            target,
            proxy: None,
            script: None,
            passed_over: Vec::new(),
            stages: vec![stage],
            found: Findings::default(),
            failure: None,
        }
    }

    #[test]
    fn the_spread_is_that_of_the_stages_that_went_well() {
        let mut statistics = Statistics::default();
        for took in 1..=100 {
            statistics.add(&report(took, StageStatus::Ok));
        }
        statistics.add(&report(1_000_000, StageStatus::Failed));
        let spreads: Vec<_> = statistics.spreads().collect();
        let micros = Duration::from_micros;
        let spread =
            Spread { min: micros(1), median: micros(101) / 2, p95: micros(95), max: micros(100), count: 100 };
        assert_eq!(spreads, [(Stage::Tcp, &"host:1".parse().expect("a target"), spread)]);
        assert_eq!(statistics.runs, 101);
    }

    #[test]
    fn the_spread_is_exact() {
        let micros = Duration::from_micros;
        for (times, min, median, p95, max) in [
            (&[123_457][..], 123_457, micros(123_457), 123_457, 123_457),
            (&[123_459, 123_457], 123_457, micros(123_458), 123_459, 123_459),
            (&[9, 1_234_567, 5], 5, micros(9), 1_234_567, 1_234_567),
            (&[4, 1, 3, 2], 1, micros(5) / 2, 4, 4),
        ] {
            let spread = Spread::of(times).expect("times");
            let (min, p95, max) = (micros(min), micros(p95), micros(max));
            assert_eq!(spread, Spread { min, median, p95, max, count: times.len() as u64 });
        }
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(microseconds(Duration::from_nanos(1_499)), 1);
        assert_eq!(microseconds(Duration::from_nanos(1_500)), 2);
    }
}
