//! Proxy auto-config: a script's `FindProxyForURL` says which proxies lead to a target.
//!
//! Knows the engine, its bounds and the helper functions that every such script may call. The
//! script is foreign code: it sees the scheme, host and port, no more of a URL, and nothing of this
//! machine but what the helpers tell. Refuses to read files, clocks and names: they come in as a
//! [`World`].

mod answer;
mod hosts;
#[cfg(all(feature = "cli", target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "these names are C's")]
mod math;
mod times;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use rquickjs::context::intrinsic;
use rquickjs::function::{FromParam, Opt, ParamRequirement, ParamsAccessor};
use rquickjs::{
    CatchResultExt as _, CaughtError, Coerced, Context, Ctx, Exception, Function, IntoJs, Object, Runtime,
    String as Text, Value, context::EvalOptions,
};

pub use answer::Entry;

use super::Route;
use crate::authority::{Authority, Host};

/// Bytes of a script, as with Chromium.
pub const MAX_SCRIPT: usize = 1024 * 1024;

/// Bytes that a script may use. The parsed form of the largest script is some ten times its text.
const MAX_MEMORY: usize = 64 * 1024 * 1024;

/// Bytes of stack that a script may use. The thread that runs one needs [`STACK`].
const MAX_STACK: usize = 512 * 1024;

/// The stack of a thread that has an [`Engine`].
pub const STACK: usize = 2 * 1024 * 1024;

/// For one run of a script, without the names that it has looked up.
const MAX_RUN: Duration = Duration::from_secs(1);

/// For all names that one run looks up.
const MAX_LOOKUPS: Duration = Duration::from_secs(5);

/// The longest answer that is read.
const MAX_ANSWER: usize = 16 * 1024;

/// The longest text that a helper is given. What leaves the engine is not in [`MAX_MEMORY`]. A name
/// has 255 bytes; a list to be sorted may well be longer, and this is 200 addresses of version 6.
const MAX_WORD: usize = 8 * 1024;

/// What a script may learn about the world around it.
pub trait World {
    /// A time that runs evenly, from any beginning.
    fn elapsed(&self) -> Duration;
    /// Seconds since 1970 in UTC.
    fn unix_time(&self) -> i64;
    /// The addresses of a name: none where it has none, or where finding out takes too long.
    fn resolve(&self, name: &str, limit: Duration) -> Vec<IpAddr>;
    /// The addresses of this machine that others can use.
    fn own_addresses(&self) -> Vec<IpAddr>;
}

/// Why a script names no way to a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacError {
    /// It is larger than [`MAX_SCRIPT`].
    #[error("it is larger than {MAX_SCRIPT} bytes")]
    TooLarge,
    /// The engine could not be had.
    #[error("the JavaScript engine does not start: {0}")]
    Engine(String),
    /// It is no JavaScript, or it threw. The text is the script's: not escaped.
    #[error("{0}")]
    Script(String),
    /// It runs too long.
    #[error("the script did not end within {MAX_RUN:?}")]
    TooSlow,
    /// There is nothing to call.
    #[error("it does not define FindProxyForURL")]
    NoFunction,
    /// The answer is no text.
    #[error("FindProxyForURL returned {0}, not a text")]
    NoText(String),
    /// The answer is longer than any list of proxies: this many bytes.
    #[error("FindProxyForURL returned {0} bytes, and no more than {MAX_ANSWER} are read")]
    LongAnswer(usize),
    /// The answer names no proxy that can be used. The text is the script's: not escaped.
    #[error("FindProxyForURL returned {0:?}, and none of that can be used")]
    NoWay(String),
}

/// The ways to one target, the best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ways {
    /// At least one.
    pub routes: Vec<Route>,
    /// The script's answer, entry by entry, those that can't be used included.
    pub answer: Vec<Entry>,
}

/// The script's answer as it gave it, without what stands between the entries.
pub fn words(answer: &[Entry]) -> String {
    let texts: Vec<_> = answer.iter().map(|entry| entry.text.as_str()).collect();
    texts.join("; ")
}

/// A script that is ready to be asked. It belongs to the thread that made it.
pub struct Engine {
    context: Context,
    budget: Rc<Budget>,
}

