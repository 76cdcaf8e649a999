//! ssh, scp and git over ssh with `wimble connect` as their ProxyCommand, through the proxies that people have.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::support::real::{Authentication, Proxy, Software, Sshd, run, soon, tool};
use crate::support::{LIMIT, Running, assert_same, finish, noise, wimble_through};

const WIMBLE: &str = env!("CARGO_BIN_EXE_wimble");
/// For a session, or a few MiB.
const SESSION: Duration = Duration::from_secs(60);
/// For 256 MiB through ssh on a busy machine.
const TRANSFER: Duration = Duration::from_secs(300);

#[test]
fn ssh_scp_and_git_work_through_squid() {
    all_three_work_through(Software::Squid, Authentication::Open);
}

#[test]
fn ssh_scp_and_git_work_through_a_squid_that_wants_a_password() {
    all_three_work_through(Software::Squid, Authentication::Basic);
}

#[test]
fn ssh_scp_and_git_work_through_tinyproxy() {
    all_three_work_through(Software::Tinyproxy, Authentication::Open);
}

#[test]
fn ssh_scp_and_git_work_through_apache() {
    all_three_work_through(Software::Apache, Authentication::Open);
}

#[test]
fn ssh_scp_and_git_work_through_an_apache_that_wants_a_password() {
    all_three_work_through(Software::Apache, Authentication::Basic);
}

#[test]
fn a_file_of_256_mib_goes_through_squid_and_back_by_scp() {
    let (proxy, sshd) = (Proxy::squid(), Sshd::start());
    let client = sshd.client_configuration(&proxy_command(&proxy, ""));
    scp_there_and_back(&client, 256 << 20);
    proxy.carried(&sshd.target());
}

#[test]
fn q44_ssh_takes_the_socket_itself_and_leaves_no_wimble_between() {
    let (proxy, sshd) = (Proxy::squid(), Sshd::start());
    let client = sshd.client_configuration(&proxy_command(&proxy, "--fdpass"));
    let configuration = fs::read_to_string(&client).unwrap();
    fs::write(&client, configuration + "ProxyUseFdpass yes\n").unwrap();
    let (mut session, stdin) = session_with_cat(&client);
    assert_eq!(wimbles_using(&proxy), 0, "its work is done");
    drop(stdin);
    assert_eq!(session.wait(SESSION), Some(0));
    scp_there_and_back(&client, 8 << 20);
    clone(&client);
    proxy.carried(&sshd.target());
}

#[test]
fn ssh_shows_why_the_proxy_said_no() {
    let (proxy, sshd) = (Proxy::squid_with_basic(), Sshd::start());
    let client = sshd.client_configuration(&proxy_command(&proxy, ""));
    // Without a controlling terminal, on which wimble would ask the tester for a password.
    let refused = finish(&mut wimble_through("setsid", &[], ssh(&client).arg("true")), b"", SESSION);
    // ssh's own code for "no connection"; what wimble said stands before what ssh says.
    refused.exits(255).says("wimble: ").says("407");
}

#[test]
fn a_session_that_ends_leaves_no_wimble_behind() {
    let (proxy, sshd) = (Proxy::squid(), Sshd::start());
    let client = sshd.client_configuration(&proxy_command(&proxy, ""));
    let (mut session, mut stdin) = session_with_cat(&client);
    assert_eq!(wimbles_using(&proxy), 1, "while the session is open");
    stdin.write_all(b"the last words").unwrap();
    drop(stdin);
    assert_eq!(session.wait(SESSION), Some(0));
    assert!(soon(|| wimbles_using(&proxy) == 0), "wimble goes on without its ssh");
}

#[test]
fn a_killed_ssh_leaves_no_wimble_behind() {
    let (proxy, sshd) = (Proxy::squid(), Sshd::start());
    let client = sshd.client_configuration(&proxy_command(&proxy, ""));
    let (mut session, _stdin) = session_with_cat(&client);
    assert_eq!(wimbles_using(&proxy), 1, "while the session is open");
    session.signal(9);
    assert_eq!(session.wait(SESSION), None);
    assert!(soon(|| wimbles_using(&proxy) == 0), "wimble goes on without its ssh");
}

#[test]
fn an_ssh_session_ends_when_its_proxy_is_gone() {
    let (mut proxy, sshd) = (Proxy::squid(), Sshd::start());
    let client = sshd.client_configuration(&proxy_command(&proxy, ""));
    let (mut session, _stdin) = session_with_cat(&client);
    proxy.stop();
    assert_eq!(session.wait(SESSION), Some(255));
    assert!(soon(|| wimbles_using(&proxy) == 0), "wimble goes on without its proxy");
}

