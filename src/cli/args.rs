//! The words that can be typed. What they mean is `settings`' to decide.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, FromArgMatches as _, ValueEnum, ValueHint};

use super::config::{self, Config, ConfigError, Filed};
use super::settings::Variables;
use super::{quick, words};
use crate::auth;
use crate::front::Pattern;
use crate::mode::Place;
use crate::net::ending::HalfClose;
use crate::starttls::Protocol;
use crate::tunnel::Http;

/// What was typed.
#[derive(Debug)]
pub(super) struct Cli {
    pub(super) command: Command,
    pub(super) log: LogArgs,
}

/// One command and its words.
#[derive(Debug)]
pub(super) enum Command {
    Connect(ConnectArgs),
    Forward(ForwardArgs),
    Check(CheckArgs),
    Serve(ServeArgs),
    /// What is in force, ready to be printed.
    Config(ConfigArgs),
    Completions(CompletionsArgs),
    #[cfg(feature = "keyring")]
    Login(LoginArgs),
    #[cfg(feature = "keyring")]
    Logout(LogoutArgs),
}

/// Why there are no words.
#[derive(Debug)]
pub(super) enum Misread {
    /// clap's reasons, which are also what `--help` and `--version` print.
    Words(clap::Error),
    /// The configuration file's.
    Config(ConfigError),
}

impl From<clap::Error> for Misread {
    fn from(error: clap::Error) -> Self {
        Self::Words(error)
    }
}

impl From<ConfigError> for Misread {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl Cli {
    /// The definition. The words of a command are defined when that command is met: the four
    /// others would double what a `connect` takes to start.
    pub(super) fn definition() -> clap::Command {
        let root = clap::Command::new("wimble")
            .version(env!("CARGO_PKG_VERSION"))
            .about("Bore a tunnel through an HTTP proxy")
            .before_help(
                "Example, in ~/.ssh/config:\n    ProxyCommand wimble connect --proxy http://proxy.example:3128 %h %p",
            )
            .after_help(EXIT_CODES)
            .max_term_width(100)
            .disable_help_subcommand(true)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommands([
                clap::Command::new("connect")
                    .about("Bridge stdin and stdout to the target (ssh's ProxyCommand)")
                    .before_help(
                        "Example:\n    \
                         ssh -o ProxyCommand='wimble connect --proxy http://proxy.example:3128 %h %p' host",
                    )
                    .override_usage("wimble connect [OPTIONS] HOST PORT\n       wimble connect [OPTIONS] HOST:PORT")
                    .defer(|command| last_wins(ConnectArgs::augment_args(command))),
                clap::Command::new("forward")
                    .about("Listen locally, with a tunnel for each connection (ssh -L)")
                    .before_help(
                        "Example:\n    \
                         wimble forward --proxy http://proxy.example:3128 8443:host.example:443\n    \
                         curl --connect-to ::127.0.0.1:8443 https://host.example/",
                    )
                    .defer(|command| last_wins(ForwardArgs::augment_args(command))),
                clap::Command::new("check")
                    .about("Walk to the target stage by stage, TLS included, and report")
                    .before_help(
                        "Example:\n    wimble check --proxy http://proxy.example:3128 host.example:443",
                    )
                    .defer(|command| last_wins(CheckArgs::augment_args(command))),
                clap::Command::new("serve")
                    .about("A small CONNECT proxy, for trying things out and for tests")
                    .before_help(
                        "Example:\n    \
                         wimble serve --listen 127.0.0.1:3128\n    \
                         wimble connect --proxy 127.0.0.1:3128 host.example 22",
                    )
                    .defer(|command| last_wins(ServeArgs::augment_args(command))),
                clap::Command::new(CONFIG)
                    .about("Show the settings in force, and where each comes from")
                    .before_help(
                        "Example:\n    \
                         wimble config --profile work\n    \
                         wimble config -F other.toml --connect-timeout 3s",
                    )
                    .defer(|command| last_wins(config_options(command))),
                clap::Command::new("completions")
                    .about("Print a completion script")
                    .before_help(
                        "Example:\n    \
                         wimble completions bash > ~/.local/share/bash-completion/completions/wimble",
                    )
                    .defer(|command| last_wins(CompletionsArgs::augment_args(command))),
            ]);
        #[cfg(feature = "keyring")]
        let root = root.subcommands([
            clap::Command::new("login")
                .about("Keep the login for a proxy in the keyring, for --keyring")
                .before_help(
                    "Example:\n    \
                     wimble login --proxy http://proxy.example:3128 -U alice\n    \
                     wimble connect --proxy http://proxy.example:3128 --keyring host.example 22",
                )
                .defer(|command| last_wins(LoginArgs::augment_args(command))),
            clap::Command::new("logout")
                .about("Take the login for a proxy out of the keyring")
                .before_help("Example:\n    wimble logout --proxy http://proxy.example:3128")
                .defer(|command| last_wins(LogoutArgs::augment_args(command))),
        ]);
        last_wins(LogArgs::augment_args(root))
    }

