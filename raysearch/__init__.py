"""raysearch: search the published ways to compress a speech encoder, for the front of MACs against error."""

__version__ = "0.1.0"
