use Level::{Debug, Error, Fatal, Info, Trace, Warn};

use super::*;

/// Checks lines of one program against the levels that they say they have.
fn check(lines: &[(&str, Option<Level>)]) {
    for (line, expected) in lines {
        assert_eq!(Level::detect(line.as_bytes()), *expected, "{line}");
    }
}

#[test]
fn levels_rise_and_have_their_numbers_and_names() {
    let all = [Trace, Debug, Info, Warn, Error, Fatal];
    assert!(all.is_sorted());
    assert_eq!(all.map(Level::number), [1, 5, 9, 13, 17, 21]);
    for level in all {
        assert_eq!(level.as_str().parse(), Ok(level));
        assert_eq!(level.to_string(), level.as_str());
    }
}

#[test]
fn usual_spellings_are_read_in_any_case() {
    for (words, level) in [
        ("trace TRACE", Trace),
        ("debug dbg Debug", Debug),
        ("info notice information INFO", Info),
        ("warn warning Warning", Warn),
        ("error err ERROR", Error),
        ("fatal critical crit alert emerg panic PANIC", Fatal),
    ] {
        for word in words.split(' ') {
            assert_eq!(word.parse(), Ok(level), "{word}");
        }
    }
    for word in ["", "e", "W", "note", "informational", " info", "5", "é"] {
        let error = word.parse::<Level>().unwrap_err();
        assert!(error.to_string().contains("write trace, debug"), "{word}");
    }
}

#[test]
fn web_servers_put_the_level_in_brackets() {
    check(&[
        (
            "2024/03/01 12:00:00 [error] 123#123: *1 open() \"/srv/x\" failed (2: No such file), client: 10.0.0.1",
            Some(Error),
        ),
        (
            "2024/03/01 12:00:00 [warn] 7#7: *12 a client request body is buffered to a temporary file",
            Some(Warn),
        ),
        (
            "2024/03/01 12:00:00 [notice] 1#1: signal 3 (SIGQUIT) received, shutting down",
            Some(Info),
        ),
        (
            "2024/03/01 12:00:00 [emerg] 1#1: bind() to 0.0.0.0:80 failed (98: Address already in use)",
            Some(Fatal),
        ),
        (
            "2024/03/01 12:00:00 [alert] 1#1: worker process 29 exited on signal 9",
            Some(Fatal),
        ),
        (
            "2024/03/01 12:00:00 [crit] 7#7: *5 SSL_do_handshake() failed",
            Some(Fatal),
        ),
        (
            "2024/03/01 12:00:00 [debug] 7#7: epoll: fd:8 ev:0001",
            Some(Debug),
        ),
        (
            "[Fri Mar 01 12:00:00.123456 2024] [core:error] [pid 35708:tid 4328636416] [client 10.0.0.1:5] AH00124: x",
            Some(Error),
        ),
        (
            "[Fri Mar 01 12:00:00.123456 2024] [mpm_event:notice] [pid 1:tid 2] AH00489: Apache/2.4 configured",
            Some(Info),
        ),
        (
            "[Fri Mar 01 12:00:00.123456 2024] [ssl:warn] [pid 1] AH01909: example.com:443:0 no match",
            Some(Warn),
        ),
        (
            "[Fri Mar 01 12:00:00.123456 2024] [core:trace3] [pid 1] request.c(300): x",
            Some(Trace),
        ),
        (
            "[Fri Mar 01 12:00:00 2024] [error] [client 10.0.0.1] File does not exist: /srv/favicon.ico",
            Some(Error),
        ),
    ]);
}

