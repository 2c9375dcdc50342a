"""The server elsewhere: an object store behind a broken network, a database that ends our connections or falls."""

from __future__ import annotations

import signal

from tests.chaos_proxy import Behaviour
from tests.torture.home import PostgresqlHome, S3Home
from tests.torture.trial import Trial

BROKEN = tuple(behaviour for behaviour in Behaviour if behaviour is not Behaviour.HONEST)
BROKEN_SECONDS = 3.0
MOST_BYTES = 4_000
ENDINGS = 4
LONGEST_PAUSE = 0.25


def network(trial: Trial) -> None:
    """The network to the object store does what broken ones do; then it is whole again, or the process is killed."""
    home = trial.world.home(trial.scenario.home)
    assert isinstance(home, S3Home)
    behaviour = trial.chance.choice(BROKEN)
    before = home.proxy.connections
    with home.proxy.behaving(behaviour, cut_after=trial.chance.randrange(MOST_BYTES)):
        playing = trial.begin(trial.scenario.act)
        playing.wait(BROKEN_SECONDS * (1 + trial.chance.random()))
        if trial.chance.random() < 1 / 2:
            playing.signal(signal.SIGKILL)
    trial.heard(playing.ended())
    trial.struck += [f"network:{behaviour}"] * (home.proxy.connections > before)


def backends(trial: Trial) -> None:
    """The database server ends every connection, again and again, as it does when it is started anew."""
    home = trial.world.home(trial.scenario.home)
    assert isinstance(home, PostgresqlHome)
    playing = trial.begin(trial.scenario.act)
    playing.until("reached")
    for _ in range(ENDINGS):
        if playing.wait(trial.chance.random() * LONGEST_PAUSE):
            break
        ended = home.end_connections(trial.place)
        trial.struck += ["backend:terminated"] * ended
        trial.oracle.interruptions += ended
    trial.heard(playing.ended())


def server_killed(trial: Trial) -> None:
    """The database server falls in the middle of the act, and comes back with what it has on its disk."""
    home = trial.world.home(trial.scenario.home)
    assert isinstance(home, PostgresqlHome)
    playing = trial.begin(trial.scenario.act)
    playing.until("reached")
    if not playing.wait(trial.chance.random() * LONGEST_PAUSE):
        home.server.kill(signal.SIGQUIT)
        playing.wait(trial.chance.random() * LONGEST_PAUSE)
        home.server.start_again()
        trial.struck.append("server:fallen")
        trial.oracle.interruptions += 1
    trial.heard(playing.ended())
