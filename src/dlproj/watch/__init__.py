"""A local web page that shows a folder of runs while they train. Nothing here imports torch."""
