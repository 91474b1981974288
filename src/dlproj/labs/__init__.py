"""What serves the lab documents: their experiments, figures and measurements. Only the commands import it."""
