"""Run folders, read and compared as plain data: nothing here imports torch."""
