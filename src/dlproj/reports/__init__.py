"""Figures, tables and pages made of what runs have left: nothing here imports torch."""
