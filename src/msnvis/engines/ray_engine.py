"""Many videos over the machines of a Ray cluster, or over this machine alone."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from msnvis.cpu import prepare_process
from msnvis.engines.outcome import Outcome, Split, VideoTask
from msnvis.engines.schedule import Schedule, Step, failed
from msnvis.errors import MissingExtraError, OptionError

#: Processes a video or a piece of one and tells how that ended, or into which pieces the video is to be
#: split; raises nothing that a video can cause.
Work = Callable[[Step], Outcome | Split]


@dataclass(frozen=True)
class RayOptions:
    """What a worker gets, and how many there are.

    Attributes:
        workers: processes that each load the models once; None for as many as the cluster has room for.
        cpus: cores reserved for each. None for 1 where it has a GPU, else for as many as PyTorch has threads
            here.
        gpus: GPUs reserved for each; with 0.25, four share one. None for 1 where the cluster has any, else 0.
        retries: times that a video, or piece of one, is tried again after the worker it was on was lost.
    """

    workers: int | None = None
    cpus: float | None = None
    gpus: float | None = None
    retries: int = 3

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise OptionError(f"workers is {self.workers}; give a whole number from 1 on")
        for name, value, least in (
            ("cpus", self.cpus, 0.01),
            ("gpus", self.gpus, 0),
            ("retries", self.retries, 0),
        ):
            if value is not None and not least <= value < math.inf:
                raise OptionError(f"the {name} of workers are {value}; give a number from {least} on")
        if (self.gpus or 0) > 1 and self.gpus != int(self.gpus):
            raise OptionError(f"a worker cannot have {self.gpus} GPUs; give a part of one, or a whole number")


def run_on_ray(
    make_work: Callable[[], Work], tasks: Sequence[VideoTask], options: RayOptions | None = None
) -> Iterator[Outcome]:
    """Process `tasks` on workers, each of which has one at a time; the others wait here, not in the cluster.

    A video that is split occupies as many workers as it has pieces; they begin before the videos after it.

    Ray's own rules say which cluster it is: that of ``RAY_ADDRESS``, else the one that runs on this machine,
    else a new one on this machine alone. On every machine msnvis, the inputs, the folders of results and the
    current folder must be there under the same names. PyTorch has as many threads in every worker as here,
    because on CPUs the last digits depend on their number.

    Args:
        make_work: makes what processes the videos and their pieces, once a worker; picklable.
        tasks: the videos.
        options: of the workers.

    Yields:
        How each ended, in that order. A video or piece whose worker is lost goes to another one, which goes
        on from the last checkpoint.

    Raises:
        MissingExtraError: ``pip install msnvis[ray]`` is needed.
        OptionError: `make_work` fails on a worker, or the cluster has no room for one.

    >>> for outcome in run_on_ray(make_work, tasks, RayOptions(gpus=0.5)):  # doctest: +SKIP
    ...     print(outcome.input, outcome.status)
    """
    options = options or RayOptions()
    with _cluster() as ray:
        import torch

        threads = torch.get_num_threads()
        gpus = options.gpus
        if gpus is None:
            gpus = 1.0 if ray.cluster_resources().get("GPU") else 0.0
        cpus = options.cpus or (1.0 if gpus else float(threads))
        room = _room(ray.nodes(), cpus, gpus)
        worker = ray.remote(num_cpus=cpus, num_gpus=gpus)(_Worker)
        most = min(room, options.workers or room)
        pool = _Pool(ray, lambda: worker.remote(make_work, os.getcwd(), threads), most)
        try:
            pool.check_first()
            yield from pool.run(tasks, options.retries)
        finally:
            pool.close()


class _Worker:
    """Lives in a process of its own, in `folder`; makes what it works with when it is first needed."""

    def __init__(self, make_work: Callable[[], Work], folder: str, threads: int) -> None:
        prepare_process()
        self._make_work, self._folder, self._threads = make_work, folder, threads
        self._work: Work | None = None

    def prepare(self) -> str | None:
        """What went wrong when models were loaded, as text, because not every error can be sent."""
        try:
            self._ready()
        except Exception as error:
            return str(error) or type(error).__name__
        return None

    def process(self, step: Step) -> Outcome | Split:
        return self._ready()(step)

    def _ready(self) -> Work:
        if self._work is None:
            import torch

            torch.set_num_threads(self._threads)
            os.chdir(self._folder)  # names of inputs, weights and results may be relative
            self._work = self._make_work()
        return self._work


class _Pool:
    """Workers, at most so many, and what each of them is busy with; one is started when it is needed."""

    def __init__(self, ray: Any, start: Callable[[], Any], most: int) -> None:
        self._ray, self._start, self._most = ray, start, most
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Step, int]] = {}

    def check_first(self) -> None:
        """Raise `OptionError` where models cannot be loaded, rather than for each video."""
        self._idle.append(self._start())
        try:
            problem = self._ray.get(self._idle[0].prepare.remote())
        except self._ray.exceptions.RayError as error:
            problem = f"the first worker was lost ({_first_line(error)})"
        if problem:
            raise OptionError(f"the workers cannot begin: {problem}")

    def run(self, tasks: Sequence[VideoTask], retries: int) -> Iterator[Outcome]:
        schedule = Schedule(tasks)
        while schedule or self._busy:
            while schedule and (self._idle or len(self._busy) < self._most):
                self._submit(*schedule.next())
            outcome = self._wait(schedule, retries)
            if outcome is not None:
                yield outcome

    def _submit(self, step: Step, losses: int) -> None:
        worker = self._idle.pop() if self._idle else self._start()
        self._busy[worker.process.remote(step)] = (worker, step, losses)

    def _wait(self, schedule: Schedule, retries: int) -> Outcome | None:
        """Until a worker is done or lost; gives the outcome of a video that ended."""
        ready, _ = self._ray.wait(list(self._busy), num_returns=1)
        worker, step, losses = self._busy.pop(ready[0])
        try:
            result = self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError as error:
            result = failed(step, f"unexpected {_first_line(error.cause)}", is_ours=True)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(worker)
            if losses < retries:
                schedule.again(step, losses + 1)
                return None
            why = f"its worker was lost in attempt {losses + 1} of {retries + 1} ({_first_line(error)})"
            return schedule.done(step, failed(step, f"{why}; where memory is short, give fewer --workers"))
        self._idle.append(worker)
        return schedule.done(step, result)

    def close(self) -> None:
        for worker in (*self._idle, *(worker for worker, _, _ in self._busy.values())):
            self._ray.kill(worker)


@contextmanager
def _cluster() -> Iterator[Any]:
    """The module `ray`, connected; disconnected at the end unless it was connected before."""
    try:
        import ray
    except ImportError:
        raise MissingExtraError("the engine ray needs Ray: pip install msnvis[ray]") from None
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    try:
        ray.init(log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise OptionError(f"no Ray cluster can be used: {_first_line(error)}; see `ray status`") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _room(nodes: Sequence[dict[str, Any]], cpus: float, gpus: float) -> int:
    """How many workers `nodes`, as Ray lists them, have room for; raises `OptionError` where not one fits."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    room = 0
    for has in alive:
        here = int(has.get("CPU", 0) // cpus)
        if gpus:
            # A part of a GPU must be on one of them.
            there = has.get("GPU", 0)
            here = min(here, int(there) * int(1 / gpus) if gpus < 1 else int(there // gpus))
        room += here
    if room < 1:
        raise OptionError(
            f"no machine of the Ray cluster has {cpus:g} cores and {gpus:g} GPUs for a worker; ask for less "
            "with --worker-cpus and --worker-gpus"
        )
    return room


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