    /// Reads the words, and the configuration file as far as they leave it a say.
    pub(super) fn read(words: &[OsString], variables: Variables<'_>) -> Result<Self, Misread> {
        match quick::read(words) {
            Some(cli) if !config::is_there(variables) => Ok(cli),
            Some(_) | None => Self::read_by_clap(words, variables),
        }
    }

    pub(super) fn read_by_clap(words: &[OsString], variables: Variables<'_>) -> Result<Self, Misread> {
        let mut definition = Self::definition();
        let typed = definition.try_get_matches_from_mut(words)?;
        let named =
            typed.subcommand().and_then(|(name, inner)| Some((definition.find_subcommand(name)?, inner)));
        let takes_file = |(command, _): &(&clap::Command, _)| {
            command.get_arguments().any(|arg| arg.get_long() == Some("config"))
        };
        let Some((command, inner)) = named.filter(takes_file) else { return Ok(Self::of_matches(typed)?) };

        let config = Config::load(inner, variables)?;
        let standings = config.standings(command, inner, variables);
        // Behind the command's name: the first word that is like it, as the only option that may stand
        // before it and has a value takes no such value.
        let at =
            words.iter().skip(1).position(|word| word == command.get_name()).map_or(words.len(), |at| at + 2);
        let read = |filed: &[OsString]| {
            Self::definition().try_get_matches_from([&words[..at], filed, &words[at..]].concat())
        };
        let filed = config::words(&standings);
        let matches = match filed.is_empty() {
            true => None,
            false => Some(read(&filed).map_err(|error| config.blame(&standings, &error, read))?),
        };
        if command.get_name() == CONFIG {
            let shown = config.shown(command, inner, &standings, variables);
            let filed = config.filed(&standings);
            let log = LogArgs::from_arg_matches(&typed)?;
            let mut proxy = ProxyArgs::from_arg_matches(match &matches {
                Some(matches) => matches.subcommand_matches(CONFIG).unwrap_or(inner),
                None => inner,
            })?;
            proxy.file.filed = filed;
            return Ok(Self { command: Command::Config(ConfigArgs { proxy, shown }), log });
        }
        let filed = config.filed(&standings);
        let mut cli = Self::of_matches(matches.unwrap_or(typed))?;
        if let Some(file) = cli.command.file() {
            file.filed = filed;
        }
        Ok(cli)
    }

    fn of_matches(mut matches: clap::ArgMatches) -> Result<Self, clap::Error> {
        let log = LogArgs::from_arg_matches_mut(&mut matches)?;
        // Out of the matches, not by reference: that would clone them all.
        let Some((name, mut words)) = matches.remove_subcommand() else {
            return Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand));
        };
        let words = &mut words;
        let command = match name.as_str() {
            "connect" => Command::Connect(ConnectArgs::from_arg_matches_mut(words)?),
            "forward" => Command::Forward(ForwardArgs::from_arg_matches_mut(words)?),
            "check" => Command::Check(CheckArgs::from_arg_matches_mut(words)?),
            "serve" => Command::Serve(ServeArgs::from_arg_matches_mut(words)?),
            "completions" => Command::Completions(CompletionsArgs::from_arg_matches_mut(words)?),
            #[cfg(feature = "keyring")]
            "login" => Command::Login(LoginArgs::from_arg_matches_mut(words)?),
            #[cfg(feature = "keyring")]
            "logout" => Command::Logout(LogoutArgs::from_arg_matches_mut(words)?),
            _ => return Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand)),
        };
        Ok(Self { command, log })
    }
}

