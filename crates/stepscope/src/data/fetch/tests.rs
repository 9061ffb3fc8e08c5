//! Against servers on the loopback address that behave well, cut off, lie about lengths and serve wrong bytes.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::super::catalogue::Member;
use super::super::raw::hex;
use super::*;

/// What a server does to the requests for the one file that it has.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Good,
    /// Sends at most so many bytes an answer, whatever length it promises.
    CutsAfter(usize),
    /// As `CutsAfter`, and begins anew whatever was asked for.
    CutsAndIgnoresRanges(usize),
    /// Promises so many bytes fewer than it has.
    PromisesFewer(usize),
    /// Promises so many bytes more than it has.
    PromisesMore(usize),
    WrongByte,
    Status(u16),
    /// Accepts and closes.
    Silent,
}

struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(body: Vec<u8>, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let range = read_request(&stream, &seen);
                // A client that has gone away is its own business.
                let _ = answer(stream, &body, range, manner);
            }
        });
        Self { address, requests }
    }

    fn num_requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// Where the range begins that was asked for.
fn read_request(stream: &TcpStream, seen: &Mutex<Vec<String>>) -> usize {
    let lines: Vec<String> =
        BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let range = lines.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    seen.lock().unwrap().push(range.clone().unwrap_or_default());
    range.and_then(|range| range.trim_end_matches('-').parse().ok()).unwrap_or(0)
}

fn answer(mut stream: TcpStream, body: &[u8], asked: usize, manner: Manner) -> std::io::Result<()> {
    let start = if matches!(manner, Manner::CutsAndIgnoresRanges(_)) { 0 } else { asked };
    match manner {
        Manner::Silent => return Ok(()),
        Manner::Status(status) => return write!(stream, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n"),
        _ if start > 0 && start >= body.len() => {
            return write!(stream, "HTTP/1.1 416 No\r\ncontent-length: 0\r\n\r\n");
        }
        _ => {}
    }
    let mut rest = body[start..].to_vec();
    if manner == Manner::WrongByte {
        rest[0] ^= 1;
    }
    let promised = match manner {
        Manner::PromisesFewer(fewer) => rest.len() - fewer,
        Manner::PromisesMore(more) => rest.len() + more,
        _ => rest.len(),
    };
    if let Manner::CutsAfter(most) | Manner::CutsAndIgnoresRanges(most) = manner {
        rest.truncate(most);
    }
    let status = if start > 0 {
        format!("206 Partial\r\ncontent-range: bytes {start}-{}/{}", body.len() - 1, body.len())
    } else {
        "200 OK".to_owned()
    };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {promised}\r\nconnection: close\r\n\r\n")?;
    stream.write_all(&rest)
}

fn content() -> Vec<u8> {
    (0..200_000_u32).map(|value| (value * value % 241) as u8).collect()
}

fn sha256(bytes: &[u8]) -> &'static str {
    hex(&Sha256::digest(bytes)).leak()
}

fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn published(sha256: &'static str, content: Content) -> Published {
    let download = Download { file: "file.bin", sha256, max_bytes: 1 << 20, content };
    Published {
        name: "set",
        description: "",
        licence: "",
        source: "",
        num_train_examples: 1,
        num_test_examples: 1,
        address: "http://127.0.0.1:9",
        downloads: Box::leak(Box::new([download])),
    }
}

fn fetch(cache: &TempDir, server: &Server, published: &Published) -> Result<Fetched, FetchError> {
    Fetcher::new(Cache::at(cache.path()))
        .with_mirror(&server.address)
        .with_patience(Duration::from_millis(1))
        .fetch(published, &mut |_| {})
}

