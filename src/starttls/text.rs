//! The protocols that are made of lines, and XMPP.

use super::{Turn, UpgradeError, other};

type Read = Result<Option<usize>, UpgradeError>;

/// RFC 3207. The name of this machine is nobody's business (RFC 5321 §4.1.1.1 lets a client without
/// one send an address literal).
pub(super) fn smtp() -> Vec<Turn> {
    vec![
        Turn::new("", |bytes| reply(bytes, "220", |_| Ok(()))),
        Turn::new("EHLO [127.0.0.1]\r\n", |bytes| {
            reply(bytes, "250", |lines| {
                let offers = |line: &&str| {
                    line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"))
                };
                if lines.lines().any(|line| offers(&line)) { Ok(()) } else { Err(UpgradeError::NotOffered) }
            })
        }),
        Turn::new("STARTTLS\r\n", |bytes| reply(bytes, "220", |_| Ok(()))),
    ]
}

/// RFC 4217 §4.
pub(super) fn ftp() -> Vec<Turn> {
    vec![
        Turn::new("", |bytes| reply(bytes, "220", |_| Ok(()))),
        Turn::new("AUTH TLS\r\n", |bytes| reply(bytes, "234", |_| Ok(()))),
    ]
}

/// RFC 9051 §6.2.1. A greeting may be PREAUTH, which is too late for STARTTLS, or BYE.
pub(super) fn imap() -> Vec<Turn> {
    vec![
        Turn::new("", |bytes| {
            let Some((line, length)) = line(bytes, b"* ")? else { return Ok(None) };
            let word = line.get(2..).unwrap_or_default().split(' ').next().unwrap_or_default();
            if word.eq_ignore_ascii_case("OK") { Ok(Some(length)) } else { Err(refused(line)) }
        }),
        Turn::new("a STARTTLS\r\n", |bytes| {
            let mut at = 0;
            // Untagged responses come whenever the server likes (RFC 9051 §7).
            while let Some((line, length)) = line(&bytes[at..], b"")? {
                at += length;
                if let Some(tagged) = line.strip_prefix("a ") {
                    let word = tagged.split(' ').next().unwrap_or_default();
                    return if word.eq_ignore_ascii_case("OK") { Ok(Some(at)) } else { Err(refused(line)) };
                }
            }
            Ok(None)
        }),
    ]
}

/// RFC 2595 §4.
pub(super) fn pop3() -> Vec<Turn> {
    let read = |bytes: &[u8]| {
        if bytes.first() == Some(&b'-') {
            return match line(bytes, b"-ERR")? {
                Some((line, _)) => Err(refused(line)),
                None => Ok(None),
            };
        }
        Ok(line(bytes, b"+OK")?.map(|(_, length)| length))
    };
    vec![Turn::new("", read), Turn::new("STLS\r\n", read)]
}

/// RFC 2817 §3.2: OPTIONS changes nothing, and the answer to it comes inside TLS.
pub(super) fn http(host: &str) -> Vec<Turn> {
    let request =
        format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n\r\n");
    vec![Turn::new(request, |bytes| {
        let Some((status, _)) = line(bytes, b"HTTP/1.")? else { return Ok(None) };
        match status.split(' ').nth(1).unwrap_or_default() {
            "101" => Ok(find(bytes, b"\r\n\r\n").map(|end| end + 4)),
            // RFC 9110 §15.5.22: it insists on the upgrade, and did not make it.
            "426" => Err(refused(status)),
            _ => Err(UpgradeError::Refused(format!("{status}, without an upgrade"))),
        }
    })]
}

/// RFC 6120 §4.2, §5.4.
pub(super) fn xmpp(host: &str) -> Vec<Turn> {
    const NAMESPACE: &[u8] = b"urn:ietf:params:xml:ns:xmpp-tls";
    let header = format!(
        "<?xml version='1.0'?><stream:stream to='{host}' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    );
    vec![
        Turn::new(header, |bytes| {
            starts(bytes, b"<")?;
            if let Some(error) = element(bytes, b"stream:error") {
                return Err(refused(&String::from_utf8_lossy(&bytes[..error])));
            }
            let Some(end) = element(bytes, b"stream:features") else { return Ok(None) };
            if find(&bytes[..end], NAMESPACE).is_some() {
                Ok(Some(end))
            } else {
                Err(UpgradeError::NotOffered)
            }
        }),
        Turn::new("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", |bytes| {
            starts(bytes, b"<")?;
            if let Some(end) = element(bytes, b"failure") {
                return Err(refused(&String::from_utf8_lossy(&bytes[..end])));
            }
            Ok(element(bytes, b"proceed"))
        }),
    ]
}

/// Where the first element of this name ends, once it has come whole.
fn element(bytes: &[u8], name: &[u8]) -> Option<usize> {
    let open = find(bytes, &[b"<", name].concat())?;
    let tag_end = open + find(&bytes[open..], b">")?;
    if bytes[..tag_end].ends_with(b"/") {
        return Some(tag_end + 1);
    }
    let close = [b"</", name, b">"].concat();
    find(&bytes[tag_end..], &close).map(|at| tag_end + at + close.len())
}

/// A reply of three digits that may have several lines (RFC 5321 §4.2.1, RFC 959 §4.2).
fn reply(bytes: &[u8], wanted: &str, judge: fn(&str) -> Result<(), UpgradeError>) -> Read {
    let digits = bytes.iter().take(3).all(u8::is_ascii_digit);
    if !digits {
        return Err(other(bytes));
    }
    let mut at = 0;
    let Some(code) = bytes.get(..3) else { return Ok(None) };
    while let Some((line, length)) = line(&bytes[at..], b"")? {
        at += length;
        // The last line has the code and no hyphen; the lines of FTP between need no code at all.
        let last = line.as_bytes().starts_with(code) && line.as_bytes().get(3) != Some(&b'-');
        if last && code == wanted.as_bytes() {
            let lines = String::from_utf8_lossy(&bytes[..at]);
            return judge(&lines).map(|()| Some(at));
        }
        if last {
            return Err(refused(line));
        }
    }
    Ok(None)
}

/// The first line without its end, and its length with it; an error as soon as it cannot begin
/// like this.
fn line<'a>(bytes: &'a [u8], beginning: &[u8]) -> Result<Option<(&'a str, usize)>, UpgradeError> {
    starts(bytes, beginning)?;
    let Some(feed) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    match std::str::from_utf8(bytes[..feed].trim_ascii_end()) {
        Ok(line) => Ok(Some((line, feed + 1))),
        Err(_) => Err(other(bytes)),
    }
}

