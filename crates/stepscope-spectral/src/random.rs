//! The explicit random generator that everything in stepscope draws from.

use std::num::NonZeroU64;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// A stream of random numbers: ChaCha8 words, and distributions computed from them here.
///
/// `(seed, stream)` names a stream, [`RandomStream::position`] says how far it has been read; the three numbers
/// are its whole state, so a checkpoint that stores them resumes bit for bit. Only the 64-bit words come from a
/// dependency, and they are fixed by the cipher's definition: every distribution is computed in this file, so an
/// upgrade cannot change a run.
///
/// There is no `Clone`: two copies would silently draw the same numbers.
///
/// Cost: about 2 ns a word. Not for secrets: a seed has 64 bits.
///
/// ```
/// use stepscope_spectral::random::RandomStream;
/// let mut stream = RandomStream::named(7, "data order");
/// let first = stream.next_word();
/// let position = stream.position();
/// let second = stream.next_word();
/// stream.set_position(position);
/// assert_eq!(stream.next_word(), second);
/// assert_eq!(RandomStream::named(7, "data order").next_word(), first);
/// assert_ne!(RandomStream::named(7, "weights").next_word(), first);
/// ```
#[derive(Debug)]
pub struct RandomStream {
    words: ChaCha8Rng,
}

impl RandomStream {
    /// Stream number `stream` of `seed`, at its beginning. Streams of one seed are independent of each other.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut words = ChaCha8Rng::from_seed(key_from_seed(seed));
        words.set_stream(stream);
        Self { words }
    }

    /// The stream of `seed` with a name: the number is the 64-bit FNV-1a hash of the name's bytes.
    pub fn named(seed: u64, name: &str) -> Self {
        let hash = name
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        Self::new(seed, hash)
    }

    /// Number of 64-bit words drawn since the beginning.
    pub fn position(&self) -> u64 {
        (self.words.get_word_pos() / 2) as u64
    }

    /// Moves to the place after `position` words, forwards or backwards, in constant time.
    pub fn set_position(&mut self, position: u64) {
        self.words.set_word_pos(2 * u128::from(position));
    }

    /// The next 64 random bits.
    pub fn next_word(&mut self) -> u64 {
        self.words.next_u64()
    }

    /// A uniform number in [0, 1): a multiple of 2⁻⁵³. One word.
    pub fn uniform(&mut self) -> f64 {
        const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next_word() >> 11) as f64 * UNIT
    }

    /// A uniform integer in 0..`bound`, without bias: the multiply-and-reject method of Lemire (2019).
    ///
    /// One word, and another for each rejection (probability below `bound` / 2⁶⁴).
    pub fn u64_below(&mut self, bound: NonZeroU64) -> u64 {
        let bound = bound.get();
        loop {
            let product = u128::from(self.next_word()) * u128::from(bound);
            let low = product as u64;
            // 2⁶⁴ mod bound low parts are surplus. The remainder is a division, so it is only computed when the
            // low part is small enough to matter.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }

    /// +1 or −1 with equal probability. One word; [`RandomStream::fill_rademacher`] takes 64 signs from a word.
    pub fn rademacher(&mut self) -> f64 {
        sign(self.next_word() >> 63)
    }

    /// Fills `values` with independent signs ±1.
    pub fn fill_rademacher(&mut self, values: &mut [f64]) {
        for chunk in values.chunks_mut(64) {
            let mut bits = self.next_word();
            for value in chunk {
                *value = sign(bits & 1);
                bits >>= 1;
            }
        }
    }

    /// A normal number with mean 0 and variance 1; [`RandomStream::fill_normal`] costs half as much a number.
    pub fn normal(&mut self) -> f64 {
        self.normal_pair().0
    }

    /// Fills `values` with independent normal numbers of mean 0 and variance 1.
    ///
    /// Nothing is kept back for the next call, so that the position stays the whole state: filling 3 and then 1
    /// draws other numbers than filling 4.
    pub fn fill_normal(&mut self, values: &mut [f64]) {
        for chunk in values.chunks_mut(2) {
            let (first, second) = self.normal_pair();
            for (value, normal) in chunk.iter_mut().zip([first, second]) {
                *value = normal;
            }
        }
    }

    /// Two independent normal numbers by the polar method of Marsaglia: for a point (x, y) uniform in the unit
    /// disc and s = x² + y², the pair (x, y)·√(−2 ln s / s) is normal. 2.5 words on average.
    fn normal_pair(&mut self) -> (f64, f64) {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let squared_radius = x * x + y * y;
            if squared_radius > 0.0 && squared_radius < 1.0 {
                let factor = (-2.0 * squared_radius.ln() / squared_radius).sqrt();
                return (x * factor, y * factor);
            }
        }
    }

    /// Puts `items` into a random order; all orders are equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            if let Some(bound) = NonZeroU64::new(last as u64 + 1) {
                items.swap(last, self.u64_below(bound) as usize);
            }
        }
    }
}

