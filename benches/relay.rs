//! The relay between two sockets: spliced, as it is for bulk, beside tokio's own copying.
//!
//! A source sends, a sink reads and discards, each on a thread of its own; the relay runs on the
//! bench's. The time is that of the whole chain: read ratios.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wimble::net::ending::{HalfClose, Patience};
use wimble::net::relay::{Early, relay};
use wimble::net::stream::Stream;

const PATIENCE: Patience =
    Patience { half_close: HalfClose::After(Duration::ZERO), linger: None, idle: None };

/// Carries `bytes` from a source through a relay to a sink, both ways to their ends.
fn carry(runtime: &tokio::runtime::Runtime, bytes: usize, how: How) {
    let (source, ours) = pair();
    let (sink, theirs) = pair();
    let sent = thread::spawn(move || {
        let chunk = vec![7; 256 * 1024];
        let mut left = bytes;
        while left > 0 {
            let some = left.min(chunk.len());
            (&source).write_all(&chunk[..some]).expect("a relay that takes it");
            left -= some;
        }
        source.shutdown(Shutdown::Write).expect("an end");
        (&source).read(&mut [0]).expect("the other side's end")
    });
    let received = thread::spawn(move || {
        let mut chunk = vec![0; 256 * 1024];
        let mut received = 0;
        loop {
            match (&sink).read(&mut chunk).expect("a relay that gives it") {
                0 => break,
                some => received += some,
            }
        }
        sink.shutdown(Shutdown::Write).expect("an end");
        received
    });
    runtime.block_on(async {
        let [mut client, mut tunnel] = [ours, theirs].map(|stream| {
            stream.set_nonblocking(true).expect("a socket");
            tokio::net::TcpStream::from_std(stream).expect("a socket")
        });
        match how {
            How::Relay => {
                let (client, tunnel) = (Stream::Tcp(client), Stream::Tcp(tunnel));
                relay(client, tunnel, Early::default(), PATIENCE).await.expect("nothing breaks");
            }
            How::Copy(size) => {
                tokio::io::copy_bidirectional_with_sizes(&mut client, &mut tunnel, size, size)
                    .await
                    .expect("nothing breaks");
            }
        }
    });
    assert_eq!(sent.join().expect("the source"), 0);
    assert_eq!(received.join().expect("the sink"), bytes);
}

#[derive(Clone, Copy)]
enum How {
    Relay,
    Copy(usize),
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let ours = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    (ours, listener.accept().expect("accepted").0)
}

fn bulk(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("relay");
    group.sample_size(10);
    for bytes in [64 << 10, 256 << 20] {
        group.throughput(Throughput::Bytes(bytes as u64));
        for (name, how) in [
            ("wimble", How::Relay),
            ("copy 8 KiB", How::Copy(8 << 10)),
            ("copy 256 KiB", How::Copy(256 << 10)),
        ] {
            group.bench_function(BenchmarkId::new(name, bytes), |b| b.iter(|| carry(&runtime, bytes, how)));
        }
    }
    group.finish();
}

criterion_group!(benches, bulk);
criterion_main!(benches);
