//! Servers that answer, that are away, slow, broken, and that come back.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod fakes;
mod server;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{ended, manifest, measured, run};
use fakes::{Shared, shared};
use serde_json::json;
use server::{Reply, Server};
use stepscope_export::RecordSink;
use stepscope_export::remote::{Delivery, Mlflow, Patience, RemoteSink, Trackio, Warn};
use stepscope_types::{Record, Uncertainty};

/// Short pauses, and a long deadline that only a fault makes use of.
fn quick() -> Patience {
    let millis = Duration::from_millis;
    Patience {
        collect: millis(5),
        first_pause: millis(5),
        longest_pause: millis(20),
        pause_at_end: millis(20),
        deadline: Duration::from_secs(20),
        ..Patience::default()
    }
}

/// Collects messages.
fn listen() -> (Warn, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    (Arc::new(move |message: &str| heard.lock().unwrap().push(message.to_owned())), said)
}

fn to_mlflow(url: &str, patience: Patience, warn: Warn) -> RemoteSink {
    let run = manifest("good");
    let target = Mlflow::new(url, Some("secret"), "stepscope", "good", &run).unwrap();
    RemoteSink::start(target, &run, patience, warn).unwrap()
}

fn record_all(sink: &mut RemoteSink, records: &[Record]) {
    records.iter().for_each(|record| sink.record(record).unwrap());
}

/// What a server must have got, in order.
fn expected(records: &[Record]) -> Vec<(String, u64, f64)> {
    let value = |record: &Record| match record {
        Record::Measurement(m) => m.value.map(|value| (m.name.clone(), m.step.0, value)),
        Record::Event(_) => None,
    };
    records.iter().filter_map(value).collect()
}

fn check(kept: &Shared, sink: &RemoteSink, records: &[Record]) {
    let kept = kept.lock().unwrap();
    assert!(kept.values == expected(records), "values are missing, out of order or changed");
    let num_sent = expected(records).len() as u64;
    assert_eq!(sink.delivery(), Delivery { num_sent, num_missing: 0 });
}

#[test]
fn mlflow_gets_every_value_in_order_within_its_limits() {
    let (kept, (warn, said)) = (shared(), listen());
    let at_server = Arc::clone(&kept);
    let server = Server::start(move |request| fakes::mlflow(&at_server, request));
    // All at once, so that the limit of a request is what cuts it.
    let patience = Patience { collect: Duration::from_millis(300), most_collected: 5000, ..quick() };
    let mut sink = to_mlflow(&server.url(), patience, warn);
    let records = run(1500);
    record_all(&mut sink, &records);
    sink.finish().unwrap();
    check(&kept, &sink, &records);
    let kept = kept.lock().unwrap();
    assert_eq!(kept.largest_batch, 1000);
    assert_eq!((kept.num_runs, kept.status.as_deref()), (1, Some("FINISHED")));
    assert!(kept.params.contains(&("optimizer.learning_rate".to_owned(), "0.1".to_owned())), "{:?}", kept.params);
    assert!(kept.headers.contains(&"authorization: bearer secret".to_owned()));
    assert_eq!(kept.timestamps.first(), Some(&1_700_000_000_000));
    assert!(said.lock().unwrap().is_empty());
}

#[test]
fn a_run_that_is_sent_again_goes_to_the_same_run_and_nothing_is_there_twice() {
    let (kept, records) = (shared(), run(20));
    let at_server = Arc::clone(&kept);
    let server = Server::start(move |request| fakes::mlflow(&at_server, request));
    for part in [&records[..30], &records] {
        let mut sink = to_mlflow(&server.url(), quick(), listen().0);
        record_all(&mut sink, part);
        sink.finish().unwrap();
    }
    let kept = kept.lock().unwrap();
    assert_eq!(kept.values, expected(&records));
    assert_eq!((kept.num_runs, kept.status.as_deref()), (1, Some("FINISHED")));
}

#[test]
fn a_server_that_fails_or_hangs_up_now_and_then_gets_everything_once() {
    let (kept, (warn, said)) = (shared(), listen());
    let at_server = Arc::clone(&kept);
    let mut num_requests = 0;
    let server = Server::start(move |request| {
        num_requests += 1;
        if num_requests % 5 == 0 {
            return Reply::Json(503, json!({ "message": "busy" }));
        }
        if num_requests % 7 == 1 {
            return Reply::HangUp;
        }
        let reply = fakes::mlflow(&at_server, request);
        // It did what it was asked, and its answer is lost.
        if num_requests % 3 == 2 { Reply::HangUp } else { reply }
    });
    let mut sink = to_mlflow(&server.url(), Patience { most_collected: 10, ..quick() }, warn);
    let records = run(200);
    record_all(&mut sink, &records);
    sink.finish().unwrap();
    check(&kept, &sink, &records);
    assert_eq!(kept.lock().unwrap().num_runs, 1);
    assert_eq!(said.lock().unwrap().len(), 1, "said once");
}

