//! Modes as they are read: eigenvalues, coefficients, multiplicities, checked one by one.

use stepscope_theory::{Closure, MeasuredHead, QuadraticModel, TheoryError, Warning};
use stepscope_types::Spectrum;

use super::literal::Tail;

/// Most modes that a file may hold: three columns of them fill half a gigabyte.
pub const MAX_MODES: usize = 20_000_000;

/// Modes λ_k with squared initial errors C_k and how many modes share each pair, as read from a source.
///
/// Every eigenvalue is finite and at least 0, every coefficient finite and at least 0, every multiplicity finite and above 0.
/// Source: `loss-prediction`, section 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModeTable {
    eigenvalues: Vec<f64>,
    coefficients: Vec<f64>,
    /// Empty while every multiplicity is 1.
    multiplicities: Vec<f64>,
    /// What a source left out because it has no minimum.
    left_out: Option<Warning>,
}

/// What is wrong with a number of a mode: what was expected, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) expected: &'static str,
    pub(super) advice: &'static str,
}

/// The columns of a mode, in the order of a file without a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Eigenvalue,
    Coefficient,
    Multiplicity,
}

impl Column {
    pub(super) const ALL: [Self; 3] = [Self::Eigenvalue, Self::Coefficient, Self::Multiplicity];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Eigenvalue => "eigenvalue",
            Self::Coefficient => "coefficient",
            Self::Multiplicity => "multiplicity",
        }
    }

    /// What is wrong with `value` in this column, if anything.
    pub(super) fn fault(self, value: f64) -> Option<Fault> {
        let fault = |expected, advice| Some(Fault { expected, advice });
        match self {
            Self::Eigenvalue if !value.is_finite() => {
                fault("a finite eigenvalue of at least 0", "leave the mode out, or repair what computed it")
            }
            Self::Eigenvalue if value < 0.0 => fault(
                "a finite eigenvalue of at least 0",
                "along negative curvature a quadratic has no minimum to predict: leave these modes out, or take the spectrum \
                 of the Gauss-Newton matrix",
            ),
            Self::Coefficient if !value.is_finite() || value < 0.0 => fault(
                "a finite coefficient of at least 0",
                "it is the squared initial error along the mode: square the projection",
            ),
            Self::Multiplicity if !value.is_finite() || value <= 0.0 => fault(
                "a finite multiplicity above 0",
                "it says how many modes share the line: leave lines with none out",
            ),
            _ => None,
        }
    }
}

impl ModeTable {
    /// Adds a mode whose numbers were checked by [`Column::fault`].
    pub(super) fn push(&mut self, eigenvalue: f64, coefficient: f64, multiplicity: f64) {
        if multiplicity != 1.0 && self.multiplicities.is_empty() {
            self.multiplicities = vec![1.0; self.eigenvalues.len()];
        }
        if multiplicity != 1.0 || !self.multiplicities.is_empty() {
            self.multiplicities.push(multiplicity);
        }
        self.eigenvalues.push(eigenvalue);
        self.coefficients.push(coefficient);
    }

    /// Remembers shares of the eigenvalues and of the squared gradient that the source left out, having no minimum.
    pub(super) fn leave_out(&mut self, of_eigenvalues: f64, of_gradient: f64) {
        let any = of_eigenvalues > 0.0 || of_gradient > 0.0;
        self.left_out = any.then_some(Warning::WithoutMinimum { of_eigenvalues, of_gradient });
    }

    /// Lines read; a line of higher multiplicity counts once.
    pub fn num_lines(&self) -> usize {
        self.eigenvalues.len()
    }

    /// λ in the order read.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// C in the order read.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// How many modes share a line; `None` where every line is one mode.
    pub fn multiplicities(&self) -> Option<&[f64]> {
        (!self.multiplicities.is_empty()).then_some(&self.multiplicities)
    }

    /// The smallest eigenvalue above 0, where the spectrum ends.
    pub fn smallest_eigenvalue(&self) -> Option<f64> {
        self.eigenvalues.iter().copied().filter(|&value| value > 0.0).reduce(f64::min)
    }

    /// The same modes with lines of whole multiplicity written out, where that gives at most `most` modes; else unchanged.
    pub fn expanded(self, most: f64) -> Self {
        let is_whole = self.multiplicities.iter().all(|count| count.fract() == 0.0);
        if self.multiplicities.is_empty() || !is_whole || self.multiplicities.iter().sum::<f64>() > most {
            return self;
        }
        let mut listed = Self { left_out: self.left_out.clone(), ..Self::default() };
        for ((&eigenvalue, &coefficient), &count) in
            self.eigenvalues.iter().zip(&self.coefficients).zip(&self.multiplicities)
        {
            (0..count as usize).for_each(|_| listed.push(eigenvalue, coefficient, 1.0));
        }
        listed
    }

