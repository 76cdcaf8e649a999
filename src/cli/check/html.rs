//! A report as a page of its own, to be sent to the people who run the proxy: no script, nothing
//! to load, and nothing in it that is not in the report. Our secrets are not in that; what a proxy
//! repeats of them is masked before it gets there.

use std::time::Duration;

use super::facts::{at_length, in_short, milliseconds};
use super::failure::failure;
use super::text::through;
use crate::cli::explain::Explanation;
use crate::cli::report::printable;
use crate::mode::check::{Report, StageStatus, Statistics};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222;background:#fff}\
h1{font-size:1.5em}h2{font-size:1.2em;margin:2em 0 .5em}.way{color:#555;margin:0 0 1em}\
table{border-collapse:collapse;width:100%}td{padding:.25em .75em .25em 0;vertical-align:top}\
td.name{width:5em}td.time{width:6em;text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
td.bar{width:16em}.track{background:#eee;border-radius:3px;height:.9em;margin-top:.35em}\
.track div{height:.9em;border-radius:3px;min-width:2px}\
.ok .track div{background:#2b8a3e}.failed .track div{background:#c92a2a}.failed td.name{color:#c92a2a;font-weight:600}\
.skipped{color:#999}.facts{margin-top:.75em}.facts td:first-child{color:#555;white-space:nowrap;width:8em}\
.facts td{overflow-wrap:anywhere;font-family:ui-monospace,monospace;font-size:.9em}\
.failure{border-left:4px solid #c92a2a;background:#fff5f5;padding:.75em 1em;margin:1em 0;overflow-wrap:anywhere}\
.well{border-left:4px solid #2b8a3e;background:#ebfbee;padding:.75em 1em;margin:1em 0}.hint{margin:.5em 0 0}";

/// What the page has of one target on one way.
pub(super) struct Section<'a> {
    pub(super) report: &'a Report,
    pub(super) explanation: &'a Explanation,
    /// Of the checks that the report is the last of.
    pub(super) statistics: Option<&'a Statistics>,
}

/// The page of all reports, in their order; with `explain`, why each way is the one it is.
pub(super) fn page(sections: &[Section<'_>], explain: bool, when: &str) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>wimble check</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>wimble check</h1>\n\
         <p class=\"way\">{when}, by wimble {}</p>\n",
        env!("CARGO_PKG_VERSION")
    );
    for each in sections {
        section(each, explain, &mut page);
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn section(Section { report, explanation, statistics }: &Section<'_>, explain: bool, page: &mut String) {
    let through = through(report);
    let why = explanation.in_short(&report.target);
    page.push_str(&format!(
        "<h2>{}</h2>\n<p class=\"way\">{}</p>\n",
        escaped(&report.target.to_string()),
        escaped(&format!("{through} {why}"))
    ));
    if explain {
        facts(explanation.at_length(&report.target, report.script.as_deref()).into_iter(), page);
    }
    match failure(report) {
        Some(told) => {
            let hint =
                told.hint.as_deref().map(|hint| format!("<p class=\"hint\">hint: {}</p>", escaped(hint)));
            page.push_str(&format!(
                "<div class=\"failure\">{}{}</div>\n",
                escaped(&told.message()),
                hint.unwrap_or_default()
            ));
        }
        None => page.push_str("<div class=\"well\">every stage is well</div>\n"),
    }
    page.push_str("<table>\n");
    let longest = report.times().map(|(_, took)| took).max().unwrap_or_default();
    for stage in &report.stages {
        let class = match stage.status {
            StageStatus::Ok => "ok",
            StageStatus::Failed => "failed",
            StageStatus::Skipped => "skipped",
        };
        let bar = stage.took.map_or(String::new(), |took| {
            format!("<div class=\"track\"><div style=\"width:{:.1}%\"></div></div>", percent(took, longest))
        });
        page.push_str(&format!(
            "<tr class=\"{class}\"><td class=\"name\">{}</td><td class=\"time\">{}</td>\
             <td class=\"bar\">{bar}</td><td>{}</td></tr>\n",
            stage.stage.name(),
            stage.took.map(milliseconds).unwrap_or_default(),
            escaped(&in_short(report, stage))
        ));
    }
    page.push_str("</table>\n");
    if let Some(statistics) = statistics {
        spreads(statistics, page);
    }
    facts(at_length(report).into_iter(), page);
}

fn facts(lines: impl Iterator<Item = (impl AsRef<str>, String)>, page: &mut String) {
    page.push_str("<table class=\"facts\">\n");
    for (name, text) in lines {
        page.push_str(&format!("<tr><td>{}</td><td>{}</td></tr>\n", escaped(name.as_ref()), escaped(&text)));
    }
    page.push_str("</table>\n");
}

fn spreads(statistics: &Statistics, page: &mut String) {
    page.push_str(&format!(
        "<table class=\"facts\">\n<tr><td>{} checks, {} failed</td>",
        statistics.runs, statistics.failed
    ));
    for name in ["min", "median", "p95", "max", "times", "with"] {
        page.push_str(&format!("<td>{name}</td>"));
    }
    page.push_str("</tr>\n");
    for (stage, with, spread) in statistics.spreads() {
        page.push_str(&format!("<tr><td>{}</td>", stage.name()));
        for time in [spread.min, spread.median, spread.p95, spread.max] {
            page.push_str(&format!("<td>{}</td>", milliseconds(time)));
        }
        page.push_str(&format!("<td>{}</td><td>{}</td></tr>\n", spread.count, escaped(&with.to_string())));
    }
    page.push_str("</table>\n");
}

fn percent(took: Duration, longest: Duration) -> f64 {
    100.0 * took.as_secs_f64() / longest.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// Text that a browser shows and does not obey.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_from_the_network_is_shown_and_not_obeyed() {
        assert_eq!(
            escaped("<script>alert('x\u{202e}')</script>&\""),
            "&lt;script&gt;alert(&#39;x\\u{202e}&#39;)&lt;/script&gt;&amp;&quot;"
        );
    }
}
