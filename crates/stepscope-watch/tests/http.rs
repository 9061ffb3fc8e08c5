//! The live page over HTTP: what is answered, to whom, and what follows the files.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message, also in what its functions call")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use common::{Runs, append, options, serve, synthetic};
use stepscope_watch::{Options, Server, WatchError};

/// Sends a request written out, so that nothing about it is mended on the way; gives back the whole answer.
fn raw(url: &str, request: &str) -> String {
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.replace("{host}", address).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(url: &str, path: &str, headers: &str) -> String {
    raw(url, &format!("GET {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n{headers}\r\n"))
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// A folder with one run, and the address of its page.
fn one_run() -> (Runs, String) {
    let runs = Runs::new();
    let (manifest, records) = synthetic::quickstart().swap_remove(1);
    append(&runs.begin("good", &manifest), &records);
    let url = serve(options(&runs));
    (runs, url)
}

#[test]
fn the_page_holds_the_runs_and_may_connect_to_nothing_but_itself() {
    let (_runs, url) = one_run();
    let answer = get(&url, "/", "");
    assert_eq!(status(&answer), "200");
    assert!(answer.contains("rate 0.08") && answer.contains("connect-src 'self'"));
    for header in [
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
        "referrer-policy: no-referrer",
    ] {
        assert!(answer.contains(header), "{header}");
    }
}

#[test]
fn another_host_name_is_refused_so_that_no_page_from_elsewhere_can_read_this_one() {
    let (_runs, url) = one_run();
    for host in ["evil.example", "evil.example:{port}", "localhost.evil.example"] {
        let port = url.trim_end_matches('/').rsplit(':').next().unwrap();
        let host = host.replace("{port}", port);
        for path in ["/", "/update", "/events"] {
            let answer = raw(&url, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
            assert_eq!(status(&answer), "403", "{host}{path}");
            assert!(!answer.contains("rate 0.08"));
        }
    }
    assert_eq!(status(&raw(&url, "GET / HTTP/1.0\r\n\r\n")), "403", "no host at all");
}

#[test]
fn no_path_leads_to_a_file() {
    let (runs, url) = one_run();
    std::fs::write(runs.path().join("secret"), "a secret").unwrap();
    for path in [
        "/secret",
        "/good/run.json",
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "//etc/passwd",
        "/good/metrics.jsonl",
        "/update/../secret",
        "/favicon.ico",
    ] {
        let answer = get(&url, path, "");
        assert_eq!(status(&answer), "404", "{path}");
        assert!(!answer.contains("secret\n") && !answer.contains("root:"), "{path}");
    }
    assert_eq!(
        status(&raw(&url, "POST /update HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")),
        "405"
    );
}

#[test]
fn beyond_the_loopback_a_token_is_needed_and_moves_from_the_address_to_a_cookie() {
    let runs = Runs::new();
    let (manifest, records) = synthetic::diverging_run();
    append(&runs.begin("run", &manifest), &records);
    let listen = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let url = serve(Options { listen, ..options(&runs) });
    let token = url.split_once("?token=").unwrap().1;
    for path in ["/", "/update", "/events", "/?token=", "/?token=0123456789abcdef0123456789abcdef"] {
        let answer = get(&url, path, "Cookie: stepscope_token=wrong\r\n");
        assert_eq!(status(&answer), "401", "{path}");
        assert!(answer.contains("open the address that stepscope watch printed") && !answer.contains("rate 0.8"));
    }
    let moved = get(&url, &format!("/?x=1&token={token}"), "");
    assert_eq!(status(&moved), "303");
    assert!(moved.contains("location: /\r\n"), "{moved}");
    assert!(
        moved.contains(&format!("set-cookie: stepscope_token={token}; HttpOnly; SameSite=Strict; Path=/")),
        "{moved}"
    );
    for header in [format!("Cookie: a=b; stepscope_token={token}\r\n"), format!("Authorization: Bearer {token}\r\n")] {
        assert_eq!(status(&get(&url, "/", &header)), "200");
    }
    let given = Options { listen, token: Some("the-same-after-a-restart".to_owned()), ..options(&runs) };
    assert!(serve(given.clone()).ends_with("?token=the-same-after-a-restart"));
    let refused = Server::bind(Options { token: Some("short".to_owned()), ..given }).unwrap_err();
    assert!(refused.to_string().contains("has 5 characters"), "{refused}");
}

#[test]
fn a_port_that_is_taken_is_named_and_without_one_another_is_found() {
    let runs = Runs::new();
    let first = Server::bind(options(&runs)).unwrap();
    let port = first.url().trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    let refused = Server::bind(Options { port: Some(port), ..options(&runs) }).unwrap_err();
    assert!(matches!(refused, WatchError::Bind { .. }) && refused.to_string().contains("--port"), "{refused}");
    let any = Options { port: None, ..options(&runs) };
    let (one, other) = (Server::bind(any.clone()).unwrap(), Server::bind(any).unwrap());
    assert_ne!(one.url(), other.url());
}

/// The versions that the server tells, as they come.
fn versions(url: &str) -> impl Iterator<Item = String> {
    let address = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| Some(line.strip_prefix("data: ")?.to_owned()))
}

#[test]
fn what_is_appended_is_told_and_found_in_the_update() {
    let runs = Runs::new();
    let url = serve(options(&runs));
    let mut told = versions(&url);
    let first = told.next().unwrap();
    let update = |wanted: &str| -> serde_json::Value {
        let answer = get(&url, "/update", "");
        assert_eq!(status(&answer), "200");
        let json = body(&answer);
        // The body may come in pieces: what counts stands between the outer braces.
        let json: serde_json::Value =
            serde_json::from_str(&json[json.find('{').unwrap()..=json.rfind('}').unwrap()]).unwrap();
        assert_eq!(json["version"], wanted);
        json
    };
    assert!(update(&first)["parts"]["story"].as_str().unwrap().contains("No run yet"));
    let records = runs.begin("late", &synthetic::manifest("late", 0.1));
    let second = told.next().unwrap();
    assert_ne!(first, second);
    assert_eq!(update(&second)["data"]["runs"][0]["name"], "late");
    let begun = Instant::now();
    append(&records, &(0..5).map(|step| synthetic::loss(step, 1.0)).collect::<Vec<_>>());
    let third = told.next().unwrap();
    // Generous: the machine may be busy. The browser's test holds the second that a user waits.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(update(&third)["data"]["axes"][0]["step"].as_array().unwrap().len(), 5);
    // A resume cuts the file and writes it anew.
    std::fs::write(&records, "").unwrap();
    append(&records, &[synthetic::loss(0, 7.0)]);
    let mut last = told.next().unwrap();
    while update_len(&url) != 1 {
        last = told.next().unwrap();
    }
    assert_ne!(last, third);
    std::fs::remove_dir_all(runs.path().join("late")).unwrap();
    told.next().unwrap();
    assert!(get(&url, "/update", "").contains("No run yet"));
}

/// Readings of the first curve of the update.
fn update_len(url: &str) -> usize {
    let answer = get(url, "/update", "");
    let json = body(&answer);
    let json: serde_json::Value =
        serde_json::from_str(&json[json.find('{').unwrap()..=json.rfind('}').unwrap()]).unwrap();
    json["data"]["axes"][0]["step"].as_array().map_or(0, Vec::len)
}
