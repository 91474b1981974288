"""The data sets: one LightningDataModule each; their common base serves whole batches from memory."""