impl Command {
    /// Where a command that obeys a configuration file has what is to be known of it.
    pub(super) fn file(&mut self) -> Option<&mut FileArgs> {
        match self {
            Self::Connect(args) => Some(&mut args.proxy.file),
            Self::Forward(args) => Some(&mut args.proxy.file),
            Self::Check(args) => Some(&mut args.proxy.file),
            #[cfg(feature = "keyring")]
            Self::Login(args) => Some(&mut args.file),
            #[cfg(feature = "keyring")]
            Self::Logout(args) => Some(&mut args.file),
            Self::Config(args) => Some(&mut args.proxy.file),
            Self::Serve(_) | Self::Completions(_) => None,
        }
    }
}

/// An option that is given again replaces what was given before, as curl has it: an alias can be
/// overridden.
fn last_wins(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| {
        let is_single = matches!(arg.get_action(), clap::ArgAction::Set | clap::ArgAction::SetTrue);
        let id = arg.get_id().clone();
        if is_single && !arg.is_positional() { arg.overrides_with(id) } else { arg }
    })
}

/// The command that has no words of its own: its options are those of all settings.
const CONFIG: &str = "config";

/// What it shows, and the values that its parser does not judge.
#[derive(Debug)]
pub(super) struct ConfigArgs {
    pub(super) proxy: ProxyArgs,
    pub(super) shown: String,
}

fn config_options(command: clap::Command) -> clap::Command {
    let plain = || clap::Command::new(CONFIG);
    let settable = [
        ConnectArgs::augment_args(plain()),
        ForwardArgs::augment_args(plain()),
        CheckArgs::augment_args(plain()),
    ];
    command.args(config::options(settable))
}

const EXIT_CODES: &str = "\
Exit codes:
    0 done                       6 the proxy wants credentials (407)
    1 local error                7 the proxy refuses the target (3xx, 4xx)
    2 usage or configuration     8 the proxy cannot reach the target (5xx)
    3 name does not resolve      9 the proxy's answer is not HTTP
    4 proxy unreachable         10 TLS with the target failed
    5 TLS to the proxy failed   11 the tunnel was cut off
  124 a time limit passed     130 Ctrl-C before every target was checked";

#[derive(Debug, Default, Args)]
pub(super) struct LogArgs {
    /// Show each step; twice: the header lines exchanged as well, credentials masked
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Messages")]
    pub(super) verbose: u8,

    /// Show nothing but errors
    #[arg(short, long, global = true, help_heading = "Messages")]
    pub(super) quiet: bool,

    /// How messages are written to stderr
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", help_heading = "Messages")]
    pub(super) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// One line each, for people
    #[default]
    Text,
    /// One JSON object each
    Json,
}

impl LogFormat {
    /// What was asked for by words that cannot be read as a whole: who reads JSON wants this error
    /// as JSON too.
    pub(super) fn of_misread(words: &[OsString]) -> Self {
        let pair = words.windows(2).any(|pair| pair[0] == "--log-format" && pair[1] == "json");
        if pair || words.iter().any(|word| word == "--log-format=json") { Self::Json } else { Self::Text }
    }
}

#[cfg(feature = "keyring")]
#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    /// The proxy; else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says
    #[arg(short = 'x', long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(super) proxy: Option<String>,

    /// The name; the password is asked for, unless WIMBLE_PROXY_PASSWORD has it
    #[arg(short = 'U', long, value_name = "NAME")]
    pub(super) proxy_user: Option<String>,

    /// A file whose first line is NAME:PASSWORD, readable by its owner alone
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) proxy_credentials: Option<PathBuf>,

    #[command(flatten)]
    pub(super) file: FileArgs,
}

#[cfg(feature = "keyring")]
#[derive(Debug, Args)]
pub(super) struct LogoutArgs {
    /// The proxy; else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says
    #[arg(short = 'x', long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(super) proxy: Option<String>,

