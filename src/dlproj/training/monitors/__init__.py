"""Callbacks and loggers that record a run while it trains: metrics by epoch, weights, units and samples."""