fn names(cache: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(cache.path().join("set"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn read(cache: &TempDir) -> Vec<u8> {
    fs::read(cache.path().join("set/file.bin")).unwrap()
}

#[test]
fn a_file_arrives_whole_and_is_not_fetched_again() {
    let (body, cache) = (content(), tempfile::tempdir().unwrap());
    let server = Server::start(body.clone(), Manner::Good);
    let published = published(sha256(&body), Content::Whole);
    let mut last = None;
    let fetcher = Fetcher::new(Cache::at(cache.path())).with_mirror(format!("{}/", server.address));
    let fetched = fetcher.fetch(&published, &mut |progress| last = Some((progress.bytes, progress.length))).unwrap();
    assert_eq!((fetched.downloaded.as_slice(), read(&cache)), (["file.bin".to_owned()].as_slice(), body));
    assert_eq!(last, Some((200_000, Some(200_000))));
    assert!(fetch(&cache, &server, &published).unwrap().downloaded.is_empty());
    assert_eq!((server.num_requests(), names(&cache)), (1, vec!["file.bin".to_owned()]));
}

#[test]
fn a_server_that_cuts_off_is_asked_for_the_rest() {
    let (body, cache) = (content(), tempfile::tempdir().unwrap());
    let server = Server::start(body.clone(), Manner::CutsAfter(60_000));
    fetch(&cache, &server, &published(sha256(&body), Content::Whole)).unwrap();
    assert_eq!(read(&cache), body);
    assert_eq!(*server.requests.lock().unwrap(), ["", "60000-", "120000-", "180000-"]);
}

#[test]
fn a_later_call_continues_what_an_earlier_one_left() {
    let (body, cache) = (content(), tempfile::tempdir().unwrap());
    let published = published(sha256(&body), Content::Whole);
    fs::create_dir(cache.path().join("set")).unwrap();
    fs::write(cache.path().join("set/file.bin.part"), &body[..150_000]).unwrap();
    let server = Server::start(body.clone(), Manner::Good);
    fetch(&cache, &server, &published).unwrap();
    assert_eq!((read(&cache), server.requests.lock().unwrap().as_slice()), (body, ["150000-".to_owned()].as_slice()));
}

#[test]
fn a_part_of_another_file_is_thrown_away() {
    let (body, cache) = (content(), tempfile::tempdir().unwrap());
    let published = published(sha256(&body), Content::Whole);
    for foreign in [vec![7; 1000], vec![7; 300_000]] {
        fs::create_dir_all(cache.path().join("set")).unwrap();
        fs::write(cache.path().join("set/file.bin.part"), foreign).unwrap();
        let server = Server::start(body.clone(), Manner::Good);
        fetch(&cache, &server, &published).unwrap();
        assert_eq!(read(&cache), body);
        fs::remove_dir_all(cache.path().join("set")).unwrap();
    }
}

#[test]
fn a_server_without_ranges_that_cuts_off_is_given_up_with_its_reason() {
    let (body, cache) = (content(), tempfile::tempdir().unwrap());
    let server = Server::start(body.clone(), Manner::CutsAndIgnoresRanges(60_000));
    let error = fetch(&cache, &server, &published(sha256(&body), Content::Whole)).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { attempts: 5, .. }), "{error}");
    assert_eq!(names(&cache), ["file.bin.part"], "what has arrived is kept, under no final name");
}

#[test]
fn lies_about_the_length_never_give_a_file_its_name() {
    let body = content();
    let published = published(sha256(&body), Content::Whole);
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&cache, &Server::start(body.clone(), Manner::PromisesFewer(10)), &published).unwrap_err();
    assert!(matches!(error, FetchError::Checksum { bytes: 199_990, .. }), "{error}");
    assert!(names(&cache).is_empty());
    // More is promised than comes: the rest is asked for, and there is none.
    fetch(&cache, &Server::start(body.clone(), Manner::PromisesMore(10)), &published).unwrap();
    assert_eq!(read(&cache), body);
}

#[test]
fn wrong_bytes_are_refused_with_both_checksums_and_removed() {
    let (body, cache) = (content(), tempfile::tempdir().unwrap());
    let server = Server::start(body.clone(), Manner::WrongByte);
    let error = fetch(&cache, &server, &published(sha256(&body), Content::Whole)).unwrap_err().to_string();
    assert!(error.contains(sha256(&body)) && error.contains(&server.address), "{error}");
    assert!(names(&cache).is_empty());
}

