//! The handshake machine alone: from an answer's bytes to an open tunnel, no socket.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use wimble::authority::Authority;
use wimble::proto::{Handshake, RequestFields, Step};

/// A real answer: Squid's, with the target's first words glued to it.
const SQUID: &[u8] = include_bytes!("../tests/fixtures/responses/squid-200.http");
const WORDS: &[u8] = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n";

fn open(target: &Authority, pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> usize {
    let mut pieces = pieces;
    let mut handshake = Handshake::new(target.clone(), RequestFields::default(), None);
    loop {
        match handshake.step() {
            Ok(Step::Transmit(request)) => drop(black_box(request)),
            Ok(Step::Receive) => match pieces.next() {
                Some(piece) => handshake.receive(piece.as_ref()),
                None => handshake.receive_eof(),
            },
            Ok(Step::Open { early, .. }) => return early.len(),
            other => unreachable!("{other:?}"),
        }
    }
}

fn handshake(criterion: &mut Criterion) {
    let target: Authority = "host.example:22".parse().expect("a target");
    let answer = [SQUID, WORDS].concat();
    let long = [
        b"HTTP/1.1 200 OK\r\n".to_vec(),
        b"X-Filler: 0123456789012345678901234567890123456789\r\n".repeat(60),
        b"\r\n".to_vec(),
    ]
    .concat();
    let mut group = criterion.benchmark_group("handshake");
    group.bench_function("squid, whole", |b| b.iter(|| open(&target, std::iter::once(&answer))));
    group.bench_function("squid, byte by byte", |b| b.iter(|| open(&target, answer.chunks(1))));
    group.bench_function("3 KiB of fields, whole", |b| b.iter(|| open(&target, std::iter::once(&long))));
    group.finish();
}

criterion_group!(benches, handshake);
criterion_main!(benches);
