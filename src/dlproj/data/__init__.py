"""The data sets: one LightningDataModule each, on one base that hands out whole batches from memory."""
