"""The LightningModules: MLPClassifier and RNNClassifier on one base, and the parts that they are made of."""
