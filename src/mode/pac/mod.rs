//! A proxy auto-config script at work: where it comes from, the thread that runs it, and what it
//! has answered.
//!
//! The script is fetched and its thread started when the first target is asked for, and not before.
//! Refuses to know what a script may do: that is `route::pac`.

mod location;
mod machine;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, oneshot};

pub use location::{Location, LocationError};

use self::machine::Machine;
use crate::authority::Authority;
use crate::net::blocking::on_a_thread;
use crate::net::fetch::{FetchError, fetch};
use crate::net::{dial, trust};
use crate::route::pac::{self, Engine, PacError, Ways};

/// How long an answer counts: scripts look at the clock.
const LIFE: Duration = Duration::from_secs(60);

/// How many answers are kept. A client of a local proxy names targets without end.
const MAX_ANSWERS: usize = 1000;

/// How many threads may be busy with calls that nobody waits for any more.
const MAX_LOST: usize = 4;

/// A script names no way to a target.
#[derive(Debug, thiserror::Error)]
#[error("{location}: {cause}")]
pub struct PacFailure {
    /// Which script.
    pub location: Location,
    /// [`Config::named_at`].
    pub named_at: Option<Arc<String>>,
    /// Why.
    #[source]
    pub cause: PacCause,
}

/// Why a script names no way.
#[derive(Debug, thiserror::Error)]
pub enum PacCause {
    /// The file can't be read.
    #[error("the file can't be read")]
    Read(#[source] io::Error),
    /// The server does not give it.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It has not come within this time.
    #[error("it did not come within {0:?}")]
    SlowServer(Duration),
    /// There is no answer after this time, in which it is fetched too.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// It was read, and does not answer.
    #[error(transparent)]
    Script(#[from] PacError),
    /// There is no thread to run it.
    #[error("no thread to run it")]
    Thread(#[source] io::Error),
}

/// How a script is got.
#[derive(Clone, Debug)]
pub struct Config {
    /// How its server is dialled.
    pub dial: dial::Config,
    /// How TLS is spoken to its server.
    pub tls: trust::Tls,
    /// The longest time that an answer may take, the first with the fetching before it.
    pub patience: Duration,
    /// Where it is said which script it is, for those who told it wrong; `None` where they know.
    pub named_at: Option<Arc<String>>,
}

/// A script, and what it has answered.
pub struct Pac {
    location: Location,
    config: Config,
    script: OnceCell<Arc<str>>,
    /// One target is asked for at a time; those who wait do so here.
    runs: tokio::sync::Mutex<Runs>,
    answers: Mutex<HashMap<Authority, (Instant, Ways)>>,
}

impl fmt::Debug for Pac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pac({})", self.location)
    }
}

/// The thread that runs the script, and those that nobody waits for any more.
#[derive(Default)]
struct Runs {
    worker: Option<Worker>,
    /// No engine can interrupt what is one step to it. Each with the target it was asked for.
    lost: Vec<(Authority, Weak<()>)>,
}

/// A target, and where the answer goes.
type Wish = (Authority, oneshot::Sender<Result<Ways, PacError>>);

struct Worker {
    wishes: mpsc::Sender<Wish>,
    /// Held by the thread.
    alive: Weak<()>,
}

impl Pac {
    /// Nothing is fetched yet.
    pub fn new(location: Location, config: Config) -> Self {
        let (script, runs, answers) = Default::default();
        Self { location, config, script, runs, answers }
    }

    /// Where the script is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// What the script says about a target, or said less than a minute ago. While it is asked for
    /// others the time does not count.
    ///
    /// # Errors
    /// [`PacFailure`]; the next call tries again.
    pub async fn find(&self, target: &Authority) -> Result<Ways, PacFailure> {
        if let Some(ways) = self.known(target) {
            return Ok(ways);
        }
        self.ask(target).await.map_err(|cause| {
            let (location, named_at) = (self.location.clone(), self.config.named_at.clone());
            PacFailure { location, named_at, cause }
        })
    }

