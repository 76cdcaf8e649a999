//! What a script costs: cold (an engine is made, the script run, and asked once), warm (asked
//! again), and cached (not asked, as it said less than a minute ago).

use std::cell::Cell;
use std::fs;
use std::hint::black_box;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use wimble::authority::Authority;
use wimble::mode::pac::{Config, Location, Pac};
use wimble::net::{dial, trust};
use wimble::route::pac::{Engine, World};

/// 200 lines, as companies have them.
const SCRIPT: &str = "tests/fixtures/pac/company.pac";

/// A machine that asks no resolver.
#[derive(Default)]
struct Still(Cell<u64>);

impl World for Still {
    fn elapsed(&self) -> Duration {
        self.0.set(self.0.get() + 1);
        Duration::from_nanos(self.0.get())
    }
    fn unix_time(&self) -> i64 {
        1_795_579_906
    }
    fn resolve(&self, _: &str, _: Duration) -> Vec<IpAddr> {
        vec![IpAddr::from([203, 0, 113, 5])]
    }
    fn own_addresses(&self) -> Vec<IpAddr> {
        vec![IpAddr::from([10, 20, 30, 40])]
    }
}

fn script(c: &mut Criterion) {
    let script = fs::read_to_string(SCRIPT).expect("the script");
    let target: Authority = "www.far-away.example:443".parse().expect("a target");
    c.bench_function("pac/cold", |b| {
        b.iter(|| {
            let engine = Engine::new(&script, Rc::<Still>::default()).expect("an engine");
            black_box(engine.find(&target).expect("an answer"))
        })
    });
    let engine = Engine::new(&script, Rc::<Still>::default()).expect("an engine");
    c.bench_function("pac/warm", |b| b.iter(|| black_box(engine.find(&target).expect("an answer"))));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let config = Config {
        dial: dial::Config::default(),
        tls: trust::Tls::default(),
        patience: Duration::from_secs(10),
        named_at: None,
    };
    let pac = Pac::new(Location::File(SCRIPT.into()), config);
    runtime.block_on(pac.find(&target)).expect("an answer");
    c.bench_function("pac/cached", |b| {
        b.iter(|| black_box(runtime.block_on(pac.find(&target)).expect("an answer")))
    });
}

criterion_group!(benches, script);
criterion_main!(benches);
