//! What is known of settings on a problem before any step: stability, limits, regime, laws of decay.

use stepscope_theory::{
    Asymptotics, PowerLaw, PowerLawFit, Problem, Regime, Sgd, Stability, TheoryError, balanced_batch_size,
    critical_learning_rate, growth_per_step, noise_floor,
};

use super::advice::PredictAdvice;

/// α_eff·t_trans above which the transition time is reliable (`loss-prediction`, section 4).
const RELIABLE_TRANSITION: f64 = 3e3;

/// Share of the last mode's own decay time after which the missing modes behind it are a tenth of the loss.
const END_IS_FELT: f64 = 0.05;

/// Everything that constant settings say about a run without running it. Sources: `loss-prediction`, section 3.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// U(1) and the limit of the largest mode.
    pub stability: Stability,
    /// Factor by which the mean loss grows per step in the long run; 1 where it is stable.
    pub growth_per_step: f64,
    /// Learning rate at which the mean loss starts to diverge, for the same momentum and batch.
    pub critical_learning_rate: f64,
    /// a/(1 − b).
    pub effective_learning_rate: f64,
    /// How the loss behaves in the long run.
    pub regime: Regime,
    /// The power law of the spectrum, given or fitted.
    pub law: Option<PowerLaw>,
    /// The law of decay, for stable settings on a power law with ν > 1.
    pub asymptotics: Option<Asymptotics>,
    /// Loss that label noise keeps up for ever; infinite for unstable settings.
    pub noise_floor: f64,
    /// The batch size above which larger batches buy no larger learning rate; none for a single mode.
    pub balanced_batch_size: Option<f64>,
    /// What there is to know about the numbers above.
    pub advice: Vec<PredictAdvice>,
}

impl Analysis {
    /// Evaluates constant settings on a problem: some hundred passes over the modes at most.
    ///
    /// The power law is the problem's own or, where it has none, fitted to its spectrum. `smallest_eigenvalue` and `steps` say
    /// whether the run outlives the power law.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range.
    pub fn of(problem: &Problem, sgd: &Sgd, smallest_eigenvalue: Option<f64>, steps: u64) -> Result<Self, TheoryError> {
        let model = &problem.model;
        let fitted = || PowerLawFit::of(model).filter(PowerLawFit::is_power_law).map(|fit| fit.law);
        let law = problem.power_law.or_else(fitted);
        let asymptotics = law.and_then(|law| Asymptotics::of(&law, model, sgd));
        let mut found = Self {
            stability: Stability::of(model, sgd),
            growth_per_step: growth_per_step(model, sgd)?,
            critical_learning_rate: critical_learning_rate(model, sgd.momentum, sgd.noise_factor)?,
            effective_learning_rate: sgd.effective_learning_rate(),
            regime: law.as_ref().map_or(Regime::NotAPowerLaw, Regime::of),
            law,
            asymptotics,
            noise_floor: noise_floor(model, sgd)?,
            balanced_batch_size: balanced_batch_size(model, sgd.momentum)?,
            advice: Vec::new(),
        };
        found.advice = found.advise(smallest_eigenvalue, steps);
        if let Some(law) = law.filter(|_| problem.power_law.is_none()) {
            let PowerLaw { eigenvalue_exponent, target_exponent, .. } = law;
            found.advice.insert(0, PredictAdvice::LawFitted { eigenvalue_exponent, target_exponent });
        }
        Ok(found)
    }

    fn advise(&self, smallest_eigenvalue: Option<f64>, steps: u64) -> Vec<PredictAdvice> {
        let mut advice = Vec::new();
        if let Some(law) = self.law.filter(|law| law.eigenvalue_exponent <= 1.0) {
            advice.push(PredictAdvice::OnlyTheEndIsStable { eigenvalue_exponent: law.eigenvalue_exponent });
        }
        let Some(asymptotics) = &self.asymptotics else { return advice };
        let rate = self.effective_learning_rate;
        if let Some(smallest) = smallest_eigenvalue {
            let last_decay = 1.0 / (2.0 * rate * smallest);
            let step = END_IS_FELT * last_decay;
            if step < steps as f64 {
                advice.push(PredictAdvice::SpectrumEnds { step, last_decay });
            }
        }
        if let Some(time) = asymptotics.transition_time
            && time * rate < RELIABLE_TRANSITION
        {
            advice.push(PredictAdvice::TransitionUnreliable { flow_time: time * rate });
        }
        advice
    }
}

#[cfg(test)]
mod tests {
    use stepscope_theory::Closure;

    use super::*;

    #[test]
    fn a_listed_power_law_is_found_again_by_its_fit() {
        let law = PowerLaw::new(1.5, 1.0, 2000.0).unwrap();
        let given = Problem::of_power_law(law, Closure::INTERPOLATING).unwrap();
        let measured = Problem { power_law: None, ..given.clone() };
        let sgd = Sgd::from_numbers(0.2, 0.0, 1.0).unwrap();
        let (given, measured) =
            (Analysis::of(&given, &sgd, None, 10).unwrap(), Analysis::of(&measured, &sgd, None, 10).unwrap());
        assert_eq!((given.regime, measured.regime), (Regime::SignalDominated, Regime::SignalDominated));
        let constants = [&given, &measured].map(|analysis| analysis.asymptotics.unwrap().signal_constant);
        assert!((constants[0] / constants[1] - 1.0).abs() < 0.25, "{constants:?}");
        let is_fitted = |analysis: &Analysis| {
            analysis.advice.iter().any(|advice| matches!(advice, PredictAdvice::LawFitted { .. }))
        };
        assert!(is_fitted(&measured) && !is_fitted(&given));
    }

    #[test]
    fn runs_that_outlive_their_spectrum_are_told_so() {
        let law = PowerLaw::new(1.5, 1.0, 100.0).unwrap();
        let problem = Problem::of_power_law(law, Closure::INTERPOLATING).unwrap();
        let sgd = Sgd::from_numbers(0.2, 0.0, 1.0).unwrap();
        let ends = |steps| {
            let analysis = Analysis::of(&problem, &sgd, Some(1e-3), steps).unwrap();
            analysis.advice.iter().any(|advice| matches!(advice, PredictAdvice::SpectrumEnds { .. }))
        };
        assert!(ends(126) && !ends(124));
    }
}
