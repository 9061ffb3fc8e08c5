//! The names of everything that is recorded, with unit and meaning: the one place where they stand.

/// A recorded quantity: what it is called in records, and how a page explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// Name in records, with slashes that group panels.
    pub name: &'static str,
    /// Unit of value and error.
    pub unit: &'static str,
    /// Title on a page.
    pub title: &'static str,
    /// One sentence for a tooltip.
    pub description: &'static str,
}

macro_rules! quantities {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $unit:literal, $title:literal, $description:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "` (unit `", $unit, "`): ", $description)]
            pub const $constant: Quantity =
                Quantity { name: $name, unit: $unit, title: $title, description: $description };
        )*
        /// Every quantity this version records.
        pub const ALL: &[Quantity] = &[$($constant),*];
    };
}

quantities! {
    BATCH_LOSS = "train/batch_loss", "nat", "Mini-batch loss",
        "Mean loss of the step's own mini-batch, before the update.";
    TRAIN_LOSS = "train/loss", "nat", "Training loss",
        "Mean loss over the whole training set.";
    TRAIN_ACCURACY = "train/accuracy", "1", "Training accuracy",
        "Share of training examples that are put into their class: by the largest logit, or for a number by the nearest class.";
    RANDOM_LABEL_ACCURACY = "train/random_label_accuracy", "1", "Accuracy on random labels",
        "Share of the training examples with a random label that are put into that class: what can only be memorised.";
    KEPT_LABEL_ACCURACY = "train/kept_label_accuracy", "1", "Accuracy on kept labels",
        "Share of the training examples with their own label that are put into that class.";
    TEST_LOSS = "test/loss", "nat", "Test loss",
        "Mean loss over the whole test set.";
    TEST_ACCURACY = "test/accuracy", "1", "Test accuracy",
        "Share of test examples that are put into their class: by the largest logit, or for a number by the nearest class.";
    LEARNING_RATE = "control/learning_rate", "learning-rate", "Learning rate",
        "The factor on the gradient that the step used.";
    BATCH_SIZE = "control/batch_size", "examples", "Batch size",
        "Examples of the update, where the batch size follows a schedule.";
    MOMENTUM = "control/momentum", "1", "Momentum",
        "Momentum of the update, where it follows a schedule.";
    LINE_MINIMUM = "control/line_minimum", "learning-rate", "Minimum of the loss along the step",
        "Vertex of the parabola through the loss of held-out batches along the step, as a learning rate.";
    LINE_SLOPE = "control/line_slope", "nat", "Slope of the loss along the step",
        "Slope at its start of the mean loss of many batches along the unit direction of the step.";
    LINE_CURVATURE = "control/line_curvature", "1/learning-rate", "Curvature of the loss along the step",
        "Curvature of the mean loss of many batches along the unit direction of the step.";
    REFUSALS = "control/refusals", "1", "Refused measurements",
        "Measurements of the step so far that were refused, so that the last step served on.";
    UPDATES = "control/updates", "1", "Updates",
        "Updates of the weights in the whole run: fewer than mini-batches where several make an update.";
    FORWARD_PASSES = "control/forward_passes", "1", "Forward passes",
        "Forward passes over a mini-batch that the optimizer took in the whole run, those of gradients among them.";
    BACKWARD_PASSES = "control/backward_passes", "1", "Backward passes",
        "Backward passes over a mini-batch that the optimizer took in the whole run.";
    DISTANCE_ESTIMATE = "control/distance_estimate", "1", "Estimated distance to a minimum",
        "Prodigy's d after the update, an estimate from below: the learning rate is this times prodigy.learning_rate_factor.";
    GRADIENT_NORM = "train/gradient_norm", "nat", "Gradient norm",
        "Euclidean norm of the gradient of the loss over the probe examples.";
    HESSIAN_TOP_EIGENVALUE = "curvature/hessian_top_eigenvalue", "1/learning-rate", "Sharpness",
        "Algebraically largest eigenvalue of the Hessian of the loss over the probe examples.";
    PRECONDITIONED_TOP_EIGENVALUE = "curvature/preconditioned_top_eigenvalue", "1/learning-rate", "Sharpness as the optimizer scales it",
        "Top eigenvalue of the Hessian between the roots of the optimizer's diagonal (Adam, groups of parameters), with coupled weight decay.";
    HESSIAN_EIGENVALUE_2 = "curvature/hessian_eigenvalue_2", "1/learning-rate", "Second Hessian eigenvalue",
        "Second largest eigenvalue of the Hessian of the loss over the probe examples.";
    HESSIAN_EIGENVALUE_3 = "curvature/hessian_eigenvalue_3", "1/learning-rate", "Third Hessian eigenvalue",
        "Third largest eigenvalue of the Hessian of the loss over the probe examples.";
    HESSIAN_EIGENVALUE_4 = "curvature/hessian_eigenvalue_4", "1/learning-rate", "Fourth Hessian eigenvalue",
        "Fourth largest eigenvalue of the Hessian of the loss over the probe examples.";
    HESSIAN_EIGENVALUE_5 = "curvature/hessian_eigenvalue_5", "1/learning-rate", "Fifth Hessian eigenvalue",
        "Fifth largest eigenvalue of the Hessian of the loss over the probe examples.";
    GAUSS_NEWTON_TOP_EIGENVALUE = "curvature/gauss_newton_top_eigenvalue", "1/learning-rate", "Top eigenvalue of the Gauss-Newton matrix",
        "Largest eigenvalue of the Gauss-Newton matrix over the probe examples; near the sharpness where residuals are small.";
    EFFECTIVE_SHARPNESS = "curvature/effective_sharpness", "1", "Learning rate x sharpness",
        "Learning rate times top Hessian eigenvalue; gradient descent is unstable above 2 (1 + momentum).";
    NOISE_SCALE = "noise/gradient_noise_scale", "examples", "Gradient noise scale",
        "Trace of the per-example gradient covariance over the squared gradient norm: the batch size at which noise and signal are equal.";
    NOISE_TRACE = "noise/gradient_covariance_trace", "nat^2", "Gradient noise",
        "Trace of the covariance of one example's gradient.";
    EMA_TEST_LOSS = "average/ema/test_loss", "nat", "Test loss of the EMA",
        "Test loss of the exponential moving average of the weights.";
    EMA_TEST_ACCURACY = "average/ema/test_accuracy", "1", "Test accuracy of the EMA",
        "Test accuracy of the exponential moving average of the weights.";
    EMA_LOSS_GAIN = "average/ema/test_loss_gain", "nat", "Gain of the EMA",
        "Test loss of the last iterate minus that of the exponential moving average, paired by example.";
    TWO_POINT_TEST_LOSS = "average/two_point/test_loss", "nat", "Test loss of the two-point average",
        "Test loss of the mean of the last iterate and one some steps before.";
    TWO_POINT_TEST_ACCURACY = "average/two_point/test_accuracy", "1", "Test accuracy of the two-point average",
        "Test accuracy of the mean of the last iterate and one some steps before.";
    TWO_POINT_LOSS_GAIN = "average/two_point/test_loss_gain", "nat", "Gain of the two-point average",
        "Test loss of the last iterate minus that of the two-point average, paired by example.";
    EMA_STATISTICS_GAIN = "average/ema/statistics_gain", "nat", "Gain of new statistics for the EMA",
        "Test loss of the EMA with the running statistics of the last iterate minus that with its own, paired by example.";
    TWO_POINT_STATISTICS_GAIN = "average/two_point/statistics_gain", "nat", "Gain of new statistics for the two-point average",
        "Test loss of the two-point average with the running statistics of the last iterate minus that with its own, paired by example.";
    WINDOW_TEST_LOSS = "average/window/test_loss", "nat", "Test loss of the window",
        "Test loss of the mean of the latest iterates.";
    WINDOW_TEST_ACCURACY = "average/window/test_accuracy", "1", "Test accuracy of the window",
        "Test accuracy of the mean of the latest iterates.";
    WINDOW_LOSS_GAIN = "average/window/test_loss_gain", "nat", "Gain of the window",
        "Test loss of the last iterate minus that of the mean of the latest iterates, paired by example.";
    WINDOW_STATISTICS_GAIN = "average/window/statistics_gain", "nat", "Gain of new statistics for the window",
        "Test loss of the window with the running statistics of the last iterate minus that with its own, paired by example.";
    LAWA_TEST_LOSS = "average/lawa/test_loss", "nat", "Test loss of LAWA",
        "Test loss of the mean of the latest snapshots, one an epoch.";
    LAWA_TEST_ACCURACY = "average/lawa/test_accuracy", "1", "Test accuracy of LAWA",
        "Test accuracy of the mean of the latest snapshots, one an epoch.";
    LAWA_LOSS_GAIN = "average/lawa/test_loss_gain", "nat", "Gain of LAWA",
        "Test loss of the last iterate minus that of the mean of the latest snapshots, paired by example.";
    LAWA_STATISTICS_GAIN = "average/lawa/statistics_gain", "nat", "Gain of new statistics for LAWA",
        "Test loss of LAWA with the running statistics of the last iterate minus that with its own, paired by example.";
    SWA_TEST_LOSS = "average/swa/test_loss", "nat", "Test loss of SWA",
        "Test loss of the mean of all iterates since averaging began, one every so often.";
    SWA_TEST_ACCURACY = "average/swa/test_accuracy", "1", "Test accuracy of SWA",
        "Test accuracy of the mean of all iterates since averaging began, one every so often.";
    SWA_LOSS_GAIN = "average/swa/test_loss_gain", "nat", "Gain of SWA",
        "Test loss of the last iterate minus that of SWA, paired by example.";
    SWA_STATISTICS_GAIN = "average/swa/statistics_gain", "nat", "Gain of new statistics for SWA",
        "Test loss of SWA with the running statistics of the last iterate minus that with its own, paired by example.";
    STABILITY_POSITION = "stability/sharpness_over_threshold", "1", "Sharpness over the optimizer's threshold",
        "Learning rate times sharpness over what the optimizer's own rule bears: 1 is the edge of stability.";
    CRITICAL_SHARPNESS = "stability/critical_sharpness", "1/learning-rate", "Critical sharpness",
        "2 over the learning rate at which the step, taken on its own batch, stops lowering that batch's loss.";
    CRITICAL_LEARNING_RATE = "stability/critical_learning_rate", "learning-rate", "Critical learning rate",
        "Learning rate at which the step, taken on its own batch, stops lowering that batch's loss.";
    LOSS_RAISING_STEPS = "stability/loss_raising_steps", "1", "Steps that raise the loss by a fifth",
        "How many lengths of the coming step raise the loss over the probe examples to 1.2 times its value.";
    BATCH_SHARPNESS = "stability/batch_sharpness", "1/learning-rate", "Batch sharpness",
        "Mean curvature of a mini-batch's loss along its own gradient.";
    BATCH_STABILITY_POSITION = "stability/batch_sharpness_over_threshold", "1", "Batch sharpness over the optimizer's threshold",
        "Learning rate times batch sharpness over what the optimizer's own rule bears: mini-batch SGD settles near 1.";
    CURVATURE_SPREAD = "stability/curvature_spread", "1/learning-rate", "Spread of per-example curvature",
        "Standard deviation over examples of the curvature of one example's loss along the sharpest direction.";
    RELATIVE_CURVATURE_SPREAD = "stability/relative_curvature_spread", "1", "Spread of curvature over sharpness",
        "Standard deviation over examples of the curvature along the sharpest direction, over its mean.";
    MEAN_SQUARE_GROWTH = "stability/mean_square_growth", "1", "Mean-square growth along the sharpest direction",
        "Factor on the mean squared distance along the sharpest direction in one step of this batch size; the direction breaks even at 1.";
    LARGEST_STABLE_LEARNING_RATE = "stability/largest_stable_learning_rate", "learning-rate", "Largest stable learning rate",
        "Learning rate at which the sharpest direction breaks even for the present batch size and momentum.";
    LEARNING_RATE_POSITION = "stability/learning_rate_over_largest_stable", "1", "Learning rate over the largest stable one",
        "1 is the break-even point of the sharpest direction for this batch size and momentum.";
    BREAK_EVEN_CURVATURE = "stability/break_even_curvature", "1/learning-rate", "Sharpness at break-even",
        "Sharpness at which the sharpest direction would break even at this learning rate, with the spread growing in proportion.";
    SMALLEST_STABLE_BATCH = "stability/smallest_stable_batch", "examples", "Smallest stable batch",
        "Batch size from which on the sharpest direction is stable at this learning rate.";
    PREDICTED_BREAK_EVEN = "stability/predicted_break_even_step", "steps", "Predicted break-even step",
        "Step at which the learning rate over the largest stable one reaches 1 if it goes on as in the last readings.";
    OBSERVED_BREAK_EVEN = "stability/observed_break_even_step", "steps", "Observed break-even step",
        "First step at which the learning rate over the largest stable one was 1.";
    SHARPNESS_PEAK = "stability/sharpness_peak_step", "steps", "Step of the first peak of sharpness",
        "First local maximum of the sharpness, a running mean over three readings.";
    FIXED_BATCH_LOSS = "fixed_batch/loss", "nat", "Loss of the fixed batches",
        "Mean loss of a few mini-batches that stay the same along the whole run.";
    CHORD_CONVEXITY = "fixed_batch/chord_convexity", "1", "Chord convexity",
        "Share of chords between two points of the trajectory at whose middle a fixed batch's loss is below the mean of its ends.";
    CHORD_GAP = "fixed_batch/chord_gap", "1", "Depth below the chord",
        "Mean over chords of how far a fixed batch's loss at the middle lies below the mean of its ends, over that mean.";
    FIRST_ORDER_CONVEXITY = "fixed_batch/first_order_convexity", "1", "First-order convexity",
        "Share of earlier points of the trajectory at which a fixed batch's loss lies above its tangent plane at the present point.";
    ONE_STEP_MINIMUM = "one_step/minimum", "learning-rate", "Best rate of a step for its own batch",
        "Learning rate at which one gradient step on a batch lowers that batch's loss most; mean over batches.";
    ONE_STEP_MINIMUM_RATIO = "one_step/minimum_ratio", "1", "Best rate of a step over the learning rate",
        "Learning rate at which one gradient step on a batch lowers that batch's loss most, over the learning rate; mean over batches.";
    ONE_STEP_FLOOR = "one_step/floor", "nat", "Floor of one step",
        "Lowest loss that one gradient step on a batch reaches on that batch; mean over batches.";
    ONE_STEP_FLOOR_RATIO = "one_step/floor_ratio", "1", "Floor of one step over the loss",
        "Lowest loss that one gradient step on a batch reaches on that batch over its loss before; mean over batches.";
    ONE_STEP_FULL_LOSS = "one_step/full_loss", "nat", "Loss after the batch's best step",
        "Loss over the probe examples after the step that lowers a batch's own loss most; mean over batches.";
    LINE_CONVEXITY = "one_step/line_convexity", "1", "Line convexity",
        "Share of positive second differences of a batch's loss along its gradient, up to twice the minimum.";
    QUADRATIC_FIT = "one_step/quadratic_fit", "1", "Quadratic fit",
        "R-squared of a parabola through a batch's loss along its gradient, up to 1.2 times the minimum.";
    QUADRATIC_FIT_WIDE = "one_step/quadratic_fit_wide", "1", "Quadratic fit, twice as far",
        "R-squared of a parabola through a batch's loss along its gradient, up to twice the minimum.";
    ONE_STEP_GAUGE = "gauge/one_step", "1", "Half-rate gauge, one step",
        "Vertex of the held-out loss along the actual update, in updates: 1/2 where steps are dominated by noise, above while they descend.";
    MANY_STEP_GAUGE = "gauge/many_steps", "1", "Half-rate gauge, many steps",
        "Vertex of the held-out loss along the chord between two readings, in chords: 1/2 when converged, above while slow directions descend.";
    EXCESS_TWO_POINTS = "excess/two_points", "nat", "Loss that a cooldown would remove, from two points",
        "Excess loss of the stationary law at this learning rate, from the two-point curve: the most that a full cooldown gains, descent aside.";
    EXCESS_NOISE = "excess/noise", "nat", "Loss that a cooldown would remove, from gradient noise",
        "Effective learning rate times the trace of the batch gradients' covariance over 4: the same excess, by another way.";
    EXCESS_REALISED = "excess/realised", "nat", "Loss that the cooldown has removed",
        "Mean loss before the learning rate changed less the loss now, over the same examples.";
    GAIN_COOLDOWN = "gain/cooldown", "nat", "Predicted gain of the cooldown",
        "Loss that a cooldown of the planned length would remove, descent aside, predicted before it is run.";
    GAIN_HALVING = "gain/halving", "nat", "Predicted gain of half the learning rate",
        "Loss that half the learning rate would remove in the long run, descent aside, predicted before it is run.";
    NORM_TEST = "gradient/norm_test", "1", "Norm test",
        "Root of the batch gradient's variance over the squared gradient norm: the smallest bound of the norm test that this batch size passes.";
    INNER_PRODUCT_TEST = "gradient/inner_product_test", "1", "Inner product test",
        "Deviation of the batch gradient along the gradient, over the gradient norm: the smallest bound that this batch size passes.";
    ORTHOGONALITY_TEST = "gradient/orthogonality_test", "1", "Orthogonality test",
        "Deviation of the batch gradient across the gradient, over the gradient norm: the smallest bound that this batch size passes.";
    CABS_BATCH_SIZE = "gradient/coupled_batch_size", "examples", "Batch size coupled to the learning rate",
        "Effective learning rate times gradient noise over the loss (CABS): the batch size that suits the learning rate.";
    GRADIENT_SNR = "gradient/signal_to_noise", "1", "Gradient signal-to-noise ratio",
        "Mean over parameters of squared mean gradient over the variance of one example's.";
    BATCH_FULL_ALIGNMENT = "gradient/batch_alignment", "1", "Alignment of batch and full gradient",
        "Cosine between the gradient of a batch of the training size and that of the whole loss.";
    STEP_POSITION = "gradient/step_position", "1", "Position of the step on its parabola",
        "Where the coming update ends on the parabola through loss and slope at both ends: -1 stays, 0 is the minimum, 1 the opposite side.";
    TAKEUCHI = "gradient/takeuchi_criterion", "1", "Takeuchi information criterion",
        "Trace of the gradient covariance over that of the Hessian.";
    DISTANCE_FROM_START = "distance/from_start", "1", "Distance from the start",
        "Euclidean distance of the weights from the initial ones.";
    DISTANCE_BETWEEN_READINGS = "distance/since_last_reading", "1", "Distance since the last reading",
        "Euclidean distance of the weights from those at the probe's last reading.";
    WEIGHT_NORM = "distance/weight_norm", "1", "Norm of the weights",
        "Euclidean norm of all weights.";
    NORMALISATION_SCALE = "weights/normalisation_scale_norm", "1", "Norm of the normalisation scales",
        "Euclidean norm of the scales of all normalisation layers.";
    LAST_NORMALISATION_SCALE = "weights/last_normalisation_scale_norm", "1", "Norm of the last normalisation scale",
        "Euclidean norm of the scale of the last normalisation layer.";
    COVARIANCE_TOP_EIGENVALUE = "covariance/top_eigenvalue", "nat^2", "Top eigenvalue of the gradient covariance",
        "Largest eigenvalue of the covariance of one example's gradient over the probe examples, by products.";
    COVARIANCE_TRACE = "covariance/trace", "nat^2", "Trace of the gradient covariance",
        "Trace of the covariance of one example's gradient over the probe examples.";
    COVARIANCE_TRACE_RATIO = "covariance/trace_over_top", "1", "Trace over top eigenvalue of the gradient covariance",
        "How many directions carry the gradient noise, at least: larger is better conditioned.";
    GRAM_TOP_EIGENVALUE = "covariance/gram_top_eigenvalue", "nat^2", "Top eigenvalue of the batch gradients' covariance",
        "Largest eigenvalue of the covariance of the measured batch gradients, scaled to one example; biased upwards by few batches.";
    GRAM_CONDITIONING = "covariance/gram_conditioning", "1", "Smallest over largest eigenvalue of the batch gradients' covariance",
        "Smallest non-zero over largest eigenvalue of the covariance of the measured batch gradients.";
    GRAM_TRACE_RATIO = "covariance/gram_trace_over_top", "1", "Trace over top eigenvalue of the batch gradients' covariance",
        "At most the number of measured batches less one; comparable at equal number and size of batches only.";
    TOP_FIVE_SHARE = "covariance/gradient_over_top_five", "1", "Gradient over its part in the top five noise directions",
        "Norm of a batch gradient over that of its projection on the top five eigenvectors of the batch gradients' covariance; 1 is all inside.";
    HESSIAN_COVARIANCE_ALIGNMENT = "covariance/hessian_alignment", "1", "Alignment of sharpest and noisiest direction",
        "Absolute cosine between the top eigenvectors of Hessian and gradient covariance.";
    GRADIENT_HESSIAN_ALIGNMENT = "curvature/gradient_alignment", "1", "Alignment of gradient and sharpest direction",
        "Absolute cosine between the gradient and the top eigenvector of the Hessian.";
    HESSIAN_BOTTOM_EIGENVALUE = "curvature/hessian_bottom_eigenvalue", "1/learning-rate", "Most negative curvature",
        "Algebraically smallest eigenvalue of the Hessian of the loss over the probe examples.";
    HESSIAN_TRACE = "curvature/hessian_trace", "1/learning-rate", "Trace of the Hessian",
        "Trace of the Hessian of the loss over the probe examples.";
    HESSIAN_FROBENIUS = "curvature/hessian_frobenius_norm", "1/learning-rate", "Frobenius norm of the Hessian",
        "Root of the sum of squared eigenvalues of the Hessian of the loss over the probe examples.";
    HESSIAN_NEGATIVE_MASS = "curvature/hessian_negative_mass", "1", "Share of negative curvature",
        "Weight of the Hessian's spectral density below zero, less what rounding puts there.";
    PROBE_COST = "budget/probe_cost", "1", "Cost of the probes",
        "Counted cost of all readings so far over that of the training so far, both in gradients of one example.";
    READINGS_TAKEN = "budget/readings_taken", "1", "Readings taken",
        "Share of the readings due that the budget allowed.";
}

