//! The causes of failures, finer than exit codes: a name for scripts (`error.detail` in JSON), and
//! what to try next. One table, one sentence a cause.

/// Makes the table a type: no cause without a name and a hint.
macro_rules! causes {
    ($($(#[$given:meta])* $variant:ident $name:literal $hint:literal)*) => {
        /// A cause that has something to be tried.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Detail {
            $($(#[$given])* $variant,)*
        }

        impl Detail {
            /// Its name in JSON.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $($(#[$given])* Self::$variant => $name,)*
                }
            }

            /// What to try next.
            pub(super) const fn hint(self) -> &'static str {
                match self {
                    $($(#[$given])* Self::$variant => $hint,)*
                }
            }

            #[cfg(test)]
            const ALL: &[Self] = &[$($(#[$given])* Self::$variant,)*];
        }
    };
}

causes! {
    // The script that names the proxies.
    #[cfg(feature = "pac")]
    PacNotRead "pac-not-read"
        "--pac takes a file, or http(s)://HOST/PATH"
    #[cfg(feature = "pac")]
    PacNotFetched "pac-not-fetched"
        "it is fetched without a proxy, and redirects are not followed; --pac FILE takes a copy of it"
    #[cfg(feature = "pac")]
    PacBroken "pac-broken"
        "browsers may pass over such a fault, and go direct; --proxy URL does without the script"
    #[cfg(feature = "pac")]
    PacTooSlow "pac-too-slow"
        "it may wait for names that do not resolve here; --proxy URL does without the script"
    #[cfg(feature = "pac")]
    PacNoWay "pac-no-way"
        "PROXY, HTTP, HTTPS, SOCKS, SOCKS4, SOCKS5 and DIRECT are understood; --proxy URL does without the script"

    // The name and the address.
    NoSuchName "no-such-name"
        "check its spelling; getent hosts NAME asks the same resolver"
    ResolverSilent "resolver-silent"
        "the resolver does not answer"
    ConnectionRefused "connection-refused"
        "nothing listens there: is it running, and is this its port?"
    NoWay "no-way"
        "is there a network that leads to it, or a firewall in between?"
    PacketsDropped "packets-dropped"
        "a firewall may drop what is sent to it"

    // The proxy's answer is none.
    ProxySilent "proxy-silent"
        "the proxy may be waiting for a target that does not answer"
    ClosedUnanswered "closed-unanswered"
        "the port may belong to something else, or to a proxy of another kind: http://, https:// (TLS), socks5://"
    BrokenUnanswered "broken-unanswered"
        "the port may belong to something else than a proxy of this kind"
    CutAnswer "cut-answer"
        "the proxy gave up in the middle of its answer: its log says why"
    TlsPort "tls-port"
        "this port speaks TLS: use https://"
    SshPort "ssh-port"
        "this is an ssh server: the proxy is somewhere else"
    NotHttp "not-http"
        "the port belongs to something else than an HTTP proxy"
    BadHttp "bad-http"
        "the proxy's answer breaks the rules of HTTP or wimble's limits"
    NoHttp2 "http-version"
        "--proxy-http-version 1.1 asks it in the version that every proxy speaks"
    NoRoom "no-room"
        "tunnels share connections over HTTP/2, where the proxy lets none begin: --proxy-http-version 1.1 gives each its own"
    StreamReset "stream-reset"
        "the proxy gave up this request without a word: its log may say why"
    Circles "circles"
        "the proxy goes round in circles"

    // The proxy refuses.
    NoChallenge "no-challenge"
        "--proxy-auth basic sends Basic unasked, if that is what it wants"
    NoCommonScheme "no-common-scheme"
        "if --proxy-auth names another one, auto takes any of these that is offered"
    NoLogin "no-login"
        "there is no name with a password: --proxy-credentials FILE, --netrc, --proxy-user NAME (a terminal asks for the password), or WIMBLE_PROXY_USER and WIMBLE_PROXY_PASSWORD"
    LoginNotFound "login-not-found"
        "no credentials were sent; try by hand what went wrong there"
    LoginRefused "login-refused"
        "check name and password; they are not sent again, as accounts get locked that way"
    AuthForbidden "auth-forbidden"
        "--proxy-auth none, or a Proxy-Authorization header made by hand, leaves no other answer"
    Unusable "unusable-credentials"
        "what was offered could not be answered with what is at hand: -vv shows the challenges"
    AuthInterrupted "auth-interrupted"
        "an old proxy may keep it with --proxy-header 'Proxy-Connection: keep-alive'; or name another scheme with --proxy-auth"
    Impostor "impostor"
        "something may stand between here and the proxy; --proxy-spn names the service"
    CaptivePortal "captive-portal"
        "redirects are never followed; a login page (captive portal) may want a browser first"
    BadRequest "bad-request"
        "if this port speaks TLS, the proxy is https://; or it does not take CONNECT"
    PlainHttpOnTlsPort "plain-http-on-tls-port"
        "the page says that this port wants TLS: use https://"
    WebServer "web-server"
        "this answers like a web server, not a proxy: is it the right port?"
    Forbidden "forbidden"
        "the proxy's rules forbid this host or port; many permit port 443 alone: check --ports shows which"
    NoConnect "no-connect"
        "this may be a web server, or a proxy that does not permit CONNECT"
    TooMany "too-many"
        "the proxy limits how often it is asked: wait"
    Refused "refused"
        "the proxy refuses this target"
    TargetUnreachable "target-unreachable"
        "the proxy could not reach the target: is its name right, is it up, does it listen on this port?"
    TargetUnknown "target-unknown"
        "the proxy's resolver does not know the target's name: is it spelt right, and is it known outside?"
    ProxyFailed "proxy-failed"
        "the proxy failed: its log says why"

    // The tunnel is none, or ends.
    PageAfterSuccess "page-after-success"
        "a web page came back: the proxy's own, behind its 200, or the target's, which then speaks plain HTTP"
    ClosedAfterSuccess "closed-after-success"
        "the proxy may say 200 before it has reached the target, or the target does not speak TLS here"
    ResetAfterSuccess "reset-after-success"
        "a filter in or behind the proxy may cut what it does not want to see, or the target refuses TLS here"
    ResetLater "reset-later"
        "the proxy or a firewall lets the tunnel begin and then resets it: ask its owner what it inspects"

    // TLS with the target.
    TlsSilent "tls-silent"
        "the target may not speak TLS: --no-tls leaves it out"
    NotTls "not-tls"
        "the target does not speak TLS on this port: --no-tls leaves it out, --starttls asks for it in the protocol's words"
    PlainHttp "plain-http"
        "the target speaks plain HTTP on this port: --no-tls --http asks it so"
    TlsVersion "tls-version"
        "the target speaks TLS 1.1 or older alone, which wimble does not"
    NoCommonCipher "no-common-cipher"
        "the target shares no cipher suite, group or signature with us: openssl s_client may show more"
    ClientCertificate "client-certificate"
        "the target lets in who shows a certificate that it knows: the path to it is free"
    NameNotServed "name-not-served"
        "the target does not serve this name: --sni NAME asks for another"
    TlsAlert "tls-alert"
        "the target speaks TLS, but not with us: openssl s_client may show more"
    TlsBroken "tls-broken"
        "what came is TLS that breaks its rules: something on the way may change it"
    StarttlsRefused "starttls-refused"
        "the target does not go over to TLS: its owner has not set it up, or a filter takes it away"
    StarttlsNotOffered "starttls-not-offered"
        "the target offers no TLS here, or a filter on the way hides that it does"
    StarttlsOtherProtocol "starttls-other-protocol"
        "the target speaks something else: --no-tls shows what it says by itself"
    StarttlsInjected "starttls-injected"
        "somebody on the way may have slipped bytes in: do not send a password here"
    StarttlsClosed "starttls-closed"
        "the target or the proxy ended it before TLS could begin: is it the right port?"

    // The certificate.
    CopiedCertificate "copied-certificate"
        "anybody can show a certificate: something on the way pretends to be its owner, do not trust it"
    Expired "expired"
        "the target's certificate must be renewed"
    NotYetValid "not-yet-valid"
        "is this machine's clock right?"
    ExpiresSoon "expires-soon"
        "the certificate must be renewed before --warn-expiry is reached"
    WrongName "wrong-name"
        "--sni NAME asks for another name; or the target is not the right one"
    SelfSigned "self-signed"
        "--cacert FILE trusts it, once you know that it is the right one"
    UnknownIssuer "unknown-issuer"
        "--cacert FILE trusts a private issuer; an unknown one may be a proxy that reads the traffic"
    MissingIssuer "missing-intermediate"
        "the target should send its issuer's certificate along; --cacert FILE can hold it meanwhile"
    WeakKey "weak-key"
        "the target needs a longer key: RSA of 2048 bits, or EC"
    WeakSignature "weak-signature"
        "the target needs a certificate that is signed with SHA-256"
    Untrusted "untrusted"
        "--insecure goes on all the same"

    // TLS with the proxy, and SOCKS.
    ProxyTlsSilent "proxy-tls-silent"
        "the proxy does not go on with TLS: is it http://?"
    ProxyWithoutTls "proxy-without-tls"
        "this port speaks no TLS: is the proxy http://?"
    ProxyUntrusted "proxy-untrusted"
        "--proxy-cacert FILE trusts a private issuer; an unknown one may be somebody in between"
    ProxyWantsCertificate "proxy-wants-certificate"
        "give --proxy-cert FILE and --proxy-key FILE, of a certificate that it accepts"
    ProxyTlsFailed "proxy-tls-failed"
        "it may speak no TLS that is still safe: openssl s_client -connect HOST:PORT shows more"
    SocksRefused "socks-refused"
        "SOCKS does not say more: is the target's name right, is it up, does it listen on this port?"
    SocksMethods "socks-methods"
        "it may want GSSAPI, which wimble does not speak to SOCKS proxies; or it refuses this machine"
    SocksUnspeakable "socks-unspeakable"
        "SOCKS4 has no IPv6, SOCKS5 no names beyond 255 bytes: try socks5://"
    NotSocks "not-socks"
        "the port belongs to something else than a SOCKS proxy of this version"

    // The request.
    HttpSilent "http-silent"
        "the target took the request and says nothing: --connect-timeout gives it longer"
    NoHttp "no-http"
        "the target does not speak HTTP here, or ended before it answered"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_cause_has_a_name_and_a_hint_of_its_own() {
        let names: BTreeSet<_> = Detail::ALL.iter().map(|detail| detail.name()).collect();
        let hints: BTreeSet<_> = Detail::ALL.iter().map(|detail| detail.hint()).collect();
        assert_eq!((names.len(), hints.len()), (Detail::ALL.len(), Detail::ALL.len()));
        for name in names {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{name}"
            );
        }
    }

    #[test]
    fn every_cause_is_seen_in_a_test() {
        let mut tests = String::new();
        for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it")).expect("the tests") {
            tests.push_str(&fs::read_to_string(file.expect("a file").path()).unwrap_or_default());
        }
        let unit = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/no_tunnel.rs"));
        tests.push_str(unit.expect("a file").split("mod tests").nth(1).unwrap_or_default());
        for detail in Detail::ALL {
            assert!(tests.contains(&format!("\"{}\"", detail.name())), "no test sees {detail:?}");
        }
    }
}