fn sign(bit: u64) -> f64 {
    if bit == 0 { 1.0 } else { -1.0 }
}

/// Four outputs of splitmix64: neighbouring seeds give unrelated keys.
fn key_from_seed(seed: u64) -> [u8; 32] {
    let mut key = [0; 32];
    let mut state = seed;
    for bytes in key.chunks_exact_mut(8) {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ChaCha8 from its definition, a block at a time: 64-bit counter in words 12-13, stream in words 14-15.
    fn reference_words(key: &[u8; 32], stream: u64, num_blocks: u64) -> Vec<u64> {
        fn quarter_round(state: &mut [u32; 16], [a, b, c, d]: [usize; 4]) {
            for (x, y, z, turn) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
                state[x] = state[x].wrapping_add(state[y]);
                state[z] = (state[z] ^ state[x]).rotate_left(turn);
            }
        }
        const COLUMNS_AND_DIAGONALS: [[usize; 4]; 8] = [
            [0, 4, 8, 12],
            [1, 5, 9, 13],
            [2, 6, 10, 14],
            [3, 7, 11, 15],
            [0, 5, 10, 15],
            [1, 6, 11, 12],
            [2, 7, 8, 13],
            [3, 4, 9, 14],
        ];
        let read = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        let mut words = Vec::new();
        for block in 0..num_blocks {
            let mut input = [0; 16];
            for (word, bytes) in input.iter_mut().zip(b"expand 32-byte k".chunks(4).chain(key.chunks(4))) {
                *word = read(bytes);
            }
            (input[12], input[13]) = (block as u32, (block >> 32) as u32);
            (input[14], input[15]) = (stream as u32, (stream >> 32) as u32);
            let mut state = input;
            for _ in 0..4 {
                COLUMNS_AND_DIAGONALS.iter().for_each(|&indices| quarter_round(&mut state, indices));
            }
            let output: Vec<u32> = state.iter().zip(input).map(|(&s, i)| s.wrapping_add(i)).collect();
            words.extend(output.chunks(2).map(|pair| u64::from(pair[0]) | (u64::from(pair[1]) << 32)));
        }
        words
    }

    #[test]
    fn the_reference_gives_the_published_first_bytes_of_the_zero_key() {
        let bytes: Vec<u8> = reference_words(&[0; 32], 0, 1)[..2].iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(bytes[..8], [0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6]);
        assert_eq!(bytes[8..], [0x7f, 0x5b, 0xb8, 0xe8, 0x1f, 0x09, 0xa5, 0xa1]);
    }

    #[test]
    fn words_are_those_of_the_cipher() {
        for (seed, number) in [(0, 0), (1, 5), (u64::MAX, u64::MAX - 3)] {
            let mut stream = RandomStream::new(seed, number);
            for (index, expected) in reference_words(&key_from_seed(seed), number, 40).into_iter().enumerate() {
                assert_eq!(stream.next_word(), expected, "word {index} of seed {seed}, stream {number}");
            }
        }
    }

    #[test]
    fn any_position_can_be_returned_to() {
        let mut stream = RandomStream::new(3, 1);
        let words: Vec<u64> = (0..200).map(|_| stream.next_word()).collect();
        for start in (0..200).rev() {
            stream.set_position(start as u64);
            for (index, &word) in words.iter().enumerate().skip(start) {
                assert_eq!(stream.position(), index as u64);
                assert_eq!(stream.next_word(), word);
            }
        }
    }

    #[test]
    fn the_position_is_the_whole_state_of_every_distribution() {
        let mut stream = RandomStream::named(5, "replay");
        let draw = |stream: &mut RandomStream| {
            let mut numbers = vec![stream.normal(), stream.uniform(), stream.rademacher()];
            let mut filled = [0.0; 5];
            stream.fill_normal(&mut filled);
            numbers.extend(filled);
            stream.fill_rademacher(&mut filled);
            numbers.extend(filled);
            stream.shuffle(&mut numbers);
            numbers
        };
        draw(&mut stream);
        let position = stream.position();
        let first = draw(&mut stream);
        let mut other = RandomStream::named(5, "replay");
        other.set_position(position);
        assert_eq!(draw(&mut other), first);
    }

    /// Σ (observed − expected)² / expected over equally likely cells.
    fn chi_square(counts: &[u64]) -> f64 {
        let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum()
    }

    #[test]
    fn integers_and_uniform_numbers_fill_ten_cells_evenly() {
        let mut stream = RandomStream::new(11, 0);
        let ten = NonZeroU64::new(10).unwrap();
        let (mut integers, mut uniforms) = ([0; 10], [0; 10]);
        for _ in 0..100_000 {
            integers[stream.u64_below(ten) as usize] += 1;
            uniforms[(10.0 * stream.uniform()) as usize] += 1;
        }
        // The 0.999 quantile of chi-square with 9 degrees of freedom is 27.9.
        assert!(chi_square(&integers) < 27.9, "{integers:?}");
        assert!(chi_square(&uniforms) < 27.9, "{uniforms:?}");
    }

    #[test]
    fn integers_below_a_huge_bound_are_not_biased() {
        // With bound ¾·2⁶⁴ a plain remainder favours the lowest third, a plain product each third number.
        let bound = NonZeroU64::new(3 << 62).unwrap();
        let mut stream = RandomStream::new(12, 0);
        let (mut thirds, mut remainders) = ([0; 3], [0; 3]);
        for _ in 0..30_000 {
            let integer = stream.u64_below(bound);
            thirds[(integer >> 62) as usize] += 1;
            remainders[(integer % 3) as usize] += 1;
        }
        // The 0.999 quantile of chi-square with 2 degrees of freedom is 13.8.
        assert!(chi_square(&thirds) < 13.8, "{thirds:?}");
        assert!(chi_square(&remainders) < 13.8, "{remainders:?}");
    }

    #[test]
    fn normal_numbers_have_the_moments_and_the_tail_of_the_normal_law() {
        const COUNT: usize = 400_001;
        let mut values = vec![0.0; COUNT];
        RandomStream::new(13, 0).fill_normal(&mut values);
        let moment = |power| values.iter().map(|v: &f64| v.powi(power)).sum::<f64>() / COUNT as f64;
        // Mean and standard deviation of the k-th power: E x^k and sqrt(E x^2k − (E x^k)²).
        for (power, mean, deviation) in
            [(1, 0.0, 1.0), (2, 1.0, 2_f64.sqrt()), (3, 0.0, 15_f64.sqrt()), (4, 3.0, 96_f64.sqrt())]
        {
            let error = (moment(power) - mean) / (deviation / (COUNT as f64).sqrt());
            assert!(error.abs() < 4.0, "moment {power} is {error} standard errors off");
        }
        let beyond_two = values.iter().filter(|v| v.abs() > 2.0).count() as f64 / COUNT as f64;
        assert!((beyond_two - 0.045_500).abs() < 0.0014);
        // Neighbours come from one pair and must not be correlated, nor must their squares.
        let products: f64 = values.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / COUNT as f64;
        let squares: f64 = values.windows(2).map(|w| (w[0] * w[0] - 1.0) * (w[1] * w[1] - 1.0)).sum::<f64>();
        assert!(products.abs() * (COUNT as f64).sqrt() < 4.0);
        assert!((squares / 2.0 / (COUNT as f64).sqrt()).abs() < 4.0);
    }

    #[test]
    fn signs_are_even_and_only_plus_or_minus_one() {
        let mut stream = RandomStream::new(14, 0);
        let mut values = vec![0.0; 100_003];
        stream.fill_rademacher(&mut values);
        values.extend((0..100_000).map(|_| stream.rademacher()));
        assert!(values.iter().all(|v| v.abs() == 1.0));
        let (filled, single) = values.split_at(100_003);
        for part in [filled, single] {
            assert!(part.iter().sum::<f64>().abs() < 4.0 * (part.len() as f64).sqrt());
            let lagged: f64 = part.iter().zip(&part[1..]).map(|(a, b)| a * b).sum();
            assert!(lagged.abs() < 4.0 * (part.len() as f64).sqrt());
        }
    }

    #[test]
    fn every_order_of_four_items_is_equally_likely() {
        let mut stream = RandomStream::new(15, 0);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..48_000 {
            let mut items = [0, 1, 2, 3];
            stream.shuffle(&mut items);
            *counts.entry(items).or_insert(0_u64) += 1;
        }
        assert_eq!(counts.len(), 24);
        // The 0.999 quantile of chi-square with 23 degrees of freedom is 49.7.
        assert!(chi_square(&counts.into_values().collect::<Vec<_>>()) < 49.7);
    }

    #[test]
    fn seeds_streams_and_names_give_different_words() {
        let mut words: Vec<u64> = (0..100)
            .flat_map(|seed| (0..10).map(move |number| RandomStream::new(seed, number).next_word()))
            .chain(["a", "b", "ab", "ba", ""].map(|name| RandomStream::named(0, name).next_word()))
            .collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }
}
