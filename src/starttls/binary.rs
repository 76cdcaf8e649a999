//! The protocols that are made of numbers.

use super::{MAX_ANSWER, Turn, UpgradeError, nothing, other};

/// RFC 4511 §4.14: an ExtendedRequest for 1.3.6.1.4.1.1466.20037, answered by an ExtendedResponse
/// whose resultCode is success.
pub(super) fn ldap() -> Vec<Turn> {
    let mut request = vec![0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16];
    request.extend_from_slice(b"1.3.6.1.4.1.1466.20037");
    vec![Turn::new(request, |bytes| {
        let Some((message, length)) = value(bytes, 0x30)? else { return Ok(None) };
        let broken = || other(bytes);
        let (_, id_length) = value(message, 0x02)?.ok_or_else(broken)?;
        let (response, _) = value(&message[id_length..], 0x78)?.ok_or_else(broken)?;
        let (code, code_length) = value(response, 0x0a)?.ok_or_else(broken)?;
        if code == [0] {
            return Ok(Some(length));
        }
        // Behind the code: matchedDN, then the message for people.
        let (_, dn_length) = value(&response[code_length..], 0x04)?.ok_or_else(broken)?;
        let (words, _) = value(&response[code_length + dn_length..], 0x04)?.ok_or_else(broken)?;
        let words: String = String::from_utf8_lossy(words).chars().take(200).collect();
        Err(UpgradeError::Refused(format!("result code {} {words}", code.first().unwrap_or(&0))))
    })]
}

/// The value of a BER element with this tag (X.690 §8.1, definite lengths), and the element's
/// whole length.
fn value(bytes: &[u8], tag: u8) -> Result<Option<(&[u8], usize)>, UpgradeError> {
    let Some(first) = bytes.first() else { return Ok(None) };
    if *first != tag {
        return Err(other(bytes));
    }
    let Some(length) = bytes.get(1) else { return Ok(None) };
    let (header, length) = match length {
        0..=0x7f => (2, usize::from(*length)),
        0x81..=0x83 => {
            let header = 2 + usize::from(length & 0x7f);
            let Some(octets) = bytes.get(2..header) else { return Ok(None) };
            (header, octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)))
        }
        _ => return Err(other(bytes)),
    };
    Ok(bytes.get(header..header + length).map(|value| (value, header + length)))
}

/// PostgreSQL, "SSL Session Encryption": one letter.
pub(super) fn postgres() -> Vec<Turn> {
    let request = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    vec![Turn::new(request, |bytes| match bytes.first() {
        Some(b'S') => Ok(Some(1)),
        Some(b'N') => Err(UpgradeError::NotOffered),
        // "Message Formats", ErrorResponse: a server that speaks no TLS because something is wrong with it.
        Some(b'E') => error_response(bytes),
        Some(_) => Err(other(bytes)),
        None => Ok(None),
    })]
}

/// The message in it, of a field M; each field is a letter and a text that ends with a zero.
fn error_response(bytes: &[u8]) -> Result<Option<usize>, UpgradeError> {
    let Some(length) = bytes.get(1..5) else { return Ok(None) };
    let length = length.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet));
    if !(5..MAX_ANSWER).contains(&length) {
        return Err(other(bytes));
    }
    let Some(fields) = bytes.get(5..1 + length) else { return Ok(None) };
    let message = fields.split(|octet| *octet == 0).find_map(|field| field.strip_prefix(b"M"));
    let words = |text| String::from_utf8_lossy(text).chars().take(200).collect();
    Err(message.map_or_else(|| other(bytes), |text| UpgradeError::Refused(words(text))))
}

/// MySQL, "Protocol::SSLRequest": it stands where the login would, behind the greeting.
pub(super) fn mysql() -> Vec<Turn> {
    const PROTOCOL_41: u32 = 0x0200;
    const SSL: u32 = 0x0800;
    const SECURE_CONNECTION: u32 = 0x8000;
    const UTF8MB4: u8 = 45;
    let mut request = vec![32, 0, 0, 1];
    request.extend_from_slice(&(PROTOCOL_41 | SSL | SECURE_CONNECTION).to_le_bytes());
    request.extend_from_slice(&(1_u32 << 24).to_le_bytes());
    request.push(UTF8MB4);
    request.extend_from_slice(&[0; 23]);
    vec![
        Turn::new("", |bytes| {
            let Some(header) = bytes.get(..4) else { return Ok(None) };
            let length =
                4 + (usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16);
            match bytes.get(4) {
                Some(0x0a) if header[3] == 0 => {}
                // An ERR packet: code, then words; "host is blocked" comes so.
                Some(0xff) if header[3] == 0 => {
                    let Some(packet) = bytes.get(7..length) else { return Ok(None) };
                    let words = String::from_utf8_lossy(packet).chars().take(200).collect();
                    return Err(UpgradeError::Refused(words));
                }
                Some(_) => return Err(other(bytes)),
                None => return Ok(None),
            }
            let Some(packet) = bytes.get(5..length) else { return Ok(None) };
            // Version and its NUL, thread (4), salt (8), filler (1), then the capabilities' low half.
            let version = packet.iter().position(|byte| *byte == 0).ok_or_else(|| other(bytes))?;
            let low = packet.get(version + 14..version + 16).ok_or_else(|| other(bytes))?;
            let offered = u32::from(low[0]) | u32::from(low[1]) << 8;
            if offered & SSL != 0 { Ok(Some(length)) } else { Err(UpgradeError::NotOffered) }
        }),
        Turn::new(request, nothing),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::talk;
    use super::super::{Protocol, UpgradeError};

    fn end(protocol: Protocol, answers: &[&[u8]]) -> UpgradeError {
        talk(protocol, answers, 3).1.expect_err("no upgrade")
    }

    #[test]
    fn a_server_that_says_no_is_understood() {
        assert_eq!(end(Protocol::Postgres, &[b"N"]), UpgradeError::NotOffered);
        let starting = b"E\0\0\0\x26SFATAL\0C57P03\0Mit is starting up\0\0";
        assert_eq!(end(Protocol::Postgres, &[starting]), UpgradeError::Refused("it is starting up".into()));
        let no_ssl = b"\x2c\0\0\0\x0a8.0.1\0\x01\0\0\0abcdefgh\0\xff\xf7\x2d\x02\0\xff\xc1\x15\0\0\0\0\0\0\0\0\0\0lmnopq";
        assert_eq!(end(Protocol::Mysql, &[no_ssl]), UpgradeError::NotOffered);
        let blocked = b"\x0a\0\0\0\xff\x69\x04blocked";
        assert_eq!(end(Protocol::Mysql, &[blocked]), UpgradeError::Refused("blocked".into()));
        let unavailable = b"\x30\x10\x02\x01\x01\x78\x0b\x0a\x01\x34\x04\x00\x04\x04busy";
        assert_eq!(end(Protocol::Ldap, &[unavailable]), UpgradeError::Refused("result code 52 busy".into()));
    }

    #[test]
    fn another_protocol_is_told_at_its_first_bytes() {
        for protocol in [Protocol::Postgres, Protocol::Mysql, Protocol::Ldap] {
            let found = end(protocol, &[b"HTTP/1.1 400 Bad Request\r\n\r\n"]);
            assert!(matches!(found, UpgradeError::OtherProtocol(_)), "{protocol:?}: {found:?}");
        }
    }
}
