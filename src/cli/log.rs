//! What `-v` shows: the events of all rooms, on stderr.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use super::args::{LogArgs, LogFormat};
use super::report::{json_line, printable, write_stderr};

/// Installs the log, where there is one: without `-v` a `connect` has nothing to log.
pub(super) fn install(args: &LogArgs, listens: bool) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => return,
        (false, 0) if !listens => return,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let subscriber =
        tracing_subscriber::registry().with(Lines { format: args.log_format }.with_filter(level));
    // A library's user may have installed another before: that one stays.
    let _other = tracing::subscriber::set_global_default(subscriber);
}

struct Lines {
    format: LogFormat,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Other crates' events are about their insides.
        if !event.metadata().target().starts_with(env!("CARGO_CRATE_NAME")) {
            return;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        write_stderr(&match self.format {
            LogFormat::Text => format!("wimble: {}\n", printable(&message.0)),
            LogFormat::Json => {
                let level = event.metadata().level().as_str().to_ascii_lowercase();
                json_line(&serde_json::json!({ "level": level, "message": message.0 }))
            }
        });
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
