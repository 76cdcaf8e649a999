//! What proxies on the way say of a response: Proxy-Status (RFC 9209), a list of structured fields
//! (RFC 8941 §4.2).
//!
//! Knows who of them speaks of a failure, and its name. Refuses to know what a failure means to us;
//! as RFC 8941 §4.2 has it, a field with any fault in it is as if it were not there.

use sfv::{BareItem, Item, List, ListEntry, Parser};

/// The name of the failure that made this response, if one of the field's lines is of one.
///
/// RFC 9209 §2: each proxy puts itself behind those nearer to the target. The last one that speaks
/// of a failure is the one that answered; those behind it passed its answer on.
pub fn failure<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // RFC 8941 §4.2: several lines are one list.
    let field = lines.into_iter().collect::<Vec<_>>().join(", ");
    let members: Vec<Item> =
        Parser::new(&field).parse::<List>().ok()?.into_iter().map(proxy).collect::<Option<_>>()?;
    members.into_iter().rev().find_map(|proxy| match proxy.params.get("error") {
        // §2.1.1: it is a token.
        Some(BareItem::Token(name)) => Some(name.to_string()),
        Some(_) | None => None,
    })
}

/// RFC 9209 §2: who it is, is a token or a string.
fn proxy(member: ListEntry) -> Option<Item> {
    match member {
        ListEntry::Item(item) if matches!(item.bare_item, BareItem::Token(_) | BareItem::String(_)) => {
            Some(item)
        }
        ListEntry::Item(_) | ListEntry::InnerList(_) => None,
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