    /// The interpolating model of these modes, and what there is to say about modes left out.
    ///
    /// # Errors
    /// [`TheoryError::NoPositiveEigenvalue`] where every eigenvalue is 0.
    pub fn model(self, closure: Closure) -> Result<(QuadraticModel, Vec<Warning>), TheoryError> {
        if self.multiplicities.is_empty() {
            // The model counts and reports zeros itself.
            let warnings = self.left_out.iter().cloned().collect();
            return Ok((QuadraticModel::interpolating(&self.spectrum()?, closure)?, warnings));
        }
        let kept = || self.eigenvalues.iter().map(|&value| value > 0.0);
        let keep =
            |list: &[f64]| -> Vec<f64> { list.iter().zip(kept()).filter(|(_, k)| *k).map(|(v, _)| *v).collect() };
        let num_zeros = kept().filter(|kept| !kept).count();
        let columns = [&self.eigenvalues, &self.coefficients, &self.multiplicities].map(|list| keep(list));
        if columns[0].is_empty() {
            return Err(TheoryError::NoPositiveEigenvalue { largest: 0.0 });
        }
        let model = QuadraticModel::with_multiplicities(&columns[0], &columns[1], &columns[2], closure)?;
        let zeros = (num_zeros > 0).then_some(Warning::ZeroCurvature { num_modes: num_zeros });
        Ok((model, self.left_out.into_iter().chain(zeros).collect()))
    }

    /// The model of these modes as the measured head of a spectrum whose `tail` is known by its sums only, and the tail's
    /// exponents (ν, ϰ).
    ///
    /// # Errors
    /// As [`MeasuredHead::model`], and [`TheoryError::Unsuited`] for lines of higher multiplicity.
    pub fn head_model(self, tail: Tail, closure: Closure) -> Result<(QuadraticModel, f64, f64), TheoryError> {
        if !self.multiplicities.is_empty() {
            return Err(TheoryError::Unsuited {
                method: "continuing a measured head",
                needs: "single modes",
                advice: "write modes of higher multiplicity on lines of their own",
            });
        }
        let Tail { trace, initial_loss, num_modes } = tail;
        MeasuredHead { head: self.spectrum()?, trace, initial_loss, num_modes }.model(closure)
    }

    fn spectrum(self) -> Result<Spectrum, TheoryError> {
        let num_modes = self.eigenvalues.len();
        // Every number was checked when it was read; what is left to refuse is a table without any.
        Spectrum::new(self.eigenvalues, self.coefficients).map_err(|_| TheoryError::Number {
            name: "number of modes",
            expected: "at least 1",
            got: num_modes as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(f64, f64, f64)]) -> ModeTable {
        let mut table = ModeTable::default();
        rows.iter().for_each(|&(eigenvalue, coefficient, count)| table.push(eigenvalue, coefficient, count));
        table
    }

    #[test]
    fn multiplicities_are_kept_only_where_one_differs_from_1() {
        assert_eq!(table(&[(1.0, 1.0, 1.0), (0.5, 1.0, 1.0)]).multiplicities(), None);
        assert_eq!(
            table(&[(1.0, 1.0, 1.0), (0.5, 1.0, 3.0), (0.2, 1.0, 1.0)]).multiplicities(),
            Some(&[1.0, 3.0, 1.0][..])
        );
    }

    #[test]
    fn lines_are_written_out_into_single_modes_where_they_are_few() {
        let grouped = table(&[(1.0, 2.0, 1.0), (0.5, 1.0, 2.0)]);
        assert_eq!(grouped.clone().expanded(3.0), table(&[(1.0, 2.0, 1.0), (0.5, 1.0, 1.0), (0.5, 1.0, 1.0)]));
        assert_eq!(grouped.clone().expanded(2.0), grouped);
        let broken = table(&[(1.0, 1.0, 1.5)]);
        assert_eq!(broken.clone().expanded(10.0), broken);
    }

    #[test]
    fn zeros_are_left_out_with_a_warning_and_only_zeros_are_refused() {
        let (model, warnings) = table(&[(2.0, 1.0, 2.0), (0.0, 1.0, 1.0)]).model(Closure::LEADING).unwrap();
        assert_eq!((model.num_modes(), model.trace()), (1, 4.0));
        assert_eq!(warnings, [Warning::ZeroCurvature { num_modes: 1 }]);
        for count in [1.0, 2.0] {
            let refused = table(&[(0.0, 1.0, count)]).model(Closure::LEADING);
            assert!(matches!(refused, Err(TheoryError::NoPositiveEigenvalue { .. })));
        }
        assert!(ModeTable::default().model(Closure::LEADING).is_err());
    }
}