    fn known(&self, target: &Authority) -> Option<Ways> {
        let answers = self.answers();
        answers.get(target).filter(|(since, _)| since.elapsed() < LIFE).map(|(_, ways)| ways.clone())
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<Authority, (Instant, Ways)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, target: &Authority) -> Result<Ways, PacCause> {
        let patience = self.config.patience;
        let since = Instant::now();
        // One time for whoever waits: it comes once for all.
        let script = tokio::time::timeout(patience, self.script.get_or_try_init(|| self.script())).await;
        let script = script.unwrap_or(Err(PacCause::SlowServer(patience)))?;
        let left = patience.saturating_sub(since.elapsed());
        let mut runs = self.runs.lock().await;
        // Whoever was ahead may have asked the same.
        if let Some(ways) = self.known(target) {
            return Ok(ways);
        }
        let (reply, answer) = oneshot::channel();
        let gone = || PacCause::Thread(io::ErrorKind::BrokenPipe.into());
        let worker = runs.worker(target, script, patience)?;
        worker.wishes.send((target.clone(), reply)).map_err(|_| gone())?;
        let Ok(answer) = tokio::time::timeout(left, answer).await else {
            runs.give_up(target);
            return Err(PacCause::Slow(patience));
        };
        let ways = answer.map_err(|_| gone())??;
        tracing::debug!("{} answers {target} with {}", self.location, pac::words(&ways.answer));
        let mut answers = self.answers();
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        answers.insert(target.clone(), (Instant::now(), ways.clone()));
        Ok(ways)
    }

    /// The text. Some are in Latin-1, in their comments: what is no UTF-8 there does no harm.
    async fn script(&self) -> Result<Arc<str>, PacCause> {
        let bytes = match &self.location {
            Location::File(path) => {
                let path = path.clone();
                // A pipe or a network's file system may let one wait.
                on_a_thread(move || read(&path)).await.and_then(|read| read).map_err(PacCause::Read)?
            }
            Location::Web(address) => {
                let Config { dial, tls, .. } = &self.config;
                fetch(address, *dial, tls, pac::MAX_SCRIPT).await?.into()
            }
        };
        tracing::debug!("{}: {} bytes", self.location, bytes.len());
        if bytes.len() > pac::MAX_SCRIPT {
            return Err(PacError::TooLarge.into());
        }
        Ok(String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').into())
    }
}

impl Runs {
    /// Who runs the script: the one there is, or a new one, unless the script is still busy with this
    /// target, or with too many.
    fn worker(
        &mut self,
        target: &Authority,
        script: &Arc<str>,
        patience: Duration,
    ) -> Result<&Worker, PacCause> {
        self.lost.retain(|(_, alive)| alive.strong_count() > 0);
        if self.lost.iter().any(|(lost, _)| lost == target) {
            return Err(PacCause::Slow(patience));
        }
        if self.worker.is_none() && self.lost.len() >= MAX_LOST {
            let busy = format!("{MAX_LOST} calls of the script have not ended");
            return Err(PacCause::Thread(io::Error::other(busy)));
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => start(script.clone())?,
        };
        Ok(self.worker.insert(worker))
    }

    /// Nobody waits for this call any more, nor for what would come behind it.
    fn give_up(&mut self, target: &Authority) {
        self.lost.extend(self.worker.take().map(|worker| (target.clone(), worker.alive)));
    }
}

/// A file, or as much of it as is more than any script.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(pac::MAX_SCRIPT as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Starts the thread that the engine belongs to; it ends with the sender.
fn start(script: Arc<str>) -> Result<Worker, PacCause> {
    let (wishes, wished) = mpsc::channel::<Wish>();
    let held = Arc::new(());
    let alive = Arc::downgrade(&held);
    let run = move || {
        let _held = held;
        let mut engine = None;
        for (target, reply) in wished {
            // Who asked may have left meanwhile.
            if reply.is_closed() {
                continue;
            }
            let ready = match engine.take() {
                Some(ready) => Ok(ready),
                None => Engine::new(&script, Rc::new(Machine::new())),
            };
            let answer = ready.and_then(|ready| {
                let ways = ready.find(&target)?;
                // What a script has left behind when it failed is not built upon.
                engine = Some(ready);
                Ok(ways)
            });
            let _left = reply.send(answer);
        }
    };
    thread::Builder::new().name("pac".into()).stack_size(pac::STACK).spawn(run).map_err(PacCause::Thread)?;
    Ok(Worker { wishes, alive })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pac(script: &str, patience: Duration) -> (Pac, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), script).expect("written");
        let config =
            Config { dial: dial::Config::default(), tls: trust::Tls::default(), patience, named_at: None };
        (Pac::new(Location::File(file.path().into()), config), file)
    }