#[test]
fn refusals_and_silence_are_errors_that_name_the_address() {
    let published = published(sha256(b"x"), Content::Whole);
    for (manner, expected) in [
        (Manner::Status(404), "answers with status 404"),
        (Manner::Status(503), "answers with status 503 (5 attempts)"),
        (Manner::Silent, "(5 attempts)"),
    ] {
        let server = Server::start(content(), manner);
        let cache = tempfile::tempdir().unwrap();
        let error = fetch(&cache, &server, &published).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(&server.address), "{error}");
    }
}

#[test]
fn a_file_without_end_is_cut_at_its_limit() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(vec![0; (1 << 20) + (1 << 17)], Manner::Good);
    let error = fetch(&cache, &server, &published(sha256(b"x"), Content::Whole)).unwrap_err();
    assert!(matches!(error, FetchError::TooLong { .. }), "{error}");
}

#[test]
fn the_same_bytes_packed_anew_are_accepted() {
    let (body, cache) = (content(), tempfile::tempdir().unwrap());
    let (official, packed_anew) = (gzip(&body, 9), gzip(&body, 1));
    assert_ne!(official, packed_anew);
    let published = published(sha256(&official), Content::Gzip { unpacked_sha256: sha256(&body) });
    fetch(&cache, &Server::start(packed_anew.clone(), Manner::Good), &published).unwrap();
    assert_eq!(read(&cache), packed_anew);
    let other = Server::start(gzip(&body[1..], 9), Manner::Good);
    let cache = tempfile::tempdir().unwrap();
    assert!(matches!(fetch(&cache, &other, &published), Err(FetchError::Checksum { .. })));
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, format!("folder/{name}"), *bytes).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

const MEMBERS: &[Member] =
    &[Member { name: "a.bin", length: 3, sha256: None }, Member { name: "b.bin", length: 2, sha256: None }];

#[test]
fn an_archive_leaves_its_members_and_nothing_else() {
    let packed = archive(&[("a.bin", b"aaa"), ("readme.txt", b"words"), ("b.bin", b"bb")]);
    let cache = tempfile::tempdir().unwrap();
    let published = published(sha256(&packed), Content::Members(MEMBERS));
    let server = Server::start(packed, Manner::Good);
    fetch(&cache, &server, &published).unwrap();
    assert_eq!(names(&cache), ["a.bin", "b.bin"]);
    assert!(fetch(&cache, &server, &published).unwrap().downloaded.is_empty());
    fs::write(cache.path().join("set/b.bin"), b"b").unwrap();
    assert_eq!(fetch(&cache, &server, &published).unwrap().downloaded, ["file.bin"], "a cut member is brought again");
}

#[test]
fn an_archive_with_a_member_of_another_length_is_refused_by_its_name() {
    let packed = archive(&[("a.bin", b"aaa"), ("b.bin", b"bbb")]);
    let cache = tempfile::tempdir().unwrap();
    let published = published(sha256(&packed), Content::Members(MEMBERS));
    let error = fetch(&cache, &Server::start(packed, Manner::Good), &published).unwrap_err().to_string();
    assert!(error.contains("no whole b.bin"), "{error}");
    assert!(!names(&cache).contains(&"b.bin".to_owned()));
}

#[test]
fn two_processes_do_not_write_one_file() {
    let (body, cache) = (content(), tempfile::tempdir().unwrap());
    let folder = cache.path().join("set");
    fs::create_dir(&folder).unwrap();
    let other = fs::File::create(folder.join("file.bin.part")).unwrap();
    other.lock().unwrap();
    let server = Server::start(body.clone(), Manner::Good);
    let error = fetch(&cache, &server, &published(sha256(&body), Content::Whole)).unwrap_err();
    assert!(matches!(error, FetchError::Busy { .. }), "{error}");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let cache = tempfile::tempdir().unwrap();
    fs::write(cache.path().join("set"), "a file where the folder should be").unwrap();
    let server = Server::start(content(), Manner::Good);
    let error = fetch(&cache, &server, &published(sha256(b"x"), Content::Whole)).unwrap_err().to_string();
    assert!(error.contains("the cache cannot be written") && error.contains("--cache"), "{error}");
}
