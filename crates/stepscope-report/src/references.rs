//! Whom the methods that runs used are from.

use stepscope_types::quantity;
use stepscope_types::spec::{LearningRateSpec, OptimizerMethod};

use crate::Run;

/// Where a method of the optimizer is from.
const OF_METHODS: &[(&[OptimizerMethod], &str)] = &[
    (
        &[OptimizerMethod::LabPalSgd, OptimizerMethod::LabPalNsgd, OptimizerMethod::Fbpal],
        "LABPAL: Mutschler, Laube, Zell, Using a one dimensional parabolic model of the full-batch loss to estimate learning \
         rates during neural network training, 2021.",
    ),
    (&[OptimizerMethod::Pal], "PAL: Mutschler, Zell, Parabolic approximation line search for DNNs, NeurIPS 2020."),
    (
        &[OptimizerMethod::Sls],
        "SLS: Vaswani, Mishkin, Laradji, Schmidt, Gidel, Lacoste-Julien, Painless stochastic gradient: interpolation, \
         line-search, and convergence rates, NeurIPS 2019.",
    ),
    (
        &[OptimizerMethod::Ponos],
        "PoNoS: Galli, Rauhut, Schmidt, Don't be so monotone: relaxing stochastic line search in over-parameterized \
         models, NeurIPS 2023.",
    ),
    (
        &[OptimizerMethod::Sps],
        "SPS: Loizou, Vaswani, Laradji, Lacoste-Julien, Stochastic Polyak step-size for SGD, AISTATS 2021.",
    ),
    (
        &[OptimizerMethod::Momo],
        "MoMo: Schaipp, Ohana, Eickenberg, Defazio, Gower, MoMo: momentum models for adaptive learning rates, ICML 2024.",
    ),
    (
        &[OptimizerMethod::Prodigy],
        "Prodigy: Mishchenko, Defazio, Prodigy: an expeditiously adaptive parameter-free learner, ICML 2024.",
    ),
    (
        &[OptimizerMethod::Svag],
        "SVAG: Li, Malladi, Arora, On the validity of modeling SGD with stochastic differential equations, NeurIPS 2021.",
    ),
    (
        &[OptimizerMethod::ScheduleFree],
        "Schedule-Free: Defazio, Yang, Mehta, Mishchenko, Khaled, Cutkosky, The road less scheduled, NeurIPS 2024.",
    ),
];

/// The references of what the records show was used.
pub(crate) fn references(runs: &[Run]) -> Vec<String> {
    let recorded = |prefix: &str| runs.iter().any(|run| run.names().any(|name| name.starts_with(prefix)));
    let measured = |run: &Run| run.manifest().spec.optimizer.learning_rate == Some(LearningRateSpec::Measured);
    let with_method =
        |methods: &[OptimizerMethod]| runs.iter().any(|run| methods.contains(&run.manifest().spec.optimizer.method));
    let first = [
        (
            recorded(quantity::HESSIAN_TOP_EIGENVALUE.name),
            "Sharpness against the stability limit: Cohen, Kaur, Li, Kolter, Talwalkar, Gradient descent on neural \
             networks typically occurs at the edge of stability, ICLR 2021.",
        ),
        (
            recorded(quantity::NOISE_SCALE.name),
            "Gradient noise scale: McCandlish, Kaplan, Amodei et al., An empirical model of large-batch training, 2018.",
        ),
        (
            runs.iter().any(measured),
            "Learning rate from a parabola of the loss along the step: Mutschler, Laube, Zell, Using a one dimensional \
             parabolic model of the full-batch loss to estimate learning rates during neural network training, 2021.",
        ),
    ];
    let of_methods = OF_METHODS.iter().map(|(methods, reference)| (with_method(methods), *reference));
    let last = [
        (
            recorded("average/"),
            "Averages of weights as learning rates: Sandler, Zhmoginov, Vladymyrov, Miller, Training trajectories, \
             mini-batch losses and the curious role of the learning rate, 2023.",
        ),
        (
            runs.iter().any(Run::is_prediction),
            "Loss curves of mini-batch SGD on a quadratic: Velikanov, Kuznedelev, Yarotsky, A view of mini-batch SGD via \
             generating functions, ICLR 2023.",
        ),
    ];
    let used = first.into_iter().chain(of_methods).chain(last);
    used.filter(|(used, _)| *used).map(|(_, reference)| reference.to_owned()).collect()
}
