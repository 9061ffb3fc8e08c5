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
        "Share of training examples whose largest logit is the label's.";
    TEST_LOSS = "test/loss", "nat", "Test loss",
        "Mean loss over the whole test set.";
    TEST_ACCURACY = "test/accuracy", "1", "Test accuracy",
        "Share of test examples whose largest logit is the label's.";
    LEARNING_RATE = "control/learning_rate", "learning-rate", "Learning rate",
        "The factor on the gradient that the step used.";
    LINE_MINIMUM = "control/line_minimum", "learning-rate", "Minimum of the loss along the step",
        "Vertex of the parabola through the loss of held-out batches along the step, as a learning rate.";
    GRADIENT_NORM = "train/gradient_norm", "nat", "Gradient norm",
        "Euclidean norm of the gradient of the loss over the probe examples.";
    HESSIAN_TOP_EIGENVALUE = "curvature/hessian_top_eigenvalue", "1/learning-rate", "Sharpness",
        "Algebraically largest eigenvalue of the Hessian of the loss over the probe examples.";
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
}

/// The quantity of that name, if this version records one.
pub fn by_name(name: &str) -> Option<&'static Quantity> {
    ALL.iter().find(|quantity| quantity.name == name)
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
    }
}
