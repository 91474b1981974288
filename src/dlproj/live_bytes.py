"""Peak memory of tensors on the CPU."""

import gc
import os
from types import TracebackType
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

_FORGET = "dlproj: forget the peak"


class LiveBytes:
    """Context manager that measures, with torch's profiler, the peak bytes of tensors allocated inside: `live.peak`.

    Earlier tensors are not counted and must not be freed inside: the profiler does not know their size, or takes it for
    that of another tensor that was at their place. Those that only the garbage collector frees are freed on entering.
    """

    peak: int  # bytes

    def __enter__(self) -> "LiveBytes":
        gc.collect()
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # no message about a missing GPU
        # acc_events changes nothing here, but without it torch 2.11 warns of profiles with several cycles.
        self._profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True)
        self._profile.start()
        return self

    def forget_peak(self) -> None:
        """Restart the search for the peak, from the bytes held now."""
        with record_function(_FORGET):
            pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._profile.stop()
        held = self.peak = 0
        events: Any = self._profile.profiler.kineto_results.events()  # type: ignore[union-attr]
        for event in sorted(events, key=lambda event: event.start_ns()):
            if event.name() == _FORGET:
                self.peak = held
            elif event.name() == "[memory]":
                held += event.nbytes()
                self.peak = max(self.peak, held)
