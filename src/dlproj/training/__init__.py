"""One run, and the parts of Lightning's Trainer that it is made of."""