    #[command(flatten)]
    pub(super) file: FileArgs,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell it is for
    pub(super) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(super) struct ConnectArgs {
    /// The target: HOST PORT (ssh's %h %p), or HOST:PORT
    #[arg(value_names = ["HOST", "PORT"], num_args = 1..=2, required = true, value_hint = ValueHint::Hostname)]
    pub(super) target: Vec<String>,

    #[command(flatten)]
    pub(super) proxy: ProxyArgs,

    /// Hand the connected socket to the parent over stdout and exit (ssh's ProxyUseFdpass=yes): ssh
    /// then speaks to the proxy's socket itself, and the times of a bridge do not apply
    #[arg(long)]
    pub(super) fdpass: bool,

    #[command(flatten)]
    pub(super) relay: RelayArgs,

    /// Once the target has ended: how long stdin may be silent before it is left
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = words::duration, help_heading = "Time")]
    pub(super) linger: Duration,
}

impl ConnectArgs {
    /// What [`quick`] takes where clap has the words of `default_value`.
    pub(super) const LINGER: Duration = Duration::from_secs(1);
}

#[derive(Debug, Args)]
pub(super) struct ForwardArgs {
    /// [BIND:]PORT:HOST:HOSTPORT as with ssh -L, or unix:PATH:HOST:HOSTPORT; port 0 lets the system
    /// choose. Or the name of a forward in the configuration file
    #[arg(value_name = "SPEC", required_unless_present = "all", value_parser = words::wish)]
    pub(super) specs: Vec<words::Wish>,

    /// All forwards that the configuration file names
    #[arg(long)]
    pub(super) all: bool,

    #[command(flatten)]
    pub(super) proxy: ProxyArgs,

    #[command(flatten)]
    pub(super) relay: RelayArgs,

    /// Connections at the same time; the others wait [default: what the file limit carries]
    #[arg(long, value_name = "N", value_parser = words::count)]
    pub(super) max_connections: Option<usize>,

    /// Hold N established tunnels ready for each target: a connection then waits for no proxy
    #[arg(long, value_name = "N", default_value = "0", value_parser = words::spare)]
    pub(super) spare: usize,

