"""The most bytes of tensors that are held at once on the CPU."""

import os
from types import TracebackType
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

_FORGET = "dlproj: forget the peak"


class LiveBytes:
    """Within `with LiveBytes() as live:` torch's profiler lists what is allocated and freed; then live.peak is known.

    Tensors from before are not counted, and must not be freed inside: the profiler does not know their size.
    """

    peak: int  # bytes

    def __enter__(self) -> "LiveBytes":
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it would speak of a GPU that is not there
        # acc_events changes nothing here, but without it torch 2.11 warns of profiles with several cycles.
        self._profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True)
        self._profile.start()
        return self

    def forget_peak(self) -> None:
        """Look for the peak from now on, in which what is held now counts."""
        with record_function(_FORGET):
            pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._profile.stop()
        held = self.peak = 0
        events: Any = self._profile.profiler.kineto_results.events()  # type: ignore[union-attr]
        for event in sorted(events, key=lambda one: one.start_ns()):
            if event.name() == _FORGET:
                self.peak = held
            elif event.name() == "[memory]":
                held += event.nbytes()
                self.peak = max(self.peak, held)
