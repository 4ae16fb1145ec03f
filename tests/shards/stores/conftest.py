"""A store behind a proxy that makes faults, for the modules that name their `BUCKET`."""

from collections.abc import Iterator

import obstore
import pytest

from avcorr.shards.store import Store
from avcorr.shards.stores.open import open_store
from tests.support.faults import DATA, POLICY
from tests.support.proxy import FaultyProxy
from tests.support.servers import S3Server


@pytest.fixture(scope="module")
def proxy(request: pytest.FixtureRequest, s3: S3Server) -> Iterator[FaultyProxy]:
    """A proxy before a bucket that holds one object, `shard`."""
    obstore.put(s3.make_bucket(request.module.BUCKET), "shard", DATA)
    proxy = FaultyProxy(("127.0.0.1", s3.port))
    yield proxy
    proxy.close()


@pytest.fixture
def store(request: pytest.FixtureRequest, proxy: FaultyProxy, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store behind the proxy, which makes no fault yet."""
    for name, value in s3.environment(proxy.url).items():
        monkeypatch.setenv(name, value)
    proxy.reset(lambda request: None)
    return open_store(f"s3://{request.module.BUCKET}", retry=POLICY)