#[test]
fn recording_does_not_wait_for_a_server_that_does_not_answer() {
    let kept = shared();
    let at_server = Arc::clone(&kept);
    let (release, released) = mpsc::channel::<()>();
    let server = Server::start(move |request| {
        // Every request hangs until all of the run is recorded.
        let _ = released.recv();
        fakes::mlflow(&at_server, request)
    });
    let mut sink = to_mlflow(&server.url(), quick(), listen().0);
    let records = run(5000);
    record_all(&mut sink, &records);
    assert_eq!(sink.delivery().num_sent, 0, "recording ended while the first request still hung");
    drop(release);
    sink.finish().unwrap();
    check(&kept, &sink, &records);
}

/// An address at which nobody listens.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_server_that_comes_back_gets_what_was_recorded_while_it_was_away() {
    let (kept, (warn, said)) = (shared(), listen());
    let address = free_address();
    let mut sink = to_mlflow(&format!("http://{address}"), quick(), warn);
    let records = run(300);
    let (before, after) = records.split_at(500);
    record_all(&mut sink, before);
    while said.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    let at_server = Arc::clone(&kept);
    let server = Server::at(address, move |request| fakes::mlflow(&at_server, request));
    record_all(&mut sink, after);
    sink.finish().unwrap();
    check(&kept, &sink, &records);
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with(&format!("MLflow at http://{address} does not answer")), "{said:?}");
    drop(server);
}

#[test]
fn a_server_that_stays_away_is_given_up_at_the_deadline_with_the_number_of_values() {
    let (warn, said) = listen();
    let patience = Patience { deadline: Duration::from_millis(50), ..quick() };
    let mut sink = to_mlflow(&format!("http://{}", free_address()), patience, warn);
    record_all(&mut sink, &run(30));
    sink.finish().unwrap();
    let missing = expected(&run(30)).len() as u64;
    assert_eq!(sink.delivery(), Delivery { num_sent: 0, num_missing: missing });
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].contains(&format!("{missing} of {missing} values were not sent")), "{said:?}");
}

#[test]
fn a_full_buffer_drops_the_newest_and_counts_them() {
    let kept = shared();
    let at_server = Arc::clone(&kept);
    let (release, released) = mpsc::channel::<()>();
    let server = Server::start(move |request| {
        let _ = released.recv();
        fakes::mlflow(&at_server, request)
    });
    let (warn, said) = listen();
    let mut sink = to_mlflow(&server.url(), Patience { capacity: 100, ..quick() }, warn);
    let records: Vec<Record> = (0..150).map(|step| measured(step, "train/loss", 1.0, Uncertainty::Exact)).collect();
    record_all(&mut sink, &records);
    drop(release);
    sink.finish().unwrap();
    assert_eq!(sink.delivery(), Delivery { num_sent: 100, num_missing: 50 });
    assert_eq!(kept.lock().unwrap().values, expected(&records[..100]));
    assert!(said.lock().unwrap()[0].contains("50 of 150 values were not sent"));
}

#[test]
fn records_from_a_file_wait_for_room_and_none_is_dropped() {
    let kept = shared();
    let at_server = Arc::clone(&kept);
    let server = Server::start(move |request| fakes::mlflow(&at_server, request));
    let patience = Patience { capacity: 50, wait_when_full: true, ..quick() };
    let mut sink = to_mlflow(&server.url(), patience, listen().0);
    let records = run(500);
    record_all(&mut sink, &records);
    sink.finish().unwrap();
    check(&kept, &sink, &records);

    // Where no room comes, the first value that waited in vain is the last one that waited.
    let patience = Patience { capacity: 50, wait_when_full: true, deadline: Duration::from_millis(20), ..quick() };
    let mut sink = to_mlflow(&format!("http://{}", free_address()), patience, listen().0);
    record_all(&mut sink, &records);
    sink.finish().unwrap();
    assert_eq!(sink.delivery(), Delivery { num_sent: 0, num_missing: expected(&records).len() as u64 });
}

