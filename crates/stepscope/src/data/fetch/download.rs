//! One file over HTTP, continued where it was cut off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{Response, StatusCode};

use super::error::FetchError;
use super::{Progress, show};

/// Attempts in a row that bring nothing before the address is given up.
const MAX_ATTEMPTS: u32 = 5;
/// A server that is silent for so long is asked again.
const SILENCE: Duration = Duration::from_secs(30);
/// No answer is read for longer than this at once; what has arrived is continued.
const LONGEST_ANSWER: Duration = Duration::from_secs(1200);

/// A file on its way.
pub(super) struct Transfer<'a> {
    pub(super) url: String,
    pub(super) file: &'a str,
    pub(super) part: PathBuf,
    pub(super) max_bytes: u64,
    pub(super) patience: Duration,
}

/// How an attempt ended that did not end in an error.
enum Attempt {
    Complete,
    /// Cut off, for this reason.
    Cut(String),
}

impl Transfer<'_> {
    /// The part, locked against other processes, at its end.
    pub(super) fn open(&self) -> Result<File, FetchError> {
        let refused = |source| FetchError::Cache { path: show(&self.part), source };
        let part = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.part);
        let mut part = part.map_err(refused)?;
        match part.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FetchError::Busy { path: show(&self.part) }),
            Err(TryLockError::Error(source)) => return Err(refused(source)),
        }
        part.seek(SeekFrom::End(0)).map_err(refused)?;
        Ok(part)
    }

    /// Empties the part.
    pub(super) fn restart(&self, part: &mut File) -> Result<(), FetchError> {
        let emptied = part.set_len(0).and_then(|()| part.seek(SeekFrom::Start(0)));
        emptied.map(|_| ()).map_err(|source| FetchError::Cache { path: show(&self.part), source })
    }

    /// Fetches what is missing. Returns whether what was there, or what an earlier attempt brought, was continued.
    pub(super) fn run(&self, part: &mut File, progress: &mut dyn FnMut(Progress<'_>)) -> Result<bool, FetchError> {
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_recv_body(Some(LONGEST_ANSWER))
            .build()
            .into();
        let mut continued = self.length(part)? > 0;
        let mut fruitless = 0;
        loop {
            let before = self.length(part)?;
            let reason = match self.attempt(&agent, part, before, progress)? {
                Attempt::Complete => return Ok(continued),
                Attempt::Cut(reason) => reason,
            };
            let after = self.length(part)?;
            fruitless = if after > before { 0 } else { fruitless + 1 };
            continued |= after > 0;
            if fruitless == MAX_ATTEMPTS {
                return Err(FetchError::Unreachable { url: self.url.clone(), reason, attempts: fruitless });
            }
            std::thread::sleep(self.patience * 2_u32.pow(fruitless));
        }
    }

    fn length(&self, part: &File) -> Result<u64, FetchError> {
        part.metadata()
            .map(|metadata| metadata.len())
            .map_err(|source| FetchError::Cache { path: show(&self.part), source })
    }

    fn attempt(
        &self,
        agent: &Agent,
        part: &mut File,
        have: u64,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Attempt, FetchError> {
        let mut request = agent.get(&self.url).header("Accept-Encoding", "identity");
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::Cut(error.to_string())),
        };
        let start = match response.status() {
            StatusCode::OK => {
                self.restart(part)?;
                0
            }
            StatusCode::PARTIAL_CONTENT if starts_at(&response, have) => have,
            // Nothing is left to send: the checksum says whether what is here is the file.
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(Attempt::Complete),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Ok(Attempt::Cut(format!("the server answers with status {}", status.as_u16())));
            }
            StatusCode::PARTIAL_CONTENT => {
                self.restart(part)?;
                return Ok(Attempt::Cut("the server continues at another place than asked".to_owned()));
            }
            status => return Err(FetchError::Status { url: self.url.clone(), status: status.as_u16() }),
        };
        self.receive(response, part, start, progress)
    }

    fn receive(
        &self,
        response: Response<ureq::Body>,
        part: &mut File,
        start: u64,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Attempt, FetchError> {
        let length = response.body().content_length().map(|rest| start + rest);
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        let mut bytes = start;
        loop {
            progress(Progress { file: self.file, bytes, length });
            match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    part.write_all(&buffer[..count])
                        .map_err(|source| FetchError::Cache { path: show(&self.part), source })?;
                    bytes += count as u64;
                }
                Err(error) => return Ok(Attempt::Cut(error.to_string())),
            }
            if bytes > self.max_bytes {
                self.restart(part)?;
                return Err(FetchError::TooLong { url: self.url.clone(), limit: self.max_bytes });
            }
        }
        match length {
            Some(length) if bytes < length => Ok(Attempt::Cut(format!("cut off after {bytes} of {length} bytes"))),
            _ => Ok(Attempt::Complete),
        }
    }
}

/// Whether a partial answer begins where it was asked to.
fn starts_at(response: &Response<ureq::Body>, have: u64) -> bool {
    response
        .headers()
        .get("content-range")
        .and_then(|range| range.to_str().ok())
        .and_then(|range| range.strip_prefix("bytes "))
        .and_then(|range| range.split('-').next())
        .and_then(|start| start.trim().parse::<u64>().ok())
        == Some(have)
}
