//! Brings a published data set into the cache: resumable, checked, never half a file under its final name.

mod download;
mod error;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cache::Cache;
use super::catalogue::{Content, Download, Published};
use download::Transfer;
pub use error::FetchError;

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file, as it is called at its address.
    pub file: &'a str,
    /// Bytes that are here.
    pub bytes: u64,
    /// Bytes there will be, as the server says.
    pub length: Option<u64>,
}

/// What fetching did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where the data set is; also the value of `data.name` on a machine without this cache.
    pub folder: PathBuf,
    /// Files that were brought now; empty where everything was here already and checked out.
    pub downloaded: Vec<String>,
}

/// Brings data sets into a cache.
///
/// A file is written as `NAME.part`, which a later call continues where the server allows it, and gets its own name once
/// its SHA-256 is the published one. Files that are here already are checked and left alone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    cache: Cache,
    mirror: Option<String>,
    patience: Duration,
}

impl Fetcher {
    /// The environment variable that names another address.
    pub const MIRROR_VARIABLE: &str = "STEPSCOPE_DATA_MIRROR";

    /// A fetcher into that cache from the official addresses.
    pub fn new(cache: Cache) -> Self {
        Self { cache, mirror: None, patience: Duration::from_secs(1) }
    }

    /// Fetches from this address instead, which holds the files under their official names.
    #[must_use]
    pub fn with_mirror(mut self, address: impl Into<String>) -> Self {
        self.mirror = Some(address.into());
        self
    }

    /// How long to wait before the second attempt; every further one waits twice as long as the one before.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Fetches what is missing of a data set and tells `progress` about every piece.
    ///
    /// # Errors
    /// [`FetchError`]: the address cannot be reached, cuts off again and again or delivers other bytes than were published; the cache
    /// cannot be written. What has been fetched so far stays, under the name of a part.
    pub fn fetch(&self, published: &Published, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Fetched, FetchError> {
        let folder = self.cache.folder(published.name);
        let mut downloaded = Vec::new();
        for download in published.downloads {
            if verify::is_here(&folder, download) {
                continue;
            }
            fs::create_dir_all(&folder).map_err(|source| FetchError::Cache { path: show(&folder), source })?;
            self.bring(published, download, &folder, progress)?;
            downloaded.push(download.file.to_owned());
        }
        Ok(Fetched { folder, downloaded })
    }

    fn bring(
        &self,
        published: &Published,
        download: &Download,
        folder: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), FetchError> {
        let address = self.mirror.as_deref().unwrap_or(published.address).trim_end_matches('/');
        let transfer = Transfer {
            url: format!("{address}/{}", download.file),
            file: download.file,
            part: folder.join(format!("{}.part", download.file)),
            max_bytes: download.max_bytes,
            patience: self.patience,
        };
        let mut part = transfer.open()?;
        let mut resumed = transfer.run(&mut part, progress)?;
        loop {
            match verify::check(&transfer.part, download) {
                Ok(()) => break,
                // What an earlier call or another server left may not belong to this file.
                Err(FetchError::Checksum { .. }) if resumed => {
                    transfer.restart(&mut part)?;
                    transfer.run(&mut part, progress)?;
                    resumed = false;
                }
                Err(error) => {
                    // A file with wrong bytes is of no use to a later call.
                    let _ = fs::remove_file(&transfer.part);
                    return Err(error.at(&transfer.url));
                }
            }
        }
        let refused = |source| FetchError::Cache { path: show(folder), source };
        match download.content {
            Content::Gzip { .. } | Content::Whole => {
                part.sync_all().map_err(refused)?;
                fs::rename(&transfer.part, folder.join(download.file)).map_err(refused)
            }
            Content::Members(members) => {
                verify::unpack(&transfer.part, members, folder).map_err(|error| error.at(&transfer.url))?;
                fs::remove_file(&transfer.part).map_err(refused)
            }
        }
    }
}

/// A path in a message.
fn show(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
