"""Path of conf/: in the checkout, or in the installed package; and the command that trains, as a user types it."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_CHECKOUT = _PACKAGE.parents[1] / "conf"
CONF = _CHECKOUT if (_CHECKOUT / "config.yaml").is_file() else _PACKAGE / "conf"


def train_command() -> str:
    """`python train.py` in a folder that has it, where dlproj runs from a checkout; else `dlproj train`."""
    return "python train.py" if CONF == _CHECKOUT and Path("train.py").is_file() else "dlproj train"
