"""What is done to the processes in a round: drawn from its seed beforehand, carried out while the script runs."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.crash.cluster import LEASE_S, Cluster, Service
from tests.e2e.conftest import kill

# A process that reads a document lives some milliseconds; this long a disturbance waits for one.
_AIM_S: Final = 0.5


class Aim(StrEnum):
    """What is hit."""

    KILL_WORKER = "worker killed"
    KILL_API = "API killed"
    KILL_BOTH = "all workers and APIs killed"
    KILL_PARSER = "parser killed"
    KILL_FORK_SERVER = "fork server killed"
    KILL_COMMAND = "command killed"
    STOP_WORKER = "worker stopped"
    STOP_API = "API stopped"
    OUTAGE = "database out of service"


_WEIGHTS: Final = {
    Aim.KILL_WORKER: 34,
    Aim.KILL_API: 28,
    Aim.KILL_BOTH: 8,
    Aim.KILL_PARSER: 10,
    Aim.KILL_FORK_SERVER: 6,
    Aim.STOP_WORKER: 8,
    Aim.STOP_API: 6,
    Aim.OUTAGE: 6,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Disturbance:
    """One kill or stop, `delay_s` after step number `step` begins; the step after the last is the wait for the end."""

    aim: Aim
    step: int
    delay_s: float
    # Picks one of several processes: a share of their number.
    pick: float
    # How long a stopped process sleeps, or the database is out of service.
    sleep_s: float


def make_disturbances(seed: int, steps: int, command_steps: Sequence[int]) -> list[Disturbance]:
    """Return what round `seed` does: one to three disturbances, about half of them while only the workers work.

    `command_steps`: the steps that run a command; every other one of them is hit too.
    """
    dice = random.Random(f"disturbances of {seed}")
    found = []
    for aim in dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=dice.randint(1, 3)):
        step = steps if dice.random() < 0.5 else dice.randrange(steps)
        found.append(_draw(dice, aim, step, within_s=1.0 if step == steps else 0.1))
    hit = [step for step in command_steps if dice.random() < 0.5]
    return found + [_draw(dice, Aim.KILL_COMMAND, step, within_s=2.0) for step in hit]


def _draw(dice: random.Random, aim: Aim, step: int, *, within_s: float) -> Disturbance:
    return Disturbance(
        aim=aim,
        step=step,
        delay_s=dice.uniform(0, within_s),
        pick=dice.random(),
        sleep_s=dice.choice((0.3, 1.5 * LEASE_S)),
    )


class Disturber:
    """Carries out the disturbances of a round, each in a thread of its own."""

    def __init__(self, cluster: Cluster, disturbances: Sequence[Disturbance]) -> None:
        self._cluster = cluster
        self._waiting = list(disturbances)
        self._threads: list[threading.Thread] = []
        self._faults: list[Exception] = []
        # What was hit, and under "missed ..." what was not there to be hit.
        self.counts: Counter[str] = Counter()

    def begin(self, step: int) -> None:
        """Set off what is to happen in this step."""
        for one in [one for one in self._waiting if one.step == step]:
            self._waiting.remove(one)
            thread = threading.Thread(target=self._run, args=(one,), name=one.aim)
            self._threads.append(thread)
            thread.start()

    def join(self) -> None:
        """Wait until everything has happened and every stopped process goes on."""
        self.give_up()
        if self._faults:
            raise self._faults[0]

    def give_up(self) -> None:
        """Begin nothing more, and wait for what has begun."""
        self._waiting.clear()
        for thread in self._threads:
            thread.join()

    def _run(self, one: Disturbance) -> None:
        time.sleep(one.delay_s)
        try:
            has_hit = self._hit(one)
        except Exception as fault:  # noqa: BLE001 - it is raised by `join`, in the test's own thread
            self._faults.append(fault)
        else:
            self.counts[one.aim if has_hit else f"missed: {one.aim}"] += 1

    def _hit(self, one: Disturbance) -> bool:
        cluster = self._cluster
        match one.aim:
            case Aim.KILL_WORKER:
                cluster.kill(_picked(cluster.workers, one.pick))
            case Aim.KILL_API:
                cluster.kill(_picked(cluster.apis, one.pick))
            case Aim.KILL_BOTH:
                cluster.kill(*cluster.services)
            case Aim.KILL_PARSER:
                return _kill_first(cluster.parsers)
            case Aim.KILL_FORK_SERVER:
                return _kill_first(cluster.fork_servers)
            case Aim.KILL_COMMAND:
                return cluster.kill_commands() > 0
            case Aim.STOP_WORKER | Aim.STOP_API:
                self._stop(one)
            case Aim.OUTAGE:
                cluster.wait_until_ready()
                with cluster.outage():
                    time.sleep(one.sleep_s)
        return True

    def _stop(self, one: Disturbance) -> None:
        cluster = self._cluster
        service = _picked(cluster.workers if one.aim is Aim.STOP_WORKER else cluster.apis, one.pick)
        cluster.stop(service)
        time.sleep(one.sleep_s)
        cluster.wake(service)


def _picked(services: Sequence[Service], share: float) -> Service:
    return services[int(share * len(services))]


def _kill_first(find: Callable[[], Iterator[int]]) -> bool:
    """Kill the first process that is found; look for one for a while."""
    deadline = time.monotonic() + _AIM_S
    while time.monotonic() < deadline:
        for pid in find():
            kill(pid)
            return True
    return False
