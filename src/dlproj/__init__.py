"""dlproj: MLP and RNN classifiers on Fashion-MNIST, CIFAR-10 and IMDB, trained by Lightning and composed by Hydra."""
