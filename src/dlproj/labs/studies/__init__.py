"""Figures and measurements that are not training runs: `dlproj study NAME`."""
