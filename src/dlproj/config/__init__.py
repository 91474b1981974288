"""Settings of a run: typed dataclasses and their checks. Nothing here imports torch or Lightning."""
