"""Private names of torchmetrics, which is not imported here."""

# Those that its modules import from torchmetrics and from torchmetrics.utilities.plot before they use them.
LOGGER = "_logger"
PLOT_TYPES = ("_AX_TYPE", "_PLOT_OUT_TYPE", "_CMAP_TYPE")
