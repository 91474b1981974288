"""Path of conf/: in the checkout, or in the installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_CHECKOUT = _PACKAGE.parents[1] / "conf"
CONF = _CHECKOUT if (_CHECKOUT / "config.yaml").is_file() else _PACKAGE / "conf"
TRAIN = "python train.py" if CONF == _CHECKOUT else "dlproj train"  # the command as a user types it
