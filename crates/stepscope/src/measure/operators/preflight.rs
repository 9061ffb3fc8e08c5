//! Is the operator that of one fixed symmetric matrix? Asked before products are spent on it.

use stepscope_spectral::LinearOperator;
use stepscope_spectral::random::RandomStream;

use super::batch_loss::BatchLoss;
use super::curvature::CurvatureOperator;
use super::differences::Tangents;
use super::error::ProductError;
use super::objective::scalar;
use super::vector::{dot, norm};

/// What a preflight found: nothing wrong, and how exactly that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preflight {
    /// |⟨u, Av⟩ − ⟨Au, v⟩| / √(½(‖Au‖² + ‖Av‖²)) with u, v normal.
    pub symmetry_defect: f64,
    /// |⟨∇L, v⟩ forward − ⟨∇L, v⟩ backward| / ‖∇L‖ with v normal; `None` where tangents are differences.
    pub tangent_defect: Option<f64>,
    /// Products spent.
    pub num_products: u64,
}

impl<N: BatchLoss<B>, B> CurvatureOperator<'_, N, B> {
    /// Checks, with two normal vectors u and v of `random`, that
    ///
    /// 1. two products on v agree bit for bit: no hidden state;
    /// 2. the tangent of the loss along v is ⟨∇L, v⟩ from a backward pass: every layer has its tangent rule;
    /// 3. ⟨u, Av⟩ = ⟨Au, v⟩ to rounding.
    ///
    /// Where one fails, the parameters are gone through one by one, and the error names that which is to blame.
    ///
    /// Cost: three products, one gradient, one forward pass. Source: `curvature`, sections 4.8 and 5.3.
    ///
    /// # Errors
    /// [`ProductError::HiddenState`], [`ProductError::WrongTangent`], [`ProductError::Asymmetric`], or what a product
    /// can run into.
    pub fn preflight(&mut self, random: &mut RandomStream) -> Result<Preflight, ProductError> {
        // Each product must come about anew: what they share would hide that the network changes.
        let shared = self.linearisation.take();
        let found = self.check(random);
        self.linearisation = shared;
        found
    }

    fn check(&mut self, random: &mut RandomStream) -> Result<Preflight, ProductError> {
        let (mut u, mut v) = (vec![0.0; self.dim()], vec![0.0; self.dim()]);
        random.fill_normal(&mut u);
        random.fill_normal(&mut v);
        let image_of_v = self.product(&v)?;
        let again = self.product(&v)?;
        if let Some(index) = image_of_v.iter().zip(&again).position(|(a, b)| a.to_bits() != b.to_bits()) {
            return Err(ProductError::HiddenState { layer: self.name_of(index) });
        }
        let tangent_defect = match self.tangents() {
            Some(Tangents::Exact) => Some(self.check_tangents(&v)?),
            _ => None,
        };
        let symmetry_defect = self.check_symmetry(&u, &v, &image_of_v)?;
        Ok(Preflight { symmetry_defect, tangent_defect, num_products: 3 })
    }

    fn product(&mut self, v: &[f64]) -> Result<Vec<f64>, ProductError> {
        let mut image = vec![0.0; self.dim()];
        self.apply(v, &mut image)?;
        Ok(image)
    }

    fn check_tangents(&self, v: &[f64]) -> Result<f64, ProductError> {
        let (_, gradient) = self.objective.loss_and_gradient(self.network, self.layout)?;
        let defect = |v: &[f64]| Ok::<_, ProductError>((self.tangent(v)?, dot(&gradient, v)));
        let (tangent, expected) = defect(v)?;
        let size = norm(&gradient);
        let relative = if tangent == expected { 0.0 } else { (tangent - expected).abs() / size };
        if relative <= self.rounding() {
            return Ok(relative);
        }
        let mut worst = (String::new(), tangent, expected, -1.0);
        for (name, range) in self.layout.ranges() {
            let (tangent, expected) = defect(&only(v, range))?;
            if (tangent - expected).abs() > worst.3 {
                worst = (name.to_owned(), tangent, expected, (tangent - expected).abs());
            }
        }
        let (layer, tangent, expected, _) = worst;
        Err(ProductError::WrongTangent { layer, tangent, expected })
    }

    /// ⟨∇L, v⟩ as forward passes carry it.
    fn tangent(&self, v: &[f64]) -> Result<f64, ProductError> {
        let pass = self.layout.pass_along(v);
        let mut sum = 0.0;
        for (batch, len) in self.objective.sized_batches() {
            let Some(loss) = self.network.loss_along(batch, &pass) else { return Err(ProductError::NoTangent) };
            let tangent = loss.parts(len)?.per_example.tangent;
            sum += tangent.map_or(0.0, |tangent| scalar(&tangent.sum()));
        }
        Ok(sum / self.objective.num_examples().max(1) as f64)
    }

    fn check_symmetry(&mut self, u: &[f64], v: &[f64], image_of_v: &[f64]) -> Result<f64, ProductError> {
        let image_of_u = self.product(u)?;
        let size = norm(&image_of_u).hypot(norm(image_of_v)) * std::f64::consts::FRAC_1_SQRT_2;
        let difference = dot(u, image_of_v) - dot(&image_of_u, v);
        let defect = if difference == 0.0 { 0.0 } else { difference.abs() / size };
        let tolerance = match self.tangents() {
            Some(Tangents::Differences(calibration)) => self.rounding() + 10.0 * calibration.relative_change,
            _ => self.rounding(),
        };
        if defect <= tolerance {
            return Ok(defect);
        }
        let ranges: Vec<_> = self.layout.ranges().map(|(name, range)| (name.to_owned(), range)).collect();
        let mut worst = (String::new(), -1.0);
        for (layer, range) in ranges {
            let part = only(u, range);
            let share = (dot(&part, image_of_v) - dot(&self.product(&part)?, v)).abs();
            if share > worst.1 {
                worst = (layer, share);
            }
        }
        Err(ProductError::Asymmetric { layer: worst.0, defect, tolerance })
    }

    /// What rounding may leave of a difference of two sums: far above what it does, far below what a wrong rule does.
    fn rounding(&self) -> f64 {
        if self.layout.is_narrow() { 1e-3 } else { 1e-8 }
    }

    fn name_of(&self, index: usize) -> String {
        let mut ranges = self.layout.ranges();
        ranges.find(|(_, range)| range.contains(&index)).map_or_else(String::new, |(name, _)| name.to_owned())
    }
}

/// `v` within `range`, zero outside.
fn only(v: &[f64], range: std::ops::Range<usize>) -> Vec<f64> {
    let mut part = vec![0.0; v.len()];
    if let (Some(to), Some(from)) = (part.get_mut(range.clone()), v.get(range)) {
        to.copy_from_slice(from);
    }
    part
}
