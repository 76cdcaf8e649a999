//! What a proxy over HTTP/2 does frame by frame, and what a tunnel makes of it.

use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::check::report;
use crate::support::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::support::proxy::{Conn, ScriptedProxy, turn};
use crate::support::{LIMIT, Running, assert_same, finish, listening, noise, wimble};

/// RFC 9113 §6.5.2.
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

fn connect(proxy: &ScriptedProxy) -> Command {
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &proxy.url(), "--proxy-http-version", "2", "host:22"]);
    cmd
}

/// NO_ERROR, but for all that is not stream 1 at most.
fn goaway(code: u8) -> Vec<u8> {
    Frames::frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, code])
}

/// Ends what this side sends, and reads the rest: nothing is lost by a reset.
fn leave(mut frames: Frames) {
    frames.conn().finish_writing();
    frames.conn().read_to_any_end();
}

#[test]
fn the_end_of_a_tunnel_is_its_end_whatever_becomes_of_the_connection_behind_it() {
    let cancel = Frames::frame(RST_STREAM, 0, 1, &8u32.to_be_bytes());
    for behind in [vec![], goaway(0), goaway(2), cancel] {
        let script = move |conn: &mut Conn| {
            let mut frames = Frames::accept(conn, &[]);
            frames.expect(HEADERS, 1);
            let mut flight = Frames::granted();
            for piece in noise(60_000, 1).chunks(16 * 1024) {
                flight.extend(Frames::frame(DATA, 0, 1, piece));
            }
            flight.extend(Frames::frame(DATA, END_STREAM, 1, b"end"));
            frames.send(&[flight, behind].concat());
            leave(frames);
        };
        let proxy = ScriptedProxy::in_turn(vec![turn(script.clone()), turn(script)]);
        let bytes = [&noise(60_000, 1)[..], b"end"].concat();
        let finished = finish(&mut connect(&proxy), b"some", LIMIT).exits(0);
        assert_same(&finished.stdout, &bytes);

        let mut cmd = wimble();
        cmd.args(["forward", "--proxy", &proxy.url(), "--proxy-http-version", "2", "0:host:22"]);
        let (running, port) = listening(&mut cmd);
        let mut client = Conn::to(port);
        assert_same(&client.read_to_end(), &bytes);
        client.close();
        proxy.done();
        assert!(!running.stderr().contains("wimble: "), "{}", running.stderr());
    }
}

#[test]
fn a_frame_that_is_not_whole_ends_nothing() {
    let proxy = ScriptedProxy::start(|conn| {
        let mut frames = Frames::open(conn, &[]);
        let last = Frames::frame(DATA, END_STREAM, 1, b"half of it");
        frames.send(&last[..last.len() - 1]);
        leave(frames);
    });
    finish(&mut connect(&proxy), b"", LIMIT).fails(11).says("the connection ends in the middle of a frame");
    proxy.done();
}

#[test]
fn r47_the_client_of_a_forward_is_reset_where_a_tunnel_ends_without_its_end() {
    let cancel = Frames::frame(RST_STREAM, 0, 1, &8u32.to_be_bytes());
    let half = Frames::frame(DATA, END_STREAM, 1, b"half of it")[..12].to_vec();
    for last in [vec![], goaway(0), cancel, half] {
        let proxy = ScriptedProxy::start(move |conn| {
            let mut frames = Frames::open(conn, &[]);
            frames.send(&Frames::frame(DATA, 0, 1, b"some"));
            assert_eq!(frames.expect(DATA, 1), b"seen");
            frames.send(&last);
            leave(frames);
        });
        let mut cmd = wimble();
        cmd.args(["forward", "--proxy", &proxy.url(), "--proxy-http-version", "2", "0:host:22"]);
        let (_running, port) = listening(&mut cmd);
        let mut client = Conn::to(port);
        assert_eq!(client.read_exact(4), b"some");
        client.send("seen");
        client.expect_reset();
        proxy.done();
    }
}

