//! A report for people: a line and a bar for each stage, then what was learnt, in 80 columns.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::facts::{at_length, in_short, milliseconds};
use crate::authority::Authority;
use crate::cli::explain::Explanation;
use crate::cli::report::printable;
use crate::mode::check::{CheckError, Report, StageReport, StageStatus, Statistics};
use crate::tunnel::Stage;

/// The width of everything that is not one long word.
pub(super) const COLUMNS: usize = 80;

/// The widest bar.
const BAR: usize = 14;

/// Where the facts of a stage begin.
const FACTS: usize = 2 + STAGE + 10 + 2 + BAR + 2;

/// The longest name of a stage.
const STAGE: usize = "proxy-tls".len();

/// The longest name of a row: a stage, and which of a chain's it is.
const ROW: usize = STAGE + " 2".len();

/// Where the text behind a name begins.
const TEXT: usize = 2 + 11 + 1;

/// Prints the ladder, and what was learnt.
pub(super) fn report(
    report: &Report,
    explanation: &Explanation,
    explain: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    head(report, explanation, explain, out)?;
    let longest = report.times().map(|(_, took)| took).max().unwrap_or_default();
    for stage in &report.stages {
        let (colour, time) = match (stage.status, stage.took) {
            (StageStatus::Ok, Some(took)) => (AnsiColor::Green, milliseconds(took)),
            (StageStatus::Failed, Some(took)) => (AnsiColor::Red, milliseconds(took)),
            (StageStatus::Skipped, _) | (_, None) => (AnsiColor::BrightBlack, "-".into()),
        };
        let style = Style::new().fg_color(Some(colour.into()));
        let bar = "█".repeat(share(stage.took, longest, BAR));
        let name = stage.stage.name();
        write!(out, "  {style}{name:<STAGE$}{time:>10}  {bar:<BAR$}{style:#}  ")?;
        wrap(&printable(&in_short(report, stage)), FACTS, out)?;
    }
    for (name, text) in at_length(report) {
        line(name, &text, out)?;
    }
    Ok(())
}

/// Which target, on which way, and why this way: in short, and if wanted at length.
pub(super) fn head(
    report: &Report,
    explanation: &Explanation,
    explain: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    way(&report.target.to_string(), &Head::of(report), explanation, explain, out)
}

/// What is known of a way before it is climbed.
#[derive(Clone)]
pub(super) struct Head {
    pub(super) target: Authority,
    /// [`through`].
    pub(super) through: String,
    script: Option<String>,
}

impl Head {
    pub(super) fn of(report: &Report) -> Self {
        Self { target: report.target.clone(), through: through(report), script: report.script.clone() }
    }
}

/// The same where no check came to its end.
pub(super) fn nothing_known(what: &str, out: &mut impl Write) -> io::Result<()> {
    let bold = Style::new().bold();
    writeln!(out, "{bold}{what}{bold:#}")
}

/// The way, for a heading.
pub(super) fn through(report: &Report) -> String {
    match &report.proxy {
        Some(proxy) => format!("through proxy {proxy}"),
        None => without_proxy(report).into(),
    }
}

/// The way that has no proxy, or is not known: a script that fails does not mean direct.
fn without_proxy(report: &Report) -> &'static str {
    match report.failure {
        Some(CheckError::Route(_)) => "no way is known",
        Some(_) | None => "without a proxy",
    }
}

/// The same for `what`, of which the target of `head` is one.
pub(super) fn way(
    what: &str,
    Head { target, through, script }: &Head,
    explanation: &Explanation,
    explain: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let bold = Style::new().bold();
    let why = printable(&explanation.in_short(target));
    writeln!(out, "{bold}{what}{bold:#} {through} {why}")?;
    if explain {
        for (name, text) in explanation.at_length(target, script.as_deref()) {
            line(&name, &text, out)?;
        }
    }
    Ok(())
}

/// The spread of each stage's times.
pub(super) fn statistics(statistics: &Statistics, out: &mut impl Write) -> io::Result<()> {
    if statistics.runs > 0 {
        writeln!(out, "  {:<STAGE$}{:>12}{:>12}{:>12}{:>12}  times", "", "min", "median", "p95", "max")?;
    }
    for (stage, with, spread) in statistics.spreads() {
        write!(out, "  {:<STAGE$}", stage.name())?;
        for time in [spread.min, spread.median, spread.p95, spread.max] {
            write!(out, "{:>12}", milliseconds(time))?;
        }
        let with = if statistics.has_several(stage) { format!("  with {with}") } else { String::new() };
        writeln!(out, "  {}{with}", spread.count)?;
    }
    writeln!(out, "  {} checks, {} failed", statistics.runs, statistics.failed)
}

