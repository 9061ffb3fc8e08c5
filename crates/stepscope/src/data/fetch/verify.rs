//! Whether files are what was published.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::{GzDecoder, MultiGzDecoder};
use sha2::{Digest, Sha256};

use super::super::catalogue::{Content, Download, Member};
use super::super::raw::hex;
use super::error::FetchError;
use super::show;

/// Unpacked, no file of the catalogue is longer.
const MAX_UNPACKED_BYTES: u64 = 512 << 20;

/// Whether the cache holds everything that the download gives, whole.
pub(super) fn is_here(folder: &Path, download: &Download) -> bool {
    match download.content {
        Content::Gzip { .. } | Content::Whole => check(&folder.join(download.file), download).is_ok(),
        Content::Members(members) => members.iter().all(|member| member_is_here(folder, member)),
    }
}

fn member_is_here(folder: &Path, member: &Member) -> bool {
    let path = folder.join(member.name);
    let same_length = fs::metadata(&path).is_ok_and(|metadata| metadata.len() == member.length);
    let same_bytes = || match member.sha256 {
        Some(sha256) => digest(&path).is_ok_and(|(got, _)| got == sha256),
        None => true,
    };
    same_length && same_bytes()
}

/// Checks a downloaded file: its own checksum, or that of what it unpacks to.
///
/// Distributions pack the same bytes anew, so that the outer checksum differs and the inner one does not.
pub(super) fn check(path: &Path, download: &Download) -> Result<(), FetchError> {
    let (got, bytes) = digest(path).map_err(|source| FetchError::Cache { path: show(path), source })?;
    let same_inside = || match download.content {
        Content::Gzip { unpacked_sha256 } => File::open(path)
            .and_then(|file| digest_of(MultiGzDecoder::new(BufReader::new(file))))
            .is_ok_and(|(inside, _)| inside == unpacked_sha256),
        Content::Whole | Content::Members(_) => false,
    };
    if got == download.sha256 || same_inside() {
        return Ok(());
    }
    Err(FetchError::Checksum { url: show(path), bytes, got, expected: download.sha256.to_owned() })
}

/// Writes the members of an archive into `folder`, each under its own name once it is whole.
pub(super) fn unpack(archive: &Path, members: &[Member], folder: &Path) -> Result<(), FetchError> {
    let damaged = |member: &Member| FetchError::Member { url: show(archive), member: member.name.to_owned() };
    let missing = || members.iter().find(|member| !member_is_here(folder, member));
    let file = File::open(archive).map_err(|source| FetchError::Cache { path: show(archive), source })?;
    let mut reader = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    let entries = reader.entries().map_err(|source| FetchError::Cache { path: show(archive), source })?;
    // A damaged archive ends the iteration; what is missing is then named.
    for entry in entries.map_while(Result::ok) {
        let name = entry.path_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
        if let Some(member) = members.iter().find(|member| member.name.as_bytes() == name) {
            let part = folder.join(format!("{}.part", member.name));
            let refused = |source| FetchError::Cache { path: show(&part), source };
            let mut out = File::create(&part).map_err(refused)?;
            let copied = io::copy(&mut entry.take(member.length + 1), &mut out).unwrap_or(0);
            out.sync_all().map_err(refused)?;
            if copied == member.length {
                fs::rename(&part, folder.join(member.name)).map_err(refused)?;
            } else {
                fs::remove_file(&part).map_err(refused)?;
            }
        }
    }
    match missing() {
        Some(member) => Err(damaged(member)),
        None => Ok(()),
    }
}

fn digest(path: &Path) -> io::Result<(String, u64)> {
    digest_of(File::open(path)?)
}

/// SHA-256 and length.
fn digest_of(source: impl Read) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut source = source.take(MAX_UNPACKED_BYTES);
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex(&hasher.finalize()), bytes));
        }
        hasher.update(&buffer[..count]);
        bytes += count as u64;
    }
}
