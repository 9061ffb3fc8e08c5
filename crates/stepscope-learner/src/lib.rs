//! Adapters that plug stepscope into the training loop of burn-train.