fn starts(bytes: &[u8], beginning: &[u8]) -> Result<(), UpgradeError> {
    let length = bytes.len().min(beginning.len());
    if bytes[..length].eq_ignore_ascii_case(&beginning[..length]) { Ok(()) } else { Err(other(bytes)) }
}

fn refused(line: &str) -> UpgradeError {
    UpgradeError::Refused(line.chars().take(200).collect())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::super::tests::talk;
    use super::super::{Protocol, UpgradeError};

    fn end(protocol: Protocol, answers: &[&[u8]]) -> UpgradeError {
        talk(protocol, answers, 5).1.expect_err("no upgrade")
    }

    #[test]
    fn what_is_sent_is_what_the_rfcs_say() {
        let sent =
            |protocol, answers: &[&[u8]]| String::from_utf8(talk(protocol, answers, 9).0).expect("text");
        for (protocol, answers) in super::super::tests::WELL {
            let expected = match protocol {
                Protocol::Smtp => "EHLO [127.0.0.1]\r\nSTARTTLS\r\n",
                Protocol::Imap => "a STARTTLS\r\n",
                Protocol::Pop3 => "STLS\r\n",
                Protocol::Ftp => "AUTH TLS\r\n",
                Protocol::Http => {
                    "OPTIONS * HTTP/1.1\r\nHost: host.example\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n\r\n"
                }
                Protocol::Xmpp | Protocol::Ldap | Protocol::Postgres | Protocol::Mysql => continue,
            };
            assert_eq!(sent(protocol, answers), expected);
        }
    }

    #[test]
    fn a_server_that_refuses_is_quoted() {
        for (protocol, answers, words) in [
            (Protocol::Smtp, &[&b"554 no service\r\n"[..]][..], "554 no service"),
            (
                Protocol::Smtp,
                &[b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"454 not now\r\n"],
                "454 not now",
            ),
            (Protocol::Imap, &[b"* BYE go away\r\n"], "* BYE go away"),
            (Protocol::Imap, &[b"* OK\r\n", b"a NO not here\r\n"], "a NO not here"),
            (Protocol::Pop3, &[b"+OK\r\n", b"-ERR unknown\r\n"], "-ERR unknown"),
            (Protocol::Ftp, &[b"220 x\r\n", b"530 login first\r\n"], "530 login first"),
            (Protocol::Http, &[b"HTTP/1.1 426 Upgrade Required\r\n\r\n"], "HTTP/1.1 426 Upgrade Required"),
            (Protocol::Http, &[b"HTTP/1.1 200 OK\r\n\r\n"], "HTTP/1.1 200 OK, without an upgrade"),
        ] {
            assert_eq!(end(protocol, answers), UpgradeError::Refused(words.into()), "{protocol:?}");
        }
    }

    #[test]
    fn a_server_that_does_not_offer_it_is_not_asked_for_it() {
        assert_eq!(end(Protocol::Smtp, &[b"220 x\r\n", b"250-x\r\n250 HELP\r\n"]), UpgradeError::NotOffered);
        let features = b"<stream:stream><stream:features><mechanisms/></stream:features>";
        assert_eq!(end(Protocol::Xmpp, &[features]), UpgradeError::NotOffered);
    }

    #[test]
    fn another_protocol_is_told_at_its_first_bytes() {
        for protocol in [Protocol::Smtp, Protocol::Imap, Protocol::Pop3, Protocol::Ftp, Protocol::Http] {
            let found = end(protocol, &[b"SSH-2.0-OpenSSH_9.2\r\n"]);
            assert!(matches!(found, UpgradeError::OtherProtocol(_)), "{protocol:?}: {found:?}");
        }
    }
}
