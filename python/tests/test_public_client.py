"""The public `aistore` client, unmodified, against a cluster of ours."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import xxhash
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError, ErrBckAlreadyExists, ErrBckNotFound, ErrObjNotFound
from aistore.sdk.list_object_flag import ListObjectFlag

NAMES = ["plain", "dir/a", "dir/b", "dir-x", "dir/sub/c", "with space", "ünïcode", "per%cent", "a+b", "q?x=1", "h#ash"]
HOSTILE_NAMES = [
    "quo\"te's", "back\\slash", "%41", "a%2Fb", "a&b=c", "a;b", "...", "~x", "a//b", "/x", "x//y", "x/y", "p", "p/q", "p/q/r",
    "c" * 255, "c" * 256, "d/" + "e" * 255 + "/" + "f" * 256, "long/" * 819 + "z", "k" * 4096,
    # Names that only S3 clients can write, in their native form.
    "~x/dir%2F", "~x/%2E%2E/up", "~x/line%0Abreak", "~x/%7E/home",
]


def test_cluster_is_ready_and_has_six_nodes(client: Client) -> None:
    cluster = client.cluster()
    assert cluster.is_ready()
    info = cluster.get_info()
    assert len(info.pmap) == 3
    assert len(info.tmap) == 3
    assert cluster.get_primary_url().startswith("http://127.0.0.1:")


def test_bucket_life(client: Client) -> None:
    bucket = client.bucket("py-life")
    bucket.create()
    with pytest.raises(ErrBckAlreadyExists):
        bucket.create()
    assert bucket.create(exist_ok=True).name == "py-life"
    assert "py-life" in [b.name for b in client.cluster().list_buckets()]
    assert '"type":"xxhash2"' in bucket.head()["Ais-Bucket-Props"]
    bucket.delete()
    assert "py-life" not in [b.name for b in client.cluster().list_buckets()]
    with pytest.raises((ErrBckNotFound, AISError)):
        bucket.delete()
    bucket.delete(missing_ok=True)


@pytest.mark.parametrize("name", ["*", ".", " ", "bucket and name", "$name", "~name", "x" * 65, "a..b"])
def test_bad_bucket_name(client: Client, name: str) -> None:
    with pytest.raises(AISError):
        client.bucket(name).create()


@pytest.mark.parametrize("size", [0, 1, 4096, 1 << 20, (9 << 20) + 7])
def test_put_get_round_trip(bucket: Bucket, size: int) -> None:
    data = random.Random(size).randbytes(size)
    obj = bucket.object(f"size-{size}")
    obj.get_writer().put_content(data)
    reader = obj.get_reader()
    assert reader.read_all() == data
    assert reader.attributes.size == size
    assert reader.attributes.checksum_type == "xxhash2"
    assert reader.attributes.checksum_value == xxhash.xxh64(data, seed=0).hexdigest()


def test_put_file_and_overwrite(bucket: Bucket, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"first")
    obj = bucket.object("file")
    obj.get_writer().put_file(file)
    assert obj.head(props="name,size,version").obj_version == "1"
    file.write_bytes(b"second, longer")
    obj.get_writer().put_file(file)
    assert obj.get_reader().read_all() == b"second, longer"
    assert obj.head(props="name,size,version").obj_version == "2"


def test_range(bucket: Bucket) -> None:
    data = bytes(range(256)) * 16
    obj = bucket.object("ranged")
    obj.get_writer().put_content(data)
    assert obj.get_reader(byte_range="bytes=5-10").read_all() == data[5:11]
    assert obj.get_reader(byte_range="bytes=4000-").read_all() == data[4000:]
    assert obj.get_reader(byte_range="bytes=-7").read_all() == data[-7:]
    with pytest.raises(AISError):
        obj.get_reader(byte_range="bytes=99999-").read_all()


def test_direct_read_goes_to_the_owner(bucket: Bucket) -> None:
    for i in range(20):
        obj = bucket.object(f"direct/{i}")
        obj.get_writer().put_content(f"content {i}".encode())
        assert obj.get_reader(direct=True).read_all() == f"content {i}".encode()


def test_read_as_a_file(bucket: Bucket) -> None:
    data = random.Random(1).randbytes(3 << 20)
    obj = bucket.object("as-file")
    obj.get_writer().put_content(data)
    with obj.get_reader().as_file() as file:
        assert file.read() == data


def test_head(bucket: Bucket) -> None:
    obj = bucket.object("headed")
    obj.get_writer().put_content(b"hello world")
    attributes = obj.head(props="name,size,checksum,version,atime,location,copies")
    assert attributes.size == 11
    assert attributes.checksum_value == "45ab6734b21e6968"
    assert attributes.obj_version == "1"
    assert attributes.present


def test_missing_object_and_bucket(client: Client, bucket: Bucket) -> None:
    with pytest.raises(ErrObjNotFound):
        bucket.object("nothing").get_reader().read_all()
    with pytest.raises(AISError):
        bucket.object("nothing").head()
    with pytest.raises(ErrBckNotFound):
        client.bucket("py-no-such-bucket").list_objects()


@pytest.mark.parametrize("name", NAMES)
def test_any_name_round_trips(bucket: Bucket, name: str) -> None:
    obj = bucket.object(name)
    obj.get_writer().put_content(name.encode())
    assert obj.get_reader().read_all() == name.encode()
    assert name in [e.name for e in bucket.list_all_objects()]
    obj.delete()
    assert name not in [e.name for e in bucket.list_all_objects()]


def test_hostile_names_beside_each_other(bucket: Bucket) -> None:
    for name in HOSTILE_NAMES:
        bucket.object(name).get_writer().put_content(b"content of " + name.encode())
    for name in HOSTILE_NAMES:
        assert bucket.object(name).get_reader().read_all() == b"content of " + name.encode()
        assert bucket.object(name).head().size == len(b"content of " + name.encode())
    for page_size in (0, 3):
        assert sorted(e.name for e in bucket.list_all_objects(page_size=page_size)) == sorted(HOSTILE_NAMES)
    assert [e.name for e in bucket.list_all_objects(prefix="~x/line%0A")] == ["~x/line%0Abreak"]
    for name in HOSTILE_NAMES:
        bucket.object(name).delete()
    assert bucket.list_all_objects() == []


@pytest.mark.parametrize("name", ["dir/", "~/home", "line\nbreak", "nul\0", "k" * 4097, "~x/plain"])
def test_refused_name(bucket: Bucket, name: str) -> None:
    with pytest.raises(AISError):
        bucket.object(name).get_writer().put_content(b"x")


def test_list_with_prefixes_and_pages(bucket: Bucket) -> None:
    names = sorted([f"p/{i:03}" for i in range(57)] + ["p-1", "p", "q/1", "q/2"])
    for name in names:
        bucket.object(name).get_writer().put_content(b"x")
    for page_size in (0, 1, 7, 61, 1000):
        assert [e.name for e in bucket.list_all_objects(page_size=page_size)] == names
    assert [e.name for e in bucket.list_all_objects(prefix="q/")] == ["q/1", "q/2"]
    assert [e.name for e in bucket.list_objects_iter(prefix="p/01", page_size=3)] == [f"p/01{i}" for i in range(10)]
    top = bucket.list_all_objects(flags=[ListObjectFlag.NO_RECURSION])
    assert [e.name for e in top] == ["p", "p-1", "p/", "q/"]
    page = bucket.list_objects(page_size=10)
    assert len(page.entries) == 10
    assert page.continuation_token == page.entries[-1].name
    entry = bucket.list_objects(props="name,size,checksum,version,cached", prefix="q/1").entries[0]
    assert (entry.size, entry.version) == (1, "1")


def test_delete(bucket: Bucket) -> None:
    obj = bucket.object("gone")
    obj.get_writer().put_content(b"soon")
    obj.delete()
    with pytest.raises(ErrObjNotFound):
        obj.get_reader().read_all()


def test_multipart_upload(bucket: Bucket) -> None:
    data = random.Random(17).randbytes((3 << 20) + 11)
    obj = bucket.object("dir/multipart")
    step = 1 << 20
    parts = [data[at : at + step] for at in range(0, len(data), step)]
    upload = obj.multipart_upload().create()
    for number in random.Random(1).sample(range(1, len(parts) + 1), len(parts)):
        upload.add_part(number).put_content(parts[number - 1])
    with pytest.raises(ErrObjNotFound):
        obj.get_reader().read_all()
    upload.complete()
    reader = obj.get_reader()
    assert reader.read_all() == data
    assert reader.attributes.checksum_type == "crc32c"
    assert obj.get_reader(byte_range=f"bytes={step - 5}-{step + 4}").read_all() == data[step - 5 : step + 5]
    with pytest.raises(AISError):
        upload.complete()


def test_multipart_abort(bucket: Bucket) -> None:
    obj = bucket.object("aborted")
    upload = obj.multipart_upload().create()
    with pytest.raises(AISError, match="no chunks"):
        upload.complete()
    upload.add_part(1).put_content(b"one")
    upload.abort()
    with pytest.raises(AISError):
        upload.add_part(2).put_content(b"two")
