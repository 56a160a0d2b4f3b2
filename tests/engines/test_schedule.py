"""What follows from the steps that workers have done."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from msnvis.engines.outcome import Outcome, PieceTask, Split, VideoTask
from msnvis.engines.schedule import Schedule, failed

FILM, CLIP = (VideoTask(f"{name}.mp4", Path(name), restart=True) for name in ("film", "clip"))


def done(task: VideoTask, seconds: float = 1.0, status: str = "done") -> Outcome:
    return Outcome(task.address, str(task.folder), status, seconds=seconds)


def split(*numbers: int) -> Split:
    return Split(tuple(PieceTask(FILM, number) for number in numbers), seconds=5.0)


def steps(schedule: Schedule) -> list[object]:
    """All that wait: the numbers of pieces, the addresses of videos."""
    waiting = [schedule.next()[0] for _ in range(len(schedule))]
    return [step.number if isinstance(step, PieceTask) else step.address for step in waiting]


def test_videos_come_in_their_order_and_end():
    schedule = Schedule([FILM, CLIP])
    assert schedule.next() == (FILM, 0) and schedule.next() == (CLIP, 0) and not schedule
    assert schedule.done(CLIP, done(CLIP)) == done(CLIP)


def test_pieces_come_before_other_videos_and_then_the_video_itself_without_beginning_anew():
    schedule = Schedule([FILM, CLIP])
    schedule.next()
    assert schedule.done(FILM, split(4, 7)) is None
    first, second = schedule.next()[0], schedule.next()[0]
    assert (first, second) == (PieceTask(FILM, 4), PieceTask(FILM, 7))
    assert schedule.done(second, done(FILM, 20.0)) is None
    assert schedule.done(first, done(FILM, 10.0)) is None
    again, losses = schedule.next()
    assert again == VideoTask("film.mp4", Path("film"), restart=False) and losses == 0
    assert schedule.done(again, done(FILM, 2.0)).seconds == 37.0
    assert steps(schedule) == ["clip.mp4"]


def test_a_piece_that_fails_fails_its_video_once():
    schedule = Schedule([FILM, CLIP])
    schedule.next()
    schedule.done(FILM, split(0, 1, 2, 3))
    first, second = schedule.next()[0], schedule.next()[0]
    outcome = schedule.done(first, failed(first, "the disk is full"))
    assert (outcome.status, outcome.seconds) == ("failed", 5.0)
    assert outcome.why == "film.mp4: the disk is full"
    assert schedule.done(second, failed(second, "the disk is full")) is None
    assert steps(schedule) == ["clip.mp4"]


def test_what_lost_its_worker_is_next_and_goes_on():
    schedule = Schedule([FILM, CLIP])
    step, losses = schedule.next()
    schedule.again(step, losses + 1)
    assert schedule.next() == (VideoTask("film.mp4", Path("film"), restart=False), 1)
    schedule.done(FILM, split(0, 1))
    piece, losses = schedule.next()
    schedule.again(piece, losses + 1)
    assert schedule.next() == (piece, 1)


def test_pieces_that_vanish_do_not_keep_a_video_for_ever():
    schedule = Schedule([FILM])
    schedule.next()
    schedule.done(FILM, split(0))
    schedule.done(schedule.next()[0], done(FILM))
    outcome = schedule.done(schedule.next()[0], split(0))
    assert outcome.status == "failed" and "repeat the command" in outcome.why and not schedule


@given(st.lists(st.integers(0, 5), max_size=6), st.randoms())
def test_every_video_ends_once_in_whatever_order_workers_are_done(pieces, random):
    tasks = [VideoTask(str(number), Path(str(number))) for number in range(len(pieces))]
    schedule, divided, busy, ended = Schedule(tasks), set(), [], []
    while schedule or busy:
        while schedule and len(busy) < 3:
            busy.append(schedule.next()[0])
        step = busy.pop(random.randrange(len(busy)))
        video = step.video if isinstance(step, PieceTask) else step
        count = pieces[int(video.address)]
        if step is video and count and video.address not in divided:
            divided.add(video.address)
            result = Split(tuple(PieceTask(video, number) for number in range(count)))
        else:
            result = done(video)
        outcome = schedule.done(step, result)
        ended += [outcome.input] if outcome else []
    assert sorted(ended) == sorted(task.address for task in tasks)
