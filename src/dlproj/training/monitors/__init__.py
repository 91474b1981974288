"""What watches a run while it trains: figures by epoch, weights, units and samples."""
