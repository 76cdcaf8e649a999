//! From the words typed and the environment to a [`Job`]: below this there is no option left
//! open, no string to parse, and of the environment what names this system's certificates alone.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
#[cfg(feature = "pac")]
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

use super::args::{
    CheckArgs, Cli, Command, ConnectArgs, ForwardArgs, HttpVersion, ProxyArgs, RelayArgs, ServeArgs,
};
use super::check::{Plan, Scope, Way};
use super::config::{Filed, Location};
use super::credentials::{self, CredentialsError, Person};
use super::explain::{Explanation, Origin};
use super::identity;
use super::prompt::Curtain;
use super::report::reason;
use super::words::{Spec, Wish};
use crate::auth;
use crate::authority::{Authority, AuthorityError, Host};
use crate::mode::check::{Check, Inside, Lookups, TlsProbe};
use crate::mode::connect::{Carrier, Connect};
use crate::mode::forward::Forward;
#[cfg(feature = "pac")]
use crate::mode::pac::{self, LocationError, Pac};
use crate::mode::serve::Serve;
use crate::mode::{Place, Routes};
use crate::net::acceptor::Acceptor;
use crate::net::dial::{self, Family};
use crate::net::ending::Patience;
use crate::net::names::Names;
use crate::net::probe::{self, Probe};
use crate::net::store::Store;
use crate::net::trust;
use crate::proto::{Field, FieldError, RequestFields};
use crate::route::env::{self, EnvError};
use crate::route::{self, NoProxy, Proxy, ProxyUriError};
use crate::tunnel::{self, Keep, SetAside};