    /// How old a tunnel that is held ready may become: targets limit the time to log in
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = words::limit, help_heading = "Time")]
    pub(super) spare_max_age: Duration,

    /// On SIGTERM or SIGINT: how long open connections may take to end; a second signal ends them at once
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = words::duration, help_heading = "Time")]
    pub(super) grace: Duration,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The targets
    #[arg(value_name = "HOST:PORT", required = true, value_hint = ValueHint::Hostname)]
    pub(super) targets: Vec<String>,

    #[command(flatten)]
    pub(super) proxy: ProxyArgs,

    /// Ask the proxy for each of these ports of the one host, such as 22,80,8000-8100; the tunnels
    /// are not used
    #[arg(
        long, value_name = "LIST", value_delimiter = ',', value_parser = words::ports,
        conflicts_with_all = ["count", "compare", "http", "html", "save_chain", "starttls", "warn_expiry",
            "sni", "alpn", "cacert", "insecure"],
        help_heading = "More than one check"
    )]
    pub(super) ports: Vec<RangeInclusive<u16>>,

    /// Check so often, and show how the times are spread: min, median (of an even number the mean of
    /// the two in the middle), p95 (the shortest that 95 of 100 do not exceed) and max; Ctrl-C shows
    /// what there is (exit 130 where a target has not been checked once)
    #[arg(long, value_name = "N", value_parser = words::count, conflicts_with = "compare", help_heading = "More than one check")]
    pub(super) count: Option<usize>,

    /// From the start of a check to that of the next
    #[arg(
        long, value_name = "TIME", default_value = "1s", value_parser = words::duration, requires = "count",
        help_heading = "More than one check"
    )]
    pub(super) interval: Duration,

    /// Check through this proxy as well (direct: through none), and show both side by side
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "More than one check")]
    pub(super) compare: Option<String>,

    /// Print one JSON object for each target
    #[arg(long)]
    pub(super) json: bool,

    /// Show how the proxy was chosen: each option and variable that was looked at
    #[arg(long)]
    pub(super) explain: bool,

    /// Write the report as a page too, to be sent to the people who run the proxy
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) html: Option<PathBuf>,

    /// Send an HTTP request for this path, and show the head of the answer [default path: /]
    #[arg(
        long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "/",
        value_parser = words::path, conflicts_with = "starttls", help_heading = "Inside the tunnel"
    )]
    pub(super) http: Option<String>,

    /// Ask with GET instead of HEAD
    #[arg(long, requires = "http", help_heading = "Inside the tunnel")]
    pub(super) http_get: bool,

    /// Go over to TLS in the words of this protocol; http is RFC 2817
    #[arg(
        long, value_name = "PROTOCOL", value_parser = words::protocol(), conflicts_with = "no_tls",
        help_heading = "Inside the tunnel"
    )]
    pub(super) starttls: Option<Protocol>,

    /// When to colour the report
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: clap::ColorChoice,

    /// Do not speak TLS to the target; what it says by itself within a second is shown
    #[arg(long, conflicts_with_all = ["sni", "alpn", "cacert", "insecure", "save_chain"], help_heading = "TLS with the target")]
    pub(super) no_tls: bool,

    /// The name to send and to compare with the certificate [default: the target's host]
    #[arg(long, value_name = "NAME", help_heading = "TLS with the target")]
    pub(super) sni: Option<String>,

    /// Protocols to offer, separated by commas [default: none; with --http: h2,http/1.1]
    #[arg(
        long, value_name = "LIST", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new(),
        help_heading = "TLS with the target"
    )]
    pub(super) alpn: Vec<String>,

    /// Trust the certificates in this PEM file, and no others
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "TLS with the target")]
    pub(super) cacert: Option<PathBuf>,

    /// Do not fail because a certificate is not trusted; what is wrong with it is still told
    #[arg(long, conflicts_with = "cacert", help_heading = "TLS with the target")]
    pub(super) insecure: bool,

    /// Fail if a certificate of the target or of an https:// proxy ends within this time, such as 30d
    #[arg(long, value_name = "TIME", value_parser = words::duration)]
    pub(super) warn_expiry: Option<Duration>,

    /// Write the certificates as the target sent them, as PEM; where there are several targets or ways,
    /// those of each behind a line that says whose they are. If none came, the file is left alone
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "TLS with the target")]
    pub(super) save_chain: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3128", value_parser = words::place)]
    pub(super) listen: Place,

    /// Speak TLS with clients, as an https:// proxy: our certificate, with those that vouch for it
    /// behind it, PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,

    /// The key of --tls-cert: PEM, readable by its owner alone
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,

    /// Require credentials, by Digest or Basic: a file of NAME:PASSWORD lines, readable by its owner
    /// alone
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) auth_file: Option<PathBuf>,

    /// Permit these targets and no others, as clients name them; * stands for any host, part of a host,
    /// or port; repeatable
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) allow: Vec<Pattern>,

    /// Forbid these targets, even if allowed; an address is forbidden under every name that leads to it;
    /// repeatable
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) deny: Vec<Pattern>,

    /// Connections at the same time, and each tunnel of an HTTP/2 connection is one; the others wait
    /// [default: what the file limit carries]
    #[arg(long, value_name = "N", value_parser = words::count)]
    pub(super) max_connections: Option<usize>,
}

// Finding the proxy, and getting past it. (No doc comment: clap would take it for the command's.)
#[derive(Clone, Debug, Args)]
pub(super) struct ProxyArgs {
    /// The proxy: http://, https://, socks5://, socks5h://, socks4:// or socks4a://HOST:PORT;
    /// HOST:PORT is http://; direct is none. Repeated: a chain, the nearest first. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY,
    /// all_proxy or ALL_PROXY says, except for targets in no_proxy
    #[arg(short = 'x', long, value_name = "URL", help_heading = "Proxy", value_hint = ValueHint::Url)]
    pub(super) proxy: Vec<String>,

