//! What a proxy offers: the challenges of RFC 9110 §11.3 in Proxy-Authenticate (§11.7.1).
//!
//! ```text
//! challenge = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
//! ```
//!
//! Knows that several challenges stand in one line and over several lines, in any case, with
//! commas inside quotes; that one which can't be read voids itself only. Refuses to know what a
//! scheme means.

/// Challenges of one response that are kept. Five schemes are in use.
const MAX_CHALLENGES: usize = 32;

/// Parameters of one challenge; Digest has ten.
const MAX_PARAMETERS: usize = 64;

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    scheme: String,
    token68: Option<String>,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The scheme's name as the proxy spelled it.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The token68 behind the scheme, where it has one (`Negotiate YII…`).
    pub fn token68(&self) -> Option<&str> {
        self.token68.as_deref()
    }

    /// A parameter's value, unquoted; names match in any case (RFC 9110 §11.2).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The challenges of one response, in the order sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenges(Vec<Challenge>);

impl Challenges {
    /// Reads the values of all Proxy-Authenticate fields of a response.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Vec::new();
        for value in values {
            Cursor { rest: value }.challenges(&mut all);
        }
        Self(all)
    }

    /// Whether nothing that can be read was offered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first challenge of a scheme, whose name matches in any case (RFC 9110 §11.1).
    pub fn find(&self, scheme: &str) -> Option<&Challenge> {
        self.0.iter().find(|c| c.scheme.eq_ignore_ascii_case(scheme))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Challenge> {
        self.0.iter()
    }
}

/// What is left of one field value.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn challenges(&mut self, all: &mut Vec<Challenge>) {
        loop {
            // RFC 9110 §5.6.1.2: empty list elements are passed over.
            self.skip(|c| c == ',' || is_space(c));
            if self.rest.is_empty() {
                return;
            }
            let scheme = self.token();
            if scheme.is_empty() {
                self.resynchronise();
                continue;
            }
            let (parameters, token68) = match self.token68() {
                Some(token) => (Some(Vec::new()), Some(token.to_owned())),
                None => (self.parameters(), None),
            };
            if let Some(parameters) = parameters
                && all.len() < MAX_CHALLENGES
            {
                all.push(Challenge { scheme: scheme.to_owned(), token68, parameters });
            }
        }
    }

    /// A token68 that ends its list element; `None` leaves the cursor where it was.
    fn token68(&mut self) -> Option<&'a str> {
        let start = self.rest.trim_start_matches(is_space);
        if start.len() == self.rest.len() {
            return None;
        }
        let body = start.find(|c: char| !is_token68(c)).unwrap_or(start.len());
        let end = body + start[body..].len() - start[body..].trim_start_matches('=').len();
        let behind = start[end..].trim_start_matches(is_space);
        if body == 0 || !(behind.is_empty() || behind.starts_with(',')) {
            return None;
        }
        self.rest = behind;
        Some(&start[..end])
    }

    /// The auth-params up to the next challenge; `None` if one was malformed or given twice
    /// (R18): that voids this challenge, and the next is found all the same.
    fn parameters(&mut self) -> Option<Vec<(String, String)>> {
        let mut found: Vec<(String, String)> = Vec::new();
        let mut sound = true;
        loop {
            let before = self.rest;
            self.skip(|c| c == ',' || is_space(c));
            let name = self.token();
            self.skip(is_space);
            if name.is_empty() || !self.rest.starts_with('=') {
                let end = self.rest.is_empty() && name.is_empty();
                let next_challenge = !name.is_empty() && before.trim_start_matches(is_space).starts_with(',');
                if end || next_challenge {
                    self.rest = before;
                    return sound.then_some(found);
                }
                sound = false;
                self.resynchronise();
                continue;
            }
            self.rest = &self.rest[1..];
            self.skip(is_space);
            let value = if self.rest.starts_with('"') { self.quoted() } else { Some(self.unquoted()) };
            self.skip(is_space);
            match value {
                Some(value)
                    if (self.rest.is_empty() || self.rest.starts_with(','))
                        && found.len() < MAX_PARAMETERS
                        && !found.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) =>
                {
                    found.push((name.to_owned(), value));
                }
                _ => {
                    sound = false;
                    self.resynchronise();
                }
            }
        }
    }

    fn token(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !is_tchar(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    /// A value without quotes: a token, or what some proxies send for one, `realm=Squid proxy`.
    fn unquoted(&mut self) -> String {
        let end = self.rest.find([',', '"']).unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        self.rest = rest;
        value.trim_end_matches(is_space).to_owned()
    }

    /// A quoted-string (RFC 9110 §5.6.4), without its quotes and backslashes; `None` if it does
    /// not end.
    fn quoted(&mut self) -> Option<String> {
        let text = std::mem::take(&mut self.rest);
        let mut value = String::new();
        let mut characters = text.char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.rest = &text[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                _ => value.push(c),
            }
        }
        None
    }

    /// On to the next comma that is not inside quotes.
    fn resynchronise(&mut self) {
        while let Some(c) = self.rest.chars().next() {
            match c {
                ',' => return,
                '"' => {
                    self.quoted();
                }
                _ => self.rest = &self.rest[c.len_utf8()..],
            }
        }
    }

    fn skip(&mut self, which: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(which);
    }
}

