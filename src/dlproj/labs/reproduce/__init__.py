"""Reported beside reproduced: the experiments of conf/experiment run and put into one table, `dlproj reproduce`."""
