"""A training without batch norm and without anything random but the samples; also a program, for launchers.

python tiny_training.py OUTPUT STEPS BATCH_SIZE
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.utils.data import Dataset

from msnvis.training.trainer import Trainer, TrainerOptions


class Line(Dataset):
    """Noisy points of a line; the noise depends on the number of the sample."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, item: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        index, number = item
        noise = float(np.random.default_rng([7, number]).normal())
        return torch.tensor([index / 40]), torch.tensor([index / 20 + 1 + noise])


class TinyTrainer(Trainer):
    best_metric = "closeness"

    def __init__(self, output: Path, steps: int, batch_size: int = 4, **options: object) -> None:
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        settings = {"validate_every": 4, "checkpoint_every": 2, "log_every": 1, "workers": 0, **options}
        super().__init__(
            TrainerOptions(output=output, batch_size=batch_size, learning_rate=0.01, **settings),
            network,
            [{"params": list(network.parameters())}],
            Line(),
            np.ones(40),
            steps,
            {"network": "tiny"},
        )

    def losses(self, batch: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        x, y = batch
        return {"loss_square": ((self.network(x) - y) ** 2).mean()}

    def learning_rate(self) -> float:
        return self.options.learning_rate

    def validate(self) -> dict[str, float]:
        x = torch.linspace(0, 1, 20)[:, None]
        with torch.no_grad():
            return {"closeness": 1 / (1 + float(((self.average.module(x) - 2 * x - 1) ** 2).mean()))}

    def save_weights(self, path: Path) -> None:
        save_file(self.average.module.state_dict(), path)


if __name__ == "__main__":
    TinyTrainer(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])).run()