fn is_space(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// RFC 9110 §5.6.2.
fn is_tchar(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// RFC 9110 §11.2, less the `=` at the end.
fn is_token68(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~+/".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `scheme`, `scheme:token68` or `scheme{name=value;…}`, joined by blanks.
    fn read(values: &[&str]) -> String {
        let show = |c: &Challenge| {
            let token = c.token68().map(|t| format!(":{t}")).unwrap_or_default();
            let list: Vec<_> = c.parameters.iter().map(|(n, v)| format!("{n}={v}")).collect();
            let list = if list.is_empty() { String::new() } else { format!("{{{}}}", list.join(";")) };
            format!("{}{token}{list}", c.scheme())
        };
        Challenges::parse(values.iter().copied()).iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn q28_several_challenges_stand_in_one_line() {
        assert_eq!(read(&["NEGOTIATE,NTLM,BASIC realm=\"a b\""]), "NEGOTIATE NTLM BASIC{realm=a b}");
        assert_eq!(
            read(&["Digest realm=\"x, y\", qop=\"auth,auth-int\", nonce=n, Basic realm=z"]),
            "Digest{realm=x, y;qop=auth,auth-int;nonce=n} Basic{realm=z}"
        );
        assert_eq!(read(&["Negotiate YII+/==, Basic realm=\"r\""]), "Negotiate:YII+/== Basic{realm=r}");
        assert_eq!(read(&[", ,Basic realm = \"a\\\"b\" , ,"]), "Basic{realm=a\"b}");
    }

    #[test]
    fn q29_r17_several_lines_are_one_list() {
        assert_eq!(read(&["Negotiate", "ntlm", "BASIC Realm=x"]), "Negotiate ntlm BASIC{Realm=x}");
        let all = Challenges::parse(["bAsIc ReAlM=x"]);
        assert_eq!(all.find("Basic").and_then(|c| c.parameter("realm")), Some("x"), "R18: any case");
    }

    #[test]
    fn r18_a_challenge_that_cannot_be_read_voids_itself_only() {
        assert_eq!(read(&["Digest realm=a, realm=b, Basic realm=c"]), "Basic{realm=c}");
        assert_eq!(read(&["Digest realm=\"open, Basic realm=c", "NTLM"]), "NTLM");
        assert_eq!(read(&["@@@, Basic realm=c"]), "Basic{realm=c}");
        assert_eq!(read(&["Digest realm=a\"b\", nonce=c, Basic realm=\"d\""]), "Basic{realm=d}");
        assert_eq!(read(&["Digest ???, Basic realm=\"d\""]), "Basic{realm=d}");
    }

    #[test]
    fn an_unquoted_realm_may_be_more_than_a_token() {
        assert_eq!(read(&["Basic realm=Squid proxy, NTLM"]), "Basic{realm=Squid proxy} NTLM");
        assert_eq!(read(&["Basic realm=caf\u{fffd}, NTLM"]), "Basic{realm=caf\u{fffd}} NTLM");
    }

    #[test]
    fn a_flood_of_parameters_voids_the_challenge_in_linear_time() {
        let many: String = (0..100_000).map(|n| format!("a{n}=x,")).collect();
        assert_eq!(read(&[&format!("Digest {many}"), "NTLM"]), "NTLM");
        assert_eq!(Challenges::parse(["NTLM,".repeat(1000).as_str()]).iter().count(), MAX_CHALLENGES);
    }

    #[test]
    fn a_challenge_needs_no_parameters() {
        assert_eq!(read(&["Basic"]), "Basic");
        assert_eq!(read(&["Basic "]), "Basic");
        assert_eq!(read(&[""]), "");
    }

    proptest! {
        #[test]
        fn whatever_a_proxy_sends_is_read_without_a_panic(value in "[ ,=\"\\\\a-zA-Z\u{e9}/+]{0,60}|\\PC{0,60}") {
            let all = Challenges::parse([value.as_str()]);
            prop_assert!(all.iter().all(|c| c.scheme().chars().all(is_tchar)));
        }

        #[test]
        fn a_sound_challenge_is_found_behind_any_garbage_without_quotes(garbage in "[ ,=a-zA-Z@:{}/+]{0,40}") {
            let line = format!("{garbage}, Basic realm=\"found\"");
            let all = Challenges::parse([line.as_str()]);
            prop_assert!(all.iter().any(|c| c.parameter("realm") == Some("found")), "{line}");
        }
    }
}
