"""Builds the documentation site from docs/, the notebooks and the pages that lie elsewhere."""