#[test]
fn access_logs_have_no_level() {
    check(&[
        (
            "10.0.0.1 - - [01/Mar/2024:12:00:00 +0000] \"GET /index.html HTTP/1.1\" 200 612 \"-\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\"",
            None,
        ),
        (
            "10.0.0.1 - - [01/Mar/2024:12:00:00 +0000] \"GET /?level=error&lvl=warn HTTP/1.1\" 200 1",
            None,
        ),
        (
            "10.0.0.1 - - [01/Mar/2024:12:00:00 +0000] \"TRACE / HTTP/1.1\" 405 1",
            None,
        ),
        (
            "10.0.0.1 - - [01/Mar/2024:12:00:00 +0000] \"GET /log/ERROR HTTP/1.1\" 404 1",
            None,
        ),
        (
            "10.0.0.1 - - [01/Mar/2024:12:00:00 +0000] \"GET /x?q=ERROR HTTP/1.1\" 500 1",
            None,
        ),
        (
            "10.0.0.1 - - [01/Mar/2024:12:00:00 +0000] \"GET /error: HTTP/1.1\" 500 1",
            None,
        ),
        (
            "haproxy[14389]: 10.0.1.2:33317 [01/Mar/2024:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0",
            None,
        ),
    ]);
}

#[test]
fn databases_say_their_level_before_a_colon_or_in_brackets() {
    check(&[
        // As PostgreSQL has it where it logs to syslog.
        (
            "2024-03-01 12:00:00.123 UTC [1234] LOG:  checkpoint starting: time",
            Some(Info),
        ),
        (
            "2024-03-01 12:00:00.123 UTC [1234] ERROR:  relation \"x\" does not exist at character 15",
            Some(Error),
        ),
        (
            "2024-03-01 12:00:00.123 UTC [1234] STATEMENT:  SELECT 1 FROM x",
            None,
        ),
        (
            "2024-03-01 12:00:00.123 UTC [1234] app@db FATAL:  password authentication failed for user \"app\"",
            Some(Fatal),
        ),
        (
            "2024-03-01 12:00:00.123 UTC [1234] WARNING:  there is no transaction in progress",
            Some(Warn),
        ),
        (
            "2024-03-01 12:00:00.123 UTC [1234] PANIC:  could not locate a valid checkpoint record",
            Some(Fatal),
        ),
        (
            "2024-03-01 12:00:00.123 UTC [1234] DEBUG2:  autovacuum: processing database \"db\"",
            Some(Debug),
        ),
        (
            "2024-03-01 12:00:00.123 UTC,\"app\",\"db\",12,\"[local]\",65e1,1,\"idle\",2024-03-01 12:00:00 UTC,4/2,0,ERROR,42P01,\"x\"",
            Some(Error),
        ),
        (
            "2024-03-01 12:00:00 0 [Note] InnoDB: Buffer pool(s) load completed at 240301 12:00:00",
            Some(Info),
        ),
        (
            "2024-03-01 12:00:00 3 [Warning] Aborted connection 3 to db: 'x' user: 'y' host: 'z'",
            Some(Warn),
        ),
        (
            "2024-03-01 12:00:00 0 [ERROR] mysqld: Can't lock aria control file",
            Some(Error),
        ),
        (
            "2024-03-01T12:00:00.000000Z 0 [System] [MY-010116] [Server] /usr/sbin/mysqld starting",
            Some(Info),
        ),
        (
            "2024-03-01T12:00:00.000000Z 0 [ERROR] [MY-010119] [Server] Aborting",
            Some(Error),
        ),
        (
            "1:M 01 Mar 2024 12:00:00.000 * Ready to accept connections tcp",
            None,
        ),
        ("1:M 01 Mar 2024 12:00:00.000 # Server initialized", None),
    ]);
}

#[test]
fn applications_write_the_level_in_upper_case() {
    check(&[
        (
            "[01-Mar-2024 12:00:00] NOTICE: fpm is running, pid 1",
            Some(Info),
        ),
        (
            "[01-Mar-2024 12:00:00] WARNING: [pool www] child 12 said into stderr: \"NOTICE: PHP message\"",
            Some(Warn),
        ),
        (
            "[01-Mar-2024 12:00:00 UTC] PHP Warning:  Undefined variable $x in /srv/x.php on line 3",
            Some(Warn),
        ),
        ("WARNING:root:watch out", Some(Warn)),
        (
            "2024-03-01 12:00:00,123 - app.db - ERROR - cannot connect",
            Some(Error),
        ),
        (
            "2024-03-01 12:00:00,123 CRITICAL app: out of disk",
            Some(Fatal),
        ),
        (
            "2024-03-01 12:00:00,123 4711 INFO prod odoo.modules.loading: loading 1 modules...",
            Some(Info),
        ),
        (
            "2024-03-01 12:00:00,123 4711 WARNING prod odoo.addons.base: XML-RPC is deprecated",
            Some(Warn),
        ),
        (
            "2024-03-01 12:00:00,123 INFO  [main] org.example.App - started in 3 s",
            Some(Info),
        ),
        (
            "12:00:00.123 [http-nio-8080-exec-1] DEBUG o.s.web.servlet.DispatcherServlet - GET \"/\"",
            Some(Debug),
        ),
        (
            "2024-03-01 12:00:00.123  WARN 1 --- [main] o.s.boot.X : slow",
            Some(Warn),
        ),
    ]);
}

