"""Jobs, by the public `aistore` client, unmodified."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError, JobInfoNotFound
from aistore.sdk.job import Job


@pytest.fixture
def other(client: Client) -> Iterator[Bucket]:
    """A bucket that does not exist yet."""
    bucket = client.bucket("py-" + uuid.uuid4().hex[:12])
    yield bucket
    bucket.delete(missing_ok=True)


@pytest.fixture
def target(client: Client) -> str:
    return next(iter(client.cluster().get_info().tmap))


def test_simple_job(client: Client) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    job_id = client.job(job_kind="lru").start()
    result = client.job(job_id=job_id).wait(timeout=30)
    assert result.success and result.job_id == job_id and result.error == ""
    after = datetime.now(timezone.utc) + timedelta(seconds=1)
    assert before <= result.end_time <= after
    job = client.job(job_id=job_id)
    found = job.get_within_timeframe(before, after)
    assert {snap.id for snap in found} == {job_id}
    assert len(found) == len(client.cluster().get_info().tmap)
    assert timedelta(0) <= job.get_total_time() < timedelta(seconds=30)
    assert job.status().uuid == job_id and job.status().end_time != 0
    with pytest.raises(JobInfoNotFound):
        job.get_within_timeframe(after + timedelta(hours=1))


def test_jobs_by_kind(client: Client) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    job_id = client.job(job_kind="cleanup-store").start()
    assert client.job(job_id=job_id).wait(timeout=60).success
    found = client.job(job_kind="cleanup-store").get_within_timeframe(before)
    assert job_id in {snap.id for snap in found}
    statuses = client.cluster().list_jobs_status(job_kind="cleanup-store")
    assert job_id in {status.uuid for status in statuses}
    assert job_id in {status.uuid for status in client.cluster().list_jobs_status()}
    assert client.cluster().list_jobs_status(job_kind="dsort") == []


def test_job_of_several_buckets(client: Client, bucket: Bucket, other: Bucket) -> None:
    other.create()
    job_id = client.job(job_kind="lru").start(buckets=[bucket, other])
    assert client.job(job_id=job_id).wait(timeout=30).success


def test_force_is_heard_and_refused(client: Client, bucket: Bucket) -> None:
    """The client says it in the query alone; evicting only copies is refused."""
    for buckets in ([bucket], None):
        with pytest.raises(AISError, match="force") as error:
            client.job(job_kind="lru").start(buckets=buckets, force=True)
        assert error.value.status_code == 400


def test_job_on_one_target(client: Client, target: str) -> None:
    job_id = client.job(job_kind="resilver").start(daemon_id=target)
    assert client.job(job_id=job_id).wait_single_node(timeout=60).success
    assert client.job(job_id=job_id).wait(timeout=60).success
    details = client.job(job_id=job_id).get_details()
    assert list(details.root) == [target]
    assert details.list_snapshots()[0].kind == "resilver"


def test_idle_job(client: Client, bucket: Bucket, other: Bucket) -> None:
    other.create()
    for i in range(8):
        bucket.object(f"o-{i}").get_writer().put_content(b"x")
    ids = bucket.objects(obj_template="o-{0..5}").copy(other)
    for job_id in ids:
        assert client.job(job_id=job_id).wait_for_idle(timeout=60).success
    assert len(other.list_all_objects()) == 6
    details = client.job(job_id=ids[0]).get_details()
    assert details.all_idle() and not details.any_aborted()
    assert sum(int(s.stats.objects) for s in details.list_snapshots()) == 6
    running = client.cluster().list_running_jobs()
    assert f"copy-listrange[{ids[0]}]" in running
    assert client.cluster().list_running_jobs(job_kind="copy-listrange") == [
        name for name in running if name.startswith("copy-listrange[")
    ]


def test_abort(client: Client, bucket: Bucket, other: Bucket) -> None:
    other.create()
    bucket.object("o").get_writer().put_content(b"x")
    job_id = bucket.objects(obj_names=["o"]).copy(other)[0]
    job = client.job(job_id=job_id)
    job.abort()
    result = job.wait(timeout=30)
    assert not result.success and "user abort" in result.error
    assert job.get_details().any_aborted()
    job.abort()  # it has ended: not an error
    client.job(job_id="AbCdEf123").abort()
    client.job(job_kind="prefetch-listrange").abort()


@pytest.mark.parametrize("kind", ["put-copies", "make-n-copies", "nonsense", "download"])
def test_kinds_that_cannot_be_started(client: Client, kind: str) -> None:
    with pytest.raises(AISError) as error:
        client.job(job_kind=kind).start()
    assert error.value.status_code == 400


def test_unknown_job(client: Client) -> None:
    job = client.job(job_id="AbCdEf123")
    for ask in (job.status, job.get_details, job.wait):
        with pytest.raises(AISError) as error:
            ask()
        assert error.value.status_code == 404


def test_jobs_of_properties(client: Client, bucket: Bucket) -> None:
    for i in range(10):
        bucket.object(f"o-{i}").get_writer().put_content(b"x")
    client_of_requests = bucket.client
    response = client_of_requests.request(
        "PATCH",
        path=f"buckets/{bucket.name}",
        json={"action": "set-bprops", "value": {"mirror": {"enabled": True, "copies": 2}}},
    )
    assert client.job(job_id=response.text).wait(timeout=60).success
    listed = bucket.list_objects(props="name,copies").entries
    assert [entry.copies for entry in listed] == [2] * 10


def test_rebalance(client: Client, bucket: Bucket) -> None:
    job_id = client.job(job_kind="rebalance").start()
    assert job_id.startswith("g")
    assert client.job(job_id=job_id, job_kind="rebalance").wait(timeout=120).success
    later = client.job(job_kind="rebalance").start(buckets=[bucket])
    assert int(later[1:]) > int(job_id[1:])
    assert client.job(job_id=later).wait(timeout=120).success


def test_wait_knows_errors(client: Client, bucket: Bucket) -> None:
    """A listed object that is missing is an error of the job, which finishes."""
    job_id = bucket.objects(obj_names=["none"]).delete()
    job: Job = client.job(job_id=job_id)
    result = job.wait(timeout=30)
    assert not result.success and "none" in result.error
    assert not job.status().aborted
