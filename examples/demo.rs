//! wimble at work, on loopback: `cargo run --release --example demo`.
//!
//! Starts wimble's own proxy and two targets that echo, one of them behind TLS, then sends bytes
//! through `connect` and `forward` and looks at the TLS target with `check`. Ends with 0 only if
//! every byte came back and every process ended well.
//!
//! The processes are the program itself: started with [`MARKER`] as its first word, this example
//! runs the very function that is the binary's `main`.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// The first word that makes this program wimble.
const MARKER: &str = "wimble";

/// The host that the targets are asked for by, and that the certificate is for.
const HOST: &str = "localhost";

/// How much goes through each tunnel: 1 MiB.
const SIZE: usize = 1024 * 1024;

/// How much is on its way through TLS at a time.
const CHUNK: usize = 16 * 1024;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    if words.peek().is_some_and(|word| word == MARKER) {
        return wimble::cli::run(words);
    }
    match tour(&mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be reading: the exit code says it as well.
            let _unread = writeln!(io::stderr(), "✗ {error}");
            ExitCode::FAILURE
        }
    }
}

fn tour(out: &mut impl Write) -> Result<()> {
    let began = Instant::now();
    let (tls, client) = tls_configs()?;
    let plain_port = listen(|tcp| echo(&tcp))?;
    let tls_port = listen(move |tcp| {
        let mut stream = StreamOwned::new(ServerConnection::new(tls.clone()).map_err(io::Error::other)?, tcp);
        echo_tls(&mut stream)
    })?;

    let serve = Wimble::start(out, &["serve", "--listen", "127.0.0.1:0"], "")?;
    let proxy = format!("http://{}", serve.listening(out)?);
    writeln!(out, "  ✓ a proxy for the others\n")?;

    let port = plain_port.to_string();
    let connect =
        Wimble::start(out, &["connect", "--proxy", &proxy, HOST, &port], " <megabyte >megabyte.echoed")?;
    let sent = noise(SIZE);
    same(&sent, &connect.pass(sent.clone())?)?;
    writeln!(out, "  ✓ {SIZE} bytes sent, the same {SIZE} came back\n")?;

    let spec = format!("0:{HOST}:{tls_port}");
    let forward = Wimble::start(out, &["forward", "--proxy", &proxy, &spec], "")?;
    let place = forward.listening(out)?;
    same(&sent, &pass_tls(place, client.config, &sent)?)?;
    writeln!(out, "  ✓ {SIZE} bytes sent in TLS to {place}, the same {SIZE} came back\n")?;

    let folder = tempfile::Builder::new().prefix("wimble-demo-").tempdir()?;
    let authority = folder.path().join("authority.pem");
    fs::write(&authority, client.authority)?;
    let (authority, target) = (authority.display().to_string(), format!("{HOST}:{tls_port}"));
    let check = Wimble::start(out, &["check", "--proxy", &proxy, "--cacert", &authority, &target], "")?;
    for line in String::from_utf8(check.pass(Vec::new())?)?.lines() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "  ✓ exit code 0\n")?;

    forward.stop()?;
    serve.stop()?;
    writeln!(out, "✓ forward and serve ended on SIGTERM, with exit code 0")?;
    writeln!(out, "✓ all bytes matched ({:.1} s)", began.elapsed().as_secs_f64())?;
    Ok(())
}

/// One process of wimble; dropped, it is killed.
struct Wimble {
    child: Child,
    /// Its stdout, once that is closed.
    output: Receiver<io::Result<Vec<u8>>>,
    /// Its stderr, line by line; closed when the process has ended.
    said: Receiver<String>,
}