/// What is recorded of one average of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AverageQuantities {
    /// Its test loss.
    pub loss: Quantity,
    /// Its test accuracy.
    pub accuracy: Quantity,
    /// Test loss of the last iterate minus its own.
    pub gain: Quantity,
    /// What new running statistics gain it; only of networks that have some.
    pub statistics_gain: Quantity,
}

impl AverageQuantities {
    const fn all(&'static self) -> [&'static Quantity; 4] {
        [&self.loss, &self.accuracy, &self.gain, &self.statistics_gain]
    }
}

macro_rules! average {
    ($loss:ident, $accuracy:ident, $gain:ident, $statistics:ident) => {
        AverageQuantities { loss: $loss, accuracy: $accuracy, gain: $gain, statistics_gain: $statistics }
    };
}

/// The exponential moving average.
pub const EMA: &AverageQuantities = &average!(EMA_TEST_LOSS, EMA_TEST_ACCURACY, EMA_LOSS_GAIN, EMA_STATISTICS_GAIN);
/// The two-point average.
pub const TWO_POINT: &AverageQuantities =
    &average!(TWO_POINT_TEST_LOSS, TWO_POINT_TEST_ACCURACY, TWO_POINT_LOSS_GAIN, TWO_POINT_STATISTICS_GAIN);
