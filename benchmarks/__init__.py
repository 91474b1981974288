"""Paired comparison of training speed and memory, run by hand: `make bench`."""