#[test]
fn words_in_upper_case_are_found_in_brackets_columns_and_colors() {
    check(&[
        ("[INFO ] 2024-03-01 12:00:00 started", Some(Info)),
        (
            "[2024-03-01T12:00:00,123][WARN ][o.e.c.r.a.DiskThresholdMonitor] [node-1] high disk watermark",
            Some(Warn),
        ),
        (
            "2024-03-01T12:00:00.123Z\tINFO\tcontroller/main.go:12\tstarting",
            Some(Info),
        ),
        (
            "2024-03-01T12:00:00.123456Z \u{1b}[32m INFO\u{1b}[0m app: listening",
            Some(Info),
        ),
        ("\u{1b}[1;31mERROR\u{1b}[0m cannot bind", Some(Error)),
        (
            "E, [2024-03-01T12:00:00.123 #7] ERROR -- : undefined method",
            Some(Error),
        ),
        (
            "2024-03-01T12:00:00.123456789Z stdout F TRACE entering loop",
            Some(Trace),
        ),
        (
            "{\"log\":\"12:00:00 ERROR\\tcannot bind\\n\",\"stream\":\"stdout\"}",
            Some(Error),
        ),
        ("[drm:intel_dp_aux] *ERROR* dp_aux_ch timeout", Some(Error)),
        ("app|FATAL|out of memory", Some(Fatal)),
        ("[E] 12:00:00 cannot bind", Some(Error)),
    ]);
}

