"""A stand-in for S3 on this machine, found by the same environment variables as the real one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

ACCOUNT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@contextmanager
def s3_bucket() -> Iterator[str]:
    """URI of an empty bucket; the environment leads there as long as the block lasts."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = {**ACCOUNT, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    before = {name: os.environ.get(name) for name in found}
    os.environ.update(found)
    try:
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="searches")
        yield "s3://searches"
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        server.stop()
