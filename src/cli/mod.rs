//! The person at the command line: words typed become a `Job`, and what came of it
//! becomes sentences and an exit code.
//!
//! Refuses to know protocols, and to decide anything that a library user would want decided.

mod args;
mod certificates;
mod check;
mod config;
mod credentials;
mod exit;
mod explain;
mod hints;
mod identity;
mod log;
mod no_tunnel;
#[cfg(feature = "pac")]
mod pac;
mod prompt;
mod proxies;
mod proxy_tls;
mod quick;
mod report;
mod settings;
mod socks;
mod unanswered;
mod words;

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use self::args::{Cli, LogFormat, Misread};
pub use self::config::{Kind as SettingKind, SETTINGS, Setting};
use self::exit::{Classified as _, Kind};
use self::report::{Reporter, Told};
use self::settings::Job;
use crate::mode::{connect, forward, serve};

/// The definition of the command line, for what is generated from it.
pub fn command() -> clap::Command {
    Cli::definition()
}

/// Does what `arguments` ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    // What is not UTF-8 is no proxy, no name and no password: it is told, not sent mangled.
    let strange = RefCell::new(None);
    let variables = |name: &str| {
        let value = std::env::var_os(name)?;
        // Moved, not copied: it may be a password.
        Some(value.into_string().unwrap_or_else(|value| {
            strange.borrow_mut().get_or_insert_with(|| name.to_owned());
            value.to_string_lossy().into_owned()
        }))
    };
    let misread = || Reporter { format: LogFormat::of_misread(&arguments), quiet: false };
    let cli = match Cli::read(&arguments, &variables) {
        Ok(cli) => cli,
        Err(Misread::Config(error)) => return fail(misread(), &report::config(&error)),
        Err(Misread::Words(error)) => {
            let asked_nothing =
                error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
            if error.use_stderr() && !asked_nothing {
                return fail(misread(), &report::usage(&error));
            }
            let printed = error.print().and_then(|()| io::stdout().flush());
            if asked_nothing {
                return ExitCode::from(Kind::Usage.code());
            }
            // --help and --version.
            return ended(misread(), printed);
        }
    };
    log::install(&cli.log, matches!(cli.command, args::Command::Forward(_) | args::Command::Serve(_)));
    let reporter = Reporter { format: cli.log.log_format, quiet: cli.log.quiet };
    // Where the configuration is was a path, and that may be anything.
    strange.take();
    let resolved = settings::resolve(cli, &variables);
    if let Some(name) = strange.take() {
        return fail(reporter, &report::not_utf8(&name));
    }
    let (job, warnings) = match resolved {
        Ok(resolved) => resolved,
        Err(error) => return fail(reporter, &report::settings(&error)),
    };
    warnings.iter().for_each(|warning| reporter.warning(warning));
    match job {
        Job::Connect(job) => {
            let target = job.target.clone();
            match connect::run(job) {
                Ok(_) => ExitCode::SUCCESS,
                Err(error) => {
                    if let Some(told) = report::connect(&error, &target) {
                        reporter.error(&told);
                    }
                    ExitCode::from(error.kind().code())
                }
            }
        }
        Job::Forward(job) => listen(reporter, forward::run(job, Box::new(reporter))),
        Job::Serve(job) => listen(reporter, serve::run(job, Box::new(reporter))),
        Job::Check(plan) => match check::run(reporter, *plan) {
            Ok(code) => ExitCode::from(code),
            Err(error) => fail(reporter, &report::local("check", &error)),
        },
        #[cfg(feature = "keyring")]
        Job::Login { proxy, login } => match credentials::keyring::keep(&proxy, &login) {
            Ok(()) => {
                reporter.say("login", &format!("{} at {proxy} is in the keyring", login.user()));
                ExitCode::SUCCESS
            }
            Err(error) => fail(reporter, &report::keyring(&error)),
        },
        #[cfg(feature = "keyring")]
        Job::Logout { proxy } => match credentials::keyring::forget(&proxy) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(reporter, &report::keyring(&error)),
        },
        Job::Completions(shell) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "wimble", &mut script);
            print(reporter, &script)
        }
        Job::Config(shown) => print(reporter, shown.as_bytes()),
    }
}

fn fail(reporter: Reporter, told: &Told) -> ExitCode {
    reporter.error(told);
    ExitCode::from(told.kind.code())
}

fn print(reporter: Reporter, text: &[u8]) -> ExitCode {
    let mut out = io::stdout();
    ended(reporter, out.write_all(text).and_then(|()| out.flush()))
}

/// What was written to stdout; whoever reads no further has seen enough.
fn ended(reporter: Reporter, written: io::Result<()>) -> ExitCode {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            fail(reporter, &report::local("stdout", &error))
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// Runs a listening mode; it takes the other cores itself.
fn listen(reporter: Reporter, mode: impl Future<Output = Result<(), crate::mode::PlaceError>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(reporter, &report::local("runtime", &error)),
    };
    let ended = runtime.block_on(mode);
    // What is still open has had its time of grace.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(reporter, &report::place(&error)),
    }
}
