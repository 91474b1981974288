"""Figures, tables and pages made from run folders: nothing here imports torch."""