fn all_three_work_through(software: Software, authentication: Authentication) {
    let (proxy, sshd) = (Proxy::start(software, authentication), Sshd::start());
    let credentials = match authentication {
        Authentication::Open => String::new(),
        Authentication::Basic => format!("--proxy-credentials '{}'", proxy.credentials_file().display()),
        Authentication::Schemes => panic!("auth_real has these"),
    };
    let client = sshd.client_configuration(&proxy_command(&proxy, &credentials));
    let said = noise(1 << 20, 7);
    let session = finish(ssh(&client).arg("cat; exit 7"), &said, SESSION).exits(7);
    assert_same(&session.stdout, &said);
    assert_eq!(session.stderr, "", "a session that works is silent");
    scp_there_and_back(&client, 8 << 20);
    clone(&client);
    proxy.carried(&sshd.target());
    assert!(soon(|| wimbles_using(&proxy) == 0), "a wimble is left");
}

fn proxy_command(proxy: &Proxy, credentials: &str) -> String {
    format!("'{WIMBLE}' connect --proxy {} {credentials} %h %p", proxy.url())
}

pub(crate) fn ssh(client: &Path) -> Command {
    let mut ssh = tool("ssh", "openssh-client");
    ssh.arg("-F").arg(client).arg("target");
    ssh
}

/// An open session that says so, and whose end is in the hands of its stdin.
fn session_with_cat(client: &Path) -> (Running, ChildStdin) {
    let mut ssh = ssh(client);
    ssh.arg("echo open >&2; cat").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut session = Running::start(&mut ssh);
    session.stderr_line(|line| line == "open", LIMIT);
    let stdin = session.take_stdin();
    (session, stdin)
}

fn scp_there_and_back(client: &Path, size: u64) {
    let dir = tempfile::tempdir().unwrap();
    let [original, there, back] = ["original", "there", "back"].map(|name| dir.path().join(name));
    let mut random = File::open("/dev/urandom").unwrap().take(size);
    io::copy(&mut random, &mut File::create(&original).unwrap()).unwrap();
    let remote = format!("target:{}", there.display());
    for (from, to) in [(original.to_str().unwrap(), &*remote), (&*remote, back.to_str().unwrap())] {
        let mut scp = tool("scp", "openssh-client");
        finish(scp.arg("-q").arg("-F").arg(client).args([from, to]), b"", TRANSFER).exits(0);
    }
    let sums = run(tool("sha256sum", "coreutils").args([&original, &there, &back]));
    let sums: Vec<&str> = sums.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(sums, [sums[0]; 3], "the file, what arrived, what came back");
    assert_eq!(fs::metadata(&back).unwrap().len(), size);
}

fn clone(client: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let [repository, copy] = ["repository", "copy"].map(|name| dir.path().join(name));
    let git = |at: &Path| {
        let mut git = tool("git", "git");
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").arg("-C").arg(at);
        git
    };
    fs::create_dir(&repository).unwrap();
    fs::write(repository.join("file"), noise(3 << 20, 11)).unwrap();
    run(git(&repository).args(["init", "-q"]));
    run(git(&repository).args(["add", "file"]));
    let identity = ["-c", "user.name=wimble", "-c", "user.email=wimble@localhost"];
    run(git(&repository).args(identity).args(["commit", "-q", "-m", "A file"]));
    let mut clone = git(dir.path());
    clone
        .env("GIT_SSH_COMMAND", format!("ssh -F '{}'", client.display()))
        .args(["clone", "-q"])
        .arg(format!("ssh://target{}", repository.display()))
        .arg(&copy);
    finish(&mut clone, b"", SESSION).exits(0);
    assert_same(&fs::read(copy.join("file")).unwrap(), &noise(3 << 20, 11));
    let head = |at: &Path| run(git(at).args(["rev-parse", "HEAD"]));
    assert_eq!(head(&copy), head(&repository));
}

/// How many processes run our program with this proxy's address among their arguments.
fn wimbles_using(proxy: &Proxy) -> usize {
    let url = proxy.url();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|cmdline| {
            let mut arguments = cmdline.split(|byte| *byte == 0);
            arguments.next() == Some(WIMBLE.as_bytes())
                && arguments.any(|argument| argument == url.as_bytes())
        })
        .count()
}
