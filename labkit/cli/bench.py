"""``labkit bench``: the speed table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bench:
    """Print the speed table: kernel against reference, each row measured side by side in this run."""

    device: str = "cpu"
    """Where the kernels run: cpu or cuda."""
    quick: bool = False
    """Small meshes only: a minute instead of several."""

    def run(self) -> int:
        """Print the rows as they are measured; return 0."""
        from labkit.bench import run

        for line in run(device=self.device, quick=self.quick):
            print(line, flush=True)
        return 0
