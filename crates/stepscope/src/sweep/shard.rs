//! A share of the runs.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::SweepRun;

/// Part `index` of `count`: `2/8`, from 1.
///
/// Runs are dealt out in the order of their names, which are hashes: shares differ in size by at most one run, and a
/// costly corner of a grid is spread over all of them. Every count deals out all runs, each to one part; what is
/// finished is known from the folder, so the count may be another one the next time.
///
/// ```
/// use stepscope::sweep::Shard;
/// let shard: Shard = "2/8".parse()?;
/// assert_eq!((shard.index(), shard.count()), (2, 8));
/// assert_eq!("0/8".parse::<Shard>().unwrap_err().to_string(),
///     "'0/8' is no share: expected i/n with i from 1 to n, for instance 2/8");
/// # Ok::<(), stepscope::sweep::ParseShardError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

/// A text that names no share.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{got}' is no share: expected i/n with i from 1 to n, for instance 2/8")]
pub struct ParseShardError {
    got: String,
}

impl Shard {
    /// All runs.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Which part, from 1.
    pub fn index(self) -> u64 {
        self.index
    }

    /// Number of parts.
    pub fn count(self) -> u64 {
        self.count
    }

    /// The runs of this share, in their order.
    pub fn of(self, runs: &[SweepRun]) -> Vec<SweepRun> {
        let mut ranked: Vec<usize> = (0..runs.len()).collect();
        ranked.sort_by_key(|&index| &runs[index].id);
        let mine = ranked.into_iter().enumerate().filter(|(rank, _)| *rank as u64 % self.count == self.index - 1);
        let mut mine: Vec<usize> = mine.map(|(_, index)| index).collect();
        mine.sort_unstable();
        mine.into_iter().map(|index| runs[index].clone()).collect()
    }
}

impl FromStr for Shard {
    type Err = ParseShardError;

    fn from_str(text: &str) -> Result<Self, ParseShardError> {
        let parsed = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parsed {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err(ParseShardError { got: text.to_owned() }),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::{RunId, Sweep};

    fn sweep() -> Sweep {
        let text = "train.duration = \"5st\"\n[sweep]\nseeds = 4\n[sweep.grid]\noptimizer.learning_rate = [0.1, 0.2, 0.3]\n\
            train.batch_size = [8, 16]\n";
        Sweep::parse(text, "sweep.toml", &[]).unwrap()
    }

    #[test]
    fn every_count_deals_out_every_run_once_in_shares_of_one_size() {
        let runs = sweep().runs;
        let mut all: Vec<RunId> = runs.iter().map(|run| run.id.clone()).collect();
        all.sort();
        for count in 1..=runs.len() as u64 + 3 {
            let shares: Vec<Vec<SweepRun>> = (1..=count).map(|index| Shard { index, count }.of(&runs)).collect();
            let sizes: Vec<usize> = shares.iter().map(Vec::len).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            let mut dealt: Vec<RunId> = shares.into_iter().flatten().map(|run| run.id).collect();
            dealt.sort();
            assert_eq!(dealt, all, "{count}");
        }
    }

    #[test]
    fn shares_hang_on_the_runs_and_not_on_their_order() {
        let mut runs = sweep().runs;
        let shard = Shard { index: 2, count: 5 };
        let ids = |runs: Vec<SweepRun>| {
            let mut ids: Vec<RunId> = runs.into_iter().map(|run| run.id).collect();
            ids.sort();
            ids
        };
        let before = ids(shard.of(&runs));
        runs.reverse();
        assert_eq!(ids(shard.of(&runs)), before);
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for bad in ["", "1", "0/1", "2/1", "1/0", "-1/2", "a/b", "1/2/3", "1 / 2"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
        assert_eq!("1/1".parse(), Ok(Shard::WHOLE));
        assert_eq!(Shard { index: 3, count: 9 }.to_string().parse(), Ok(Shard { index: 3, count: 9 }));
    }
}