impl Wimble {
    /// Shows the command line as one would type it, and runs it. What this machine's environment
    /// says about proxies must not matter here.
    fn start(out: &mut impl Write, words: &[&str], redirection: &str) -> Result<Self> {
        writeln!(out, "$ wimble {}{redirection}", words.join(" "))?;
        out.flush()?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(MARKER)
            .args(words)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (tell_output, output) = mpsc::channel();
        let (tell_said, said) = mpsc::channel();
        // Where the receiver is gone, nobody wants to know any more.
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut bytes));
            tell_output.send(read.map(|_| bytes)).ok();
        });
        thread::spawn(move || {
            let lines = stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines());
            lines.map_while(io::Result::ok).try_for_each(|line| tell_said.send(line)).ok();
        });
        Ok(Self { child, output, said })
    }

    /// Waits for the line `listening on ADDR:PORT …`, and shows it.
    fn listening(&self, out: &mut impl Write) -> Result<SocketAddr> {
        let line = self.said.recv_timeout(LIMIT).map_err(|_| "it says nothing")?;
        writeln!(out, "  {line}")?;
        let rest = line.strip_prefix("listening on ").ok_or("it does not listen")?;
        Ok(rest.split(' ').next().unwrap_or(rest).parse()?)
    }

    /// Gives it `input` on stdin, takes its stdout, and waits for its good end.
    fn pass(mut self, input: Vec<u8>) -> Result<Vec<u8>> {
        let stdin = self.child.stdin.take();
        // What it does not take is missing in what it gives.
        thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        let output = self.output.recv_timeout(LIMIT).map_err(|_| "its output does not end")??;
        self.end()?;
        Ok(output)
    }

    /// Asks it to end, and waits for its good end.
    fn stop(self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.end()
    }

    fn end(mut self) -> Result<()> {
        let mut said = String::new();
        loop {
            match self.said.recv_timeout(LIMIT) {
                Ok(line) => said = format!("{said}\n  {line}"),
                Err(RecvTimeoutError::Timeout) => return Err(format!("it does not end{said}").into()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // Its stderr is closed: it has ended.
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("it ended with {status}{said}").into()) }
    }
}

impl Drop for Wimble {
    fn drop(&mut self) {
        // Both fail only where it has been waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn same(sent: &[u8], received: &[u8]) -> Result<()> {
    if sent == received {
        return Ok(());
    }
    let at = sent.iter().zip(received).take_while(|(sent, received)| sent == received).count();
    Err(format!("{} bytes sent, {} came back; they differ at byte {at}", sent.len(), received.len()).into())
}

/// Listens on loopback, with a thread for each connection; the port.
fn listen(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let serve = serve.clone();
            // A connection that breaks shows where its bytes are missing.
            thread::spawn(move || serve(tcp));
        }
    });
    Ok(port)
}

fn echo(stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut &*stream, &mut &*stream)?;
    stream.shutdown(Shutdown::Write)
}

fn echo_tls(stream: &mut StreamOwned<ServerConnection, TcpStream>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            stream.conn.send_close_notify();
            return stream.flush();
        }
        stream.write_all(&chunk[..read])?;
    }
}

/// Sends `bytes` in TLS and takes the same number back, chunk by chunk.
fn pass_tls(place: SocketAddr, config: Arc<ClientConfig>, bytes: &[u8]) -> Result<Vec<u8>> {
    let tcp = TcpStream::connect_timeout(&place, LIMIT)?;
    tcp.set_read_timeout(Some(LIMIT))?;
    tcp.set_write_timeout(Some(LIMIT))?;
    let mut stream = StreamOwned::new(ClientConnection::new(config, ServerName::try_from(HOST)?)?, tcp);
    let mut received = vec![0; bytes.len()];
    for (chunk, back) in bytes.chunks(CHUNK).zip(received.chunks_mut(CHUNK)) {
        stream.write_all(chunk)?;
        stream.flush()?;
        stream.read_exact(back)?;
    }
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(received)
}

/// What a client needs to trust the TLS target.
struct Trust {
    config: Arc<ClientConfig>,
    /// The certificate of the authority, in PEM.
    authority: String,
}

/// An authority, a certificate from it for [`HOST`], and both sides' TLS with that.
fn tls_configs() -> Result<(Arc<ServerConfig>, Trust)> {
    let mut params = certificate("wimble's demo authority", Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let leaf = certificate("wimble's demo target", vec![HOST.to_owned()])?.signed_by(&key, &issuer)?;

    let provider = wimble::net::tls::provider();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.into()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;

    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone())?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(server), Trust { config: Arc::new(client), authority: authority.pem() }))
}

/// Valid for 30 days, and since a while, as clocks differ.
fn certificate(name: &str, names: Vec<String>) -> Result<CertificateParams> {
    let (day, now) = (Duration::from_secs(24 * 3600), SystemTime::now());
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - day).into();
    params.not_after = (now + 30 * day).into();
    Ok(params)
}

/// Bytes that look random, so that nothing that is missing or doubled goes unseen (xorshift64).
fn noise(size: usize) -> Vec<u8> {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state.to_le_bytes())
    };
    std::iter::from_fn(word).flatten().take(size).collect()
}