impl Engine {
    /// Runs a script up to the point where it has defined its functions.
    ///
    /// # Errors
    /// [`PacError`].
    pub fn new(script: &str, world: Rc<dyn World>) -> Result<Self, PacError> {
        // In characters: what was Latin-1 has more bytes by now than it came in.
        if script.chars().count() > MAX_SCRIPT {
            return Err(PacError::TooLarge);
        }
        let refused = |error: rquickjs::Error| PacError::Engine(error.to_string());
        let runtime = Runtime::new().map_err(refused)?;
        runtime.set_memory_limit(MAX_MEMORY);
        runtime.set_max_stack_size(MAX_STACK);
        let budget = Rc::new(Budget::new(world));
        let watched = budget.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || watched.is_spent())));
        let context = Context::custom::<Globals>(&runtime).map_err(refused)?;
        budget.renew();
        context.with(|ctx| {
            define(&ctx, &budget).map_err(refused)?;
            run(&ctx, script).catch(&ctx).map_err(|error| budget.blame(&error))?;
            find_proxy(&ctx).map(drop)
        })?;
        Ok(Self { context, budget })
    }

    /// Asks the script.
    ///
    /// # Errors
    /// [`PacError`]; the engine can be asked again.
    pub fn find(&self, target: &Authority) -> Result<Ways, PacError> {
        self.budget.renew();
        let host = match target.host() {
            Host::Name(name) => name.to_ascii_lowercase(),
            Host::Address(address) => address.to_string(),
        };
        let text = self.context.with(|ctx| {
            let answer: Value<'_> =
                find_proxy(&ctx)?.call((url(target), host)).catch(&ctx).map_err(|e| self.budget.blame(&e))?;
            if answer.is_null() || answer.is_undefined() {
                return Ok("DIRECT".to_owned());
            }
            let kind = answer.type_name();
            let text = answer.into_string().ok_or_else(|| PacError::NoText(kind.to_owned()))?;
            // A part of it could name another proxy than the whole.
            match taken(&text, MAX_ANSWER) {
                Ok(taken) => taken.map_err(PacError::LongAnswer),
                Err(error) => Err(PacError::Script(error.to_string())),
            }
        })?;
        let answer = answer::entries(&text);
        let routes: Vec<_> = answer.iter().filter_map(|entry| entry.route.clone().ok()).collect();
        if routes.is_empty() {
            let entries: Vec<_> = answer.into_iter().map(|entry| entry.text).collect();
            Err(PacError::NoWay(entries.join("; ")))
        } else {
            Ok(Ways { routes, answer })
        }
    }
}

/// What the language has and such scripts use; no host objects. Promises are there because an async
/// function that is called without them breaks the engine; nothing ever waits for one.
type Globals = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::MapSet,
    intrinsic::Promise,
);

/// Not in strict mode: scripts have variables that are declared nowhere.
fn run<'js>(ctx: &Ctx<'js>, script: &str) -> rquickjs::Result<()> {
    let mut options = EvalOptions::default();
    options.strict = false;
    ctx.eval_with_options(script, options)
}

/// No path and no query: a tunnel has none, and a script has no business with them.
fn url(target: &Authority) -> String {
    match target.port() {
        443 => format!("https://{}/", target.host().to_string().to_ascii_lowercase()),
        _ => format!("https://{}/", target.to_string().to_ascii_lowercase()),
    }
}

fn find_proxy<'js>(ctx: &Ctx<'js>) -> Result<Function<'js>, PacError> {
    ctx.globals().get("FindProxyForURL").map_err(|_| PacError::NoFunction)
}

/// How long a script may go on.
struct Budget {
    world: Rc<dyn World>,
    run_until: Cell<Duration>,
    lookups: Cell<Duration>,
    spent: Cell<bool>,
}

impl Budget {
    fn new(world: Rc<dyn World>) -> Self {
        Self { world, run_until: Cell::default(), lookups: Cell::default(), spent: Cell::default() }
    }

    fn renew(&self) {
        self.run_until.set(self.world.elapsed() + MAX_RUN);
        self.lookups.set(MAX_LOOKUPS);
        self.spent.set(false);
    }

    fn is_spent(&self) -> bool {
        let spent = self.world.elapsed() > self.run_until.get();
        self.spent.set(self.spent.get() || spent);
        spent
    }