#[test]
fn a_server_that_refuses_is_asked_no_more_and_the_run_goes_on() {
    let kept = shared();
    let at_server = Arc::clone(&kept);
    let server = Server::start(move |_| {
        at_server.lock().unwrap().num_requests += 1;
        Reply::Json(403, json!({ "message": "not you" }))
    });
    let (warn, said) = listen();
    let mut sink = to_mlflow(&server.url(), quick(), warn);
    record_all(&mut sink, &run(100));
    sink.finish().unwrap();
    assert_eq!(kept.lock().unwrap().num_requests, 1);
    let said = said.lock().unwrap();
    assert!(said[0].contains("refuses (status 403: not you): nothing more is sent there"), "{said:?}");
    assert_eq!(sink.delivery().num_sent, 0);
}

#[test]
fn trackio_gets_whole_steps_once_each_with_the_configuration() {
    let (kept, (warn, said)) = (shared(), listen());
    let at_server = Arc::clone(&kept);
    let mut num_requests = 0;
    let server = Server::start(move |request| {
        num_requests += 1;
        let reply = fakes::trackio(&at_server, request);
        // Every third answer is lost.
        if num_requests % 3 == 0 { Reply::HangUp } else { reply }
    });
    let run_of = manifest("good");
    let url = format!("{}/?write_token=t", server.url());
    let target = Trackio::new(&url, None, "stepscope", "good", &run_of).unwrap();
    let mut sink = RemoteSink::start(target, &run_of, quick(), warn).unwrap();
    let mut records = run(400);
    // A name that comes twice at a step is two entries.
    records.insert(2, measured(0, "train/batch_loss", 7.0, Uncertainty::Exact));
    record_all(&mut sink, &records);
    sink.finish().unwrap();
    assert_eq!(sink.delivery().num_missing, 0);
    let kept = kept.lock().unwrap();
    let sorted = |mut values: Vec<(String, u64, f64)>| {
        values.sort_by(|a, b| (a.1, &a.0, a.2).partial_cmp(&(b.1, &b.0, b.2)).unwrap());
        values
    };
    assert!(kept.values.is_sorted_by_key(|(_, step, _)| *step), "steps in order");
    assert_eq!(sorted(kept.values.clone()), sorted(expected(&records)));
    assert!(kept.largest_batch <= 128);
    assert_eq!(kept.config.as_ref().unwrap()["optimizer.learning_rate"], 0.1);
    assert!(said.lock().unwrap().len() <= 1);
}

/// Against servers that run elsewhere: `STEPSCOPE_TEST_MLFLOW` and `STEPSCOPE_TEST_TRACKIO` are their addresses.
#[test]
fn real_servers_take_everything_where_their_addresses_are_given() {
    let address = |variable: &str| {
        let found = std::env::var(variable);
        if found.is_err() {
            eprintln!("skipped: {variable} is not set");
        }
        found.ok()
    };
    let records = run(1000);
    let mut manifest = manifest("from a test");
    manifest.started_unix_seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut sinks = Vec::new();
    let (warn, said) = listen();
    if let Some(url) = address("STEPSCOPE_TEST_MLFLOW") {
        let target = Mlflow::new(&url, None, "stepscope-tests", "from a test", &manifest).unwrap();
        sinks.push(RemoteSink::start(target, &manifest, quick(), Arc::clone(&warn)).unwrap());
    }
    if let Some(url) = address("STEPSCOPE_TEST_TRACKIO") {
        let target = Trackio::new(&url, None, "stepscope-tests", "from a test", &manifest).unwrap();
        sinks.push(RemoteSink::start(target, &manifest, quick(), Arc::clone(&warn)).unwrap());
    }
    for sink in &mut sinks {
        record_all(sink, &records);
        sink.finish().unwrap();
        let num_sent = expected(&records).len() as u64;
        assert_eq!(sink.delivery(), Delivery { num_sent, num_missing: 0 }, "{:?}", said.lock().unwrap());
    }
}

#[test]
fn a_missing_write_token_is_said_in_trackios_words() {
    let kept = shared();
    let server = Server::start(move |request| fakes::trackio(&kept, request));
    let (warn, said) = listen();
    let run_of = manifest("good");
    let target = Trackio::new(&server.url(), None, "stepscope", "good", &run_of).unwrap();
    let mut sink = RemoteSink::start(target, &run_of, quick(), warn).unwrap();
    record_all(&mut sink, &[ended(0)]);
    sink.finish().unwrap();
    assert!(said.lock().unwrap()[0].contains("A write_token is required"));
}
