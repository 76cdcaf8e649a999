//! Scripts as they are found, and such as mean no good.

use super::*;

/// A world in which it is Wednesday, 2026-11-25 04:11:46 UTC, and three names are known.
#[derive(Default)]
struct Fixed {
    /// What one look at the clock costs.
    tick: Duration,
    elapsed: Cell<Duration>,
}

impl World for Fixed {
    fn elapsed(&self) -> Duration {
        self.elapsed.set(self.elapsed.get() + self.tick);
        self.elapsed.get()
    }

    fn unix_time(&self) -> i64 {
        1_795_579_906
    }

    fn resolve(&self, name: &str, limit: Duration) -> Vec<IpAddr> {
        let text = match name {
            "inside.example" => "10.1.2.3",
            "outside.example" => "203.0.113.5",
            "six.example" => "2001:db8::5",
            "slow.example" => {
                self.elapsed.set(self.elapsed.get() + limit);
                return Vec::new();
            }
            _ => return Vec::new(),
        };
        vec![text.parse().expect("an address")]
    }

    fn own_addresses(&self) -> Vec<IpAddr> {
        ["2001:db8::9", "192.0.2.9"].map(|text| text.parse().expect("an address")).to_vec()
    }
}

fn engine(script: &str) -> Result<Engine, PacError> {
    Engine::new(script, Rc::new(Fixed::default()))
}

/// What a script answers, entry by entry.
fn answer(script: &str, target: &str) -> Result<String, PacError> {
    let ways = engine(script)?.find(&target.parse().expect("a target"))?;
    Ok(ways.answer.into_iter().map(|entry| entry.text).collect::<Vec<_>>().join("; "))
}

/// What an expression is in a script.
fn value(expression: &str) -> String {
    let script =
        format!("function FindProxyForURL(url, host) {{ return 'DIRECT;' + encodeURI({expression}); }}");
    let text = answer(&script, "Host.Example:22").expect("an answer");
    text.trim_start_matches("DIRECT; ").to_owned()
}

#[test]
fn every_helper_is_there() {
    for (expression, expected) in [
        ("isPlainHostName(host)", "false"),
        ("dnsDomainIs(host, '.example')", "true"),
        ("localHostOrDomainIs('host', 'host.example')", "true"),
        ("isResolvable('inside.example')", "true"),
        ("isResolvable('six.example')", "false"),
        ("isResolvableEx('six.example')", "true"),
        ("isResolvable('nowhere.example')", "false"),
        ("isInNet('inside.example', '10.0.0.0', '255.0.0.0')", "true"),
        ("isInNet('outside.example', '10.0.0.0', '255.0.0.0')", "false"),
        ("isInNet('10.9.9.9', '10.0.0.0', '255.0.0.0')", "true"),
        ("isInNet('nowhere.example', '0.0.0.0', '0.0.0.0')", "false"),
        ("isInNetEx('six.example', '2001:db8::/32')", "true"),
        ("dnsResolve('inside.example')", "10.1.2.3"),
        ("dnsResolve('nowhere.example')", "null"),
        ("dnsResolveEx('six.example')", "2001:db8::5"),
        ("myIpAddress()", "192.0.2.9"),
        ("myIpAddressEx()", "2001:db8::9;192.0.2.9".split(';').next().expect("one")),
        ("dnsDomainLevels('a.b.c')", "2"),
        ("shExpMatch(host, '*.example')", "true"),
        ("weekdayRange('WED', 'GMT')", "true"),
        ("weekdayRange('SAT', 'SUN', 'GMT')", "false"),
        ("dateRange(25, 'NOV', 2026, 'GMT')", "true"),
        ("timeRange(4, 'GMT')", "true"),
        ("timeRange(5, 6, 'GMT')", "false"),
        ("convert_addr('0.0.1.1')", "257"),
        ("alert('x')", "undefined"),
        ("sortIpAddressList('10.0.0.2;::1;10.0.0.1')", "::1; 10.0.0.1; 10.0.0.2"),
        ("sortIpAddressList('x')", "false"),
        ("getClientVersion()", "1.0"),
        (
            "[typeof require, typeof console, typeof fetch, typeof setTimeout, typeof process, typeof std].every(function (t) { return t === 'undefined'; })",
            "true",
        ),
        ("host", "host.example"),
        ("url", "https://host.example:22/"),
    ] {
        assert!(value(expression).starts_with(expected), "{expression}: {}", value(expression));
    }
}

