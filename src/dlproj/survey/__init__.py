"""What a data set holds, before anything is trained on it: `dlproj data survey`."""
