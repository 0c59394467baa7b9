"""What of an address may be shown."""

import pytest

from raysearch.files.secrets import masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://alice:s3cret@host:5000/a", "http://alice:***@host:5000/a"),
        ("postgresql+psycopg2://u:p%40w@db/x failed", "postgresql+psycopg2://u:***@db/x failed"),
        ("http://:token@host", "http://:***@host"),
        ("http://a:b:c@host", "http://a:***@host"),
        ("http://a:p@ss@host", "http://a:***@host"),
        ("two: http://a:b@c and http://d:e@f", "two: http://a:***@c and http://d:***@f"),
        (
            "postgresql://h/db?user=u&password=s3cret&sslmode=require",
            "postgresql://h/db?user=u&password=***&sslmode=require",
        ),
        ("https://h/path?X-Amz-Security-Token=a%2Fb#part", "https://h/path?X-Amz-Security-Token=***#part"),
        ("s3://KEY:s3cret@bucket?region=us-east-1&secret_key=b", "s3://KEY:***@bucket?region=us-east-1&secret_key=***"),
        ("s3://bucket?region=us-east-1&scheme=http", "s3://bucket?region=us-east-1&scheme=http"),
        ("http://alice@host:5000/x@y", "http://alice@host:5000/x@y"),
        ("sqlite:////data/a:b@c.db", "sqlite:////data/a:b@c.db"),
        ("http://host:5000/path", "http://host:5000/path"),
    ],
)
def test_passwords_of_addresses_are_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_whatever_has_words_is_masked() -> None:
    assert masked(OSError("http://a:b@c is away")) == "http://a:***@c is away"
