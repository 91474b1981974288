"""dlproj from Python: what `import dlproj` offers, imported when it is first used."""