/// The window.
pub const WINDOW: &AverageQuantities =
    &average!(WINDOW_TEST_LOSS, WINDOW_TEST_ACCURACY, WINDOW_LOSS_GAIN, WINDOW_STATISTICS_GAIN);
/// LAWA.
pub const LAWA: &AverageQuantities =
    &average!(LAWA_TEST_LOSS, LAWA_TEST_ACCURACY, LAWA_LOSS_GAIN, LAWA_STATISTICS_GAIN);
/// SWA.
pub const SWA: &AverageQuantities = &average!(SWA_TEST_LOSS, SWA_TEST_ACCURACY, SWA_LOSS_GAIN, SWA_STATISTICS_GAIN);

macro_rules! numbered_averages {
    ($constant:ident, $kind:literal, $title:literal, $($number:literal),*; $doc:literal) => {
        #[doc = $doc]
        pub const $constant: &[AverageQuantities] = &[$(AverageQuantities {
            loss: Quantity {
                name: concat!("average/", $kind, "_", $number, "/test_loss"),
                unit: "nat",
                title: concat!("Test loss of ", $title, " ", $number),
                description: concat!("Test loss of ", $title, " number ", $number, "."),
            },
            accuracy: Quantity {
                name: concat!("average/", $kind, "_", $number, "/test_accuracy"),
                unit: "1",
                title: concat!("Test accuracy of ", $title, " ", $number),
                description: concat!("Test accuracy of ", $title, " number ", $number, "."),
            },
            gain: Quantity {
                name: concat!("average/", $kind, "_", $number, "/test_loss_gain"),
                unit: "nat",
                title: concat!("Gain of ", $title, " ", $number),
                description: concat!("Test loss of the last iterate minus that of ", $title, " number ", $number, ", paired by example."),
            },
            statistics_gain: Quantity {
                name: concat!("average/", $kind, "_", $number, "/statistics_gain"),
                unit: "nat",
                title: concat!("Gain of new statistics for ", $title, " ", $number),
                description: "Test loss with the running statistics of the last iterate minus that with its own, paired by example.",
            },
        }),*];
    };
}