    /// A lookup's time is not the script's.
    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        if let Ok(address) = name.parse() {
            return vec![address];
        }
        let left = self.lookups.get();
        if left.is_zero() || name.is_empty() {
            return Vec::new();
        }
        let since = self.world.elapsed();
        let found = self.world.resolve(name, left);
        let took = self.world.elapsed().saturating_sub(since);
        self.lookups.set(left.saturating_sub(took));
        self.run_until.set(self.run_until.get() + took);
        found
    }

    fn resolve_v4(&self, name: &str) -> Option<Ipv4Addr> {
        self.resolve(name).into_iter().find_map(v4)
    }

    /// What browsers say where there is no network: this machine alone.
    fn own_v4(&self) -> Ipv4Addr {
        self.world.own_addresses().into_iter().find_map(v4).unwrap_or(Ipv4Addr::LOCALHOST)
    }

    fn blame(&self, error: &CaughtError<'_>) -> PacError {
        if self.spent.get() {
            return PacError::TooSlow;
        }
        PacError::Script(match error {
            CaughtError::Exception(exception) => {
                let of = |name: &str, most| {
                    let text: Option<Coerced<Text<'_>>> = exception.as_object().get(name).ok()?;
                    readable(&text?.0, most)
                };
                let name = of("name", MAX_WORD).unwrap_or_else(|| "Error".to_owned());
                let message = of("message", MAX_WORD).unwrap_or_default();
                let stack = of("stack", MAX_SCRIPT).unwrap_or_default();
                // The engine has one name for all texts: the lines of the helpers are not the script's.
                let is_helper = |frame: &&str| IN_JAVASCRIPT.iter().any(|name| frame.contains(name));
                let line = stack
                    .lines()
                    .filter(|frame| !is_helper(frame))
                    .find_map(|frame| frame.split_once("eval_script:")?.1.split([':', ')']).next());
                let place = line.map(|line| format!("line {}: ", line.trim())).unwrap_or_default();
                format!("{place}{name}: {message}")
            }
            CaughtError::Value(value) => {
                let text = value
                    .clone()
                    .get::<Coerced<Text<'_>>>()
                    .ok()
                    .and_then(|text| readable(&text.0, MAX_WORD));
                text.map_or_else(|| "it threw something".to_owned(), |text| format!("it threw {text:?}"))
            }
            CaughtError::Error(error) => error.to_string(),
        })
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address.to_canonical() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// A helper that compares its arguments with a moment.
type OfTime = fn(&[&str], &times::Moment) -> bool;

/// How the helpers that are written in JavaScript stand in a stack.
const IN_JAVASCRIPT: [&str; 3] = ["at shExpMatch (", "at convert_addr (", "at isInNet ("];

/// The functions of the Netscape proxy auto-config format, and Microsoft's for IPv6 (`…Ex`).
fn define<'js>(ctx: &Ctx<'js>, budget: &Rc<Budget>) -> rquickjs::Result<()> {
    let globals = ctx.globals();
    let plain = |w: Words<1>| hosts::is_plain(w.at(0));
    globals.set("isPlainHostName", Function::new(ctx.clone(), plain)?)?;
    let in_domain = |w: Words<2>| hosts::is_in_domain(w.at(0), w.at(1));
    globals.set("dnsDomainIs", Function::new(ctx.clone(), in_domain)?)?;
    let local_or = |w: Words<2>| hosts::is_local_or(w.at(0), w.at(1));
    globals.set("localHostOrDomainIs", Function::new(ctx.clone(), local_or)?)?;
    let times: [(&str, OfTime); 3] =
        [("weekdayRange", times::weekday), ("dateRange", times::date), ("timeRange", times::time)];
    for (name, function) in times {
        let budget = budget.clone();
        // From and to have three parts each, and the zone is the last.
        let call = move |ctx: Ctx<'_>, words: Words<7>| -> rquickjs::Result<bool> {
            let (words, in_utc) = times::split_zone(&words.0);
            let now = budget.world.unix_time();
            // The engine knows the zone's rules.
            let behind: i64 =
                if in_utc { 0 } else { ctx.eval(format!("new Date({now}000).getTimezoneOffset()"))? };
            Ok(function(&words, &times::Moment::of(now - behind * 60)))
        };
        globals.set(name, Function::new(ctx.clone(), call)?)?;
    }
    globals.set("dnsDomainLevels", Function::new(ctx.clone(), |w: Words<1>| hosts::levels(w.at(0)))?)?;
    let alert = |text: Opt<Coerced<Text<'js>>>| -> rquickjs::Result<()> {
        // No script fails for what it tells.
        match text.0.map(|text| taken(&text.0, MAX_WORD)).transpose()? {
            Some(Err(length)) => tracing::debug!("the PAC script says {length} bytes"),
            Some(Ok(text)) => tracing::debug!("the PAC script says {text:?}"),
            None => tracing::debug!("the PAC script says \"\""),
        }
        Ok(())
    };
    globals.set("alert", Function::new(ctx.clone(), alert)?)?;
    let sorted = |ctx: Ctx<'js>, w: Words<1>| match hosts::sorted(w.at(0)) {
        Some(list) => list.into_js(&ctx),
        None => Ok(Value::new_bool(ctx, false)),
    };
    globals.set("sortIpAddressList", Function::new(ctx.clone(), sorted)?)?;
    define_lookups(ctx, &globals, budget)?;
    run(ctx, include_str!("helpers.js"))
}

