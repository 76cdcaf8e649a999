//! The bytes of an open tunnel: all of them, both ways, and how each way ends.

use std::io::{ErrorKind, Read, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::proxy::{Conn, ScriptedProxy};
use crate::support::{LIMIT, Running, assert_same, connect_via, finish, in_time, noise};

/// A running `connect` with pipes, whose tunnel is open: the target has said "up".
struct Bridge {
    child: Running,
    stdin: Option<std::process::ChildStdin>,
    stdout: Option<std::process::ChildStdout>,
    proxy: ScriptedProxy,
}

impl Bridge {
    fn open(options: &[&str], script: impl FnOnce(&mut Conn) + Send + 'static) -> Self {
        let proxy = ScriptedProxy::start(|conn| {
            conn.open("host:22");
            conn.send("up");
            script(conn);
        });
        let mut cmd = connect_via(&proxy, "host:22");
        let mut child = Running::start(cmd.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (stdin, mut stdout) = (child.take_stdin(), child.take_stdout());
        let mut up = [0; 2];
        stdout.read_exact(&mut up).unwrap_or_else(|why| panic!("{why}: {}", child.stderr()));
        assert_eq!(&up, b"up");
        Self { child, stdin: Some(stdin), stdout: Some(stdout), proxy }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// stdout up to its end.
    #[track_caller]
    fn read_to_end(&mut self) -> Vec<u8> {
        let mut stdout = self.stdout.take().unwrap();
        in_time(LIMIT, move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes)
        })
        .unwrap()
    }

    #[track_caller]
    fn exits(mut self, code: i32) {
        assert_eq!(self.child.wait(LIMIT), Some(code), "{}", self.child.stderr());
        drop(self.stdin);
        self.proxy.done();
    }

    /// CPU time of the program in the next second.
    fn cpu_of_a_second(&self) -> Duration {
        let before = self.child.cpu();
        thread::sleep(Duration::from_secs(1));
        self.child.cpu() - before
    }
}

const BIG: usize = 16 << 20;

#[test]
fn sixteen_mebibytes_each_way_at_once() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        assert_same(&conn.exchange(noise(BIG, 1)), &noise(BIG, 2));
    });
    let finished = finish(&mut connect_via(&proxy, "host:22"), &noise(BIG, 2), 3 * LIMIT).exits(0);
    assert_same(&finished.stdout, &noise(BIG, 1));
    proxy.done();
}

#[test]
fn an_idle_tunnel_costs_nothing() {
    let (release, released) = mpsc::channel::<()>();
    let mut bridge = Bridge::open(&[], move |conn| {
        released.recv_timeout(LIMIT).unwrap();
        conn.finish_writing();
        conn.read_to_end();
    });
    let spent = bridge.cpu_of_a_second();
    assert!(spent < Duration::from_millis(50), "{spent:?} of CPU in one idle second");
    release.send(()).unwrap();
    bridge.stdin.take();
    bridge.exits(0);
}

#[test]
fn a_tunnel_half_closed_by_its_client_costs_nothing() {
    let (release, released) = mpsc::channel::<()>();
    let mut bridge = Bridge::open(&["--half-close-delay", "0"], move |conn| {
        assert_eq!(conn.read_to_end(), b"");
        released.recv_timeout(LIMIT).unwrap();
    });
    bridge.stdin.take();
    let spent = bridge.cpu_of_a_second();
    assert!(spent < Duration::from_millis(50), "{spent:?} of CPU in one second behind the end of stdin");
    release.send(()).unwrap();
    bridge.exits(0);
}

