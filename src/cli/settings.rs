//! From the words typed and the environment to a [`Job`]: below this there is no option left
//! open, no string to parse, and no environment.

use std::fs;
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::args::{CheckArgs, Cli, Command, ConnectArgs, ForwardArgs, ProxyArgs, RelayArgs, ServeArgs};
use super::credentials::{self, CredentialsError};
use crate::auth;
use crate::authority::{Authority, AuthorityError};
use crate::front::http::Gate;
use crate::mode::Place;
use crate::mode::check::{Check, TlsProbe, Trust};
use crate::mode::connect::{Carrier, Connect};
use crate::mode::forward::Forward;
use crate::mode::serve::Serve;
use crate::net::dial::{self, Family};
use crate::net::ending::Patience;
use crate::net::names::Names;
use crate::net::trust;
use crate::proto::{Field, FieldError, RequestFields};
use crate::route::env::{self, EnvError};
use crate::route::{self, NoProxy, Proxy, ProxyUriError, Route};
use crate::tunnel::{self, Keep};

/// Everything that wimble can be asked for.
pub(super) enum Job {
    Connect(Connect),
    Forward(Forward),
    Check { check: Check, targets: Vec<Authority>, json: bool, color: clap::ColorChoice },
    Serve(Serve),
    Completions(clap_complete::Shell),
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
    #[error("target: HOST PORT, or HOST:PORT")]
    Words,
    #[error("--proxy: {0}")]
    Proxy(ProxyUriError),
    #[error("{}: {}", .0.variable, .0.why)]
    Variable(EnvError),
    #[error("no proxy is given")]
    NoProxy,
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
    #[error("{place}: {error}")]
    Place { place: Place, error: std::io::Error },
}