#[test]
fn what_is_async_is_called_and_nothing_waits_for_it() {
    for called in [
        "async function f() { await 1; while (true) {} }",
        "async function f() { await new Promise(function () {}); }",
        "async function f() { throw 1; }",
        "async function* f() { yield 1; }",
        "var f = async () => { await f(); };",
        "function f() { Promise.resolve(1).then(function () { while (true) {} }); }",
    ] {
        for (outside, inside) in [("f();", ""), ("", "f();")] {
            let script = format!(
                "{called} {outside} function FindProxyForURL(u, h) {{ {inside} return 'PROXY p:8'; }}"
            );
            assert_eq!(answer(&script, "host:1").as_deref(), Ok("PROXY p:8"), "{script}");
        }
    }
    let error = answer("async function FindProxyForURL(u, h) { return 'PROXY p:8'; }", "host:1");
    assert!(matches!(&error, Err(PacError::NoText(_))), "{error:?}");
}

#[test]
fn the_language_is_that_of_browsers_and_not_its_strict_mode() {
    let script = include_str!("../../../tests/fixtures/pac/sloppy.pac");
    assert_eq!(answer(script, "inside.example:22").as_deref(), Ok("PROXY inside:8"));
    assert_eq!(answer(script, "outside.example:22").as_deref(), Ok("PROXY outside:8"));
    // Whose mistake it is, is told in the script's lines.
    let error = answer("function FindProxyForURL(u, host) {\n return shExpMatch(host, '('); }", "host:1");
    assert!(matches!(&error, Err(PacError::Script(text)) if text.starts_with("line 2: Syntax")), "{error:?}");
}

#[test]
fn patterns_are_what_browsers_make_of_them() {
    for (text, pattern, matched) in [
        ("http://home.example.com/people/ari/index.html", "*/ari/*", true),
        ("http://home.example.com/people/montulli/index.html", "*/ari/*", false),
        ("host", "h?st", true),
        ("host", "h?t", false),
        ("host.example", "*.example", true),
        ("host.exampleX", "*.example", false),
        ("axb", "a.b", false),
        ("", "*", true),
        ("x", "", false),
        ("host7.example", "host[0-9].example", true),
        ("a.bar.com", "(*.foo.com|*.bar.com)", true),
        ("a.foo.com", "*.foo.com|*.bar.com", true),
        ("a.baz.com", "*.foo.com|*.bar.com", false),
    ] {
        assert_eq!(
            value(&format!("shExpMatch('{text}', '{pattern}')")),
            matched.to_string(),
            "{text} {pattern}"
        );
    }
}

