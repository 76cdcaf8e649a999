//! From the words typed and the environment to a [`Job`]: below this there is no option left
//! open, no string to parse, and of the environment what names this system's certificates alone.
//!
//! Refuses to know how a proxy is found: that is `cli::proxies`.

use std::collections::HashSet;
use std::path::Path;

use rustls::pki_types::ServerName;

use super::args::{CheckArgs, Cli, Command, ConnectArgs, ForwardArgs, ProxyArgs, RelayArgs, ServeArgs};
use super::certificates::anchors;
use super::check::{Plan, Scope, Way};
use super::config::{Filed, Location};
use super::credentials::{self, CredentialsError, Person};
use super::explain::{Explanation, Origin};
use super::identity;
use super::prompt::Curtain;
use super::proxies::{judge, proxy, user_agent_text};
use super::report::reason;
use super::words::{Spec, Wish};
use crate::authority::{Authority, AuthorityError, Host};
use crate::mode::Place;
use crate::mode::check::{Check, Inside, Lookups, TlsProbe};
use crate::mode::connect::{Carrier, Connect};
use crate::mode::forward::Forward;
#[cfg(feature = "pac")]
use crate::mode::pac::LocationError;
use crate::mode::serve::Serve;
use crate::net::acceptor::Acceptor;
use crate::net::ending::Patience;
use crate::net::probe::{self, Probe};
use crate::net::trust;
use crate::proto::FieldError;
use crate::route::ProxyUriError;
use crate::route::env::EnvError;
use crate::tunnel::Keep;

/// Everything that wimble can be asked for.
pub(super) enum Job {
    Connect(Connect),
    Forward(Forward),
    Check(Box<Plan>),
    Serve(Serve),
    Completions(clap_complete::Shell),
    /// What `config` shows.
    Config(String),
    #[cfg(feature = "keyring")]
    Login {
        proxy: Authority,
        login: crate::secret::Login,
    },
    #[cfg(feature = "keyring")]
    Logout {
        proxy: Authority,
    },
}

/// What is worth a warning before the job begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Warning {
    /// A password stands in argv.
    PasswordInArguments(&'static str),
    /// A listener that other machines can reach.
    NotLoopback(Place),
}

