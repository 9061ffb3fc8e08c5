//! Records in the formats of other tools: TensorBoard, Parquet, MLflow, Trackio.
