
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'wimble' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'wimble'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'wimble' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('connect', 'connect', [CompletionResultType]::ParameterValue, 'Bridge stdin and stdout to the target (ssh''s ProxyCommand)')
            [CompletionResult]::new('forward', 'forward', [CompletionResultType]::ParameterValue, 'Listen locally, with a tunnel for each connection (ssh -L)')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Walk to the target stage by stage, TLS included, and report')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'A small CONNECT proxy, for trying things out and for tests')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script')
            break
        }
        'wimble;connect' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to stderr')
            [CompletionResult]::new('-x', '-x', [CompletionResultType]::ParameterName, 'The proxy: http://, https://, socks5:// or socks4://HOST:PORT; HOST:PORT is http://; direct is none. Repeated: a chain, the nearest first. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'The proxy: http://, https://, socks5:// or socks4://HOST:PORT; HOST:PORT is http://; direct is none. Repeated: a chain, the nearest first. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy')
            [CompletionResult]::new('--pac', '--pac', [CompletionResultType]::ParameterName, 'A proxy auto-config script, in a file or at http(s)://: it says for every target which proxies lead there; one that does not answer is passed over for the next, and asked last for 5 minutes')
            [CompletionResult]::new('--proxy-header', '--proxy-header', [CompletionResultType]::ParameterName, 'Add a header to the CONNECT request; repeatable')
            [CompletionResult]::new('--user-agent', '--user-agent', [CompletionResultType]::ParameterName, 'What to call ourselves; empty sends no User-Agent [default: wimble/VERSION]')
            [CompletionResult]::new('--proxy-cacert', '--proxy-cacert', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file for an https:// proxy, and no others')
            [CompletionResult]::new('--proxy-cert', '--proxy-cert', [CompletionResultType]::ParameterName, 'Our own certificate for an https:// proxy: PEM, with those that vouch for it behind it')
            [CompletionResult]::new('--proxy-key', '--proxy-key', [CompletionResultType]::ParameterName, 'The key of --proxy-cert: PEM, readable by its owner alone [default: in the same file]')
            [CompletionResult]::new('-U', '-U ', [CompletionResultType]::ParameterName, 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it')
            [CompletionResult]::new('--proxy-user', '--proxy-user', [CompletionResultType]::ParameterName, 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it')
            [CompletionResult]::new('--proxy-credentials', '--proxy-credentials', [CompletionResultType]::ParameterName, 'A file whose first line is NAME:PASSWORD, readable by its owner alone; NAME:{NT}HASH takes the 32 hexadecimal digits of an NT hash instead, for NTLM')
            [CompletionResult]::new('--proxy-password-command', '--proxy-password-command', [CompletionResultType]::ParameterName, 'A shell command whose first line of output is the password, such as ''pass show proxy''; it is run when the proxy asks')
            [CompletionResult]::new('--netrc-file', '--netrc-file', [CompletionResultType]::ParameterName, 'Take the proxy''s entry in this netrc file, readable by its owner alone')
            [CompletionResult]::new('--proxy-auth', '--proxy-auth', [CompletionResultType]::ParameterName, 'auto: when the proxy asks, the strongest scheme that it offers; a scheme: that one alone, basic and negotiate at once; none: never')
            [CompletionResult]::new('--proxy-spn', '--proxy-spn', [CompletionResultType]::ParameterName, 'The proxy''s Kerberos service, HTTP@NAME or HTTP/NAME@REALM [default: HTTP@ the proxy''s host]')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'Limit for finding and connecting to the proxy, TLS with it included (check: also for TLS with the target)')
            [CompletionResult]::new('--proxy-timeout', '--proxy-timeout', [CompletionResultType]::ParameterName, 'Limit for the whole CONNECT exchange, authentication included')
            [CompletionResult]::new('--keepalive', '--keepalive', [CompletionResultType]::ParameterName, 'Probe a silent connection after this time; 0 never')
            [CompletionResult]::new('--half-close-delay', '--half-close-delay', [CompletionResultType]::ParameterName, 'At the end of input: how long the tunnel must be silent before the end is passed on, as a proxy may then drop the answer; 0 at once, never leaves it to the target')
            [CompletionResult]::new('--idle-timeout', '--idle-timeout', [CompletionResultType]::ParameterName, 'End a tunnel in which nothing moved for so long [default: off]')
            [CompletionResult]::new('--linger', '--linger', [CompletionResultType]::ParameterName, 'Once the target has ended: how long stdin may be silent before it is left')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--proxy-insecure', '--proxy-insecure', [CompletionResultType]::ParameterName, 'Accept any certificate of an https:// proxy: somebody in between can read and change everything')
            [CompletionResult]::new('-4', '-4', [CompletionResultType]::ParameterName, 'Use IPv4 alone to reach the proxy')
            [CompletionResult]::new('--ipv4', '--ipv4', [CompletionResultType]::ParameterName, 'Use IPv4 alone to reach the proxy')
            [CompletionResult]::new('-6', '-6', [CompletionResultType]::ParameterName, 'Use IPv6 alone to reach the proxy')
            [CompletionResult]::new('--ipv6', '--ipv6', [CompletionResultType]::ParameterName, 'Use IPv6 alone to reach the proxy')
            [CompletionResult]::new('--netrc', '--netrc', [CompletionResultType]::ParameterName, 'Take the proxy''s entry in the file that NETRC names, else ~/.netrc. NETRC alone is read too, when nothing else has a password')
            [CompletionResult]::new('--fdpass', '--fdpass', [CompletionResultType]::ParameterName, 'Hand the connected socket to the parent over stdout and exit (ssh''s ProxyUseFdpass=yes): ssh then speaks to the proxy''s socket itself, and the times of a bridge do not apply')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'wimble;forward' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to stderr')
            [CompletionResult]::new('-x', '-x', [CompletionResultType]::ParameterName, 'The proxy: http://, https://, socks5:// or socks4://HOST:PORT; HOST:PORT is http://; direct is none. Repeated: a chain, the nearest first. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'The proxy: http://, https://, socks5:// or socks4://HOST:PORT; HOST:PORT is http://; direct is none. Repeated: a chain, the nearest first. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy')
            [CompletionResult]::new('--pac', '--pac', [CompletionResultType]::ParameterName, 'A proxy auto-config script, in a file or at http(s)://: it says for every target which proxies lead there; one that does not answer is passed over for the next, and asked last for 5 minutes')
            [CompletionResult]::new('--proxy-header', '--proxy-header', [CompletionResultType]::ParameterName, 'Add a header to the CONNECT request; repeatable')
            [CompletionResult]::new('--user-agent', '--user-agent', [CompletionResultType]::ParameterName, 'What to call ourselves; empty sends no User-Agent [default: wimble/VERSION]')
            [CompletionResult]::new('--proxy-cacert', '--proxy-cacert', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file for an https:// proxy, and no others')
            [CompletionResult]::new('--proxy-cert', '--proxy-cert', [CompletionResultType]::ParameterName, 'Our own certificate for an https:// proxy: PEM, with those that vouch for it behind it')
            [CompletionResult]::new('--proxy-key', '--proxy-key', [CompletionResultType]::ParameterName, 'The key of --proxy-cert: PEM, readable by its owner alone [default: in the same file]')
            [CompletionResult]::new('-U', '-U ', [CompletionResultType]::ParameterName, 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it')
            [CompletionResult]::new('--proxy-user', '--proxy-user', [CompletionResultType]::ParameterName, 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it')
            [CompletionResult]::new('--proxy-credentials', '--proxy-credentials', [CompletionResultType]::ParameterName, 'A file whose first line is NAME:PASSWORD, readable by its owner alone; NAME:{NT}HASH takes the 32 hexadecimal digits of an NT hash instead, for NTLM')
            [CompletionResult]::new('--proxy-password-command', '--proxy-password-command', [CompletionResultType]::ParameterName, 'A shell command whose first line of output is the password, such as ''pass show proxy''; it is run when the proxy asks')
            [CompletionResult]::new('--netrc-file', '--netrc-file', [CompletionResultType]::ParameterName, 'Take the proxy''s entry in this netrc file, readable by its owner alone')
            [CompletionResult]::new('--proxy-auth', '--proxy-auth', [CompletionResultType]::ParameterName, 'auto: when the proxy asks, the strongest scheme that it offers; a scheme: that one alone, basic and negotiate at once; none: never')
            [CompletionResult]::new('--proxy-spn', '--proxy-spn', [CompletionResultType]::ParameterName, 'The proxy''s Kerberos service, HTTP@NAME or HTTP/NAME@REALM [default: HTTP@ the proxy''s host]')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'Limit for finding and connecting to the proxy, TLS with it included (check: also for TLS with the target)')
            [CompletionResult]::new('--proxy-timeout', '--proxy-timeout', [CompletionResultType]::ParameterName, 'Limit for the whole CONNECT exchange, authentication included')
            [CompletionResult]::new('--keepalive', '--keepalive', [CompletionResultType]::ParameterName, 'Probe a silent connection after this time; 0 never')
            [CompletionResult]::new('--half-close-delay', '--half-close-delay', [CompletionResultType]::ParameterName, 'At the end of input: how long the tunnel must be silent before the end is passed on, as a proxy may then drop the answer; 0 at once, never leaves it to the target')
            [CompletionResult]::new('--idle-timeout', '--idle-timeout', [CompletionResultType]::ParameterName, 'End a tunnel in which nothing moved for so long [default: off]')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at the same time; the others wait [default: what the file limit carries]')
            [CompletionResult]::new('--spare', '--spare', [CompletionResultType]::ParameterName, 'Hold N established tunnels ready for each target: a connection then waits for no proxy')
            [CompletionResult]::new('--spare-max-age', '--spare-max-age', [CompletionResultType]::ParameterName, 'How old a tunnel that is held ready may become: targets limit the time to log in')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'On SIGTERM or SIGINT: how long open connections may take to end')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--proxy-insecure', '--proxy-insecure', [CompletionResultType]::ParameterName, 'Accept any certificate of an https:// proxy: somebody in between can read and change everything')
            [CompletionResult]::new('-4', '-4', [CompletionResultType]::ParameterName, 'Use IPv4 alone to reach the proxy')
            [CompletionResult]::new('--ipv4', '--ipv4', [CompletionResultType]::ParameterName, 'Use IPv4 alone to reach the proxy')
            [CompletionResult]::new('-6', '-6', [CompletionResultType]::ParameterName, 'Use IPv6 alone to reach the proxy')
            [CompletionResult]::new('--ipv6', '--ipv6', [CompletionResultType]::ParameterName, 'Use IPv6 alone to reach the proxy')
            [CompletionResult]::new('--netrc', '--netrc', [CompletionResultType]::ParameterName, 'Take the proxy''s entry in the file that NETRC names, else ~/.netrc. NETRC alone is read too, when nothing else has a password')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'wimble;check' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to stderr')
            [CompletionResult]::new('-x', '-x', [CompletionResultType]::ParameterName, 'The proxy: http://, https://, socks5:// or socks4://HOST:PORT; HOST:PORT is http://; direct is none. Repeated: a chain, the nearest first. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'The proxy: http://, https://, socks5:// or socks4://HOST:PORT; HOST:PORT is http://; direct is none. Repeated: a chain, the nearest first. Else WIMBLE_PROXY, https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY says, except for targets in no_proxy')
            [CompletionResult]::new('--pac', '--pac', [CompletionResultType]::ParameterName, 'A proxy auto-config script, in a file or at http(s)://: it says for every target which proxies lead there; one that does not answer is passed over for the next, and asked last for 5 minutes')
            [CompletionResult]::new('--proxy-header', '--proxy-header', [CompletionResultType]::ParameterName, 'Add a header to the CONNECT request; repeatable')
            [CompletionResult]::new('--user-agent', '--user-agent', [CompletionResultType]::ParameterName, 'What to call ourselves; empty sends no User-Agent [default: wimble/VERSION]')
            [CompletionResult]::new('--proxy-cacert', '--proxy-cacert', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file for an https:// proxy, and no others')
            [CompletionResult]::new('--proxy-cert', '--proxy-cert', [CompletionResultType]::ParameterName, 'Our own certificate for an https:// proxy: PEM, with those that vouch for it behind it')
            [CompletionResult]::new('--proxy-key', '--proxy-key', [CompletionResultType]::ParameterName, 'The key of --proxy-cert: PEM, readable by its owner alone [default: in the same file]')
            [CompletionResult]::new('-U', '-U ', [CompletionResultType]::ParameterName, 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it')
            [CompletionResult]::new('--proxy-user', '--proxy-user', [CompletionResultType]::ParameterName, 'The name for the proxy, DOMAIN\NAME and NAME@REALM too. Its password is asked for on the terminal unless one of the following has it, or WIMBLE_PROXY_PASSWORD. NAME:PASSWORD is taken too, but other users can read it')
            [CompletionResult]::new('--proxy-credentials', '--proxy-credentials', [CompletionResultType]::ParameterName, 'A file whose first line is NAME:PASSWORD, readable by its owner alone; NAME:{NT}HASH takes the 32 hexadecimal digits of an NT hash instead, for NTLM')
            [CompletionResult]::new('--proxy-password-command', '--proxy-password-command', [CompletionResultType]::ParameterName, 'A shell command whose first line of output is the password, such as ''pass show proxy''; it is run when the proxy asks')
            [CompletionResult]::new('--netrc-file', '--netrc-file', [CompletionResultType]::ParameterName, 'Take the proxy''s entry in this netrc file, readable by its owner alone')
            [CompletionResult]::new('--proxy-auth', '--proxy-auth', [CompletionResultType]::ParameterName, 'auto: when the proxy asks, the strongest scheme that it offers; a scheme: that one alone, basic and negotiate at once; none: never')
            [CompletionResult]::new('--proxy-spn', '--proxy-spn', [CompletionResultType]::ParameterName, 'The proxy''s Kerberos service, HTTP@NAME or HTTP/NAME@REALM [default: HTTP@ the proxy''s host]')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'Limit for finding and connecting to the proxy, TLS with it included (check: also for TLS with the target)')
            [CompletionResult]::new('--proxy-timeout', '--proxy-timeout', [CompletionResultType]::ParameterName, 'Limit for the whole CONNECT exchange, authentication included')
            [CompletionResult]::new('--keepalive', '--keepalive', [CompletionResultType]::ParameterName, 'Probe a silent connection after this time; 0 never')
            [CompletionResult]::new('--ports', '--ports', [CompletionResultType]::ParameterName, 'Ask the proxy for each of these ports of the one host, such as 22,80,8000-8100; the tunnels are not used')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Check so often, and show how the times are spread; Ctrl-C shows what there is')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'From the start of a check to that of the next')
            [CompletionResult]::new('--compare', '--compare', [CompletionResultType]::ParameterName, 'Check through this proxy as well (direct: through none), and show both side by side')
            [CompletionResult]::new('--html', '--html', [CompletionResultType]::ParameterName, 'Write the report as a page too, to be sent to the people who run the proxy')
            [CompletionResult]::new('--http', '--http', [CompletionResultType]::ParameterName, 'Send an HTTP/1.1 request for this path, and show the head of the answer [default path: /]')
            [CompletionResult]::new('--starttls', '--starttls', [CompletionResultType]::ParameterName, 'Go over to TLS in the words of this protocol: smtp, imap, pop3, ftp, ldap, postgres, mysql, xmpp or http (RFC 2817)')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to colour the report')
            [CompletionResult]::new('--sni', '--sni', [CompletionResultType]::ParameterName, 'The name to send and to compare with the certificate [default: the target''s host]')
            [CompletionResult]::new('--alpn', '--alpn', [CompletionResultType]::ParameterName, 'Protocols to offer, separated by commas, such as h2,http/1.1')
            [CompletionResult]::new('--cacert', '--cacert', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file, and no others')
            [CompletionResult]::new('--warn-expiry', '--warn-expiry', [CompletionResultType]::ParameterName, 'Fail if a certificate of the target or of an https:// proxy ends within this time, such as 30d')
            [CompletionResult]::new('--save-chain', '--save-chain', [CompletionResultType]::ParameterName, 'Write the certificates as the target sent them, as PEM')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--proxy-insecure', '--proxy-insecure', [CompletionResultType]::ParameterName, 'Accept any certificate of an https:// proxy: somebody in between can read and change everything')
            [CompletionResult]::new('-4', '-4', [CompletionResultType]::ParameterName, 'Use IPv4 alone to reach the proxy')
            [CompletionResult]::new('--ipv4', '--ipv4', [CompletionResultType]::ParameterName, 'Use IPv4 alone to reach the proxy')
            [CompletionResult]::new('-6', '-6', [CompletionResultType]::ParameterName, 'Use IPv6 alone to reach the proxy')
            [CompletionResult]::new('--ipv6', '--ipv6', [CompletionResultType]::ParameterName, 'Use IPv6 alone to reach the proxy')
            [CompletionResult]::new('--netrc', '--netrc', [CompletionResultType]::ParameterName, 'Take the proxy''s entry in the file that NETRC names, else ~/.netrc. NETRC alone is read too, when nothing else has a password')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object for each target')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Show how the proxy was chosen: each option and variable that was looked at')
            [CompletionResult]::new('--http-get', '--http-get', [CompletionResultType]::ParameterName, 'Ask with GET instead of HEAD')
            [CompletionResult]::new('--no-tls', '--no-tls', [CompletionResultType]::ParameterName, 'Do not speak TLS to the target; what it says by itself within a second is shown')
            [CompletionResult]::new('--insecure', '--insecure', [CompletionResultType]::ParameterName, 'Do not fail because a certificate is not trusted; what is wrong with it is still told')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'wimble;serve' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to stderr')
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Where to listen; port 0 lets the system choose')
            [CompletionResult]::new('--auth-file', '--auth-file', [CompletionResultType]::ParameterName, 'Require Basic credentials: a file of NAME:PASSWORD lines, readable by its owner alone')
            [CompletionResult]::new('--allow', '--allow', [CompletionResultType]::ParameterName, 'Permit these targets and no others; * stands for any host, part of a host, or port; repeatable')
            [CompletionResult]::new('--deny', '--deny', [CompletionResultType]::ParameterName, 'Forbid these targets, even if allowed; repeatable')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at the same time; the others wait [default: what the file limit carries]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'wimble;completions' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Show each step; twice: the header lines exchanged as well, credentials masked')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
