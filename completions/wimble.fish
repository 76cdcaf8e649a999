# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_wimble_global_optspecs
    string join \n v/verbose q/quiet log-format= h/help V/version
end

function __fish_wimble_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_wimble_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_wimble_using_subcommand
    set -l cmd (__fish_wimble_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c wimble -n "__fish_wimble_needs_command" -l log-format -d 'How messages are written to stderr' -r -f -a "text\t'One line each, for people'
json\t'One JSON object each'"
complete -c wimble -n "__fish_wimble_needs_command" -s v -l verbose -d 'Show each step; twice: the header lines exchanged as well, credentials masked'
complete -c wimble -n "__fish_wimble_needs_command" -s q -l quiet -d 'Show nothing but errors'
complete -c wimble -n "__fish_wimble_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wimble -n "__fish_wimble_needs_command" -s V -l version -d 'Print version'
complete -c wimble -n "__fish_wimble_needs_command" -f -a "connect" -d 'Bridge stdin and stdout to the target (ssh\'s ProxyCommand)'
complete -c wimble -n "__fish_wimble_needs_command" -f -a "forward" -d 'Listen locally, with a tunnel for each connection (ssh -L)'
complete -c wimble -n "__fish_wimble_needs_command" -f -a "check" -d 'Walk to the target stage by stage, TLS included, and report'
complete -c wimble -n "__fish_wimble_needs_command" -f -a "serve" -d 'A small CONNECT proxy, for trying things out and for tests'
complete -c wimble -n "__fish_wimble_needs_command" -f -a "config" -d 'Show the settings in force, and where each comes from'
complete -c wimble -n "__fish_wimble_needs_command" -f -a "completions" -d 'Print a completion script'
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l log-format -d 'How messages are written to stderr' -r -f -a "text\t'One line each, for people'
json\t'One JSON object each'"
complete -c wimble -n "__fish_wimble_using_subcommand connect" -s x -l proxy -d 'The proxy: http://, https://, socks5://, socks5h://, socks4:// or socks4a://HOST:PORT; HOST:PORT is http://; direct is none. Repeated: a chain, the nearest first. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy' -r -f
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l proxy-http-version -d 'The HTTP to speak to the proxy; auto: 2 where an https:// proxy chooses it, else 1.1. 2 on http:// is HTTP/2 at once, without asking' -r -f -a "auto\t'What the proxy chooses by ALPN; 1.1 on http://'
1.0\t'HTTP/1.0, for old proxies'
1.1\t'HTTP/1.1'
2\t'HTTP/2: in forward, tunnels share connections'"
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l pac -d 'A proxy auto-config script, in a file or at http(s)://: it says for every target which proxies lead there; one that does not answer is passed over for the next, and asked last for 5 minutes' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand connect" -s F -l config -d 'The configuration file, wimble.toml(5); /dev/null for none. Else WIMBLE_CONFIG says, else it is $XDG_CONFIG_HOME/wimble/config.toml or ~/.config/wimble/config.toml, if there is one' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand connect" -s P -l profile -d 'The profile of that file that counts; else WIMBLE_PROFILE says' -r
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l proxy-header -d 'Add a header to the CONNECT request; repeatable' -r
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l user-agent -d 'What to call ourselves; empty sends no User-Agent [default: wimble/VERSION]' -r
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l proxy-cacert -d 'Trust the certificates in this PEM file for an https:// proxy, and no others' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l proxy-cert -d 'Our own certificate for an https:// proxy: PEM, with those that vouch for it behind it' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l proxy-key -d 'The key of --proxy-cert: PEM, readable by its owner alone [default: in the same file]' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand connect" -s U -l proxy-user -d 'The name for the proxy, DOMAIN\\NAME and NAME@REALM too; else WIMBLE_PROXY_USER says. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it here; in the variable they can\'t' -r
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l proxy-credentials -d 'A file whose first line is NAME:PASSWORD, readable by its owner alone; NAME:{NT}HASH takes the 32 hexadecimal digits of an NT hash instead, for NTLM' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l proxy-password-command -d 'A shell command whose first line of output is the password, such as \'pass show proxy\'; it is run when the proxy asks' -r -f -a "(__fish_complete_command)"
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l netrc-file -d 'Take the proxy\'s entry in this netrc file, readable by its owner alone' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l proxy-auth -d 'auto: when the proxy asks, the strongest scheme that it offers; a scheme: that one alone, basic and negotiate at once; none: never' -r -f -a "auto\t'The strongest that the proxy offers, when it asks'
basic\t'Basic, with the first request'
digest\t'Digest alone'
ntlm\t'NTLM alone'
negotiate\t'Kerberos, with the first request'
none\t'Never any'"
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l proxy-spn -d 'The proxy\'s Kerberos service, HTTP@NAME or HTTP/NAME@REALM [default: HTTP@ the proxy\'s host]' -r
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l connect-timeout -d 'Limit for finding and connecting to the proxy, TLS with it included (check: also for TLS with the target)' -r
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l proxy-timeout -d 'Limit for the whole CONNECT exchange, authentication included; the time that you take at a prompt does not count' -r
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l keepalive -d 'Probe a silent connection after this time; 0 never' -r
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l half-close-delay -d 'At the end of input: how long the tunnel must be silent before the end is passed on, as a proxy may then drop the answer; 0 at once, never leaves it to the target' -r
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l idle-timeout -d 'End a tunnel in which nothing moved for so long [default: off]' -r
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l linger -d 'Once the target has ended: how long stdin may be silent before it is left' -r
complete -c wimble -n "__fish_wimble_using_subcommand connect" -s v -l verbose -d 'Show each step; twice: the header lines exchanged as well, credentials masked'
complete -c wimble -n "__fish_wimble_using_subcommand connect" -s q -l quiet -d 'Show nothing but errors'
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l proxy-insecure -d 'Accept any certificate of an https:// proxy: somebody in between can read and change everything'
complete -c wimble -n "__fish_wimble_using_subcommand connect" -s 4 -l ipv4 -d 'Use IPv4 alone to reach the proxy'
complete -c wimble -n "__fish_wimble_using_subcommand connect" -s 6 -l ipv6 -d 'Use IPv6 alone to reach the proxy'
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l netrc -d 'Take the proxy\'s entry in the file that NETRC names, else ~/.netrc. NETRC alone is read too, when nothing else has a password'
complete -c wimble -n "__fish_wimble_using_subcommand connect" -l fdpass -d 'Hand the connected socket to the parent over stdout and exit (ssh\'s ProxyUseFdpass=yes): ssh then speaks to the proxy\'s socket itself, and the times of a bridge do not apply'
complete -c wimble -n "__fish_wimble_using_subcommand connect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l log-format -d 'How messages are written to stderr' -r -f -a "text\t'One line each, for people'
json\t'One JSON object each'"
complete -c wimble -n "__fish_wimble_using_subcommand forward" -s x -l proxy -d 'The proxy: http://, https://, socks5://, socks5h://, socks4:// or socks4a://HOST:PORT; HOST:PORT is http://; direct is none. Repeated: a chain, the nearest first. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy' -r -f
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l proxy-http-version -d 'The HTTP to speak to the proxy; auto: 2 where an https:// proxy chooses it, else 1.1. 2 on http:// is HTTP/2 at once, without asking' -r -f -a "auto\t'What the proxy chooses by ALPN; 1.1 on http://'
1.0\t'HTTP/1.0, for old proxies'
1.1\t'HTTP/1.1'
2\t'HTTP/2: in forward, tunnels share connections'"
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l pac -d 'A proxy auto-config script, in a file or at http(s)://: it says for every target which proxies lead there; one that does not answer is passed over for the next, and asked last for 5 minutes' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand forward" -s F -l config -d 'The configuration file, wimble.toml(5); /dev/null for none. Else WIMBLE_CONFIG says, else it is $XDG_CONFIG_HOME/wimble/config.toml or ~/.config/wimble/config.toml, if there is one' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand forward" -s P -l profile -d 'The profile of that file that counts; else WIMBLE_PROFILE says' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l proxy-header -d 'Add a header to the CONNECT request; repeatable' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l user-agent -d 'What to call ourselves; empty sends no User-Agent [default: wimble/VERSION]' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l proxy-cacert -d 'Trust the certificates in this PEM file for an https:// proxy, and no others' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l proxy-cert -d 'Our own certificate for an https:// proxy: PEM, with those that vouch for it behind it' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l proxy-key -d 'The key of --proxy-cert: PEM, readable by its owner alone [default: in the same file]' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand forward" -s U -l proxy-user -d 'The name for the proxy, DOMAIN\\NAME and NAME@REALM too; else WIMBLE_PROXY_USER says. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it here; in the variable they can\'t' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l proxy-credentials -d 'A file whose first line is NAME:PASSWORD, readable by its owner alone; NAME:{NT}HASH takes the 32 hexadecimal digits of an NT hash instead, for NTLM' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l proxy-password-command -d 'A shell command whose first line of output is the password, such as \'pass show proxy\'; it is run when the proxy asks' -r -f -a "(__fish_complete_command)"
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l netrc-file -d 'Take the proxy\'s entry in this netrc file, readable by its owner alone' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l proxy-auth -d 'auto: when the proxy asks, the strongest scheme that it offers; a scheme: that one alone, basic and negotiate at once; none: never' -r -f -a "auto\t'The strongest that the proxy offers, when it asks'
basic\t'Basic, with the first request'
digest\t'Digest alone'
ntlm\t'NTLM alone'
negotiate\t'Kerberos, with the first request'
none\t'Never any'"
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l proxy-spn -d 'The proxy\'s Kerberos service, HTTP@NAME or HTTP/NAME@REALM [default: HTTP@ the proxy\'s host]' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l connect-timeout -d 'Limit for finding and connecting to the proxy, TLS with it included (check: also for TLS with the target)' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l proxy-timeout -d 'Limit for the whole CONNECT exchange, authentication included; the time that you take at a prompt does not count' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l keepalive -d 'Probe a silent connection after this time; 0 never' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l half-close-delay -d 'At the end of input: how long the tunnel must be silent before the end is passed on, as a proxy may then drop the answer; 0 at once, never leaves it to the target' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l idle-timeout -d 'End a tunnel in which nothing moved for so long [default: off]' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l max-connections -d 'Connections at the same time; the others wait [default: what the file limit carries]' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l spare -d 'Hold N established tunnels ready for each target: a connection then waits for no proxy' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l spare-max-age -d 'How old a tunnel that is held ready may become: targets limit the time to log in' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l grace -d 'On SIGTERM or SIGINT: how long open connections may take to end; a second signal ends them at once' -r
complete -c wimble -n "__fish_wimble_using_subcommand forward" -s v -l verbose -d 'Show each step; twice: the header lines exchanged as well, credentials masked'
complete -c wimble -n "__fish_wimble_using_subcommand forward" -s q -l quiet -d 'Show nothing but errors'
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l all -d 'All forwards that the configuration file names'
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l proxy-insecure -d 'Accept any certificate of an https:// proxy: somebody in between can read and change everything'
complete -c wimble -n "__fish_wimble_using_subcommand forward" -s 4 -l ipv4 -d 'Use IPv4 alone to reach the proxy'
complete -c wimble -n "__fish_wimble_using_subcommand forward" -s 6 -l ipv6 -d 'Use IPv6 alone to reach the proxy'
complete -c wimble -n "__fish_wimble_using_subcommand forward" -l netrc -d 'Take the proxy\'s entry in the file that NETRC names, else ~/.netrc. NETRC alone is read too, when nothing else has a password'
complete -c wimble -n "__fish_wimble_using_subcommand forward" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wimble -n "__fish_wimble_using_subcommand check" -l log-format -d 'How messages are written to stderr' -r -f -a "text\t'One line each, for people'
json\t'One JSON object each'"
complete -c wimble -n "__fish_wimble_using_subcommand check" -s x -l proxy -d 'The proxy: http://, https://, socks5://, socks5h://, socks4:// or socks4a://HOST:PORT; HOST:PORT is http://; direct is none. Repeated: a chain, the nearest first. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy' -r -f
complete -c wimble -n "__fish_wimble_using_subcommand check" -l proxy-http-version -d 'The HTTP to speak to the proxy; auto: 2 where an https:// proxy chooses it, else 1.1. 2 on http:// is HTTP/2 at once, without asking' -r -f -a "auto\t'What the proxy chooses by ALPN; 1.1 on http://'
1.0\t'HTTP/1.0, for old proxies'
1.1\t'HTTP/1.1'
2\t'HTTP/2: in forward, tunnels share connections'"
complete -c wimble -n "__fish_wimble_using_subcommand check" -l pac -d 'A proxy auto-config script, in a file or at http(s)://: it says for every target which proxies lead there; one that does not answer is passed over for the next, and asked last for 5 minutes' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand check" -s F -l config -d 'The configuration file, wimble.toml(5); /dev/null for none. Else WIMBLE_CONFIG says, else it is $XDG_CONFIG_HOME/wimble/config.toml or ~/.config/wimble/config.toml, if there is one' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand check" -s P -l profile -d 'The profile of that file that counts; else WIMBLE_PROFILE says' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l proxy-header -d 'Add a header to the CONNECT request; repeatable' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l user-agent -d 'What to call ourselves; empty sends no User-Agent [default: wimble/VERSION]' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l proxy-cacert -d 'Trust the certificates in this PEM file for an https:// proxy, and no others' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand check" -l proxy-cert -d 'Our own certificate for an https:// proxy: PEM, with those that vouch for it behind it' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand check" -l proxy-key -d 'The key of --proxy-cert: PEM, readable by its owner alone [default: in the same file]' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand check" -s U -l proxy-user -d 'The name for the proxy, DOMAIN\\NAME and NAME@REALM too; else WIMBLE_PROXY_USER says. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it here; in the variable they can\'t' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l proxy-credentials -d 'A file whose first line is NAME:PASSWORD, readable by its owner alone; NAME:{NT}HASH takes the 32 hexadecimal digits of an NT hash instead, for NTLM' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand check" -l proxy-password-command -d 'A shell command whose first line of output is the password, such as \'pass show proxy\'; it is run when the proxy asks' -r -f -a "(__fish_complete_command)"
complete -c wimble -n "__fish_wimble_using_subcommand check" -l netrc-file -d 'Take the proxy\'s entry in this netrc file, readable by its owner alone' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand check" -l proxy-auth -d 'auto: when the proxy asks, the strongest scheme that it offers; a scheme: that one alone, basic and negotiate at once; none: never' -r -f -a "auto\t'The strongest that the proxy offers, when it asks'
basic\t'Basic, with the first request'
digest\t'Digest alone'
ntlm\t'NTLM alone'
negotiate\t'Kerberos, with the first request'
none\t'Never any'"
complete -c wimble -n "__fish_wimble_using_subcommand check" -l proxy-spn -d 'The proxy\'s Kerberos service, HTTP@NAME or HTTP/NAME@REALM [default: HTTP@ the proxy\'s host]' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l connect-timeout -d 'Limit for finding and connecting to the proxy, TLS with it included (check: also for TLS with the target)' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l proxy-timeout -d 'Limit for the whole CONNECT exchange, authentication included; the time that you take at a prompt does not count' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l keepalive -d 'Probe a silent connection after this time; 0 never' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l ports -d 'Ask the proxy for each of these ports of the one host, such as 22,80,8000-8100; the tunnels are not used' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l count -d 'Check so often, and show how the times are spread: min, median (of an even number the mean of the two in the middle), p95 (the shortest that 95 of 100 do not exceed) and max; Ctrl-C shows what there is (exit 130 where a target has not been checked once)' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l interval -d 'From the start of a check to that of the next' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l compare -d 'Check through this proxy as well (direct: through none), and show both side by side' -r -f
complete -c wimble -n "__fish_wimble_using_subcommand check" -l html -d 'Write the report as a page too, to be sent to the people who run the proxy' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand check" -l http -d 'Send an HTTP request for this path, and show the head of the answer [default path: /]' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l starttls -d 'Go over to TLS in the words of this protocol; http is RFC 2817' -r -f -a "smtp\t''
imap\t''
pop3\t''
ftp\t''
ldap\t''
postgres\t''
mysql\t''
xmpp\t''
http\t''"
complete -c wimble -n "__fish_wimble_using_subcommand check" -l color -d 'When to colour the report' -r -f -a "auto\t''
always\t''
never\t''"
complete -c wimble -n "__fish_wimble_using_subcommand check" -l sni -d 'The name to send and to compare with the certificate [default: the target\'s host]' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l alpn -d 'Protocols to offer, separated by commas [default: none; with --http: h2,http/1.1]' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l cacert -d 'Trust the certificates in this PEM file, and no others' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand check" -l warn-expiry -d 'Fail if a certificate of the target or of an https:// proxy ends within this time, such as 30d' -r
complete -c wimble -n "__fish_wimble_using_subcommand check" -l save-chain -d 'Write the certificates as the target sent them, as PEM; where there are several targets or ways, those of each behind a line that says whose they are. If none came, the file is left alone' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand check" -s v -l verbose -d 'Show each step; twice: the header lines exchanged as well, credentials masked'
complete -c wimble -n "__fish_wimble_using_subcommand check" -s q -l quiet -d 'Show nothing but errors'
complete -c wimble -n "__fish_wimble_using_subcommand check" -l proxy-insecure -d 'Accept any certificate of an https:// proxy: somebody in between can read and change everything'
complete -c wimble -n "__fish_wimble_using_subcommand check" -s 4 -l ipv4 -d 'Use IPv4 alone to reach the proxy'
complete -c wimble -n "__fish_wimble_using_subcommand check" -s 6 -l ipv6 -d 'Use IPv6 alone to reach the proxy'
complete -c wimble -n "__fish_wimble_using_subcommand check" -l netrc -d 'Take the proxy\'s entry in the file that NETRC names, else ~/.netrc. NETRC alone is read too, when nothing else has a password'
complete -c wimble -n "__fish_wimble_using_subcommand check" -l json -d 'Print one JSON object for each target'
complete -c wimble -n "__fish_wimble_using_subcommand check" -l explain -d 'Show how the proxy was chosen: each option and variable that was looked at'
complete -c wimble -n "__fish_wimble_using_subcommand check" -l http-get -d 'Ask with GET instead of HEAD'
complete -c wimble -n "__fish_wimble_using_subcommand check" -l no-tls -d 'Do not speak TLS to the target; what it says by itself within a second is shown'
complete -c wimble -n "__fish_wimble_using_subcommand check" -l insecure -d 'Do not fail because a certificate is not trusted; what is wrong with it is still told'
complete -c wimble -n "__fish_wimble_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wimble -n "__fish_wimble_using_subcommand serve" -l log-format -d 'How messages are written to stderr' -r -f -a "text\t'One line each, for people'
json\t'One JSON object each'"
complete -c wimble -n "__fish_wimble_using_subcommand serve" -l listen -d 'Where to listen; port 0 lets the system choose' -r
complete -c wimble -n "__fish_wimble_using_subcommand serve" -l tls-cert -d 'Speak TLS with clients, as an https:// proxy: our certificate, with those that vouch for it behind it, PEM' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand serve" -l tls-key -d 'The key of --tls-cert: PEM, readable by its owner alone' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand serve" -l auth-file -d 'Require credentials, by Digest or Basic: a file of NAME:PASSWORD lines, readable by its owner alone' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand serve" -l allow -d 'Permit these targets and no others, as clients name them; * stands for any host, part of a host, or port; repeatable' -r
complete -c wimble -n "__fish_wimble_using_subcommand serve" -l deny -d 'Forbid these targets, even if allowed; an address is forbidden under every name that leads to it; repeatable' -r
complete -c wimble -n "__fish_wimble_using_subcommand serve" -l max-connections -d 'Connections at the same time, and each tunnel of an HTTP/2 connection is one; the others wait [default: what the file limit carries]' -r
complete -c wimble -n "__fish_wimble_using_subcommand serve" -s v -l verbose -d 'Show each step; twice: the header lines exchanged as well, credentials masked'
complete -c wimble -n "__fish_wimble_using_subcommand serve" -s q -l quiet -d 'Show nothing but errors'
complete -c wimble -n "__fish_wimble_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wimble -n "__fish_wimble_using_subcommand config" -l log-format -d 'How messages are written to stderr' -r -f -a "text\t'One line each, for people'
json\t'One JSON object each'"
complete -c wimble -n "__fish_wimble_using_subcommand config" -s x -l proxy -d 'The proxy: http://, https://, socks5://, socks5h://, socks4:// or socks4a://HOST:PORT; HOST:PORT is http://; direct is none. Repeated: a chain, the nearest first. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy' -r -f
complete -c wimble -n "__fish_wimble_using_subcommand config" -l proxy-http-version -d 'The HTTP to speak to the proxy; auto: 2 where an https:// proxy chooses it, else 1.1. 2 on http:// is HTTP/2 at once, without asking' -r -f -a "auto\t'What the proxy chooses by ALPN; 1.1 on http://'
1.0\t'HTTP/1.0, for old proxies'
1.1\t'HTTP/1.1'
2\t'HTTP/2: in forward, tunnels share connections'"
complete -c wimble -n "__fish_wimble_using_subcommand config" -l pac -d 'A proxy auto-config script, in a file or at http(s)://: it says for every target which proxies lead there; one that does not answer is passed over for the next, and asked last for 5 minutes' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand config" -s F -l config -d 'The configuration file, wimble.toml(5); /dev/null for none. Else WIMBLE_CONFIG says, else it is $XDG_CONFIG_HOME/wimble/config.toml or ~/.config/wimble/config.toml, if there is one' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand config" -s P -l profile -d 'The profile of that file that counts; else WIMBLE_PROFILE says' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l proxy-header -d 'Add a header to the CONNECT request; repeatable' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l user-agent -d 'What to call ourselves; empty sends no User-Agent [default: wimble/VERSION]' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l proxy-cacert -d 'Trust the certificates in this PEM file for an https:// proxy, and no others' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand config" -l proxy-cert -d 'Our own certificate for an https:// proxy: PEM, with those that vouch for it behind it' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand config" -l proxy-key -d 'The key of --proxy-cert: PEM, readable by its owner alone [default: in the same file]' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand config" -s U -l proxy-user -d 'The name for the proxy, DOMAIN\\NAME and NAME@REALM too; else WIMBLE_PROXY_USER says. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it here; in the variable they can\'t' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l proxy-credentials -d 'A file whose first line is NAME:PASSWORD, readable by its owner alone; NAME:{NT}HASH takes the 32 hexadecimal digits of an NT hash instead, for NTLM' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand config" -l proxy-password-command -d 'A shell command whose first line of output is the password, such as \'pass show proxy\'; it is run when the proxy asks' -r -f -a "(__fish_complete_command)"
complete -c wimble -n "__fish_wimble_using_subcommand config" -l netrc-file -d 'Take the proxy\'s entry in this netrc file, readable by its owner alone' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand config" -l proxy-auth -d 'auto: when the proxy asks, the strongest scheme that it offers; a scheme: that one alone, basic and negotiate at once; none: never' -r -f -a "auto\t'The strongest that the proxy offers, when it asks'
basic\t'Basic, with the first request'
digest\t'Digest alone'
ntlm\t'NTLM alone'
negotiate\t'Kerberos, with the first request'
none\t'Never any'"
complete -c wimble -n "__fish_wimble_using_subcommand config" -l proxy-spn -d 'The proxy\'s Kerberos service, HTTP@NAME or HTTP/NAME@REALM [default: HTTP@ the proxy\'s host]' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l connect-timeout -d 'Limit for finding and connecting to the proxy, TLS with it included (check: also for TLS with the target)' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l proxy-timeout -d 'Limit for the whole CONNECT exchange, authentication included; the time that you take at a prompt does not count' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l keepalive -d 'Probe a silent connection after this time; 0 never' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l half-close-delay -d 'At the end of input: how long the tunnel must be silent before the end is passed on, as a proxy may then drop the answer; 0 at once, never leaves it to the target' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l idle-timeout -d 'End a tunnel in which nothing moved for so long [default: off]' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l linger -d 'Once the target has ended: how long stdin may be silent before it is left' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l max-connections -d 'Connections at the same time; the others wait [default: what the file limit carries]' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l spare -d 'Hold N established tunnels ready for each target: a connection then waits for no proxy' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l spare-max-age -d 'How old a tunnel that is held ready may become: targets limit the time to log in' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l grace -d 'On SIGTERM or SIGINT: how long open connections may take to end; a second signal ends them at once' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -l color -d 'When to colour the report' -r -f -a "auto\t''
always\t''
never\t''"
complete -c wimble -n "__fish_wimble_using_subcommand config" -l cacert -d 'Trust the certificates in this PEM file, and no others' -r -F
complete -c wimble -n "__fish_wimble_using_subcommand config" -l warn-expiry -d 'Fail if a certificate of the target or of an https:// proxy ends within this time, such as 30d' -r
complete -c wimble -n "__fish_wimble_using_subcommand config" -s v -l verbose -d 'Show each step; twice: the header lines exchanged as well, credentials masked'
complete -c wimble -n "__fish_wimble_using_subcommand config" -s q -l quiet -d 'Show nothing but errors'
complete -c wimble -n "__fish_wimble_using_subcommand config" -l proxy-insecure -d 'Accept any certificate of an https:// proxy: somebody in between can read and change everything'
complete -c wimble -n "__fish_wimble_using_subcommand config" -s 4 -l ipv4 -d 'Use IPv4 alone to reach the proxy'
complete -c wimble -n "__fish_wimble_using_subcommand config" -s 6 -l ipv6 -d 'Use IPv6 alone to reach the proxy'
complete -c wimble -n "__fish_wimble_using_subcommand config" -l netrc -d 'Take the proxy\'s entry in the file that NETRC names, else ~/.netrc. NETRC alone is read too, when nothing else has a password'
complete -c wimble -n "__fish_wimble_using_subcommand config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wimble -n "__fish_wimble_using_subcommand completions" -l log-format -d 'How messages are written to stderr' -r -f -a "text\t'One line each, for people'
json\t'One JSON object each'"
complete -c wimble -n "__fish_wimble_using_subcommand completions" -s v -l verbose -d 'Show each step; twice: the header lines exchanged as well, credentials masked'
complete -c wimble -n "__fish_wimble_using_subcommand completions" -s q -l quiet -d 'Show nothing but errors'
complete -c wimble -n "__fish_wimble_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