fn define_lookups<'js>(ctx: &Ctx<'js>, globals: &Object<'js>, budget: &Rc<Budget>) -> rquickjs::Result<()> {
    let set = |name, function: rquickjs::Result<Function<'js>>| globals.set(name, function?);
    set("isResolvable", asking::<1, _>(ctx, budget, |b, w| b.resolve_v4(w.at(0)).is_some()))?;
    set("isResolvableEx", asking::<1, _>(ctx, budget, |b, w| !b.resolve(w.at(0)).is_empty()))?;
    set("isInNetEx", asking::<2, _>(ctx, budget, |b, w| hosts::is_in_prefix(&b.resolve(w.at(0)), w.at(1))))?;
    set("dnsResolve", asking::<1, _>(ctx, budget, |b, w| Resolved(b.resolve_v4(w.at(0)))))?;
    set("dnsResolveEx", asking::<1, _>(ctx, budget, |b, w| list(&b.resolve(w.at(0)))))?;
    set("myIpAddress", asking::<0, _>(ctx, budget, |b, _| b.own_v4().to_string()))?;
    set("myIpAddressEx", asking::<0, _>(ctx, budget, |b, _| list(&b.world.own_addresses())))
}

/// A helper that may ask for names.
fn asking<'js, const MOST: usize, T: IntoJs<'js> + 'js>(
    ctx: &Ctx<'js>,
    budget: &Rc<Budget>,
    function: fn(&Budget, &Words<MOST>) -> T,
) -> rquickjs::Result<Function<'js>> {
    let budget = budget.clone();
    Function::new(ctx.clone(), move |words: Words<MOST>| function(&budget, &words))
}

/// One address, or JavaScript's `null`.
struct Resolved(Option<Ipv4Addr>);

impl<'js> IntoJs<'js> for Resolved {
    fn into_js(self, ctx: &Ctx<'js>) -> rquickjs::Result<Value<'js>> {
        match self.0 {
            Some(address) => address.to_string().into_js(ctx),
            None => Ok(Value::new_null(ctx.clone())),
        }
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(";")
}

/// The first arguments of a helper, as texts. The others are not looked at.
struct Words<const MOST: usize>(Vec<String>);

impl<const MOST: usize> Words<MOST> {
    fn at(&self, place: usize) -> &str {
        self.0.get(place).map_or("", String::as_str)
    }
}

impl<'js, const MOST: usize> FromParam<'js> for Words<MOST> {
    fn param_requirement() -> ParamRequirement {
        ParamRequirement::any()
    }

    fn from_param<'a>(params: &mut ParamsAccessor<'a, 'js>) -> rquickjs::Result<Self> {
        let count = MOST.min(params.len());
        let word = |_| {
            let Coerced(text) = params.arg().get::<Coerced<Text<'js>>>()?;
            taken(&text, MAX_WORD)?.map_err(|length| {
                let why = format!("a text of {length} bytes, and helpers take no more than {MAX_WORD}");
                Exception::throw_range(params.ctx(), &why)
            })
        };
        (0..count).map(word).collect::<rquickjs::Result<_>>().map(Self)
    }
}

/// What is told of an error's text.
fn readable(text: &Text<'_>, most: usize) -> Option<String> {
    Some(match taken(text, most).ok()? {
        Ok(text) => text,
        Err(length) => format!("({length} bytes)"),
    })
}

/// A text for outside of the engine, or its length where that is more than `most`: it is measured
/// where the engine counts what it takes.
fn taken(text: &Text<'_>, most: usize) -> rquickjs::Result<Result<String, usize>> {
    let inside = text.clone().to_cstring()?;
    Ok(if inside.len() > most { Err(inside.len()) } else { Ok(inside.as_str().to_owned()) })
}

#[cfg(test)]
mod tests;