#[test]
fn structured_lines_name_the_level_with_a_key() {
    check(&[
        (
            r#"{"level":"info","ts":1709294400.1,"caller":"app/main.go:12","msg":"ERROR is only a word here"}"#,
            Some(Info),
        ),
        (
            r#"{"ts":"2024-03-01T12:00:00Z","msg":"[error] first","level": "warn"}"#,
            Some(Warn),
        ),
        (
            r#"{"level":30,"time":1709294400000,"pid":1,"hostname":"h","msg":"hello"}"#,
            Some(Info),
        ),
        (
            r#"{"name":"app","hostname":"h","pid":1,"level":50,"msg":"x","v":0}"#,
            Some(Error),
        ),
        (r#"{"level": 60}"#, Some(Fatal)),
        (r#"{"level":10}"#, Some(Trace)),
        (r#"{"level":35,"msg":"x"}"#, None),
        (r#"{"level":300,"msg":"x"}"#, None),
        (r#"{"level":"30","msg":"x"}"#, None),
        (r#"{"severity":30,"msg":"x"}"#, None),
        (r#"{"level":3,"msg":"syslog or not"}"#, None),
        (r#"{"severity":"CRITICAL","message":"x"}"#, Some(Fatal)),
        (
            r#"{"@timestamp":"x","log.level":"ERROR","message":"x"}"#,
            Some(Error),
        ),
        (
            r#"{"log":"{\"level\":\"error\",\"msg\":\"x\"}\n","stream":"stderr"}"#,
            Some(Error),
        ),
        (
            r#"{"log":"level=debug msg=x\n","stream":"stderr"}"#,
            Some(Debug),
        ),
        (
            "ts=2024-03-01T12:00:00Z caller=main.go:12 level=info msg=\"no error found\"",
            Some(Info),
        ),
        (
            "time=\"2024-03-01T12:00:00Z\" level=warning msg=\"x\"",
            Some(Warn),
        ),
        ("lvl=dbug lvl=error", Some(Error)),
        ("t=1 loglevel='fatal' x", Some(Fatal)),
        ("LEVEL: Information, text", Some(Info)),
        ("time=x level=W msg=y", Some(Warn)),
        ("ERROR first, but level=debug", Some(Debug)),
        (
            "compression_level=error sublevel=warn a.level=info top-level: error",
            None,
        ),
        ("level=errors level=info-ish level=", None),
    ]);
}

#[test]
fn klog_begins_with_a_letter_and_the_date() {
    check(&[
        (
            "I0102 15:04:05.678901       1 main.go:1] starting",
            Some(Info),
        ),
        (
            "W1231 15:04:05.678901 1 reflector.go:1] level=info",
            Some(Warn),
        ),
        (
            "E0301 15:04:05.678901 12345 kubelet.go:1] \"Error\" err=\"x\"",
            Some(Error),
        ),
        ("F0301 15:04:05.678901 1 main.go:1] x", Some(Fatal)),
        ("E1301 15:04:05 no such month", None),
        ("E0132 15:04:05 no such day", None),
        ("E0301 150405", None),
        ("X0301 15:04:05 no such letter", None),
    ]);
}

#[test]
fn text_without_a_level_has_none() {
    check(&[
        ("", None),
        ("2009/11/10 23:00:00 listening on :8080", None),
        ("no error found", None),
        ("no Error found, and a warning sign", None),
        (
            "Mar  1 12:00:00 host sshd[123]: Accepted publickey for root from 10.0.0.1 port 22 ssh2",
            None,
        ),
        (
            "Mar  1 12:00:00 host kernel: [12.345] usb 1-1: new high-speed USB device number 2",
            None,
        ),
        ("java.lang.NullPointerException: x", None),
        ("ValueError: invalid literal", None),
        ("\tat org.example.Error.main(Error.java:12)", None),
        (
            "see http://error:80/ and error:0A000086 and NO-WARN and XINFO INFOS",
            None,
        ),
        ("[errors] [err-or] [x y:error] error] [", None),
        ("level", None),
        ("=:]", None),
    ]);
    check(&[
        (
            "Mar  1 12:00:00 host sshd[123]: error: kex_exchange_identification: closed",
            Some(Error),
        ),
        ("error: cannot find value `x`", Some(Error)),
        ("panic: runtime error: index out of range", Some(Fatal)),
        ("main: warning:", Some(Warn)),
    ]);
}

#[test]
fn services_write_their_priority_first() {
    check(&[
        ("<3>a disk is gone", Some(Error)),
        ("<4>a disk is slow", Some(Warn)),
        ("<5>a disk is there", Some(Info)),
        ("<6>level=error is what another program said", Some(Info)),
        ("<7>looking", Some(Debug)),
        ("<0>", Some(Fatal)),
        (
            "<34>1 2024-03-01T12:00:00.000Z host su - ID47 - 'su root' failed for user on /dev/pts/8",
            Some(Fatal),
        ),
        ("<30>Mar  1 12:00:00 host app[1]: started", Some(Info)),
        ("<30>Mar  1 12:00:00 host app[1]: level=error", Some(Error)),
        ("<30>Mar  1 12:00:00 host app[1]: WARNING: slow", Some(Warn)),
        ("<191>x", Some(Debug)),
        ("<192>x", None),
        ("<1234>x", None),
        ("<>x", None),
        ("<3x", None),
        ("<p>x</p>", None),
        (" <3>x", None),
    ]);
}

#[test]
fn java_and_python_have_words_of_their_own() {
    check(&[
        ("SEVERE: Servlet.service() threw exception", Some(Error)),
        (
            "01-Mar-2024 12:00:00.123 SEVERE [main] org.apache.catalina.core",
            Some(Error),
        ),
        ("FINE: entering", Some(Debug)),
        ("FINEST: entering", Some(Trace)),
        (
            "01-Mar-2024 12:00:00.123 FINER [main] org.apache.catalina.core",
            Some(Trace),
        ),
        ("all is FINE with it", None),
        ("fine: entering", None),
        ("CRITICAL:root:no space", Some(Fatal)),
        (
            "2024-03-01 12:00:00,123 - app - CRITICAL - no space",
            Some(Fatal),
        ),
        (r#"{"level":"SEVERE","message":"x"}"#, Some(Error)),
        ("severity=emergency", Some(Fatal)),
        ("level=log", Some(Info)),
    ]);
}

#[test]
fn php_names_what_the_script_ends_with() {
    check(&[
        (
            "[01-Mar-2024 12:00:00 UTC] PHP Fatal error:  Uncaught Error in /srv/x.php:1",
            Some(Fatal),
        ),
        (
            "[01-Mar-2024 12:00:00 UTC] PHP Recoverable fatal error:  x",
            Some(Fatal),
        ),
        (
            "[01-Mar-2024 12:00:00 UTC] PHP Parse error:  syntax error",
            Some(Error),
        ),
        (
            "[01-Mar-2024 12:00:00 UTC] PHP Warning:  Undefined variable $x",
            Some(Warn),
        ),
        ("[01-Mar-2024 12:00:00 UTC] PHP Notice:  x", Some(Info)),
        ("[01-Mar-2024 12:00:00 UTC] PHP Deprecated:  x", None),
    ]);
}

#[test]
fn the_log_of_postgresql_is_told_from_the_word() {
    check(&[
        (
            "2024-03-01 12:00:00.123 UTC,,,12,,65e1,1,,2024-03-01 12:00:00 UTC,,0,LOG,00000,\"x\"",
            Some(Info),
        ),
        ("the LOG is full", None),
        ("LOG: x", None),
        ("[System] ERROR: x", Some(Error)),
    ]);
}

#[test]
fn the_first_of_two_words_wins_wherever_it_is_found() {
    check(&[
        ("[warn] ERROR", Some(Warn)),
        ("ERROR [warn]", Some(Error)),
        ("info: then ERROR", Some(Info)),
        ("x ERROR y info: z", Some(Error)),
        ("level=warn level=error", Some(Warn)),
    ]);
}

#[test]
fn a_word_must_have_begun_within_128_bytes_and_a_key_stand_within_512() {
    let after =
        |len: usize, text: &str| Level::detect(format!("{}{text}", " ".repeat(len)).as_bytes());
    for word in ["ERROR", "error: x", "[error]"] {
        let bracket = usize::from(word.starts_with('['));
        assert_eq!(after(127 - bracket, word), Some(Error), "{word}");
        assert_eq!(after(128 - bracket, word), None, "{word}");
    }
    assert_eq!(after(500, "level=error"), Some(Error));
    assert_eq!(after(510, "level=error"), None);
}

#[test]
fn upper_case_is_told_from_every_other_byte_wherever_it_stands() {
    for start in 0..128 {
        let line = format!("{}WARN", ". ".repeat(64).get(..start).unwrap());
        let stands_alone = start % 2 == 0;
        let expected = stands_alone.then_some(Warn);
        assert_eq!(Level::detect(line.as_bytes()), expected, "{start}");
    }
    for (at, letter) in b"WARN".iter().enumerate() {
        for byte in 0..=u8::MAX {
            let mut line = b"1 WARN".to_vec();
            line[2 + at] = byte;
            let expected = (byte == *letter).then_some(Warn);
            assert_eq!(Level::detect(&line), expected, "{line:?}");
        }
    }
}

#[test]
fn lines_of_any_bytes_are_looked_at_without_a_panic() {
    let mut state = 7_u64;
    let mut line = Vec::new();
    for length in 0..2000 {
        line.clear();
        for _ in 0..length % 600 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let pick = usize::try_from(state >> 40).unwrap();
            let parts: [&[u8]; 12] = [
                b"level", b":", b"=", b"]", b"[", b"\"", b"\\", b" ", b"ERR", b"\xFF", b"\x1b[1m",
                b"30",
            ];
            line.extend_from_slice(parts[pick % parts.len()]);
        }
        let found = Level::detect(&line);
        let head = line.get(..512).unwrap_or(&line);
        assert_eq!(found, Level::detect(head), "only the head counts");
    }
}
