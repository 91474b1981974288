"""Survey of a data set before training: `dlproj data survey`."""