#[test]
fn addresses_are_read_as_loosely_as_in_browsers() {
    for (expression, expected) in [
        ("convert_addr('104.16.41.2')", "1745889538"),
        ("convert_addr('255.0.0.1')", "-16777215"),
        ("convert_addr('10.1')", "167837696"),
        ("convert_addr('x')", "0"),
        ("isInNet('10.1.2.3', '010.0.0.0', '255.000.000.000')", "true"),
        ("isInNet('10.1.2.3', '10', '255')", "true"),
        ("isInNet('11.1.2.3', '10.0.0.0', '255.0.0.0')", "false"),
        ("isInNet('10.1.2.300', '10.0.0.0', '255.0.0.0')", "false"),
        ("isInNet(null, '0.0.0.0', '0.0.0.0')", "false"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn a_helper_takes_no_more_than_it_looks_at() {
    let odd = "{ toString: function () { throw 1; } }";
    for (expression, expected) in [
        (format!("isPlainHostName('a', {odd})"), "true"),
        (format!("dnsDomainIs('a.b', '.b', {odd})"), "true"),
        (format!("myIpAddress({odd})"), "192.0.2.9"),
        (format!("dateRange(1, 'NOV', 2026, 25, 'NOV', 2026, 'GMT', {odd})"), "true"),
        (format!("isPlainHostName('a'.repeat({MAX_WORD}))"), "true"),
        (format!("alert('a'.repeat({MAX_WORD} + 1))"), "undefined"),
    ] {
        assert_eq!(value(&expression), expected, "{expression}");
    }
    for call in ["isPlainHostName(s)", "dnsDomainIs('a', s)", "timeRange(1, 2, s)", "dnsResolve(s)"] {
        let script = format!(
            "function FindProxyForURL() {{\n var s = 'a'.repeat({MAX_WORD} + 1);\n return {call}; }}"
        );
        let error = answer(&script, "host:1");
        let told = "line 3: RangeError: a text of 8193 bytes, and helpers take no more than 8192";
        assert_eq!(error, Err(PacError::Script(told.into())), "{call}");
    }
}

#[test]
fn no_error_is_longer_than_what_is_told_of_it() {
    for (thrown, told) in [
        ("'a'.repeat(1e6)", "it threw \"(1000000 bytes)\""),
        ("new Error('a'.repeat(1e6))", "line 1: Error: (1000000 bytes)"),
    ] {
        let error = answer(&format!("function FindProxyForURL() {{ throw {thrown}; }}"), "host:1");
        assert_eq!(error, Err(PacError::Script(told.into())), "{thrown}");
    }
}

#[test]
fn an_answer_is_read_whole_or_not_at_all() {
    let script = |padding: usize| {
        format!("function FindProxyForURL() {{ return ';'.repeat({padding}) + 'PROXY a:8080'; }}")
    };
    let most = MAX_ANSWER - "PROXY a:8080".len();
    assert_eq!(answer(&script(most), "host:1").as_deref(), Ok("PROXY a:8080"));
    assert_eq!(answer(&script(most + 1), "host:1"), Err(PacError::LongAnswer(MAX_ANSWER + 1)));
}

#[test]
fn a_company_s_file_of_200_lines_is_understood() {
    let engine = engine(include_str!("../../../tests/fixtures/pac/company.pac")).expect("an engine");
    for (target, answer) in [
        ("intranet:443", "DIRECT"),
        ("WWW.Company.example:443", "DIRECT"),
        ("intranet.company.example:443", "DIRECT"),
        ("git.build.example:22", "DIRECT"),
        ("apt.mirror.example:443", "PROXY old-mirror.corp.example:80; DIRECT"),
        (
            "gpu.lab.research.example:22",
            "SOCKS5 socks-lab.corp.example:1080; SOCKS socks-lab.corp.example:1081",
        ),
        ("activation7.vendor-b.example:443", "DIRECT"),
        ("license01.vendor-c.example:443", "DIRECT"),
        ("license1.vendor-c.example:443", "DIRECT"),
        ("host.example:22", "PROXY proxy-hq1.corp.example:8080; PROXY proxy-hq2.corp.example:8080"),
        ("backup.cloud.example:443", "DIRECT"),
        ("inside.example:443", "DIRECT"),
        (
            "203.0.113.65:443",
            "PROXY partners.corp.example:8081; PROXY proxy-hq1.corp.example:8080; PROXY proxy-hq2.corp.example:8080",
        ),
        ("outside.example:443", "DIRECT"),
    ] {
        let ways = engine.find(&target.parse().expect("a target")).expect("an answer");
        let said: Vec<_> = ways.answer.into_iter().map(|entry| entry.text).collect();
        assert_eq!(said.join("; "), answer, "{target}");
    }
}

#[test]
fn the_url_has_no_path_and_no_port_where_it_is_that_of_https() {
    let script = "function FindProxyForURL(url, host) { return 'PROXY ' + (url == 'https://host.example/' ? 'a' : 'b') + ':1'; }";
    assert_eq!(answer(script, "HOST.example:443").as_deref(), Ok("PROXY a:1"));
    let script = "function FindProxyForURL(url, host) { return host == '::1' && url == 'https://[::1]:22/' ? 'DIRECT' : 'PROXY a:1'; }";
    assert_eq!(answer(script, "[::1]:22").as_deref(), Ok("DIRECT"));
}

#[test]
fn nothing_means_direct_and_what_is_no_text_is_an_error() {
    for nothing in ["null", "undefined", "''", "' ; '"] {
        let script = format!("function FindProxyForURL() {{ return {nothing}; }}");
        assert_eq!(answer(&script, "host:1").as_deref(), Ok("DIRECT"), "{nothing}");
    }
    let error = answer("function FindProxyForURL() { return 5; }", "host:1");
    assert_eq!(error, Err(PacError::NoText("int".into())));
    let error = answer("function FindProxyForURL() { return 'QUIC x:1'; }", "host:1");
    assert_eq!(error, Err(PacError::NoWay("QUIC x:1".into())));
}

#[test]
fn what_is_wrong_with_a_script_is_told_with_its_line() {
    let told = |script: &str| match answer(script, "host:1") {
        Err(PacError::Script(text)) => text,
        other => panic!("{other:?}"),
    };
    let text = told("var a;\nvar b = ;\nfunction FindProxyForURL() {}");
    assert!(text.starts_with("line 2: SyntaxError: "), "{text}");
    let text = told("function FindProxyForURL() {\n\n  return nothing.here;\n}");
    assert!(text.starts_with("line 3: ReferenceError: "), "{text}");
    let text = told("function FindProxyForURL() { throw 'no\\x1b'; }");
    assert_eq!(text, "it threw \"no\\u{1b}\"");
    assert_eq!(engine("var x = 1;").err(), Some(PacError::NoFunction));
    assert_eq!(engine("var FindProxyForURL = 1;").err(), Some(PacError::NoFunction));
}

#[test]
fn a_script_that_does_not_end_is_ended_and_the_engine_goes_on() {
    let world = Rc::new(Fixed { tick: Duration::from_millis(50), ..Fixed::default() });
    let script = "function FindProxyForURL(url, host) { while (host == 'loop') try { for (;;) {} } catch (e) {} return 'DIRECT'; }";
    let engine = Engine::new(script, world.clone()).expect("an engine");
    assert_eq!(engine.find(&"loop:1".parse().expect("a target")), Err(PacError::TooSlow));
    assert!(engine.find(&"other:1".parse().expect("a target")).is_ok());
    assert_eq!(Engine::new("for (;;) {}", world).err(), Some(PacError::TooSlow));
}

#[test]
fn a_script_that_wants_all_memory_or_stack_is_stopped() {
    for greedy in [
        "var a = []; for (;;) a.push('x'.repeat(1000000) + a.length);",
        "var s = 'x'; for (;;) s += s;",
        "(function f() { return f() + 1; })();",
        "eval('(' .repeat(1000000));",
        "shExpMatch('a'.repeat(2e6), '*' + 'a'.repeat(1e6) + 'b'); shExpMatch('a'.repeat(3e7), '*a*a*a*b'); throw 1;",
        "/(a+)+$/.test('a'.repeat(50) + 'b'.repeat(1000000)); throw 1;",
    ] {
        let script = format!("function FindProxyForURL() {{ {greedy} }}");
        match Engine::new(&script, Rc::new(Real::new()))
            .and_then(|e| e.find(&"host:1".parse().expect("a target")))
        {
            Err(PacError::Script(_) | PacError::TooSlow) => {}
            other => panic!("{greedy}: {other:?}"),
        }
    }
}

/// A world whose time passes.
struct Real(std::time::Instant);

impl Real {
    #[expect(clippy::disallowed_methods, reason = "a bound on time is tried with a clock that runs")]
    fn new() -> Self {
        Self(std::time::Instant::now())
    }
}

impl World for Real {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
    fn unix_time(&self) -> i64 {
        0
    }
    fn resolve(&self, _: &str, _: Duration) -> Vec<IpAddr> {
        Vec::new()
    }
    fn own_addresses(&self) -> Vec<IpAddr> {
        Vec::new()
    }
}

#[test]
fn names_have_their_own_time_and_it_ends() {
    let script = "function FindProxyForURL() { isResolvable('slow.example'); return isResolvable('inside.example') ? 'PROXY a:1' : 'DIRECT'; }";
    assert_eq!(answer(script, "host:1").as_deref(), Ok("DIRECT"));
}

#[test]
fn a_megabyte_is_run_and_more_is_refused() {
    let mut script = String::from("function FindProxyForURL(url, host) { return 'PROXY a:1'; }\n");
    while script.len() < 1_000_000 {
        script.push_str("// filler, filler, filler\nvar x = 'filler';\n");
    }
    assert_eq!(answer(&script, "host:1").as_deref(), Ok("PROXY a:1"));
    script.push_str(&" ".repeat(MAX_SCRIPT));
    assert_eq!(answer(&script, "host:1"), Err(PacError::TooLarge));
}
