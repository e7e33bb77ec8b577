"""What a front-end has to say about money, kept on disk until unigate has answered it."""

import json
import os
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fact:
    routing_key: str
    body: dict
    # The same for every repetition, so an answer to any of them settles the fact.
    correlation_id: str


class Outbox:
    """A directory with a file per fact. It survives a crash and a power cut; the disk has it before put() returns."""

    def __init__(self, directory):
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # there are payers' names in it

    def put(self, routing_key, body):
        fact = Fact(routing_key, body, correlation_id=f"{time.time_ns():020}-{uuid.uuid4()}")
        unfinished = self._path(fact).with_suffix(".tmp")
        with open(unfinished, "w", encoding="utf-8") as file:
            json.dump(asdict(fact), file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self._path(fact))
        self._sync_directory()
        return fact

    def remove(self, fact):
        self._path(fact).unlink(missing_ok=True)

    def unanswered(self):
        """Oldest first."""
        files = sorted(self._directory.glob("*.json"))
        return [Fact(**json.loads(file.read_text(encoding="utf-8"))) for file in files]

    def _path(self, fact):
        return self._directory / f"{fact.correlation_id}.json"

    def _sync_directory(self):
        if os.name == "nt":  # no such thing there
            return
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
