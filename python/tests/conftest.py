"""A cluster of real processes for the Python tests, on ports of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from aistore.sdk import Bucket, Client

REPOSITORY = Path(__file__).resolve().parents[2]


def _free_port_range() -> int:
    """A base port p so that p..p+5, p+1000.. and p+2000.. are free now."""
    for base in range(21080, 29080, 100):
        try:
            for offset in (0, 1000, 2000):
                for node in range(6):
                    with socket.socket() as probe:
                        probe.bind(("127.0.0.1", base + offset + node))
            return base
        except OSError:
            continue
    raise RuntimeError("no free ports")


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The public URL of a proxy; AIS_ENDPOINT names a running cluster instead."""
    given = os.environ.get("AIS_ENDPOINT")
    if given:
        yield given
        return
    port = _free_port_range()
    root = tmp_path_factory.mktemp("cluster")
    env = os.environ | {"ROOT": str(root), "PORT": str(port), "DEMO": "no"}
    local = ["go", "run", "./deploy/local"]
    try:
        subprocess.run([*local, "deploy"], cwd=REPOSITORY, env=env, check=True, stdin=subprocess.DEVNULL, timeout=180)
        yield f"http://127.0.0.1:{port}"
    finally:
        subprocess.run([*local, "clean"], cwd=REPOSITORY, env=env, check=True, stdin=subprocess.DEVNULL, timeout=60)


@pytest.fixture(scope="session")
def client(endpoint: str) -> Client:
    return Client(endpoint)


@pytest.fixture
def bucket(client: Client) -> Iterator[Bucket]:
    made = client.bucket("py-" + uuid.uuid4().hex[:12]).create()
    yield made
    made.delete(missing_ok=True)