#[test]
fn what_is_under_way_to_clients_that_have_gone_ends_no_other_tunnel() {
    const GONE: u32 = 95;
    let (next, go) = mpsc::channel::<()>();
    let proxy = ScriptedProxy::start(move |conn| {
        let mut frames = Frames::open(conn, &[]);
        frames.send(&Frames::frame(DATA, 0, 1, b"first"));
        let streams: Vec<u32> = (1..=GONE).map(|nth| 1 + 2 * nth).collect();
        for stream in &streams {
            frames.expect(HEADERS, *stream);
            frames.send(&Frames::frame(HEADERS, END_HEADERS, *stream, &Frames::block(&[(":status", "200")])));
            frames.send(&Frames::frame(DATA, 0, *stream, b"x"));
            frames.expect(RST_STREAM, *stream);
            next.send(()).unwrap();
        }
        // RFC 9113 §5.1: who resets a stream may get more of it for a while.
        for stream in streams {
            frames.send(&Frames::frame(DATA, 0, stream, b"late").repeat(30));
        }
        frames.send(&Frames::frame(DATA, 0, 1, b"alive"));
        assert_eq!(frames.expect(DATA, 1), b"too");
        leave(frames);
    });
    let mut cmd = wimble();
    cmd.args(["forward", "--proxy", &proxy.url(), "--proxy-http-version", "2", "0:host:22"]);
    let (_running, port) = listening(&mut cmd);
    let mut client = Conn::to(port);
    assert_eq!(client.read_exact(5), b"first");
    for _ in 0..GONE {
        let mut gone = Conn::to(port);
        assert_eq!(gone.read_exact(1), b"x");
        gone.reset();
        go.recv_timeout(LIMIT).unwrap();
    }
    assert_eq!(client.read_exact(5), b"alive");
    client.send("too");
    client.read_to_any_end();
    proxy.done();
}

#[test]
fn frames_that_say_nothing_may_come_for_ever() {
    let nothing = Frames::frame(DATA, 0, 1, b"");
    let proxy = ScriptedProxy::start(move |conn| {
        let mut frames = Frames::open(conn, &[]);
        for _ in 0..300 {
            frames.send(&[&nothing[..], &Frames::frame(DATA, 0, 1, b"x"), &nothing].concat());
        }
        frames.send(&Frames::frame(DATA, END_STREAM, 1, b""));
        leave(frames);
    });
    let finished = finish(&mut connect(&proxy), b"", LIMIT).exits(0);
    assert_eq!(finished.text(), "x".repeat(300));
    proxy.done();
}

#[test]
fn a_goaway_with_an_error_is_what_a_tunnel_that_ends_behind_it_died_of() {
    let proxy = ScriptedProxy::start(|conn| {
        let mut frames = Frames::accept(conn, &[]);
        frames.expect(HEADERS, 1);
        frames.send(&goaway(2));
        leave(frames);
    });
    finish(&mut connect(&proxy), b"", LIMIT)
        .fails(4)
        .says("GOAWAY INTERNAL_ERROR")
        .says("its log may say why");
    proxy.done();
}

#[test]
fn what_a_connection_dies_of_is_told_in_the_words_of_http_2() {
    for (frame, words) in [
        (Frames::frame(RST_STREAM, 0, 1, &63u32.to_be_bytes()), "RST_STREAM error 0x3f"),
        (Frames::frame(RST_STREAM, 0, 1, &2u32.to_be_bytes()), "RST_STREAM INTERNAL_ERROR"),
        (Frames::frame(RST_STREAM, 0, 1, &[0; 4]), "RST_STREAM NO_ERROR, without an end"),
        (Frames::frame(SETTINGS, 0, 7, b""), "it breaks the rules of HTTP/2 (PROTOCOL_ERROR)"),
        // Of all streams: none has been processed.
        (Frames::frame(GOAWAY, 0, 0, &[0; 8]), "GOAWAY NO_ERROR"),
    ] {
        let proxy = ScriptedProxy::start(move |conn| {
            let mut frames = Frames::open(conn, &[]);
            frames.send(&Frames::frame(DATA, 0, 1, b"some"));
            assert_eq!(frames.expect(DATA, 1), b"more");
            frames.send(&frame);
            leave(frames);
        });
        let mut child = Running::start(connect(&proxy).stdin(Stdio::piped()).stdout(Stdio::null()));
        let mut stdin = child.take_stdin();
        std::io::Write::write_all(&mut stdin, b"more").unwrap();
        assert_eq!(child.wait(LIMIT), Some(11), "{}", child.stderr());
        assert!(child.stderr().contains(words), "{}", child.stderr());
        proxy.done();
    }
}

