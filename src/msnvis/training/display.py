"""What a training shows: a live line, TensorBoard, and a history file for curves."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: Weight of the newest value in the smoothed loss that is shown.
_SMOOTHING = 0.1


class TrainingDisplay:
    """Shows losses, learning rate and validation; plain lines where there is no terminal.

    Args:
        output: folder for ``history.jsonl`` and TensorBoard's events.
        steps: of the whole training.
        enabled: False in all processes but the first.
    """

    def __init__(self, output: Path, steps: int, enabled: bool) -> None:
        self.output, self.steps, self.enabled = output, steps, enabled
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

            self.writer = SummaryWriter(str(self.output))
            self.history = (self.output / "history.jsonl").open("a")
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
