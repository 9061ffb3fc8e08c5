//! The data sets that can be fetched: where they are published, and how to tell that a copy is whole.
//!
//! Checksums of MNIST, Fashion-MNIST and CIFAR-10 files were computed from files whose published MD5 or SHA-256 agreed;
//! those of the CIFAR-100 and IMDB archives are the ones that public loaders of the data check for.

use super::cache::Cache;
use super::cifar::Layout;

/// A data set that `stepscope data fetch` knows.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// The name for `data.name`, and of its folder in the cache.
    pub name: &'static str,
    /// What it shows, in a line.
    pub description: &'static str,
    /// Its licence, as far as its publisher states one.
    pub licence: &'static str,
    /// Who made it, and when.
    pub source: &'static str,
    /// Number of training examples.
    pub num_train_examples: usize,
    /// Number of test examples.
    pub num_test_examples: usize,
    /// The official address of its files, without their names.
    pub(super) address: &'static str,
    pub(super) downloads: &'static [Download],
}

impl Published {
    /// Whether the cache has every file of the data set: only whole files get their names. An archive or its unpacked folder
    /// and a packed or an unpacked file are the same here, and so are files in the folder that their archive unpacks to.
    pub fn is_in(&self, cache: &Cache) -> bool {
        let folder = cache.folder(self.name);
        let there = |name: &str| folder.join(name).exists() || folder.join(name.trim_end_matches(".gz")).exists();
        self.downloads.iter().all(|download| match download.content {
            Content::Gzip { .. } => there(download.file),
            Content::Whole => super::imdb::is_here(&folder),
            Content::Members(members) => Layout::find(&folder)
                .is_some_and(|(_, folder)| members.iter().all(|member| folder.join(member.name).exists())),
        })
    }
}

/// A file at the official address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Download {
    /// Its name there.
    pub(super) file: &'static str,
    /// SHA-256 of the file as published.
    pub(super) sha256: &'static str,
    /// Nothing longer is kept: above the published length.
    pub(super) max_bytes: u64,
    pub(super) content: Content,
}

/// What a download becomes in the cache.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    /// A gzip file that is kept; a copy that unpacks to this SHA-256 is as good.
    Gzip { unpacked_sha256: &'static str },
    /// A file that is kept as it is.
    Whole,
    /// A gzip archive of which these members are kept, without their folders.
    Members(&'static [Member]),
}

/// A file of an archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) name: &'static str,
    /// Its length in bytes.
    pub(super) length: u64,
    /// SHA-256, where it is known; else that of the archive speaks for it.
    pub(super) sha256: Option<&'static str>,
}

const MEGABYTE: u64 = 1 << 20;

const fn gzip(file: &'static str, sha256: &'static str, unpacked_sha256: &'static str) -> Download {
    Download { file, sha256, max_bytes: 64 * MEGABYTE, content: Content::Gzip { unpacked_sha256 } }
}

const fn member(name: &'static str, length: u64, sha256: Option<&'static str>) -> Member {
    Member { name, length, sha256 }
}

/// Every data set that can be fetched.
pub const PUBLISHED: &[Published] = &[
    Published {
        name: "mnist",
        description: "handwritten digits, 28x28 pixels",
        licence: "CC BY-SA 3.0",
        source: "MNIST, Y. LeCun, C. Cortes and C. Burges, 1998",
        num_train_examples: 60_000,
        num_test_examples: 10_000,
        address: "https://storage.googleapis.com/cvdf-datasets/mnist",
        downloads: &[
            gzip(
                "train-images-idx3-ubyte.gz",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            gzip(
                "train-labels-idx1-ubyte.gz",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            gzip(
                "t10k-images-idx3-ubyte.gz",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            gzip(
                "t10k-labels-idx1-ubyte.gz",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ],
    },
    Published {
        name: "fashion-mnist",
        description: "pictures of clothes, 28x28 pixels",
        licence: "MIT",
        source: "Fashion-MNIST, Zalando SE, 2017",
        num_train_examples: 60_000,
        num_test_examples: 10_000,
        address: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        downloads: &[
            gzip(
                "train-images-idx3-ubyte.gz",
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            gzip(
                "train-labels-idx1-ubyte.gz",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            gzip(
                "t10k-images-idx3-ubyte.gz",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            gzip(
                "t10k-labels-idx1-ubyte.gz",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ],
    },
    Published {
        name: "cifar10",
        description: "colour photographs of ten kinds of things, 32x32 pixels",
        licence: "none stated",
        source: "CIFAR-10, A. Krizhevsky, 2009",
        num_train_examples: 50_000,
        num_test_examples: 10_000,
        address: "https://www.cs.toronto.edu/~kriz",
        downloads: &[Download {
            file: "cifar-10-binary.tar.gz",
            sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            max_bytes: 256 * MEGABYTE,
            content: Content::Members(&[
                cifar10("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
                cifar10("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
                cifar10("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
                cifar10("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
                cifar10("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
                cifar10("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
            ]),
        }],
    },
    Published {
        name: "cifar100",
        description: "colour photographs of a hundred kinds of things, 32x32 pixels",
        licence: "none stated",
        source: "CIFAR-100, A. Krizhevsky, 2009",
        num_train_examples: 50_000,
        num_test_examples: 10_000,
        address: "https://www.cs.toronto.edu/~kriz",
        downloads: &[Download {
            file: "cifar-100-binary.tar.gz",
            sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            max_bytes: 256 * MEGABYTE,
            content: Content::Members(&[
                member("train.bin", 50_000 * 3074, None),
                member("test.bin", 10_000 * 3074, None),
            ]),
        }],
    },
    Published {
        name: "imdb",
        description: "film reviews, favourable or not, as word numbers",
        licence: "none stated",
        source: "Large Movie Review Dataset, A. Maas et al., 2011",
        num_train_examples: 25_000,
        num_test_examples: 25_000,
        address: "https://ai.stanford.edu/~amaas/data/sentiment",
        downloads: &[Download {
            file: super::imdb::ARCHIVE,
            sha256: "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
            max_bytes: 128 * MEGABYTE,
            content: Content::Whole,
        }],
    },
];

const fn cifar10(name: &'static str, sha256: &'static str) -> Member {
    member(name, 10_000 * 3073, Some(sha256))
}

/// The published data set of that name.
pub fn by_name(name: &str) -> Option<&'static Published> {
    PUBLISHED.iter().find(|published| published.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_checksums_have_64_digits() {
        for (index, published) in PUBLISHED.iter().enumerate() {
            assert!(PUBLISHED[..index].iter().all(|other| other.name != published.name));
            assert!(super::super::embedded::by_name(published.name).is_none());
            for download in published.downloads {
                let members = match download.content {
                    Content::Gzip { unpacked_sha256 } => vec![unpacked_sha256],
                    Content::Whole => vec![],
                    Content::Members(members) => members.iter().filter_map(|member| member.sha256).collect(),
                };
                for sha256 in members.into_iter().chain([download.sha256]) {
                    assert_eq!(sha256.len(), 64, "{}", download.file);
                    assert!(sha256.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", download.file);
                }
            }
        }
    }
}