#[test]
fn who_begins_with_settings_speaks_http_2_though_it_breaks_its_rules() {
    for broken in [
        Frames::frame(DATA, 0, 0, b"of no stream"),
        // Of a stream that is the proxy's.
        Frames::frame(HEADERS, END_HEADERS, 2, &Frames::block(&[(":status", "200")])),
        Frames::frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
    ] {
        let proxy = ScriptedProxy::start(move |conn| {
            let mut frames = Frames::accept(conn, &[]);
            frames.send(&broken);
            leave(frames);
        });
        finish(&mut connect(&proxy), b"", LIMIT).fails(9).says("it breaks the rules of HTTP/2");
        proxy.done();
    }
}

#[test]
fn a_proxy_that_lets_no_stream_begin_is_told_so_and_not_dialled_again() {
    let none = [(MAX_CONCURRENT_STREAMS, 0)];
    // It says so before the request goes out, which then waits, or behind it.
    let before = move |conn: &mut Conn| {
        let mut frames = Frames::accept(conn, &none);
        let ping = frames.expect(PING, 0);
        frames.send(&Frames::frame(PING, ACK, 0, &ping));
        frames.conn().read_to_any_end();
    };
    let behind = move |conn: &mut Conn| {
        let mut frames = Frames::accept(conn, &[]);
        frames.expect(HEADERS, 1);
        frames.send(&Frames::settings(&none));
        frames.send(&Frames::frame(RST_STREAM, 0, 1, &7u32.to_be_bytes()));
        leave(frames);
    };
    for (script, code, detail) in [(turn(before), 124, "no-room"), (turn(behind), 4, "http-version")] {
        let proxy = ScriptedProxy::in_turn(vec![script]);
        let mut cmd = wimble();
        cmd.args(["check", "--json", "--no-tls", "--proxy", &proxy.url(), "--proxy-http-version", "2"]);
        cmd.args(["--proxy-timeout", "500ms", "host:22"]);
        assert_eq!(report(&finish(&mut cmd, b"", LIMIT).exits(code))["error"]["detail"], detail);
        proxy.done();
    }
}

#[test]
fn who_waits_for_room_on_a_connection_that_says_nothing_is_told_so() {
    let (tell, told) = mpsc::channel();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.read_exact(24);
        tell.send(()).unwrap();
        conn.read_to_any_end();
    });
    let mut cmd = wimble();
    cmd.args(["forward", "--proxy", &proxy.url(), "--proxy-http-version", "2"]);
    let (running, port) =
        listening(cmd.args(["--connect-timeout", "300ms", "--log-format", "json", "0:host:22"]));
    let _first = Conn::to(port);
    told.recv_timeout(LIMIT).unwrap();
    let _second = Conn::to(port);
    let line = running.stderr_line(|line| line.contains("no-room"), LIMIT);
    let error: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&error["kind"], &error["detail"]), (&"timeout".into(), &"no-room".into()));
    assert!(line.contains("no stream was to be had within 300ms"), "{line}");
    drop(running);
    proxy.done();
}

/// More than the kernel holds of a connection to `narrow`, and less than together with the program.
const BACKLOG: usize = 420_000;