numbered_averages!(EMA_BANK, "ema", "EMA", 2, 3, 4, 5, 6, 7, 8; "The further exponential moving averages, in the order of `average.more_ema_half_lives`.");
numbered_averages!(POWER_BANK, "power", "power-function average", 1, 2, 3, 4; "The power-function averages, in the order of `average.power_widths`.");

macro_rules! sketch {
    ($($index:literal),*) => {
        /// The coordinates of a run's way in a random projection, from which distances between runs can be had.
        pub const SKETCH: &[Quantity] = &[$(Quantity {
            name: concat!("sketch/", $index),
            unit: "1",
            title: concat!("Coordinate ", $index, " of the random projection"),
            description: "One coordinate of the way from the initial weights in a random projection that all runs with this probe seed share.",
        }),*];
    };
}

sketch!("00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15");

macro_rules! by_number {
    ($(#[$doc:meta])* $constant:ident = $stem:literal, $unit:literal, $title:literal, $description:literal, [$($number:literal),*]) => {
        $(#[$doc])*
        pub const $constant: &[(u64, Quantity)] = &[$(($number, Quantity {
            name: concat!($stem, "/", $number),
            unit: $unit,
            title: concat!($title, " ", $number),
            description: $description,
        })),*];
    };
}

by_number!(
    /// The two-point curve by lag.
    TWO_POINT_DROP = "two_point/drop", "nat", "Two-point drop at lag",
    "Mean loss at two points of the run so many steps apart less the loss in their middle, over recent stretches of the run.",
    [1, 3, 10, 30, 100, 300, 1000, 3000, 10000]
);
by_number!(
    /// The half-rate gauge along chords, by lag.
    CHORD_GAUGE = "gauge/chord", "1", "Half-rate gauge at lag",
    "Vertex of the loss along chords of so many steps, in chords: 1/2 when converged, above while slow directions descend.",
    [1, 3, 10, 30, 100, 300, 1000, 3000, 10000]
);
by_number!(
    /// Predicted gain of an EMA, by half-life in steps.
    GAIN_EMA = "gain/ema", "nat", "Predicted gain of an EMA of half-life",
    "Loss that an exponential moving average of this half-life in steps would gain over the last iterate, predicted from the two-point curve.",
    [3, 10, 30, 100, 300, 1000, 3000]
);
by_number!(
    /// Predicted gain of a window, by length in steps.
    GAIN_WINDOW = "gain/window", "nat", "Predicted gain of a window of",
    "Loss that the mean of so many latest iterates would gain over the last one, predicted from the two-point curve.",
    [10, 30, 100, 300, 1000, 3000, 10000]
);

/// The Hessian eigenvalues after the largest.
pub const HESSIAN_EIGENVALUES: [&Quantity; 4] =
    [&HESSIAN_EIGENVALUE_2, &HESSIAN_EIGENVALUE_3, &HESSIAN_EIGENVALUE_4, &HESSIAN_EIGENVALUE_5];

/// The quantity of that name, if this version records one.
pub fn by_name(name: &str) -> Option<&'static Quantity> {
    let by_lag =
        [TWO_POINT_DROP, CHORD_GAUGE, GAIN_EMA, GAIN_WINDOW].into_iter().flatten().map(|(_, quantity)| quantity);
    let averages = EMA_BANK.iter().chain(POWER_BANK).flat_map(AverageQuantities::all);
    ALL.iter().chain(SKETCH).chain(by_lag).chain(averages).find(|quantity| quantity.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_grouped_and_findable() {
        let names: HashSet<&str> = ALL.iter().map(|q| q.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| name.contains('/')));
        assert!(ALL.iter().all(|q| by_name(q.name) == Some(q)));
        assert_eq!(by_name("average/ema_3/test_loss_gain").map(|q| q.unit), Some("nat"));
        assert_eq!(
            by_name("average/power_2/test_accuracy").map(|q| q.title),
            Some("Test accuracy of power-function average 2")
        );
    }
}
