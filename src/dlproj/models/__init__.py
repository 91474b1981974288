"""The LightningModules, one per kind of network on a common base, and the parts that they are built from."""
