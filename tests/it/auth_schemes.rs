//! Digest, NTLM and Negotiate against proxies with a script: what a real one does not do on demand.
