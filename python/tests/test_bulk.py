"""Operations on many objects, by the public `aistore` client, unmodified."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError
from aistore.sdk.multiobj import ObjectRange


@pytest.fixture
def other(client: Client) -> Iterator[Bucket]:
    """A bucket that does not exist yet."""
    bucket = client.bucket("py-" + uuid.uuid4().hex[:12])
    yield bucket
    bucket.delete(missing_ok=True)


def names(bucket: Bucket, prefix: str = "") -> list[str]:
    return [entry.name for entry in bucket.list_all_objects(prefix=prefix)]


def fill(bucket: Bucket, *wanted: str) -> None:
    for name in wanted:
        bucket.object(name).get_writer().put_content(name.encode())


def test_copy_bucket(client: Client, bucket: Bucket, other: Bucket) -> None:
    fill(bucket, "a/1", "a/2", "b")
    job = client.job(bucket.copy(other, prefix_filter="a/", prepend="new-"))
    assert job.wait(timeout=60).success
    assert names(other) == ["new-a/1", "new-a/2"]
    assert other.object("new-a/1").get_reader().read_all() == b"a/1"


def test_dry_run_of_a_copy_makes_nothing(client: Client, bucket: Bucket, other: Bucket) -> None:
    fill(bucket, "a", "b")
    job = client.job(bucket.copy(other, dry_run=True))
    assert job.wait(timeout=60).success
    assert other.name not in [b.name for b in client.cluster().list_buckets()]


def test_copy_onto_itself(bucket: Bucket) -> None:
    with pytest.raises(AISError, match="onto itself"):
        bucket.copy(bucket)


def test_synchronize(client: Client, bucket: Bucket, other: Bucket) -> None:
    fill(bucket, "a", "b", "c")
    assert client.job(bucket.copy(other)).wait(timeout=60).success
    bucket.object("b").delete()
    assert client.job(bucket.copy(other, sync=True)).wait(timeout=60).success
    assert names(other) == ["a", "c"]


def test_delete_a_group(client: Client, bucket: Bucket) -> None:
    fill(bucket, *[f"o-{i:03}" for i in range(20)], "keep")
    group = bucket.objects(obj_names=[f"o-{i:03}" for i in range(5)])
    assert client.job(group.delete()).wait(timeout=60).success
    group = bucket.objects(obj_range=ObjectRange("o-", 5, 12, pad_width=3))
    assert client.job(group.delete()).wait(timeout=60).success
    assert names(bucket) == ["keep", *[f"o-{i:03}" for i in range(13, 20)]]
    group = bucket.objects(obj_template="o-{013..019}")
    assert client.job(group.delete()).wait(timeout=60).success
    assert names(bucket) == ["keep"]


def test_copy_a_group(client: Client, bucket: Bucket, other: Bucket) -> None:
    other.create()
    fill(bucket, *[f"o-{i}" for i in range(5)])
    for job_id in bucket.objects(obj_names=["o-1", "o-3"]).copy(other, prepend="x/"):
        assert client.job(job_id).wait(timeout=60).success
    assert names(other) == ["x/o-1", "x/o-3"]


@pytest.mark.parametrize("what", ["evict", "prefetch"])
def test_remote_only(bucket: Bucket, what: str) -> None:
    with pytest.raises((AISError, Exception), match="(?i)remote|provider"):
        getattr(bucket.objects(obj_names=["a"]), what)()


def test_rename(client: Client, bucket: Bucket, other: Bucket) -> None:
    fill(bucket, "a", "b")
    old = bucket.name
    assert client.job(bucket.rename(other.name)).wait(timeout=60).success
    assert names(other) == ["a", "b"]
    assert old not in [b.name for b in client.cluster().list_buckets()]


def test_summary(bucket: Bucket) -> None:
    for i in range(10):
        bucket.object(f"a/{i}").get_writer().put_content(b"x" * 100)
    fill(bucket, "b")
    summary = bucket.summary(prefix="a/")
    assert summary["ObjCount"]["obj_count_present"] == "10"
    assert summary["TotalSize"]["size_all_present_objs"] == "1000"
    _, info = bucket.info(bsumm_remote=False)
    assert info["ObjCount"]["obj_count_present"] == "11"


def test_promote(client: Client, bucket: Bucket, promote_root: Path) -> None:
    folder = promote_root / uuid.uuid4().hex
    folder.mkdir()
    for i in range(20):
        (folder / f"f{i:02}").write_text(f"content {i}")
    job_id = bucket.object("p/").promote(str(folder), delete_source=True)
    if job_id:
        assert client.job(job_id).wait(timeout=60).success
    assert len(names(bucket, "p/")) == 20
    assert bucket.object("p/f07").get_reader().read_all() == b"content 7"
    assert not list(folder.iterdir())
    with pytest.raises(AISError, match="invalid promote source"):
        bucket.object("x").promote("/etc/hostname")


@pytest.fixture(scope="session")
def promote_root(endpoint: str, client: Client) -> Path:
    """The folder below which the cluster's targets promote files."""
    del endpoint
    given = os.environ.get("AIS_PROMOTE_ROOT")
    if given:
        return Path(given)
    target = next(iter(client.cluster().get_info().tmap.values()))
    response = client._request_client.request(  # the SDK has no call for a node's configuration
        "get", path="reverse/daemon", params={"what": "config"}, headers={"Ais-Node-Id": target.daemon_id}
    )
    roots: list[str] = response.json()["promote_roots"]
    return Path(roots[0])