    /// The HTTP to speak to the proxy; auto: 2 where an https:// proxy chooses it, else 1.1. 2 on
    /// http:// is HTTP/2 at once, without asking
    #[arg(long, value_name = "VERSION", default_value = "auto", help_heading = "Proxy")]
    pub(super) proxy_http_version: HttpVersion,
    /// A proxy auto-config script, in a file or at http(s)://: it says for every target which proxies
    /// lead there; one that does not answer is passed over for the next, and asked last for 5 minutes
    #[cfg(feature = "pac")]
    #[arg(
        long, value_name = "URL|FILE", conflicts_with = "proxy", help_heading = "Proxy",
        value_hint = ValueHint::AnyPath
    )]
    pub(super) pac: Option<String>,

    #[command(flatten)]
    pub(super) file: FileArgs,

    /// Add a header to the CONNECT request; repeatable
    #[arg(long, value_name = "NAME: VALUE", help_heading = "Proxy")]
    pub(super) proxy_header: Vec<String>,

    /// What to call ourselves; empty sends no User-Agent [default: wimble/VERSION]
    #[arg(long, value_name = "TEXT", help_heading = "Proxy")]
    pub(super) user_agent: Option<String>,

    /// Trust the certificates in this PEM file for an https:// proxy, and no others
    #[arg(long, value_name = "FILE", help_heading = "TLS with the proxy", value_hint = ValueHint::FilePath)]
    pub(super) proxy_cacert: Option<PathBuf>,

    /// Our own certificate for an https:// proxy: PEM, with those that vouch for it behind it
    #[arg(long, value_name = "FILE", help_heading = "TLS with the proxy", value_hint = ValueHint::FilePath)]
    pub(super) proxy_cert: Option<PathBuf>,

    /// The key of --proxy-cert: PEM, readable by its owner alone [default: in the same file]
    #[arg(
        long, value_name = "FILE", requires = "proxy_cert", help_heading = "TLS with the proxy",
        value_hint = ValueHint::FilePath
    )]
    pub(super) proxy_key: Option<PathBuf>,

    /// Accept any certificate of an https:// proxy: somebody in between can read and change everything
    #[arg(long, conflicts_with = "proxy_cacert", help_heading = "TLS with the proxy")]
    pub(super) proxy_insecure: bool,

    /// Use IPv4 alone to reach the proxy
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = "Proxy")]
    pub(super) ipv4: bool,

    /// Use IPv6 alone to reach the proxy
    #[arg(short = '6', long, help_heading = "Proxy")]
    pub(super) ipv6: bool,

    /// The name for the proxy, DOMAIN\NAME and NAME@REALM too; else WIMBLE_PROXY_USER says. Its password
    /// is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD.
    /// NAME:PASSWORD is taken too, but other users can read it here; in the variable they can't
    #[arg(short = 'U', long, value_name = "NAME", help_heading = "Credentials")]
    pub(super) proxy_user: Option<String>,

    /// A file whose first line is NAME:PASSWORD, readable by its owner alone; NAME:{NT}HASH takes the
    /// 32 hexadecimal digits of an NT hash instead, for NTLM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Credentials")]
    pub(super) proxy_credentials: Option<PathBuf>,

    /// A shell command whose first line of output is the password, such as 'pass show proxy'; it is
    /// run when the proxy asks
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString, help_heading = "Credentials")]
    pub(super) proxy_password_command: Option<String>,

    /// Take the proxy's entry in the file that NETRC names, else ~/.netrc. NETRC alone is read too,
    /// when nothing else has a password
    #[arg(long, help_heading = "Credentials")]
    pub(super) netrc: bool,

    /// Take the proxy's entry in this netrc file, readable by its owner alone
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Credentials")]
    pub(super) netrc_file: Option<PathBuf>,

    /// Take what wimble login has put into the desktop's secret store
    #[cfg(feature = "keyring")]
    #[arg(long, help_heading = "Credentials")]
    #[cfg_attr(feature = "pac", arg(conflicts_with = "pac"))]
    pub(super) keyring: bool,

    /// auto: when the proxy asks, the strongest scheme that it offers; a scheme: that one alone,
    /// basic and negotiate at once; none: never
    #[arg(long, value_name = "SCHEME", default_value = "auto", help_heading = "Credentials")]
    pub(super) proxy_auth: Scheme,

    /// The proxy's Kerberos service, HTTP@NAME or HTTP/NAME@REALM [default: HTTP@ the proxy's host]
    #[arg(
        long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), help_heading = "Credentials"
    )]
    pub(super) proxy_spn: Option<String>,

    /// Limit for finding and connecting to the proxy, TLS with it included (check: also for TLS with the target)
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = words::limit, help_heading = "Time")]
    pub(super) connect_timeout: Duration,

    /// Limit for the whole CONNECT exchange, authentication included; the time that you take at a prompt
    /// does not count
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = words::limit, help_heading = "Time")]
    pub(super) proxy_timeout: Duration,

    /// Probe a silent connection after this time; 0 never
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = words::switch, help_heading = "Time")]
    pub(super) keepalive: Duration,
}