#[test]
fn a_reader_that_stalls_loses_nothing_and_makes_nobody_spin() {
    let mut bridge = Bridge::open(&[], |conn| {
        conn.send(noise(BIG, 3));
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let spent = {
        // Until the pipe is full and the program has come to rest.
        thread::sleep(Duration::from_millis(300));
        bridge.cpu_of_a_second()
    };
    assert!(spent < Duration::from_millis(50), "{spent:?} of CPU in one stalled second");
    bridge.stdin.take();
    assert_same(&bridge.read_to_end(), &noise(BIG, 3));
    bridge.exits(0);
}

#[test]
fn a_target_that_stalls_loses_nothing_and_makes_nobody_spin() {
    let (release, released) = mpsc::channel::<()>();
    let mut bridge = Bridge::open(&[], move |conn| {
        released.recv_timeout(LIMIT).unwrap();
        assert_same(&conn.read_exact(BIG), &noise(BIG, 4));
    });
    let mut stdin = bridge.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(&noise(BIG, 4)));
    thread::sleep(Duration::from_millis(300));
    let spent = bridge.cpu_of_a_second();
    assert!(spent < Duration::from_millis(50), "{spent:?} of CPU in one stalled second");
    release.send(()).unwrap();
    writer.join().unwrap().unwrap();
    bridge.exits(0);
}

#[test]
fn one_way_goes_on_while_the_other_is_stalled() {
    let mut bridge = Bridge::open(&[], |conn| {
        // Nobody reads stdout yet: this fills every buffer on the way.
        let mut down = conn.stream().try_clone().unwrap();
        let stalled = thread::spawn(move || down.write_all(&noise(BIG, 5)));
        assert_same(&conn.read_exact(BIG), &noise(BIG, 6));
        conn.read_to_end();
        stalled.join().unwrap().unwrap();
    });
    bridge.write(&noise(BIG, 6));
    bridge.stdin.take();
    let mut stdout = bridge.stdout.take().unwrap();
    let got = in_time(LIMIT, move || {
        let mut got = vec![0; BIG];
        stdout.read_exact(&mut got).map(|()| got)
    });
    assert_same(&got.unwrap(), &noise(BIG, 5));
    bridge.exits(0);
}

#[test]
fn without_a_delay_the_end_of_stdin_is_passed_on_at_once() {
    let mut bridge = Bridge::open(&["--half-close-delay", "0"], |conn| {
        let start = Instant::now();
        assert_eq!(conn.read_to_end(), b"ping");
        assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
        conn.send("answer behind the half-close");
    });
    bridge.write(b"ping");
    bridge.stdin.take();
    assert_eq!(bridge.read_to_end(), b"answer behind the half-close");
    bridge.exits(0);
}

#[test]
fn the_end_of_stdin_waits_for_a_second_of_silence_unless_told() {
    let mut bridge = Bridge::open(&[], |conn| {
        assert_eq!(conn.read_exact(4), b"ping");
        let start = Instant::now();
        assert_eq!(conn.read_to_end(), b"");
        let waited = start.elapsed();
        assert!(waited > Duration::from_millis(800) && waited < Duration::from_secs(8), "{waited:?}");
        conn.send("answer");
    });
    bridge.write(b"ping");
    bridge.stdin.take();
    assert_eq!(bridge.read_to_end(), b"answer");
    bridge.exits(0);
}

#[test]
fn an_answer_under_way_puts_the_half_close_off() {
    let mut bridge = Bridge::open(&["--half-close-delay", "1s"], |conn| {
        assert_eq!(conn.read_exact(4), b"ping");
        for _ in 0..20 {
            conn.send("x");
            conn.expect_silence(Duration::from_millis(100));
        }
        assert_eq!(conn.read_to_end(), b"", "the silence behind the answer");
    });
    bridge.write(b"ping");
    bridge.stdin.take();
    assert_eq!(bridge.read_to_end(), b"x".repeat(20));
    bridge.exits(0);
}

#[test]
fn never_leaves_the_way_to_the_target_open() {
    let mut bridge = Bridge::open(&["--half-close-delay", "never"], |conn| {
        conn.expect_silence(Duration::from_millis(1500));
        conn.send("late answer");
        conn.finish_writing();
        assert_eq!(conn.read_to_end(), b"");
    });
    bridge.stdin.take();
    assert_eq!(bridge.read_to_end(), b"late answer");
    bridge.exits(0);
}

#[test]
fn both_ends_over_is_the_end_whatever_the_delay() {
    let mut bridge = Bridge::open(&["--half-close-delay", "5m", "--linger", "5m"], |conn| {
        assert_eq!(conn.read_exact(4), b"ping");
        conn.finish_writing();
        assert_eq!(conn.read_to_end(), b"");
    });
    bridge.write(b"ping");
    bridge.stdin.take();
    assert_eq!(bridge.read_to_end(), b"");
    bridge.exits(0);
}

#[test]
fn the_end_of_the_target_closes_stdout_and_stdin_is_still_carried() {
    let mut bridge = Bridge::open(&["--linger", "5m"], |conn| {
        conn.send("bye");
        conn.finish_writing();
        assert_eq!(conn.read_to_end(), noise(300_000, 7));
    });
    assert_eq!(bridge.read_to_end(), b"bye");
    bridge.write(&noise(300_000, 7));
    bridge.stdin.take();
    bridge.exits(0);
}

#[test]
fn behind_the_end_of_the_target_a_silent_stdin_ends_with_the_linger() {
    for (options, at_least) in [(&["--linger", "200ms"][..], 150), (&[], 800)] {
        let mut bridge = Bridge::open(options, |conn| {
            conn.finish_writing();
            assert_eq!(conn.read_to_end(), b"");
        });
        assert_eq!(bridge.read_to_end(), b"");
        let start = Instant::now();
        assert_eq!(bridge.child.wait(LIMIT), Some(0));
        let waited = start.elapsed();
        assert!(waited > Duration::from_millis(at_least) && waited < Duration::from_secs(8), "{waited:?}");
        bridge.exits(0);
    }
}

#[test]
fn behind_the_end_of_the_target_a_tunnel_that_refuses_more_ends_it() {
    let mut bridge = Bridge::open(&["--linger", "5m"], |conn| {
        conn.finish_writing();
        assert_eq!(conn.read_exact(1), b"x");
        conn.close();
    });
    assert_eq!(bridge.read_to_end(), b"");
    // Written until the closed peer has answered with a reset: then nobody reads stdin any more.
    let mut stdin = bridge.stdin.take().unwrap();
    let refused = in_time(LIMIT, move || {
        loop {
            if let Err(why) = stdin.write_all(b"x") {
                return why.kind();
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(refused, ErrorKind::BrokenPipe);
    bridge.exits(0);
}

#[test]
fn a_reset_is_no_end_but_a_cut() {
    let (release, released) = mpsc::channel::<()>();
    let mut bridge = Bridge::open(&[], move |conn| {
        conn.send("part of the answer");
        released.recv_timeout(LIMIT).unwrap();
        conn.reset();
    });
    let mut part = [0; 18];
    bridge.stdout.as_mut().unwrap().read_exact(&mut part).unwrap();
    assert_eq!(&part, b"part of the answer");
    release.send(()).unwrap();
    assert_eq!(bridge.read_to_end(), b"");
    bridge.exits(11);
}

#[test]
fn a_reset_is_a_cut_behind_the_end_of_stdin_too() {
    let mut bridge = Bridge::open(&["--half-close-delay", "0"], |conn| {
        assert_eq!(conn.read_to_end(), b"ping");
        conn.reset();
    });
    bridge.write(b"ping");
    bridge.stdin.take();
    bridge.exits(11);
}
