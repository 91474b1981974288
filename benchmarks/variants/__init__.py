"""One way to train the same network a file, each with `run(job, pacer)`."""
