
use builtin;
use str;

set edit:completion:arg-completer[wimble] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'wimble'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'wimble'= {
            cand --log-format 'How messages are written to stderr'
            cand -v 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand --verbose 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand -q 'Show nothing but errors'
            cand --quiet 'Show nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand connect 'Bridge stdin and stdout to the target (ssh''s ProxyCommand)'
            cand forward 'Listen locally, with a tunnel for each connection (ssh -L)'
            cand check 'Walk to the target stage by stage, TLS included, and report'
            cand serve 'A small CONNECT proxy, for trying things out and for tests'
            cand completions 'Print a completion script'
        }
        &'wimble;connect'= {
            cand --log-format 'How messages are written to stderr'
            cand -x 'The proxy: http://HOST:PORT, HOST:PORT, or direct for none. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy'
            cand --proxy 'The proxy: http://HOST:PORT, HOST:PORT, or direct for none. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy'
            cand --proxy-header 'Add a header to the CONNECT request; repeatable'
            cand --user-agent 'What to call ourselves; empty sends no User-Agent [default: wimble/VERSION]'
            cand -U 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it'
            cand --proxy-user 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it'
            cand --proxy-credentials 'A file whose first line is NAME:PASSWORD, readable by its owner alone; NAME:{NT}HASH takes the 32 hexadecimal digits of an NT hash instead, for NTLM'
            cand --proxy-password-command 'A shell command whose first line of output is the password, such as ''pass show proxy''; it is run when the proxy asks'
            cand --netrc-file 'Take the proxy''s entry in this netrc file, readable by its owner alone'
            cand --proxy-auth 'auto: answer when the proxy asks; basic: send at once; none: never'
            cand --connect-timeout 'Limit for finding and connecting to the proxy (check: also for TLS with the target)'
            cand --proxy-timeout 'Limit for the whole CONNECT exchange, authentication included'
            cand --keepalive 'Probe a silent connection after this time; 0 never'
            cand --half-close-delay 'At the end of input: how long the tunnel must be silent before the end is passed on, as a proxy may then drop the answer; 0 at once, never leaves it to the target'
            cand --idle-timeout 'End a tunnel in which nothing moved for so long [default: off]'
            cand --linger 'Once the target has ended: how long stdin may be silent before it is left'
            cand -v 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand --verbose 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand -q 'Show nothing but errors'
            cand --quiet 'Show nothing but errors'
            cand -4 'Use IPv4 alone to reach the proxy'
            cand --ipv4 'Use IPv4 alone to reach the proxy'
            cand -6 'Use IPv6 alone to reach the proxy'
            cand --ipv6 'Use IPv6 alone to reach the proxy'
            cand --netrc 'Take the proxy''s entry in the file that NETRC names, else ~/.netrc. NETRC alone is read too, when nothing else has a password'
            cand --fdpass 'Hand the connected socket to the parent over stdout and exit (ssh''s ProxyUseFdpass=yes): ssh then speaks to the proxy''s socket itself, and the times of a bridge do not apply'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'wimble;forward'= {
            cand --log-format 'How messages are written to stderr'
            cand -x 'The proxy: http://HOST:PORT, HOST:PORT, or direct for none. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy'
            cand --proxy 'The proxy: http://HOST:PORT, HOST:PORT, or direct for none. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy'
            cand --proxy-header 'Add a header to the CONNECT request; repeatable'
            cand --user-agent 'What to call ourselves; empty sends no User-Agent [default: wimble/VERSION]'
            cand -U 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it'
            cand --proxy-user 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it'
            cand --proxy-credentials 'A file whose first line is NAME:PASSWORD, readable by its owner alone; NAME:{NT}HASH takes the 32 hexadecimal digits of an NT hash instead, for NTLM'
            cand --proxy-password-command 'A shell command whose first line of output is the password, such as ''pass show proxy''; it is run when the proxy asks'
            cand --netrc-file 'Take the proxy''s entry in this netrc file, readable by its owner alone'
            cand --proxy-auth 'auto: answer when the proxy asks; basic: send at once; none: never'
            cand --connect-timeout 'Limit for finding and connecting to the proxy (check: also for TLS with the target)'
            cand --proxy-timeout 'Limit for the whole CONNECT exchange, authentication included'
            cand --keepalive 'Probe a silent connection after this time; 0 never'
            cand --half-close-delay 'At the end of input: how long the tunnel must be silent before the end is passed on, as a proxy may then drop the answer; 0 at once, never leaves it to the target'
            cand --idle-timeout 'End a tunnel in which nothing moved for so long [default: off]'
            cand --max-connections 'Connections at the same time; the others wait [default: what the file limit carries]'
            cand --spare 'Hold N established tunnels ready for each target: a connection then waits for no proxy'
            cand --spare-max-age 'How old a tunnel that is held ready may become: targets limit the time to log in'
            cand --grace 'On SIGTERM or SIGINT: how long open connections may take to end'
            cand -v 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand --verbose 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand -q 'Show nothing but errors'
            cand --quiet 'Show nothing but errors'
            cand -4 'Use IPv4 alone to reach the proxy'
            cand --ipv4 'Use IPv4 alone to reach the proxy'
            cand -6 'Use IPv6 alone to reach the proxy'
            cand --ipv6 'Use IPv6 alone to reach the proxy'
            cand --netrc 'Take the proxy''s entry in the file that NETRC names, else ~/.netrc. NETRC alone is read too, when nothing else has a password'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'wimble;check'= {
            cand --log-format 'How messages are written to stderr'
            cand -x 'The proxy: http://HOST:PORT, HOST:PORT, or direct for none. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy'
            cand --proxy 'The proxy: http://HOST:PORT, HOST:PORT, or direct for none. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy'
            cand --proxy-header 'Add a header to the CONNECT request; repeatable'
            cand --user-agent 'What to call ourselves; empty sends no User-Agent [default: wimble/VERSION]'
            cand -U 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it'
            cand --proxy-user 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it'
            cand --proxy-credentials 'A file whose first line is NAME:PASSWORD, readable by its owner alone; NAME:{NT}HASH takes the 32 hexadecimal digits of an NT hash instead, for NTLM'
            cand --proxy-password-command 'A shell command whose first line of output is the password, such as ''pass show proxy''; it is run when the proxy asks'
            cand --netrc-file 'Take the proxy''s entry in this netrc file, readable by its owner alone'
            cand --proxy-auth 'auto: answer when the proxy asks; basic: send at once; none: never'
            cand --connect-timeout 'Limit for finding and connecting to the proxy (check: also for TLS with the target)'
            cand --proxy-timeout 'Limit for the whole CONNECT exchange, authentication included'
            cand --keepalive 'Probe a silent connection after this time; 0 never'
            cand --color 'When to colour the report'
            cand --sni 'The name to send and to compare with the certificate [default: the target''s host]'
            cand --alpn 'Protocols to offer, separated by commas, such as h2,http/1.1'
            cand --cacert 'Trust the certificates in this PEM file, and no others'
            cand -v 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand --verbose 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand -q 'Show nothing but errors'
            cand --quiet 'Show nothing but errors'
            cand -4 'Use IPv4 alone to reach the proxy'
            cand --ipv4 'Use IPv4 alone to reach the proxy'
            cand -6 'Use IPv6 alone to reach the proxy'
            cand --ipv6 'Use IPv6 alone to reach the proxy'
            cand --netrc 'Take the proxy''s entry in the file that NETRC names, else ~/.netrc. NETRC alone is read too, when nothing else has a password'
            cand --json 'Print one JSON object for each target'
            cand --no-tls 'Do not speak TLS to the target: the tunnel is the last stage'
            cand --insecure 'Do not fail because a certificate is not trusted; what is wrong with it is still told'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'wimble;serve'= {
            cand --log-format 'How messages are written to stderr'
            cand --listen 'Where to listen; port 0 lets the system choose'
            cand --auth-file 'Require Basic credentials: a file of NAME:PASSWORD lines, readable by its owner alone'
            cand --allow 'Permit these targets and no others; * stands for any host, part of a host, or port; repeatable'
            cand --deny 'Forbid these targets, even if allowed; repeatable'
            cand --max-connections 'Connections at the same time; the others wait [default: what the file limit carries]'
            cand -v 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand --verbose 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand -q 'Show nothing but errors'
            cand --quiet 'Show nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'wimble;completions'= {
            cand --log-format 'How messages are written to stderr'
            cand -v 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand --verbose 'Show each step; twice: the header lines exchanged as well, credentials masked'
            cand -q 'Show nothing but errors'
            cand --quiet 'Show nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
    ]
    $completions[$command]
}
