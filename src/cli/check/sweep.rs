//! Which ports a proxy permits: those with the same outcome in one line.

use std::io::{self, Write};

use super::{failure, text};
use crate::authority::Authority;
use crate::cli::exit::Kind;
use crate::cli::explain::Explanation;
use crate::cli::hints::Detail;
use crate::cli::report::Told;
use crate::mode::check::{CheckError, Report};
use crate::tunnel::Stage;

/// The hint where the proxy forbids a port; the cause's own leads to a sweep.
const PERMITTED: &str = "the proxy's rules forbid this host or port; what they permit is in the report";

/// The outcomes so far.
#[derive(Default)]
pub(super) struct Sweep {
    ways: Vec<Way>,
    /// The first failure.
    failed: Option<Told>,
    /// The first that says nothing about ports.
    spoiled: Option<Told>,
}

/// The ports that have the same way, by the same reason.
struct Way {
    head: text::Head,
    why: String,
    groups: Vec<Group>,
}

struct Group {
    verdict: &'static str,
    /// The proxy's words.
    words: String,
    ports: Vec<u16>,
}

impl Sweep {
    pub(super) fn add(&mut self, report: &Report, explanation: &Explanation) {
        let target = &report.target;
        let told = failure::failure(report);
        let verdict = match told.as_ref().map(|told| told.kind) {
            None => "permits",
            // The proxy that decides was not asked.
            Some(_) if !is_its_answer(report) => "failed",
            Some(Kind::Refused) => "refuses",
            // It tried: that it may is the answer.
            Some(Kind::Gateway) => "can't reach",
            Some(Kind::Timeout) => "is silent",
            Some(_) => "failed",
        };
        let answer = report.stages.iter().filter(|stage| stage.stage == Stage::Connect);
        let answer = answer.flat_map(|stage| &stage.exchanges).next_back();
        let words = match (answer, &told) {
            (Some(answer), Some(_)) => format!("{} {}", answer.status, answer.reason).trim_end().to_owned(),
            (_, Some(told)) => told.kind.name().to_owned(),
            (_, None) => String::new(),
        };
        if verdict == "failed" && self.spoiled.is_none() {
            self.spoiled.clone_from(&told);
        }
        self.failed = self.failed.take().or(told);
        let (head, why) = (text::Head::of(report), explanation.in_short(target));
        let known = self.ways.iter().position(|way| way.head.through == head.through && way.why == why);
        let place = known.unwrap_or_else(|| {
            self.ways.push(Way { head, why, groups: Vec::new() });
            self.ways.len() - 1
        });
        let groups = &mut self.ways[place].groups;
        match groups.iter_mut().find(|group| group.verdict == verdict && group.words == words) {
            Some(group) => group.ports.push(target.port()),
            None => groups.push(Group { verdict, words, ports: vec![target.port()] }),
        }
    }

    /// The failure that is told: what kept the proxy from being asked, else the first that it answered.
    pub(super) fn failure(&self) -> Option<Told> {
        let told = self.spoiled.as_ref().or(self.failed.as_ref())?.clone();
        let is_sent_here = told.detail == Some(Detail::Forbidden);
        Some(if is_sent_here { told.hint(PERMITTED) } else { told })
    }

    /// How many ports have an outcome.
    pub(super) fn asked(&self) -> usize {
        self.ways.iter().flat_map(|way| &way.groups).map(|group| group.ports.len()).sum()
    }

    pub(super) fn text(
        &self,
        not_asked: &[Authority],
        explanation: &Explanation,
        explain: bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let host = |target: &Authority| target.host().to_string();
        if let ([], [target, ..]) = (&*self.ways, not_asked) {
            text::nothing_known(&host(target), out)?;
        }
        let order = ["permits", "can't reach", "refuses", "is silent", "failed"];
        for Way { head, groups, .. } in &self.ways {
            text::way(&host(&head.target), head, explanation, explain, out)?;
            let mut groups: Vec<_> = groups.iter().collect();
            groups.sort_by_key(|group| order.iter().position(|verdict| *verdict == group.verdict));
            for Group { verdict, words, ports } in groups {
                let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
                text::line(verdict, &format!("{}{words}", ranges(ports)), out)?;
            }
        }
        if !not_asked.is_empty() {
            let ports: Vec<_> = not_asked.iter().map(Authority::port).collect();
            text::line("not asked", &ranges(&ports), out)?;
        }
        Ok(())
    }
}

/// Whether the failure is what the last proxy says of the port: not before it was asked, and not a
/// word of those that lead to it.
fn is_its_answer(report: &Report) -> bool {
    let Some(CheckError::Tunnel(error)) = &report.failure else { return false };
    report.proxy.is_none() || (error.stage == Stage::Connect && error.toward.is_none())
}

/// `22, 80, 8000-8100`.
fn ranges(ports: &[u16]) -> String {
    let mut sorted = ports.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for port in sorted {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == port => *end = port,
            Some(_) | None => runs.push((port, port)),
        }
    }
    let run =
        |(start, end): &(u16, u16)| if start == end { start.to_string() } else { format!("{start}-{end}") };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_ranges() {
        assert_eq!(ranges(&[80, 22, 81, 82, 65535, 65534, 22]), "22, 80-82, 65534-65535");
        assert_eq!(ranges(&[]), "");
    }
}