/// Why there is no job: exit code 2.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("target {text:?}: {error}")]
    Target { text: String, error: AuthorityError },
    /// It is not quoted: it may be a proxy, and have a password.
    #[error("this is a URL, and HOST PORT or HOST:PORT is wanted")]
    Url,
    #[error("target: HOST PORT, or HOST:PORT")]
    Words,
    #[error("--proxy: {0}")]
    Proxy(ProxyUriError),
    #[error("--compare: {0}")]
    Compare(ProxyUriError),
    #[cfg(feature = "pac")]
    #[error("--pac: {0}")]
    Pac(#[from] LocationError),
    #[error("{}: {}", .0.variable, .0.why)]
    Variable(EnvError),
    #[error("no proxy is given")]
    NoProxy,
    #[error("--ports: it is for one host, and several targets are given")]
    OneHost,
    #[error("--user-agent: {0}")]
    UserAgent(FieldError),
    #[error("--proxy-header: {0}")]
    Header(FieldError),
    #[error("credentials: {0}")]
    Credentials(#[from] CredentialsError),
    #[error("--sni: {0:?} is not a name")]
    Sni(String),
    #[error("{option} {file}: {why}")]
    Pem { option: &'static str, file: String, why: String },
    #[error("--proxy: direct can't be one of several")]
    DirectInChain,
    #[error("{place} is not on loopback: --auth-file or --allow must say who may use it")]
    OpenProxy { place: Place },
    #[error("{place}: {}", reason(.error))]
    Place { place: Place, error: std::io::Error },
    #[error("forward {name}: {}", no_forward(.names))]
    NoForward { name: String, names: Vec<String> },
    #[error("--all: the configuration names no forward")]
    NoForwards,
    /// It is not an option's value that is wrong, but what the configuration file has in its place.
    #[error("{place}: {error}")]
    Filed { place: Location, error: Box<Self> },
}

impl SettingsError {
    /// The setting whose value is to blame.
    fn setting(&self) -> Option<&'static str> {
        match self {
            Self::Proxy(_) | Self::DirectInChain => Some("proxy"),
            Self::UserAgent(_) => Some("user-agent"),
            Self::Header(_) => Some("proxy-header"),
            #[cfg(feature = "pac")]
            Self::Pac(_) => Some("pac"),
            Self::Pem { option, .. } => option.strip_prefix("--"),
            Self::Credentials(error) => error.setting(),
            Self::Target { .. }
            | Self::Url
            | Self::Words
            | Self::Compare(_)
            | Self::Variable(_)
            | Self::NoProxy
            | Self::OneHost
            | Self::Sni(_)
            | Self::OpenProxy { .. }
            | Self::Place { .. }
            | Self::NoForward { .. }
            | Self::NoForwards
            | Self::Filed { .. } => None,
        }
    }
}

/// Why a name is none of a forward, and no SPEC either.
fn no_forward(names: &[String]) -> String {
    match names {
        [] => "the configuration names no forward, and a SPEC is [BIND:]PORT:HOST:HOSTPORT".into(),
        names => format!("the configuration names {}", names.join(", ")),
    }
}

/// The environment, as a function so that tests can make one up.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Resolves what was typed.
pub(super) fn resolve(mut cli: Cli, variables: Variables<'_>) -> Result<(Job, Vec<Warning>), SettingsError> {
    let filed = cli.command.file().map(|file| file.filed.clone()).unwrap_or_default();
    if let Some(file) = &filed.file {
        tracing::debug!("the configuration is {file}");
    }
    job(cli, variables).map_err(|error| {
        match error.setting().and_then(|setting| filed.place(setting)).cloned() {
            Some(place) => SettingsError::Filed { place, error: Box::new(error) },
            None => error,
        }
    })
}

fn job(cli: Cli, variables: Variables<'_>) -> Result<(Job, Vec<Warning>), SettingsError> {
    let mut warnings = Vec::new();
    let job = match cli.command {
        Command::Connect(args) => Job::Connect(connect(&args, variables, &mut warnings)?),
        Command::Forward(args) => Job::Forward(forward(args, variables, &mut warnings)?),
        Command::Check(args) => check(args, variables, &mut warnings)?,
        Command::Serve(args) => Job::Serve(serve(args, variables)?),
        Command::Config(args) => {
            judge(&args.proxy, variables)?;
            Job::Config(args.shown)
        }
        Command::Completions(args) => Job::Completions(args.shell),
        #[cfg(feature = "keyring")]
        Command::Login(args) => login(args, variables)?,
        #[cfg(feature = "keyring")]
        Command::Logout(args) => {
            let args = ProxyArgs {
                proxy: args.proxy.into_iter().collect(),
                file: args.file,
                ..ProxyArgs::default()
            };
            Job::Logout { proxy: only_proxy(&args, variables)?.authority }
        }
    };
    Ok((job, warnings))
}

fn connect(
    args: &ConnectArgs,
    variables: Variables<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Connect, SettingsError> {
    let target = match args.target.as_slice() {
        [word] => target(word)?,
        [host, port] => {
            Authority::from_words(host, port).map_err(|error| no_target(&format!("{host} {port}"), error))?
        }
        _ => return Err(SettingsError::Words),
    };
    let (routes, config, _) =
        proxy(&args.proxy, std::slice::from_ref(&target), variables, warnings, Curtain::new(false))?;
    let carrier = match args.fdpass {
        true => Carrier::Parent,
        false => Carrier::Bridge(patience(&args.relay, Some(args.linger))),
    };
    Ok(Connect { target, routes, config, carrier })
}

fn forward(
    args: ForwardArgs,
    variables: Variables<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Forward, SettingsError> {
    let specs = specs(args.specs, args.all, &args.proxy.file.filed)?;
    let specs: Vec<_> = specs.into_iter().map(|spec| (spec.place, spec.target)).collect();
    for (place, _) in &specs {
        if !is_local(place)? {
            warnings.push(Warning::NotLoopback(place.clone()));
        }
    }
    let targets: Vec<_> = specs.iter().map(|(_, target)| target.clone()).collect();
    let (routes, config, _) = proxy(&args.proxy, &targets, variables, warnings, Curtain::new(true))?;
    Ok(Forward {
        specs,
        routes,
        config,
        patience: patience(&args.relay, None),
        max_connections: args.max_connections,
        spare: Keep { count: args.spare, max_age: args.spare_max_age },
        grace: args.grace,
    })
}

/// What to forward, with each name's SPECs in its place.
fn specs(wishes: Vec<Wish>, all: bool, filed: &Filed) -> Result<Vec<Spec>, SettingsError> {
    let mut specs = Vec::new();
    for wish in wishes {
        match wish {
            Wish::Spec(spec) => specs.push(spec),
            Wish::Name(name) => match filed.forwards.iter().find(|forward| forward.name == name) {
                Some(forward) => specs.extend(forward.specs.iter().cloned()),
                None => {
                    let names = filed.forwards.iter().map(|forward| forward.name.clone()).collect();
                    return Err(SettingsError::NoForward { name, names });
                }
            },
        }
    }
    if all {
        specs.extend(filed.forwards.iter().flat_map(|forward| forward.specs.iter().cloned()));
    }
    if specs.is_empty() { Err(SettingsError::NoForwards) } else { Ok(specs) }
}

fn check(
    args: CheckArgs,
    variables: Variables<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Job, SettingsError> {
    let targets = targets(&args)?;
    // Where no proxy is given for a target, its report says so: the others are checked.
    let (routes, config, origin) = proxy(&args.proxy, &[], variables, warnings, Curtain::new(false))?;
    let sni = |name: String| ServerName::try_from(name.clone()).map_err(|_| SettingsError::Sni(name));
    let alpn = match args.http {
        Some(_) if args.alpn.is_empty() => probe::OFFER.iter().map(ToString::to_string).collect(),
        Some(_) | None => args.alpn,
    };
    let trust = match &args.cacert {
        _ if args.insecure => trust::Trust::Danger,
        Some(file) => anchors("--cacert", file)?,
        None => trust::Trust::System,
    };
    let tls = TlsProbe { starttls: args.starttls, sni: args.sni.map(sni).transpose()?, alpn, trust };
    let sweeps = !args.ports.is_empty();
    let http = args.http.map(|path| Probe {
        method: if args.http_get { "GET" } else { "HEAD" }.into(),
        path,
        user_agent: user_agent_text(&args.proxy).map(str::to_owned),
    });
    let inside = Inside { tls: (!args.no_tls && !sweeps).then_some(tls), http, listen: !sweeps };
    let lookups = if sweeps { Lookups::Shared } else { Lookups::Each };
    let warn_expiry = args.warn_expiry;
    let check = Check { routes, config, lookups, warn_expiry, inside };
    let mut ways = vec![Way { explanation: Explanation::new(origin, &check.routes, variables), check }];
    if let Some(other) = &args.compare {
        let mut typed = ProxyArgs { proxy: vec![other.clone()], ..args.proxy.clone() };
        typed.file.filed = typed.file.filed.without("proxy");
        // Whoever has typed a passphrase is not asked for it again.
        (typed.proxy_cert, typed.proxy_key) = (None, None);
        #[cfg(feature = "pac")]
        (typed.pac = None);
        let mut repeated = Vec::new();
        let (routes, mut config, _) = proxy(&typed, &[], variables, &mut repeated, Curtain::new(false))
            .map_err(|error| {
                if let SettingsError::Proxy(why) = error { SettingsError::Compare(why) } else { error }
            })?;
        if repeated.contains(&Warning::PasswordInArguments("--proxy")) {
            warnings.push(Warning::PasswordInArguments("--compare"));
        }
        config.tls = ways[0].check.config.tls.clone();
        let check = Check { routes, config, lookups, warn_expiry, inside: ways[0].check.inside.clone() };
        let origin = Origin::Option("--compare");
        ways.push(Way { explanation: Explanation::new(origin, &check.routes, variables), check });
    }
    let scope = match (sweeps, args.count) {
        (true, _) => Scope::Ports,
        (false, Some(count)) => Scope::Repeated { count, interval: args.interval },
        (false, None) => Scope::Once,
    };
    Ok(Job::Check(Box::new(Plan {
        ways,
        targets,
        scope,
        json: args.json,
        color: args.color,
        explain: args.explain,
        save_chain: args.save_chain,
        html: args.html,
    })))
}

/// The targets, or the one host with each of the ports.
fn targets(args: &CheckArgs) -> Result<Vec<Authority>, SettingsError> {
    let one_by_one = || args.targets.iter().map(|word| target(word)).collect();
    let [word] = args.targets.as_slice() else {
        return if args.ports.is_empty() { one_by_one() } else { Err(SettingsError::OneHost) };
    };
    if args.ports.is_empty() {
        return one_by_one();
    }
    // A port that the host came with is one more way to say which host.
    let host = match word.parse::<Authority>() {
        Ok(target) => target.host().clone(),
        Err(_) => word.parse::<Host>().map_err(|error| no_target(word, error))?,
    };
    let mut asked = HashSet::new();
    let ports = args.ports.iter().flat_map(|range| range.clone()).filter(|port| asked.insert(*port));
    let target = |port| Authority::new(host.clone(), port).map_err(|error| no_target(word, error));
    ports.map(target).collect()
}

fn serve(args: ServeArgs, variables: Variables<'_>) -> Result<Serve, SettingsError> {
    let guarded = args.auth_file.is_some() || !args.allow.is_empty();
    if !guarded && !is_local(&args.listen)? {
        return Err(SettingsError::OpenProxy { place: args.listen });
    }
    let logins = args.auth_file.as_deref().map(credentials::lines).transpose()?;
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => {
            Some(acceptor(certificate, key, &Person::new(variables, Curtain::new(false)))?)
        }
        // The words are not taken one without the other.
        (None, _) | (_, None) => None,
    };
    Ok(Serve {
        place: args.listen,
        tls,
        logins: logins.unwrap_or_default(),
        allow: args.allow,
        deny: args.deny,
        max_connections: args.max_connections,
    })
}

fn acceptor(certificate: &Path, key: &Path, person: &Person) -> Result<Acceptor, SettingsError> {
    let identity = identity::read(("--tls-cert", certificate), Some(("--tls-key", key)), person)?;
    Acceptor::new(identity).map_err(|error| SettingsError::Pem {
        option: "--tls-key",
        file: key.display().to_string(),
        why: error.to_string(),
    })
}

#[cfg(feature = "keyring")]
fn login(args: super::args::LoginArgs, variables: Variables<'_>) -> Result<Job, SettingsError> {
    let args = ProxyArgs {
        proxy: args.proxy.into_iter().collect(),
        proxy_user: args.proxy_user,
        proxy_credentials: args.proxy_credentials,
        file: args.file,
        ..ProxyArgs::default()
    };
    let uri = only_proxy(&args, variables)?;
    let login = credentials::login(&args, &uri, variables, Person::new(variables, Curtain::new(false)))?;
    Ok(Job::Login { proxy: uri.authority, login })
}

/// The proxy, where there is no target that could do without.
#[cfg(feature = "keyring")]
fn only_proxy(args: &ProxyArgs, variables: Variables<'_>) -> Result<crate::route::ProxyUri, SettingsError> {
    use crate::route::Proxy;
    match super::proxies::routes(args, variables)?.0.proxy {
        Proxy::Via(mut proxies) if proxies.len() == 1 => Ok(proxies.remove(0)),
        Proxy::Via(_) | Proxy::Direct => Err(SettingsError::NoProxy),
    }
}

fn target(word: &str) -> Result<Authority, SettingsError> {
    word.parse().map_err(|error| no_target(word, error))
}

fn no_target(text: &str, error: AuthorityError) -> SettingsError {
    match text.contains("://") || text.contains('@') {
        true => SettingsError::Url,
        false => SettingsError::Target { text: text.to_owned(), error },
    }
}

fn is_local(place: &Place) -> Result<bool, SettingsError> {
    place.is_local().map_err(|error| SettingsError::Place { place: place.clone(), error })
}

fn patience(args: &RelayArgs, linger: Option<std::time::Duration>) -> Patience {
    let idle = args.idle_timeout.filter(|idle| !idle.is_zero());
    Patience { half_close: args.half_close_delay, linger, idle }
}
