"""Train, test and record one classifier, or several with -m: `python train.py model=mlp optim=rmsprop`."""

import sys

if __name__ == "__main__":
    del sys.path[0]  # a random.py beside this file is the user's, and not what others mean by that name
from dlproj.cli.train import start

start(__name__)
