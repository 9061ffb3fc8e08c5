//! Random changes of training images, the same ones whenever a batch is drawn again.

use stepscope_spectral::random::RandomStream;
use stepscope_types::spec::AugmentSpec;

/// Changes images in place: translation with black or with repeated edges, and mirroring.
///
/// What happens to an example depends on the seed, the example and the epoch alone, not on the batch it is in: a batch can be
/// replayed exactly from its indices. Probes see the examples unchanged.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmentation {
    seed: u64,
    spec: AugmentSpec,
    shape: [usize; 3],
    /// What a black pixel is, in each channel.
    black: Vec<f32>,
}

/// What is done to one example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    /// Rows down and columns right, beyond which the image is black.
    crop: [i64; 2],
    /// The same, beyond which the edges are repeated.
    shift: [i64; 2],
    mirrored: bool,
}

impl Augmentation {
    /// The changes that `spec` names for images of `shape` (channels, rows, columns), `black` in each channel; `None` if it
    /// names none.
    pub(super) fn new(spec: AugmentSpec, shape: [usize; 3], black: Vec<f32>, seed: u64) -> Option<Self> {
        (spec != AugmentSpec::default()).then_some(Self { seed, spec, shape, black })
    }

    /// Changes `image`, which is the example `example` in pass number `epoch` over the data.
    pub fn apply(&self, image: &mut [f32], example: u32, epoch: u64) {
        let change = self.change(example, epoch);
        let [_, rows, columns] = self.shape;
        let mut source = image.to_vec();
        for (channel, &black) in self.black.iter().enumerate() {
            let plane = channel * rows * columns..(channel + 1) * rows * columns;
            let (from, to) = (&mut source[plane.clone()], &mut image[plane]);
            translate(from, to, [rows, columns], change.crop, Some(black));
            from.copy_from_slice(to);
            translate(from, to, [rows, columns], change.shift, None);
            if change.mirrored {
                to.chunks_mut(columns).for_each(<[f32]>::reverse);
            }
        }
    }

    /// Five draws in a fixed order, so that switching one change off leaves the others as they are.
    fn change(&self, example: u32, epoch: u64) -> Change {
        let mut random = RandomStream::new(self.seed ^ epoch.rotate_left(32), u64::from(example));
        let mut within = |most: u64| (random.uniform() * (2 * most + 1) as f64) as i64 - most as i64;
        let crop = [within(self.spec.pad_crop), within(self.spec.pad_crop)];
        let shift = [within(self.spec.shift), within(self.spec.shift)];
        Change { crop, shift, mirrored: self.spec.flip && random.uniform() < 0.5 }
    }
}

/// to[r][c] = from[r − down][c − right]; beyond the edge `fill`, or the nearest pixel.
fn translate(from: &[f32], to: &mut [f32], [rows, columns]: [usize; 2], [down, right]: [i64; 2], fill: Option<f32>) {
    for row in 0..rows {
        for column in 0..columns {
            let (r, c) = (row as i64 - down, column as i64 - right);
            let (nearest_r, nearest_c) = (r.clamp(0, rows as i64 - 1), c.clamp(0, columns as i64 - 1));
            let inside = (r, c) == (nearest_r, nearest_c);
            let nearest = from[nearest_r as usize * columns + nearest_c as usize];
            to[row * columns + column] = if inside { nearest } else { fill.unwrap_or(nearest) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [2, 3, 3];

    fn augmentation(spec: AugmentSpec) -> Augmentation {
        Augmentation::new(spec, SHAPE, vec![-1.0, -2.0], 7).unwrap()
    }

    fn image() -> Vec<f32> {
        (0..18).map(|value| value as f32).collect()
    }

    #[test]
    fn nothing_asked_is_nothing_done() {
        assert_eq!(Augmentation::new(AugmentSpec::default(), SHAPE, vec![0.0; 2], 7), None);
    }

    #[test]
    fn an_example_changes_the_same_way_in_an_epoch_and_another_way_in_the_next() {
        let augmentation = augmentation(AugmentSpec { pad_crop: 2, flip: true, shift: 1 });
        let changed = |example, epoch| {
            let mut image = image();
            augmentation.apply(&mut image, example, epoch);
            image
        };
        assert_eq!(changed(3, 5), changed(3, 5));
        let different = (0..50).filter(|&epoch| changed(3, epoch) != changed(3, epoch + 1)).count();
        assert!(different > 40, "{different}");
        let different = (0..50).filter(|&example| changed(example, 0) != changed(example + 1, 0)).count();
        assert!(different > 40, "{different}");
    }

    #[test]
    fn a_crop_fills_with_black_and_a_shift_with_the_edge() {
        let from = [1.0, 2.0, 3.0, 4.0];
        let mut to = [0.0; 4];
        translate(&from, &mut to, [2, 2], [1, 0], Some(9.0));
        assert_eq!(to, [9.0, 9.0, 1.0, 2.0]);
        translate(&from, &mut to, [2, 2], [0, -1], None);
        assert_eq!(to, [2.0, 2.0, 4.0, 4.0]);
    }

    #[test]
    fn black_is_that_of_the_channel() {
        let augmentation = augmentation(AugmentSpec { pad_crop: 2, ..AugmentSpec::default() });
        let example = (0..).find(|&example| augmentation.change(example, 0).crop == [2, 2]).unwrap();
        let mut changed = image();
        augmentation.apply(&mut changed, example, 0);
        assert_eq!(changed[..9], [-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, 0.0]);
        assert_eq!(changed[9..], [-2.0, -2.0, -2.0, -2.0, -2.0, -2.0, -2.0, -2.0, 9.0]);
    }

    #[test]
    fn all_offsets_and_both_orientations_are_equally_frequent() {
        let augmentation = augmentation(AugmentSpec { pad_crop: 1, flip: true, shift: 0 });
        let draws = 9000;
        let mut counts = std::collections::HashMap::new();
        for example in 0..draws {
            let change = augmentation.change(example, 1);
            *counts.entry((change.crop, change.mirrored)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 18);
        let expected = f64::from(draws) / 18.0;
        let chi_square: f64 = counts.values().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
        // The 99.9 % quantile of 17 degrees of freedom.
        assert!(chi_square < 40.8, "{chi_square}");
    }
}
