"""What a training shows: a live line, TensorBoard, and a history file for curves."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from msnvis.io.atomic import replacing

#: In the folder of a training: an entry a line.
HISTORY = "history.jsonl"
#: Weight of the newest value in the smoothed loss that is shown.
_SMOOTHING = 0.1


class TrainingDisplay:
    """Shows losses, learning rate and validation; plain lines where there is no terminal.

    Args:
        output: folder for ``history.jsonl`` and TensorBoard's events.
        steps: of the whole training.
        begun: steps that are done; what the files hold of later ones, which are done again, is dropped.
        enabled: False in all processes but the first.
    """

    def __init__(self, output: Path, steps: int, enabled: bool, begun: int = 0) -> None:
        self.output, self.steps, self.enabled, self.begun = output, steps, enabled, begun
        self.smoothed: float | None = None
        self.start = time.monotonic()
        console = Console(stderr=True)
        self.plain = not console.is_terminal
        self.progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
            console=console,
            disable=self.plain or not enabled,
        )

    def __enter__(self) -> TrainingDisplay:
        if self.enabled:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.output), purge_step=self.begun + 1)
            path = self.output / HISTORY
            _drop_after(path, self.begun)
            self.history = path.open("a")
            self.progress.start()
            self.task = self.progress.add_task("", total=self.steps, status="")
        return self

    def __exit__(self, *exception: object) -> None:
        if self.enabled:
            self.progress.stop()
            self.writer.close()
            self.history.close()

    def losses(self, step: int, losses: dict[str, float], learning_rate: float) -> None:
        if not self.enabled:
            return
        value = losses["loss"]
        self.smoothed = (
            value if self.smoothed is None else self.smoothed + _SMOOTHING * (value - self.smoothed)
        )
        status = f"loss {self.smoothed:.3f}  lr {learning_rate:.1e}"
        self.progress.update(self.task, completed=step, status=status)
        if self.plain:
            self.progress.console.print(
                f"step {step}/{self.steps}  {status}  {self._minutes():.1f} min", soft_wrap=True
            )
        self._record(step, losses | {"learning_rate": learning_rate}, "train")

    def metrics(self, step: int, metrics: dict[str, float]) -> None:
        if not self.enabled:
            return
        main = {
            k: v
            for k, v in metrics.items()
            if k.startswith("any") or k.endswith("ap50") or k == "ap50_person"
        }
        text = "  ".join(f"{name} {value:.3f}" for name, value in main.items())
        self.progress.console.print(f"step {step}/{self.steps}  validation  {text}", soft_wrap=True)
        self._record(step, metrics, "validation")

    def _record(self, step: int, values: dict[str, float], kind: str) -> None:
        for name, value in values.items():
            self.writer.add_scalar(f"{kind}/{name}", value, step)
        rounded = {name: round(value, 6) for name, value in values.items()}
        entry = {"kind": kind, "step": step, "minutes": round(self._minutes(), 2)} | rounded
        self.history.write(json.dumps(entry) + "\n")
        self.history.flush()

    def _minutes(self) -> float:
        return (time.monotonic() - self.start) / 60


def _drop_after(path: Path, step: int) -> None:
    """Keep the entries of a history up to a step; a last one may be torn."""
    kept = []
    for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
        with suppress(ValueError, KeyError, TypeError):
            if json.loads(line)["step"] <= step and line.endswith("\n"):
                kept.append(line)
    with replacing(path) as temporary:
        temporary.write_text("".join(kept))