/// The largest file of certificates that is read; the bundle of a system has a quarter of a megabyte.
const MAX_PEM: u64 = 16 << 20;

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
    let ports = args.ports.iter().flat_map(|range| range.clone());
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
fn only_proxy(args: &ProxyArgs, variables: Variables<'_>) -> Result<route::ProxyUri, SettingsError> {
    match routes(args, variables)?.0.proxy {
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

/// The proxy and how to get past it. To each of `targets` there must be a way.
fn proxy(
    args: &ProxyArgs,
    targets: &[Authority],
    variables: Variables<'_>,
    warnings: &mut Vec<Warning>,
    curtain: Curtain,
) -> Result<(Routes, tunnel::Config, Origin), SettingsError> {
    let (policy, origin) = routes(args, variables)?;
    if origin == Origin::NoProxy && !targets.iter().all(|target| policy.exempt.matches(target)) {
        return Err(SettingsError::NoProxy);
    }
    let is_typed = |option| args.file.filed.place(option).is_none();
    if is_typed("proxy-user") && args.proxy_user.as_ref().is_some_and(|user| user.contains(':')) {
        warnings.push(Warning::PasswordInArguments("--proxy-user"));
    }
    if let (false, Proxy::Via(proxies)) = (args.proxy.is_empty(), &policy.proxy)
        && is_typed("proxy")
        && proxies.iter().any(|proxy| proxy.password.is_some())
    {
        warnings.push(Warning::PasswordInArguments("--proxy"));
    }
    let fields = fields(args)?;
    // Credentials that were made by hand are the only ones: two fields would contradict each other.
    let by_hand = fields.iter().any(|field| field.is("Proxy-Authorization"));
    let family = match (args.ipv4, args.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        (false, false) => Family::Any,
    };
    let person = Person::new(variables, curtain);
    let tls = tls(args, &person)?;
    #[cfg(feature = "pac")]
    let scripted = args.pac.is_some().then(|| credentials::logins_of_each(args, variables, person.clone()));
    #[cfg(not(feature = "pac"))]
    let scripted = None;
    let logins = scripted.unwrap_or_else(|| credentials::logins(args, &policy.proxy, variables, person))?;
    let fields = RequestFields::new(fields);
    let old = args.proxy_http_version == HttpVersion::OnePointZero;
    let fields = if old { fields.in_http_1_0() } else { fields };
    let config = tunnel::Config {
        names: Names::default(),
        dial: dial::Config { family, keepalive: Some(args.keepalive).filter(|time| !time.is_zero()) },
        fields,
        http: args.proxy_http_version.into(),
        #[cfg(feature = "http2")]
        pool: tunnel::Pool::default(),
        tls,
        auth: if by_hand { auth::Policy::None } else { args.proxy_auth.into() },
        logins,
        service: args.proxy_spn.clone(),
        connect_timeout: args.connect_timeout,
        proxy_timeout: args.proxy_timeout,
        set_aside: SetAside::default(),
        permits: tunnel::Permits::default(),
    };
    #[cfg(feature = "pac")]
    if let Some(text) = &args.pac {
        let location: pac::Location = text.parse()?;
        let (dial, tls) = (config.dial, config.tls.clone());
        let named_at = args.file.filed.place("pac").map(|place| Arc::new(place.to_string()));
        let config_of_script = pac::Config { dial, tls, patience: args.connect_timeout, named_at };
        let pac = Pac::new(location, config_of_script);
        return Ok((Routes::Script { pac: Arc::new(pac), exempt: policy.exempt }, config, origin));
    }
    let routes = match origin {
        Origin::NoProxy => Routes::Unnamed { exempt: policy.exempt },
        Origin::Option(_) | Origin::Variable(_) | Origin::File(_) => policy.into(),
    };
    Ok((routes, config, origin))
}

/// Whether the words say what can be meant; no file is read for it, and nobody is asked.
fn judge(args: &ProxyArgs, variables: Variables<'_>) -> Result<(), SettingsError> {
    routes(args, variables)?;
    fields(args)?;
    #[cfg(feature = "pac")]
    if let Some(text) = &args.pac {
        text.parse::<pac::Location>()?;
    }
    Ok(())
}

/// The fields of the request that are the same for every target.
fn fields(args: &ProxyArgs) -> Result<Vec<Field>, SettingsError> {
    // By hand, as what is wrong with one must not be quoted: it may be a token.
    let headers = args.proxy_header.iter().map(|text| text.parse::<Field>().map_err(SettingsError::Header));
    let headers = headers.collect::<Result<Vec<_>, _>>()?;
    // RFC 9110 §5.3: a field that is no list comes once, and the one made by hand is meant.
    let user_agent = user_agent_text(args).filter(|_| !headers.iter().any(|field| field.is("User-Agent")));
    let user_agent = user_agent.map(|text| Field::new("User-Agent", text));
    let user_agent = user_agent.transpose().map_err(SettingsError::UserAgent)?;
    Ok(user_agent.into_iter().chain(headers).collect())
}

/// What we call ourselves, if anything.
fn user_agent_text(args: &ProxyArgs) -> Option<&str> {
    match args.user_agent.as_deref() {
        Some("") => None,
        Some(text) => Some(text),
        None => Some(concat!("wimble/", env!("CARGO_PKG_VERSION"))),
    }
}

/// A flag beats the environment, and no_proxy is environment: a proxy that is named by a flag is
/// used for every target, and a script is asked for every one: until then it is `direct`. The
/// environment beats the configuration file. Where nothing is named, there is a way to exempt targets
/// alone.
fn routes(args: &ProxyArgs, variables: Variables<'_>) -> Result<(route::Policy, Origin), SettingsError> {
    #[cfg(feature = "pac")]
    if args.pac.is_some() {
        let (exempt, origin) = match args.file.filed.place("pac") {
            None => (NoProxy::default(), Origin::Option("--pac")),
            // As for a proxy there.
            Some(place) => (env::exemptions(variables), Origin::File(place.clone())),
        };
        return Ok((route::Policy { proxy: Proxy::Direct, exempt }, origin));
    }
    if !args.proxy.is_empty() {
        let proxy = chain(&args.proxy)?;
        return Ok(match args.file.filed.place("proxy") {
            None => (route::Policy { proxy, exempt: NoProxy::default() }, Origin::Option("--proxy")),
            // No variable names a proxy: the file would have been passed over.
            Some(place) => {
                let exempt = env::exemptions(variables);
                (route::Policy { proxy, exempt }, Origin::File(place.clone()))
            }
        });
    }
    if let Some((policy, variable)) = env::policy(variables).map_err(SettingsError::Variable)? {
        tracing::debug!("the proxy is from {variable}");
        return Ok((policy, Origin::Variable(variable)));
    }
    let exempt = env::exemptions(variables);
    Ok((route::Policy { proxy: Proxy::Direct, exempt }, Origin::NoProxy))
}

/// `--proxy`, once or several times.
fn chain(texts: &[String]) -> Result<Proxy, SettingsError> {
    let mut chain = Vec::new();
    for text in texts {
        match text.parse().map_err(SettingsError::Proxy)? {
            Proxy::Direct if texts.len() == 1 => return Ok(Proxy::Direct),
            Proxy::Direct => return Err(SettingsError::DirectInChain),
            Proxy::Via(proxies) => chain.extend(proxies),
        }
    }
    Ok(Proxy::Via(chain))
}

/// How TLS is spoken to proxies. The system's store is read when it is needed, files are now.
fn tls(args: &ProxyArgs, person: &Person) -> Result<trust::Tls, SettingsError> {
    let trust = match &args.proxy_cacert {
        _ if args.proxy_insecure => trust::Trust::Danger,
        Some(file) => anchors("--proxy-cacert", file)?,
        None => trust::Trust::System,
    };
    let identity = match &args.proxy_cert {
        Some(file) => {
            let key = args.proxy_key.as_deref().map(|key| ("--proxy-key", key));
            Some(identity::read(("--proxy-cert", file), key, person)?)
        }
        None => None,
    };
    Ok(trust::Tls::new(trust, identity))
}

/// The certificates that a file trusts, of which one at least can be used.
fn anchors(option: &'static str, file: &Path) -> Result<trust::Trust, SettingsError> {
    let trust = trust::Trust::Anchors(certificates(option, file)?);
    trust::Judge::new(&trust, &Store::default()).map_err(|_| SettingsError::Pem {
        option,
        file: file.display().to_string(),
        why: "no certificate in it can be read".into(),
    })?;
    Ok(trust)
}

pub(super) fn certificates(
    option: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let failed = |why: String| SettingsError::Pem { option, file: file.display().to_string(), why };
    let mut pem = Vec::new();
    // What never ends, such as /dev/zero, ends here.
    let read = File::open(file).and_then(|opened| opened.take(MAX_PEM + 1).read_to_end(&mut pem));
    if read.map_err(|error| failed(reason(&error)))? as u64 > MAX_PEM {
        return Err(failed(format!("more than {} MiB", MAX_PEM >> 20)));
    }
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if found.is_empty() { Err(failed("no certificate in it".into())) } else { Ok(found) }
}
