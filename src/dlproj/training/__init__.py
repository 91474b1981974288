"""The parts of the Lightning Trainer: its settings, callbacks, progress bar and processes."""
