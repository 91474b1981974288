"""Using a trained run: evaluation, prediction and export."""