/// A proxy that has ended the tunnel, and whose windows are wide; but the kernel holds little of
/// what it does not read: segments are small, as is its receive buffer.
fn narrow(script: impl FnOnce(Frames) + Send + 'static) -> ScriptedProxy {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.set_tcp_mss(1_000).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(1).unwrap();
    let script = turn(|conn| {
        let mut frames = Frames::open(conn, &[(INITIAL_WINDOW_SIZE, 1 << 30)]);
        frames.send(&Frames::frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes()));
        frames.send(&Frames::frame(DATA, END_STREAM, 1, b""));
        script(frames);
    });
    ScriptedProxy::on(socket.into(), vec![script])
}

#[test]
fn an_upload_that_is_taken_slowly_behind_the_end_of_the_target_arrives_whole() {
    let proxy = narrow(|mut frames| {
        let mut bytes = Vec::new();
        while bytes.len() < BACKLOG {
            bytes.extend(frames.expect(DATA, 1));
            // A peer that reads like this is silent, and no less there.
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_same(&bytes, &noise(BACKLOG, 5));
        leave(frames);
    });
    finish(&mut connect(&proxy), &noise(BACKLOG, 5), LIMIT).exits(0);
    proxy.done();
}

#[test]
fn the_rest_of_an_upload_that_the_proxy_does_not_take_is_told_by_the_exit_code() {
    // The program still has some of it, or this machine's kernel has all.
    for length in [BACKLOG, BACKLOG / 4] {
        let (over, ended) = mpsc::channel::<()>();
        let proxy = narrow(move |_unread| ended.recv_timeout(2 * LIMIT).unwrap());
        let finished = finish(&mut connect(&proxy), &noise(length, 5), LIMIT);
        finished.fails(11).says("the proxy does not take the rest");
        over.send(()).unwrap();
        proxy.done();
    }
}

#[test]
fn what_nobody_reads_is_bounded_by_frames_too_and_not_by_bytes_alone() {
    let (tell, told) = mpsc::channel();
    let proxy = ScriptedProxy::start(move |conn| {
        let mut frames = Frames::open(conn, &[]);
        // From here on the window is as wide as the program has said.
        frames.send(&Frames::frame(SETTINGS, ACK, 0, b""));
        let flood = Frames::frame(DATA, 0, 1, b"x").repeat(1_000);
        // They fit into the window.
        for _ in 0..4_000 {
            frames.send(&flood);
        }
        // When this is answered they have been taken; or the connection is over.
        frames.send(&Frames::frame(PING, 0, 0, b"all seen"));
        frames.until_ping_or_end();
        tell.send(()).unwrap();
        frames.conn().read_to_any_end();
    });
    let mut child = Running::start(connect(&proxy).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (_stdin, _nobody_reads) = (child.take_stdin(), child.take_stdout());
    told.recv_timeout(LIMIT).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    let most: usize = most.strip_suffix(" kB").unwrap().parse().unwrap();
    assert!(most < 80_000, "{most} kB");
    drop(child);
    proxy.done();
}

#[test]
fn a_window_that_stays_narrow_is_used_all_the_same() {
    const LENGTH: usize = 200_000;
    let proxy = ScriptedProxy::start(move |conn| {
        let mut frames = Frames::open(conn, &[]);
        let mut bytes = Vec::new();
        while bytes.len() < LENGTH {
            // Behind the first 65,535 bytes it is opened by 1,250 for each frame.
            bytes.extend(frames.expect(DATA, 1));
            let more = 1_250u32.to_be_bytes();
            frames.send(&[0, 1].map(|stream| Frames::frame(WINDOW_UPDATE, 0, stream, &more)).concat());
        }
        assert_same(&bytes, &noise(LENGTH, 3));
        frames.send(&Frames::frame(DATA, END_STREAM, 1, b""));
        leave(frames);
    });
    finish(&mut connect(&proxy), &noise(LENGTH, 3), LIMIT).exits(0);
    proxy.done();
}