/// As `default_value` has them, for [`quick`].
impl Default for ProxyArgs {
    fn default() -> Self {
        Self {
            proxy: Vec::new(),
            proxy_http_version: HttpVersion::Auto,
            #[cfg(feature = "pac")]
            pac: None,
            file: FileArgs::default(),
            proxy_header: Vec::new(),
            user_agent: None,
            proxy_cacert: None,
            proxy_cert: None,
            proxy_key: None,
            proxy_insecure: false,
            ipv4: false,
            ipv6: false,
            proxy_user: None,
            proxy_credentials: None,
            proxy_password_command: None,
            netrc: false,
            netrc_file: None,
            #[cfg(feature = "keyring")]
            keyring: false,
            proxy_auth: Scheme::Auto,
            proxy_spn: None,
            connect_timeout: Duration::from_secs(10),
            proxy_timeout: Duration::from_secs(30),
            keepalive: Duration::from_secs(60),
        }
    }
}

// Which configuration, and what it said.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct FileArgs {
    /// The configuration file, wimble.toml(5); /dev/null for none. Else WIMBLE_CONFIG says, else it is
    /// $XDG_CONFIG_HOME/wimble/config.toml or ~/.config/wimble/config.toml, if there is one
    #[arg(short = 'F', long, value_name = "FILE", help_heading = "Configuration", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,

    /// The profile of that file that counts; else WIMBLE_PROFILE says
    #[arg(short = 'P', long, value_name = "NAME", help_heading = "Configuration")]
    pub(super) profile: Option<String>,

    /// What of the values beside this came from the file.
    #[arg(skip)]
    pub(super) filed: Filed,
}

// How tunnels end.
#[derive(Debug, Args)]
pub(super) struct RelayArgs {
    /// At the end of input: how long the tunnel must be silent before the end is passed on, as a
    /// proxy may then drop the answer; 0 at once, never leaves it to the target
    #[arg(
        long, value_name = "TIME", default_value = "1s", value_parser = words::half_close, help_heading = "Time"
    )]
    pub(super) half_close_delay: HalfClose,

    /// End a tunnel in which nothing moved for so long [default: off]
    #[arg(long, value_name = "TIME", value_parser = words::switch, help_heading = "Time")]
    pub(super) idle_timeout: Option<Duration>,
}

/// As `default_value` has them, for [`quick`].
impl Default for RelayArgs {
    fn default() -> Self {
        Self { half_close_delay: HalfClose::After(Duration::from_secs(1)), idle_timeout: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HttpVersion {
    /// What the proxy chooses by ALPN; 1.1 on http://
    Auto,
    /// HTTP/1.0, for old proxies
    #[value(name = "1.0")]
    OnePointZero,
    /// HTTP/1.1
    #[value(name = "1.1")]
    One,
    /// HTTP/2: in forward, tunnels share connections
    #[cfg(feature = "http2")]
    #[value(name = "2")]
    Two,
}

impl From<HttpVersion> for Http {
    fn from(version: HttpVersion) -> Self {
        match version {
            HttpVersion::Auto => Self::Auto,
            HttpVersion::OnePointZero | HttpVersion::One => Self::One,
            #[cfg(feature = "http2")]
            HttpVersion::Two => Self::Two,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scheme {
    /// The strongest that the proxy offers, when it asks
    Auto,
    /// Basic, with the first request
    Basic,
    /// Digest alone
    Digest,
    /// NTLM alone
    #[cfg(feature = "ntlm")]
    Ntlm,
    /// Kerberos, with the first request
    #[cfg(feature = "negotiate")]
    Negotiate,
    /// Never any
    None,
}

impl From<Scheme> for auth::Policy {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Auto => Self::Auto,
            Scheme::Basic => Self::Only(auth::Scheme::Basic),
            Scheme::Digest => Self::Only(auth::Scheme::Digest),
            #[cfg(feature = "ntlm")]
            Scheme::Ntlm => Self::Only(auth::Scheme::Ntlm),
            #[cfg(feature = "negotiate")]
            Scheme::Negotiate => Self::Only(auth::Scheme::Negotiate),
            Scheme::None => Self::None,
        }
    }
}
