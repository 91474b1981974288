"""What training over several processes costs: predicted by formulas, measured, and carried on to more GPUs."""
