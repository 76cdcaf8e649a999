//! From the options about proxies to the routes, and to how a tunnel is opened: which proxy, by
//! which rule, under which name, and whom to trust.
//!
//! Refuses to know the commands; each asks for it in the same words.

#[cfg(feature = "pac")]
use std::sync::Arc;

use super::args::{HttpVersion, ProxyArgs};
use super::certificates::anchors;
use super::credentials::{self, Person};
use super::explain::Origin;
use super::identity;
use super::prompt::Curtain;
use super::settings::{SettingsError, Variables, Warning};
use crate::auth;
use crate::authority::Authority;
use crate::mode::Routes;
#[cfg(feature = "pac")]
use crate::mode::pac::{self, Pac};
use crate::net::dial::{self, Family};
use crate::net::names::Names;
use crate::net::trust;
use crate::proto::{Field, RequestFields};
use crate::route::{self, NoProxy, Proxy, env};
use crate::tunnel::{self, SetAside};

/// The proxy and how to get past it. To each of `targets` there must be a way.
pub(super) fn proxy(
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
    let logins = match () {
        #[cfg(feature = "pac")]
        () if args.pac.is_some() => credentials::logins_of_each(args, variables, person)?,
        () => credentials::logins(args, &policy.proxy, variables, person)?,
    };
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
pub(super) fn judge(args: &ProxyArgs, variables: Variables<'_>) -> Result<(), SettingsError> {
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
pub(super) fn user_agent_text(args: &ProxyArgs) -> Option<&str> {
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
pub(super) fn routes(
    args: &ProxyArgs,
    variables: Variables<'_>,
) -> Result<(route::Policy, Origin), SettingsError> {
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
