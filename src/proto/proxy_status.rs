//! What proxies on the way say of a response: Proxy-Status (RFC 9209), a list of structured fields
//! (RFC 8941 §4.2).
//!
//! Knows who of them speaks of a failure, and its name. Refuses to know what a failure means to us;
//! as RFC 8941 §4.2 has it, a field with any fault in it is as if it were not there.

/// The name of the failure that made this response, if one of the field's lines is of one.
///
/// RFC 9209 §2: each proxy puts itself behind those nearer to the target. The last one that speaks
/// of a failure is the one that answered; those behind it passed its answer on.
pub fn failure<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // RFC 8941 §4.2: several lines are one list.
    let field = lines.into_iter().collect::<Vec<_>>().join(", ");
    let members = Cursor { rest: &field }.list()?;
    members.into_iter().rev().flatten().next()
}

/// What is left of the field. Every part of it is `None` where it is malformed.
struct Cursor<'a> {
    rest: &'a str,
}

/// A bare item: only a token's words matter (RFC 9209 §2.1.1: `error` is one).
#[derive(PartialEq)]
enum Item {
    Token(String),
    Text,
    Other,
}

impl Cursor<'_> {
    /// Each member's `error` (RFC 8941 §4.2.1).
    fn list(&mut self) -> Option<Vec<Option<String>>> {
        let mut members = Vec::new();
        self.skip(' ');
        while !self.rest.is_empty() {
            // RFC 9209 §2: who it is, is a token or a string.
            if self.item()? == Item::Other {
                return None;
            }
            members.push(self.parameters()?);
            self.rest = self.rest.trim_start_matches([' ', '\t']);
            if self.rest.is_empty() {
                break;
            }
            self.eat(',')?;
            self.rest = self.rest.trim_start_matches([' ', '\t']);
            if self.rest.is_empty() {
                return None; // a comma with nothing behind it
            }
        }
        Some(members)
    }

    /// The `error` among the parameters of a member; of several with one name the last one counts
    /// (§4.2.3.2).
    fn parameters(&mut self) -> Option<Option<String>> {
        let mut error = None;
        while self.eat(';').is_some() {
            self.skip(' ');
            let key = self.run(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c));
            if !key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*') {
                return None;
            }
            let value = if self.eat('=').is_some() { self.item()? } else { Item::Other };
            if key == "error" {
                error = match value {
                    Item::Token(name) => Some(name),
                    Item::Text | Item::Other => None,
                };
            }
        }
        Some(error)
    }

    /// A bare item (§4.2.3.1).
    fn item(&mut self) -> Option<Item> {
        let first = self.rest.chars().next()?;
        match first {
            '"' => self.text(),
            '?' => {
                self.eat('?');
                self.eat('0').or_else(|| self.eat('1')).map(|()| Item::Other)
            }
            ':' => {
                self.eat(':');
                self.run(|c| c.is_ascii_alphanumeric() || "+/=".contains(c));
                self.eat(':').map(|()| Item::Other)
            }
            '-' | '0'..='9' => {
                self.eat('-');
                let digits = self.run(|c| c.is_ascii_digit()).len();
                let fraction = self.eat('.').map(|()| self.run(|c| c.is_ascii_digit()).len());
                let sound = match fraction {
                    None => (1..=15).contains(&digits),
                    Some(fraction) => (1..=12).contains(&digits) && (1..=3).contains(&fraction),
                };
                sound.then_some(Item::Other)
            }
            '*' | 'a'..='z' | 'A'..='Z' => {
                let token =
                    self.run(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c)).to_owned();
                Some(Item::Token(token))
            }
            _ => None,
        }
    }

    /// A string (§4.2.5): printable ASCII, with quotes and backslashes escaped.
    fn text(&mut self) -> Option<Item> {
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(Item::Text);
                }
                '\\' => {
                    characters.next().filter(|(_, escaped)| matches!(escaped, '"' | '\\'))?;
                }
                ' '..='~' => {}
                _ => return None,
            }
        }
        None
    }

    fn eat(&mut self, wanted: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    fn skip(&mut self, which: char) {
        self.rest = self.rest.trim_start_matches(which);
    }
}

impl<'a> Cursor<'a> {
    /// As many characters as are of this kind.
    fn run(&mut self, is_of_kind: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_of_kind(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r53_of_several_proxies_the_last_one_that_failed_has_answered() {
        for (lines, wanted) in [
            (&["p; error=dns_error"][..], Some("dns_error")),
            (&["far; error=dns_error, near; received-status=502"], Some("dns_error")),
            (&["far; error=dns_error, near; error=http_request_denied"], Some("http_request_denied")),
            (&["far; error=dns_error", "\"near, b\";next-hop=\"a;b\" ;x"], None),
            (&["far; error=dns_error", "\"near, b\";next-hop=\"a;b\";x"], Some("dns_error")),
            (&["p;error=dns_timeout;error=connection_refused"], Some("connection_refused")),
            (&["p; a=?0; b=:aGk=:; c=-1.5; d=12; error=dns_error ,\tq"], Some("dns_error")),
            (&["p; received-status=200"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(failure(lines.iter().copied()).as_deref(), wanted, "{lines:?}");
        }
    }

    #[test]
    fn r54_what_stands_in_quotes_is_no_failures_name() {
        for (line, wanted) in [
            (r#"p; details="no dns_error here"; error=connection_refused"#, Some("connection_refused")),
            (r#"p; details="\"; error=dns_error, q; error=dns_error""#, None),
            (r#"p; error="dns_error""#, None),
            ("dns_error; error", None),
        ] {
            assert_eq!(failure([line]).as_deref(), wanted, "{line}");
        }
    }

    #[test]
    fn r55_a_field_with_a_fault_is_as_if_it_were_not_there() {
        for fault in [
            "p; error=dns_error,",
            "p; error=dns_error, , q",
            "p; error=dns_error; Error=x",
            "p; error=dns_error; =x",
            "p; error=dns_error; details=\"open",
            "p; error=dns_error; details=\"b\\x\"",
            "p; error=dns_error; details=\"gr\u{f6}\u{df}er\"",
            "p; error=dns_error; a=?2",
            "p; error=dns_error; a=:aGk",
            "p; error=dns_error; a=1.",
            "p; error=dns_error; a=1234567890123456",
            "p; error=dns_error; a=-",
            "p; error=dns_error; a=",
            "p error=dns_error",
            "(p q); error=dns_error",
            "1; error=dns_error",
            ", p; error=dns_error",
        ] {
            assert_eq!(failure([fault]), None, "{fault}");
        }
    }
}
