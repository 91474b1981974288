"""Experiment trackers: MLflow and Weights & Biases receive what is in a run's folder, while it trains or later."""
