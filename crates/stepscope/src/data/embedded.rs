//! The data sets that are part of the program: real data without a download.

use super::idx::{IdxError, IdxFile, IdxKind};

/// A data set that is part of the program. The folder `data/` of the source says how each was made.
#[derive(Debug, Clone, Copy)]
pub struct Embedded {
    /// The name for `data.name`.
    pub name: &'static str,
    /// What it shows, in a line.
    pub description: &'static str,
    /// Its licence.
    pub licence: &'static str,
    /// Who made it, and when.
    pub source: &'static str,
    /// Number of training examples.
    pub num_train_examples: usize,
    /// Number of test examples.
    pub num_test_examples: usize,
    /// Number of classes.
    pub num_classes: usize,
    /// Rows and columns of an image; all have one channel.
    pub image_size: [usize; 2],
    files: [&'static [u8]; 4],
}

macro_rules! files {
    ($folder:literal) => {
        [
            include_bytes!(concat!("../../../../data/", $folder, "/train-images-idx3-ubyte.gz")),
            include_bytes!(concat!("../../../../data/", $folder, "/train-labels-idx1-ubyte.gz")),
            include_bytes!(concat!("../../../../data/", $folder, "/t10k-images-idx3-ubyte.gz")),
            include_bytes!(concat!("../../../../data/", $folder, "/t10k-labels-idx1-ubyte.gz")),
        ]
    };
}

/// Every embedded data set.
pub const ALL: &[Embedded] = &[
    Embedded {
        name: "optdigits",
        description: "handwritten digits, 8x8 pixels with 17 grey levels",
        licence: "CC BY 4.0",
        source: "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI, 1998",
        num_train_examples: 3823,
        num_test_examples: 1797,
        num_classes: 10,
        image_size: [8, 8],
        files: files!("optdigits"),
    },
    Embedded {
        name: "fashion14",
        description: "pictures of clothes, 14x14 pixels: a small part of Fashion-MNIST at half resolution",
        licence: "MIT",
        source: "Fashion-MNIST, Zalando SE, 2017; reduced",
        num_train_examples: 5000,
        num_test_examples: 2000,
        num_classes: 10,
        image_size: [14, 14],
        files: files!("fashion14"),
    },
];

/// The embedded data set of that name.
pub fn by_name(name: &str) -> Option<&'static Embedded> {
    ALL.iter().find(|embedded| embedded.name == name)
}

impl Embedded {
    /// Training images, training labels, test images, test labels, unpacked.
    pub(super) fn read(&self) -> Result<[IdxFile; 4], IdxError> {
        let [train_images, train_labels, test_images, test_labels] = self.files;
        let parse = |bytes, kind, file| IdxFile::parse(bytes, kind, &format!("embedded {}, {file}", self.name));
        Ok([
            parse(train_images, IdxKind::Images, "training images")?,
            parse(train_labels, IdxKind::Labels, "training labels")?,
            parse(test_images, IdxKind::Images, "test images")?,
            parse(test_labels, IdxKind::Labels, "test labels")?,
        ])
    }
}
