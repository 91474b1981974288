"""What a finished run is good for: evaluating it again, predicting with it, exporting it."""