/// The environment, as a function so that tests can make one up.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Resolves what was typed.
pub(super) fn resolve(cli: Cli, variables: Variables<'_>) -> Result<(Job, Vec<Warning>), SettingsError> {
    let mut warnings = Vec::new();
    let job = match cli.command {
        Command::Connect(args) => Job::Connect(connect(&args, variables, &mut warnings)?),
        Command::Forward(args) => Job::Forward(forward(args, variables, &mut warnings)?),
        Command::Check(args) => check(args, variables, &mut warnings)?,
        Command::Serve(args) => Job::Serve(serve(args)?),
        Command::Completions(args) => Job::Completions(args.shell),
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
        [host, port] => Authority::from_words(host, port)
            .map_err(|error| SettingsError::Target { text: format!("{host} {port}"), error })?,
        _ => return Err(SettingsError::Words),
    };
    let (routes, config) = proxy(&args.proxy, std::slice::from_ref(&target), variables, warnings)?;
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
    let specs: Vec<_> = args.specs.into_iter().map(|spec| (spec.place, spec.target)).collect();
    for (place, _) in &specs {
        if !is_local(place)? {
            warnings.push(Warning::NotLoopback(place.clone()));
        }
    }
    let targets: Vec<_> = specs.iter().map(|(_, target)| target.clone()).collect();
    let (routes, config) = proxy(&args.proxy, &targets, variables, warnings)?;
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

fn check(
    args: CheckArgs,
    variables: Variables<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Job, SettingsError> {
    let targets = args.targets.iter().map(|word| target(word)).collect::<Result<Vec<_>, _>>()?;
    let (routes, config) = proxy(&args.proxy, &targets, variables, warnings)?;
    let sni = |name: String| ServerName::try_from(name.clone()).map_err(|_| SettingsError::Sni(name));
    let tls = if args.no_tls {
        None
    } else {
        let trust = match &args.cacert {
            _ if args.insecure => Trust::Insecure,
            Some(file) => Trust::Anchors(certificates("--cacert", file)?),
            None => Trust::Stores,
        };
        Some(TlsProbe { sni: args.sni.map(sni).transpose()?, alpn: args.alpn, trust })
    };
    Ok(Job::Check { check: Check { routes, config, tls }, targets, json: args.json, color: args.color })
}

fn serve(args: ServeArgs) -> Result<Serve, SettingsError> {
    let guarded = args.auth_file.is_some() || !args.allow.is_empty();
    if !guarded && !is_local(&args.listen)? {
        return Err(SettingsError::OpenProxy { place: args.listen });
    }
    let logins = args.auth_file.as_deref().map(credentials::lines).transpose()?;
    if logins.as_ref().is_some_and(Vec::is_empty) {
        let file = args.auth_file.map(|file| file.display().to_string()).unwrap_or_default();
        return Err(CredentialsError::Format { file }.into());
    }
    let gate = Gate { logins: logins.unwrap_or_default(), allow: args.allow, deny: args.deny };
    Ok(Serve { place: args.listen, gate, max_connections: args.max_connections })
}

fn target(word: &str) -> Result<Authority, SettingsError> {
    word.parse().map_err(|error| SettingsError::Target { text: word.to_owned(), error })
}

fn is_local(place: &Place) -> Result<bool, SettingsError> {
    place.is_local().map_err(|error| SettingsError::Place { place: place.clone(), error })
}

fn patience(args: &RelayArgs, linger: Option<std::time::Duration>) -> Patience {
    let idle = args.idle_timeout.filter(|idle| !idle.is_zero());
    Patience { half_close: args.half_close_delay, linger, idle }
}

/// The proxy and how to get past it.
fn proxy(
    args: &ProxyArgs,
    targets: &[Authority],
    variables: Variables<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(route::Policy, tunnel::Config), SettingsError> {
    let routes = routes(args, targets, variables)?;
    if args.proxy_user.as_ref().is_some_and(|user| user.contains(':')) {
        warnings.push(Warning::PasswordInArguments("--proxy-user"));
    }
    if let (false, Proxy::Via(proxies)) = (args.proxy.is_empty(), &routes.proxy)
        && proxies.iter().any(|proxy| proxy.password.is_some())
    {
        warnings.push(Warning::PasswordInArguments("--proxy"));
    }
    let user_agent = match args.user_agent.as_deref() {
        Some("") => None,
        Some(text) => Some(Field::new("User-Agent", text).map_err(SettingsError::UserAgent)?),
        None => Field::new("User-Agent", concat!("wimble/", env!("CARGO_PKG_VERSION"))).ok(),
    };
    // By hand, as what is wrong with one must not be quoted: it may be a token.
    let headers = args.proxy_header.iter().map(|text| text.parse::<Field>().map_err(SettingsError::Header));
    let headers = headers.collect::<Result<Vec<_>, _>>()?;
    // Credentials that were made by hand are the only ones: two fields would contradict each other.
    let by_hand = headers.iter().any(Field::is_authorization);
    let family = match (args.ipv4, args.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        (false, false) => Family::Any,
    };
    let logins = credentials::logins(
        args.proxy_user.as_deref(),
        args.proxy_credentials.as_deref(),
        &routes.proxy,
        variables,
    )?;
    let config = tunnel::Config {
        names: Names::default(),
        dial: dial::Config { family, keepalive: Some(args.keepalive).filter(|time| !time.is_zero()) },
        fields: RequestFields::new(user_agent.into_iter().chain(headers)),
        tls: tls(args)?,
        auth: if by_hand { auth::Policy::None } else { args.proxy_auth.into() },
        logins,
        service: args.proxy_spn.clone(),
        connect_timeout: args.connect_timeout,
        proxy_timeout: args.proxy_timeout,
    };
    Ok((routes, config))
}

/// A flag beats the environment, and no_proxy is environment: a proxy that is named by a flag is
/// used for every target.
fn routes(
    args: &ProxyArgs,
    targets: &[Authority],
    variables: Variables<'_>,
) -> Result<route::Policy, SettingsError> {
    if !args.proxy.is_empty() {
        return Ok(route::Policy { proxy: chain(&args.proxy)?, exempt: NoProxy::default() });
    }
    if let Some((policy, variable)) = env::policy(variables).map_err(SettingsError::Variable)? {
        tracing::debug!("the proxy is from {variable}");
        return Ok(policy);
    }
    let policy = route::Policy { proxy: Proxy::Direct, exempt: env::exemptions(variables) };
    if targets.iter().all(|target| policy.exempt.matches(target) && policy.route(target) == Route::Direct) {
        return Ok(policy);
    }
    Err(SettingsError::NoProxy)
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
fn tls(args: &ProxyArgs) -> Result<trust::Tls, SettingsError> {
    let trust = match &args.proxy_cacert {
        _ if args.proxy_insecure => trust::Trust::Danger,
        Some(file) => trust::Trust::Anchors(certificates("--proxy-cacert", file)?),
        None => trust::Trust::System,
    };
    let identity = match &args.proxy_cert {
        Some(file) => Some(identity(file, args.proxy_key.as_deref())?),
        None => None,
    };
    Ok(trust::Tls::new(trust, identity))
}

fn identity(certificate: &Path, key: Option<&Path>) -> Result<trust::Identity, SettingsError> {
    let chain = certificates("--proxy-cert", certificate)?;
    let (option, file) = key.map_or(("--proxy-cert", certificate), |key| ("--proxy-key", key));
    let key = credentials::private(file)?;
    let failed = |why: &str| SettingsError::Pem { option, file: file.display().to_string(), why: why.into() };
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| {
        failed(if key.expose().contains("ENCRYPTED") {
            "its key is encrypted; openssl pkey -in FILE -out NEW takes the password away"
        } else {
            "no private key in it"
        })
    })?;
    Ok(trust::Identity { chain, key })
}

fn certificates(option: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let failed = |why: String| SettingsError::Pem { option, file: file.display().to_string(), why };
    let pem = fs::read(file).map_err(|error| failed(error.to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if found.is_empty() { Err(failed("no certificate in it".into())) } else { Ok(found) }
}
