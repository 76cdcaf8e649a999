//! A proxy that reads the traffic: mitmproxy, with its authority in a private system store or in none.

use crate::check::{check, report};
use crate::support::pki::{Leaf, Pki};
use crate::support::real::Target;
use crate::support::{LIMIT, finish};

#[test]
fn mitmproxy_is_called_out_where_its_authority_is_trusted_and_fails_where_it_is_not() {
    let (mitmproxy, pki) = (Target::mitmproxy(), Pki::new());
    let server = pki.server(Leaf::Good);
    let target = format!("localhost:{}", server.port());

    let mut cmd = check(&mitmproxy.url(), &["--json", &target]);
    cmd.env("SSL_CERT_FILE", mitmproxy.mitmproxys_authority());
    let seen = report(&finish(&mut cmd, b"", LIMIT).exits(0));
    assert_eq!(seen["tls"]["intercepted"], true, "{seen}");
    assert_eq!(seen["tls"]["trusted"]["system"], true, "{seen}");
    assert_eq!(seen["tls"]["trusted"]["mozilla"], false, "{seen}");
    assert_ne!(seen["tls"]["chain"][0]["sha256"], server.fingerprint(), "{seen}");

    let mut cmd = check(&mitmproxy.url(), &[&target]);
    cmd.env("SSL_CERT_FILE", mitmproxy.mitmproxys_authority());
    let text = finish(&mut cmd, b"", LIMIT).exits(0).text();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("beware interception: issuer "), "{text}");
    let sentence =
        "is not known to Mozilla's roots but is trusted here: the proxy probably reads this traffic";
    assert!(words.join(" ").contains(sentence), "{text}");

    // Another authority is the system's: nobody knows mitmproxy's.
    let mut cmd = check(&mitmproxy.url(), &["--json", &target]);
    cmd.env("SSL_CERT_FILE", pki.ca_file());
    let seen = report(&finish(&mut cmd, b"", LIMIT).exits(10));
    assert_eq!(seen["tls"]["intercepted"], false, "{seen}");
    assert!(seen["error"]["message"].as_str().unwrap().contains("mitmproxy"), "{seen}");

    // The other way shows another certificate.
    let mut cmd = check(&mitmproxy.url(), &["--compare", "direct", "--insecure", &target]);
    let text = finish(&mut cmd, b"", LIMIT).exits(0).text();
    assert!(text.contains("the certificates differ"), "{text}");
}