    #[tokio::test]
    async fn a_target_is_asked_for_once_a_minute_and_the_file_read_once() {
        let script = "var n = 0; function FindProxyForURL(url, host) { return 'PROXY p' + ++n + ':1'; }";
        let (pac, file) = pac(script, Duration::from_secs(10));
        let said = async |target: &str| {
            let ways = pac.find(&target.parse().expect("a target")).await.expect("an answer");
            ways.answer[0].text.clone()
        };
        assert_eq!(said("a:1").await, "PROXY p1:1");
        assert_eq!(said("a:1").await, "PROXY p1:1");
        drop(file);
        assert_eq!(said("a:2").await, "PROXY p2:1", "another port is another URL");
        for entry in pac.answers().values_mut() {
            entry.0 = entry.0.checked_sub(LIFE).expect("a machine that runs for a minute");
        }
        assert_eq!(said("a:1").await, "PROXY p3:1");
    }

    #[tokio::test]
    async fn the_answers_that_are_kept_are_bounded() {
        let (pac, _file) = pac("function FindProxyForURL() { return 'DIRECT'; }", Duration::from_secs(10));
        for port in 1..=MAX_ANSWERS + 10 {
            pac.find(&format!("a:{port}").parse().expect("a target")).await.expect("an answer");
            assert!(pac.answers().len() <= MAX_ANSWERS);
        }
    }

    #[tokio::test]
    async fn a_call_that_no_engine_can_interrupt_is_given_up_and_holds_up_no_other() {
        // A search in a text is one step to the engine.
        let script = "function FindProxyForURL(url, host) {\
              if (host != 'good') 'a'.repeat(400000).indexOf('a'.repeat(200000) + 'b');\
              return 'PROXY p:1'; }";
        let (pac, _file) = pac(script, Duration::from_millis(500));
        let find = async |target: String| pac.find(&target.parse().expect("a target")).await;
        for n in 1..=MAX_LOST {
            let failure = find(format!("bad{n}:1")).await.expect_err("it takes longer");
            assert!(matches!(failure.cause, PacCause::Slow(_)), "{failure:?}");
            if n < MAX_LOST {
                find(format!("good:{n}")).await.expect("an answer");
            }
            assert_eq!(pac.runs.lock().await.lost.len(), n);
            find("bad1:1".into()).await.expect_err("it is busy with that");
            assert_eq!(pac.runs.lock().await.lost.len(), n, "and is not asked again meanwhile");
        }
        let failure = find("other:1".into()).await.expect_err("too many are lost");
        assert!(matches!(failure.cause, PacCause::Thread(_)), "{failure:?}");
    }

    #[tokio::test]
    async fn those_who_wait_for_the_same_answer_share_it_and_waiting_does_not_count() {
        // Three calls take more than the time that there is for one.
        let script = "var n = 0; function FindProxyForURL() {\
              for (var end = Date.now() + 400; Date.now() < end;);\
              return 'PROXY p' + ++n + ':1'; }";
        let (pac, _file) = pac(script, Duration::from_secs(1));
        let find = async |target: &str| {
            let ways = pac.find(&target.parse().expect("a target")).await.expect("an answer");
            ways.answer[0].text.clone()
        };
        let (a, b, c, d, e) = tokio::join!(find("a:1"), find("b:1"), find("c:1"), find("d:1"), find("d:1"));
        assert_eq!(d, e);
        let mut all = [a, b, c, d];
        all.sort();
        assert_eq!(all, ["PROXY p1:1", "PROXY p2:1", "PROXY p3:1", "PROXY p4:1"]);
    }

    #[tokio::test]
    async fn latin_1_is_measured_as_it_came() {
        let (pac, file) = pac("", Duration::from_secs(10));
        let comment =
            [&b"// "[..], &[0xe9; 600_000], b"\nfunction FindProxyForURL() { return 'PROXY p:1'; }"];
        std::fs::write(file.path(), comment.concat()).expect("written");
        pac.find(&"a:1".parse().expect("a target")).await.expect("an answer");
    }
}