/// Two ways to one target, side by side.
pub(super) fn comparison(reports: [&Report; 2], out: &mut impl Write) -> io::Result<()> {
    let way = |report: &Report| {
        report.proxy.as_ref().map_or_else(|| without_proxy(report).into(), ToString::to_string)
    };
    let [first, second] = reports;
    writeln!(out, "{} compared", first.target)?;
    writeln!(out, "  {:<ROW$}  {:>30}  {:>30}", "", cut(&way(first)), cut(&way(second)))?;
    let rows: std::collections::BTreeSet<_> =
        numbered(first).chain(numbered(second)).map(|(row, _)| row).collect();
    for row in rows {
        let cell = |report: &Report| {
            let found = numbered(report).find(|(known, _)| *known == row);
            found.map_or("-".into(), |(_, stage)| match (stage.status, stage.took) {
                (StageStatus::Ok, Some(took)) => milliseconds(took),
                (StageStatus::Failed, Some(took)) => format!("failed after {}", milliseconds(took)),
                (StageStatus::Skipped, _) | (_, None) => "skipped".into(),
            })
        };
        let name = match row {
            (stage, 1) => stage.name().to_owned(),
            (stage, place) => format!("{} {place}", stage.name()),
        };
        writeln!(out, "  {name:<ROW$}  {:>30}  {:>30}", cell(first), cell(second))?;
    }
    let leaf = |report: &Report| Some(report.found.tls.as_ref()?.chain.first()?.clone());
    if let (Some(one), Some(other)) = (leaf(first), leaf(second)) {
        if one.sha256 == other.sha256 {
            line("certificate", "the same on both ways", out)?;
        } else {
            line("beware", "the certificates differ: on one of the ways somebody reads this traffic", out)?;
            line("", &format!("{}: by {}", way(first), one.issuer), out)?;
            line("", &format!("{}: by {}", way(second), other.issuer), out)?;
        }
    }
    Ok(())
}

/// Each stage with its place among those of its name, from 1: a chain has one with each proxy.
fn numbered(report: &Report) -> impl Iterator<Item = ((Stage, usize), &StageReport)> {
    report.stages.iter().enumerate().map(|(place, stage)| {
        let before = report.stages[..place].iter().filter(|before| before.stage == stage.stage);
        ((stage.stage, before.count() + 1), stage)
    })
}

/// A name, and its text in as many lines as it takes.
pub(super) fn line(name: &str, text: &str, out: &mut impl Write) -> io::Result<()> {
    write!(out, "  {name:<11} ")?;
    if name.len() > TEXT - 3 {
        write!(out, "\n{:TEXT$}", "")?;
    }
    wrap(&printable(text), TEXT, out)
}

/// How many columns of `width` a time is worth; none that was taken is without one.
fn share(took: Option<Duration>, longest: Duration, width: usize) -> usize {
    let Some(took) = took else { return 0 };
    let share = took.as_secs_f64() / longest.as_secs_f64().max(f64::MIN_POSITIVE);
    ((share * width as f64).round() as usize).clamp(1, width)
}

/// Ends the line, after breaking it at blanks; a word that is too long for a line is left whole,
/// to be copied.
fn wrap(text: &str, indent: usize, out: &mut impl Write) -> io::Result<()> {
    let mut column = indent;
    for (place, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if place > 0 {
            if column + 1 + length > COLUMNS {
                write!(out, "\n{:indent$}", "")?;
                column = indent;
            } else {
                write!(out, " ")?;
                column += 1;
            }
        }
        write!(out, "{word}")?;
        column += length;
    }
    writeln!(out)
}

fn cut(text: &str) -> String {
    text.chars().take(30).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks_and_long_words_stay_whole() {
        let wrapped = |text: &str| {
            let mut out = Vec::new();
            wrap(text, 70, &mut out).expect("memory");
            String::from_utf8(out).expect("text")
        };
        let indent = " ".repeat(70);
        assert_eq!(wrapped("0123 5678 abc"), format!("0123 5678\n{indent}abc\n"));
        assert_eq!(wrapped("a 0123456789abc b"), format!("a\n{indent}0123456789abc\n{indent}b\n"));
        assert_eq!(wrapped(""), "\n");
    }

    #[test]
    fn bars_are_proportional_and_none_is_invisible() {
        let ms = Duration::from_millis;
        assert_eq!(share(Some(ms(10)), ms(20), 14), 7);
        assert_eq!(share(Some(ms(20)), ms(20), 14), 14);
        assert_eq!(share(Some(Duration::ZERO), ms(20), 14), 1);
        assert_eq!(share(None, ms(20), 14), 0);
    }
}
