//! The bytes of an open tunnel: all of them, both ways, and how each way ends.

use std::io::{ErrorKind, Read, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::proxy::{Conn, ScriptedProxy};
use crate::support::{LIMIT, Running, assert_same, connect_via, finish, in_time, noise, write_until_stopped};

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

    /// The next bytes of stdout.
    #[track_caller]
    fn read(&mut self, n: usize) -> Vec<u8> {
        let mut stdout = self.stdout.take().unwrap();
        let (stdout, bytes) = in_time(LIMIT, move || {
            let mut bytes = vec![0; n];
            stdout.read_exact(&mut bytes).map(|()| (stdout, bytes))
        })
        .unwrap();
        self.stdout = Some(stdout);
        bytes
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
    let spent = bridge.child.cpu_of_a_second();
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
    let spent = bridge.child.cpu_of_a_second();
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
        bridge.child.cpu_of_a_second()
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
    let spent = bridge.child.cpu_of_a_second();
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
    assert_same(&bridge.read(BIG), &noise(BIG, 5));
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
    assert_eq!(bridge.read(18), b"part of the answer");
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

#[test]
fn urgent_data_of_the_target_stays_in_its_place() {
    for ended in [false, true] {
        let (seen, told) = mpsc::channel::<()>();
        let (release, released) = mpsc::channel::<()>();
        let mut bridge = Bridge::open(&[], move |conn| {
            conn.send("before");
            told.recv_timeout(LIMIT).unwrap();
            conn.send_urgent(b'!');
            conn.send("behind");
            if ended {
                conn.finish_writing();
            }
            released.recv_timeout(LIMIT).unwrap();
            conn.finish_writing();
            assert_eq!(conn.read_to_end(), b"");
        });
        assert_eq!(bridge.read(6), b"before");
        seen.send(()).unwrap();
        assert_eq!(bridge.read(7), b"!behind", "the target has ended: {ended}");
        if !ended {
            let spent = bridge.child.cpu_of_a_second();
            assert!(spent < Duration::from_millis(50), "{spent:?} of CPU in one second behind urgent data");
        }
        release.send(()).unwrap();
        bridge.stdin.take();
        assert_eq!(bridge.read_to_end(), b"");
        bridge.exits(0);
    }
}

#[test]
fn urgent_data_in_a_download_loses_nothing_and_makes_nobody_spin() {
    let pieces = || (0..8).map(|seed| noise(200_000, seed));
    let mut bridge = Bridge::open(&[], move |conn| {
        for piece in pieces() {
            let (urgent, rest) = piece.split_first().unwrap();
            conn.send_urgent(*urgent);
            conn.send(rest);
        }
        conn.send_urgent(b'!');
        conn.finish_writing();
        assert_eq!(conn.read_to_any_end(), b"");
    });
    // Nobody reads yet: the marks are met with the pipe full too.
    thread::sleep(Duration::from_millis(300));
    let spent = bridge.child.cpu_of_a_second();
    assert!(spent < Duration::from_millis(50), "{spent:?} of CPU in one stalled second");
    bridge.stdin.take();
    let wanted: Vec<u8> = pieces().flatten().chain(*b"!").collect();
    assert_same(&bridge.read_to_end(), &wanted);
    bridge.exits(0);
}

#[test]
fn behind_the_end_of_the_target_an_upload_that_it_takes_slowly_is_no_silence() {
    for stdin_ends in [true, false] {
        let upload = noise(BIG, 8);
        let mut bridge = Bridge::open(&["--linger", "400ms"], |conn| {
            conn.shrink_receive_buffer();
            // It ends when the upload is under way.
            let mut got = conn.read_exact(1);
            conn.finish_writing();
            for _ in 0..2 {
                // A peer that does something else, for longer than the linger.
                thread::sleep(Duration::from_millis(1200));
                got.extend(conn.read_exact(BIG / 4));
            }
            got.extend(conn.read_to_end());
            assert_same(&got, &noise(BIG, 8));
        });
        let mut stdin = bridge.stdin.take().unwrap();
        let stdin = in_time(LIMIT, move || stdin.write_all(&upload).map(|()| stdin));
        bridge.stdin = Some(stdin.unwrap_or_else(|why| panic!("{why}: {}", bridge.child.stderr())));
        if stdin_ends {
            bridge.stdin.take();
        }
        assert_eq!(bridge.read_to_end(), b"");
        bridge.exits(0);
    }
}

#[test]
fn a_reader_that_leaves_while_all_is_silent_ends_it_with_the_linger() {
    let mut bridge = Bridge::open(&["--linger", "200ms"], |conn| {
        assert_same(&conn.read_to_any_end(), &noise(300_000, 9));
    });
    bridge.write(&noise(300_000, 9));
    let start = Instant::now();
    bridge.stdout.take();
    assert_eq!(bridge.child.wait(LIMIT), Some(1), "{}", bridge.child.stderr());
    let waited = start.elapsed();
    assert!(waited > Duration::from_millis(150) && waited < Duration::from_secs(5), "{waited:?}");
    bridge.exits(1);
}

#[test]
fn a_target_that_speaks_to_a_reader_who_has_left_ends_it_at_once() {
    let (left, told) = mpsc::channel::<()>();
    let mut bridge = Bridge::open(&["-v", "--linger", "30s"], move |conn| {
        told.recv_timeout(LIMIT).unwrap();
        conn.send("more");
        assert_eq!(conn.read_to_any_end(), b"ping");
    });
    bridge.write(b"ping");
    bridge.stdout.take();
    bridge.child.stderr_line(|line| line.contains("nobody reads standard output"), LIMIT);
    left.send(()).unwrap();
    let start = Instant::now();
    assert_eq!(bridge.child.wait(LIMIT), Some(1), "{}", bridge.child.stderr());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    bridge.exits(1);
}

#[test]
fn a_target_that_ends_without_a_word_to_a_reader_who_has_left_is_a_good_end() {
    let mut bridge = Bridge::open(&["--linger", "5m"], |conn| {
        assert_same(&conn.read_to_end(), &noise(300_000, 10));
    });
    bridge.stdout.take();
    bridge.write(&noise(300_000, 10));
    bridge.stdin.take();
    bridge.exits(0);
}

#[test]
fn an_answer_before_a_reset_is_written_and_called_cut_off() {
    let (stopped, told) = mpsc::channel::<()>();
    let (read, reset) = mpsc::channel::<()>();
    let mut bridge = Bridge::open(&[], move |conn| {
        conn.shrink_receive_buffer();
        told.recv_timeout(LIMIT).unwrap();
        conn.send(noise(300_000, 11));
        reset.recv_timeout(LIMIT).unwrap();
        // With so much unread a close is a reset.
        conn.close();
    });
    write_until_stopped(bridge.stdin.as_ref().unwrap());
    stopped.send(()).unwrap();
    assert_same(&bridge.read(300_000), &noise(300_000, 11));
    read.send(()).unwrap();
    assert_eq!(bridge.read_to_end(), b"");
    bridge.exits(11);
}
