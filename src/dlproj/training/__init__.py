"""A training run, and the callbacks and plugins of its Lightning Trainer."""
