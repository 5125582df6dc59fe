//! `httpGet` as probe and as hook.

use super::*;
use crate::plan::HttpGet;

fn get(port: u16) -> HttpGet {
    HttpGet { tls: false, host: "127.0.0.1".to_owned(), port, path: "/".to_owned(), headers: Vec::new() }
}

fn probe(get: HttpGet) -> Outcome {
    attempt(&NetAction::Http(get), AMPLE)
}

fn hook(get: HttpGet) -> Outcome {
    attempt_hook(&NetAction::Http(get), AMPLE)
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// What a probe says of one answer.
fn said_of(bytes: impl Into<Vec<u8>>) -> Outcome {
    probe(get(answering(vec![bytes.into()]).0))
}

/// The same, for an answer that cannot be read.
fn fault_of(bytes: impl Into<Vec<u8>>) -> String {
    let Outcome::Failure(text) = said_of(bytes) else { panic!("the answer was taken") };
    let (url, why) = text.split_once(": ").unwrap();
    assert!(url.starts_with("Get \"http://127.0.0.1:") && url.ends_with("/\""), "{text}");
    why.to_owned()
}

#[test]
fn the_status_decides() {
    assert_eq!(said_of(answer("200 OK", "", "fine")), success("fine"));
    assert_eq!(said_of(answer("204 No Content", "", "")), success(""));
    assert_eq!(said_of(answer("299", "", "odd")), success("odd"));
    assert_eq!(said_of(answer("099 Low", "", "")), failure("HTTP probe failed with statuscode: 99"));
    for status in [400, 404, 500, 503, 101, 999] {
        let outcome = said_of(answer(&format!("{status} Some Words"), "", "no"));
        assert_eq!(outcome, failure(format!("HTTP probe failed with statuscode: {status}")));
    }
}

#[test]
fn bodies_are_read_however_they_are_framed() {
    assert_eq!(said_of("HTTP/1.0 200 OK\r\n\r\nuntil the end"), success("until the end"));
    let chunked = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n";
    assert_eq!(said_of(chunked), success("hello!"));
    assert_eq!(said_of("HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nfolded"), success("fo"));
    assert_eq!(said_of("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), failure("unexpected EOF"));
    let broken = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";
    assert_eq!(said_of(broken), failure("invalid byte in chunk length"));
}

#[test]
fn only_the_beginning_of_an_endless_body_is_read() {
    for head in ["", "Transfer-Encoding: chunked\r\n", "Content-Length: 99999999999\r\n"] {
        let chunk =
            if head.starts_with("Transfer") { format!("1000\r\n{}\r\n", "x".repeat(0x1000)) } else { "x".repeat(4096) };
        let port = listen(move |_, mut stream| {
            super::head(&mut stream);
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes());
            while stream.write_all(chunk.as_bytes()).is_ok() {}
        });
        assert_eq!(probe(get(port)), success(&"x".repeat(10 * 1024)));
    }
}

#[test]
fn informational_answers_are_passed_over() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
    assert_eq!(said_of([early, "HTTP/1.1 200 OK\r\n\r\n"].concat()), success(""));
    assert_eq!(fault_of(early.repeat(7)), "net/http: too many 1xx informational responses");
}

#[test]
fn an_answer_that_is_none_says_why() {
    let broken = |why: &str| format!("net/http: HTTP/1.x transport connection broken: {why}");
    assert_eq!(fault_of(""), "EOF");
    assert_eq!(fault_of("HTTP/1.1 200 OK\r\nX: y"), broken("unexpected EOF"));
    assert_eq!(fault_of(b"\x00\x00\x06\n".to_vec()), broken(r#"malformed HTTP response "\x00\x00\x06""#));
    assert_eq!(fault_of("HTTP/1.1 2000 OK\r\n\r\n"), broken(r#"malformed HTTP status code "2000""#));
    assert_eq!(fault_of("HTP/1.1 200 OK\r\n\r\n"), broken(r#"malformed HTTP version "HTP/1.1""#));
    assert_eq!(fault_of("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), broken("malformed MIME header line: no colon"));
    assert_eq!(
        fault_of("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        broken(r#"http: message cannot contain multiple Content-Length headers; got ["1" "2"]"#)
    );
    assert_eq!(fault_of("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), broken(r#"bad Content-Length "-1""#));
    assert_eq!(
        fault_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n"),
        broken(r#"unsupported transfer encoding: "br""#)
    );
}

#[test]
fn a_head_without_bounds_is_cut_off() {
    let exceeded = "net/http: server response headers exceeded 1048576 bytes; aborted";
    assert_eq!(fault_of(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(1 << 20))), exceeded);
    assert_eq!(fault_of(format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(1 << 18))), exceeded);
    assert_eq!(said_of(format!("HTTP/1.1 200 OK\r\n{}\r\nok", "X: y\r\n".repeat(1 << 12))), success("ok"));
}

#[test]
fn what_is_sent_is_what_the_kubelet_sends() {
    let (port, asked) = answering(vec![answer("200 OK", "", "")]);
    let headers = vec![("X-Token".to_owned(), "secret".to_owned())];
    probe(HttpGet { path: "/healthz?full=1".to_owned(), headers, ..get(port) });
    assert_eq!(
        asked.recv().unwrap(),
        format!(
            "GET /healthz?full=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: kube-probe/1.37\r\nAccept: */*\r\n\
             X-Token: secret\r\nConnection: close\r\n\r\n"
        )
    );
}

#[test]
fn a_redirect_on_the_host_is_followed() {
    let elsewhere = answering(vec![answer("200 OK", "", "there")]);
    let away = format!("Location: http://127.0.0.1:{}/b\r\n", elsewhere.0);
    let (port, asked) = answering(vec![answer("302 Found", "Location: a?x\r\n", ""), answer("307 X", &away, "")]);
    let headers = vec![("Host".to_owned(), "web.example".to_owned()), ("X-A".to_owned(), "1".to_owned())];
    assert_eq!(probe(HttpGet { path: "/dir/".to_owned(), headers, ..get(port) }), success("there"));
    let common = "User-Agent: kube-probe/1.37\r\nAccept: */*\r\n";
    let end = "X-A: 1\r\nConnection: close\r\n\r\n";
    assert_eq!(asked.recv().unwrap(), format!("GET /dir/ HTTP/1.1\r\nHost: web.example\r\n{common}{end}"));
    assert_eq!(
        asked.recv().unwrap(),
        format!("GET /dir/a?x HTTP/1.1\r\nHost: web.example\r\n{common}Referer: http://127.0.0.1:{port}/dir/\r\n{end}")
    );
    assert_eq!(
        elsewhere.1.recv().unwrap(),
        format!(
            "GET /b HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{common}Referer: http://127.0.0.1:{port}/dir/a?x\r\n{end}",
            elsewhere.0
        )
    );
}

#[test]
fn a_redirect_to_another_host_is_a_warning() {
    let warning = |text: &str| Outcome::Warning(format!("Probe terminated redirects, Response body: {text}"));
    for location in ["http://0.0.0.0/", "//localhost/", "mailto:someone"] {
        assert_eq!(said_of(answer("302 Found", &format!("Location: {location}\r\n"), "moved")), warning("moved"));
    }
    assert_eq!(said_of(answer("301 Moved", "", "nowhere")), warning("nowhere"));
    assert_eq!(said_of(answer("304 Not Modified", "Location: /\r\n", "")), warning(""));
}

#[test]
fn redirects_end() {
    let (port, asked) = answering(vec![answer("308 X", "Location: /again\r\n", "")]);
    assert_eq!(probe(get(port)), failure(r#"Get "/again": stopped after 10 redirects"#));
    assert_eq!(asked.try_iter().count(), 10);
    let why = fault_of(answer("302 Found", "Location: http://127.0.0.1:x/\r\n", ""));
    assert!(why.starts_with(r#"failed to parse Location header "http://127.0.0.1:x/""#), "{why}");
    let (port, _) = answering(vec![answer("302 Found", "Location: ftp://127.0.0.1/\r\n", "")]);
    assert_eq!(probe(get(port)), failure(r#"Get "ftp://127.0.0.1/": unsupported protocol scheme "ftp""#));
}

#[test]
fn a_server_that_is_not_there_says_so() {
    let held = refused();
    let port = held.port;
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(probe(get(port)), failure(format!("Get \"http://127.0.0.1:{port}/\": {refused}")));
    assert_eq!(
        probe(HttpGet { tls: true, path: "/a b".to_owned(), ..get(port) }),
        failure(format!("Get \"https://127.0.0.1:{port}/a%20b\": {refused}"))
    );
    assert_eq!(
        probe(HttpGet { host: "web.example".to_owned(), ..get(80) }),
        failure(r#"Get "http://web.example:80/": dial tcp: lookup web.example: no such host"#)
    );
}

#[test]
fn https_takes_any_certificate() {
    for version in [&TLS12, &TLS13] {
        let port = listen(|number, stream| {
            let mut stream = secured(stream, b"http/1.1", version);
            super::head(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nsecret");
            // The second connection just ends, as with servers that forget to say so.
            if number == 0 {
                stream.conn.send_close_notify();
            }
            let _ = stream.flush();
        });
        assert_eq!(probe(HttpGet { tls: true, ..get(port) }), success("secret"));
        assert_eq!(probe(HttpGet { tls: true, host: "localhost".to_owned(), ..get(port) }), success("secret"));
    }
}

#[test]
fn https_to_what_speaks_no_tls_fails() {
    let fault = |bytes: Vec<u8>| {
        let port = listen(move |_, mut stream| {
            let _ = stream.read(&mut [0; 2000]);
            let _ = stream.write_all(&bytes);
        });
        let Outcome::Failure(text) = probe(HttpGet { tls: true, ..get(port) }) else { panic!("there was no TLS") };
        text.split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(fault(answer("400 Bad Request", "", "")), "http: server gave HTTP response to HTTPS client");
    assert_eq!(fault(b"SSH-2.0-server\r\n".to_vec()), "tls: first record does not look like a TLS handshake");
    assert_eq!(fault(b"\x15\x03\x03\x00\x02\x02\x28".to_vec()), "remote error: tls: handshake failure");
}

#[test]
fn any_answer_is_success_for_a_hook() {
    for status in ["200 OK", "404 Not Found", "500 Oh"] {
        let (port, asked) = answering(vec![answer(status, "", "text")]);
        assert_eq!(hook(get(port)), success(""));
        assert!(asked.recv().unwrap().contains("User-Agent: kube-lifecycle/1.37\r\n"));
    }
    let refused = refused();
    let port = refused.port;
    assert_eq!(
        hook(get(port)),
        failure(format!("Get \"http://127.0.0.1:{port}/\": dial tcp 127.0.0.1:{port}: connect: connection refused"))
    );
    assert_eq!(
        attempt_hook(&NetAction::Tcp { host: "127.0.0.1".to_owned(), port }, AMPLE),
        failure("invalid handler: a lifecycle hook cannot be tcpSocket")
    );
}

#[test]
fn a_hook_falls_back_from_https_without_its_credentials() {
    let (tell, told) = mpsc::channel();
    let port = listen(move |number, mut stream| {
        let status = if number == 0 {
            // What a server of plain HTTP says of a TLS handshake, which it does not read to its end.
            let _ = stream.read(&mut [0; 2000]);
            "400 Bad Request"
        } else {
            tell.send(super::head(&mut stream)).unwrap();
            "200 OK"
        };
        let _ = stream.write_all(&answer(status, "", ""));
    });
    let headers = ["authorization", "X-A"].map(|name| (name.to_owned(), "1".to_owned())).to_vec();
    let outcome = hook(HttpGet { tls: true, headers, ..get(port) });
    let text = format!("request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded");
    assert_eq!(outcome, Outcome::Warning(text));
    let asked = told.recv().unwrap();
    assert!(asked.contains("X-A: 1\r\n") && !asked.contains("uthorization"), "{asked}");
}

/// Sends `beginning`, then a byte at a time, and never ends.
fn dripping(beginning: &'static str, drop: &'static str) -> u16 {
    listen(move |_, mut stream| {
        let mut sent = stream.write_all(beginning.as_bytes());
        while sent.is_ok() {
            std::thread::sleep(Duration::from_millis(1));
            sent = stream.write_all(drop.as_bytes());
        }
    })
}

#[test]
fn a_server_that_drips_is_left_at_the_deadline() {
    let over = |get: HttpGet| match attempt(&NetAction::Http(get), SHORT) {
        Outcome::Failure(text) => text,
        other => panic!("{other:?}"),
    };
    let awaiting = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    for (beginning, drop) in [("", ""), ("HTTP/1.1 200 OK\r\nX: ", "y"), ("HTTP/1.1 200 OK\r\n", "X: y\r\n")] {
        let port = dripping(beginning, drop);
        assert_eq!(over(get(port)), format!("Get \"http://127.0.0.1:{port}/\": {awaiting}"));
    }
    let port = dripping("\x16\x03\x03\x3f\x7f", "\x02");
    assert_eq!(over(HttpGet { tls: true, ..get(port) }), format!("Get \"https://127.0.0.1:{port}/\": {awaiting}"));
    let reading = "context deadline exceeded (Client.Timeout or context cancellation while reading body)";
    for head in ["", "Transfer-Encoding: chunked\r\n", "Content-Length: 9999\r\n"] {
        let port = listen(move |_, mut stream| {
            let mut sent = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes());
            while sent.is_ok() {
                std::thread::sleep(Duration::from_millis(1));
                sent = stream.write_all(b"0");
            }
        });
        assert_eq!(over(get(port)), reading);
    }
}
