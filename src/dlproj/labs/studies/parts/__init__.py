"""What studies are made of: networks, their mathematics, timing."""
