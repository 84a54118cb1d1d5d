"""One Ray cluster for all tests of this folder: it takes seconds to start."""

import os

import pytest


@pytest.fixture(scope="session")
def cluster():
    """A real cluster of this machine with room for two calls."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        "local", num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False,
        logging_level="ERROR",
    )  # fmt: skip
    yield
    ray.shutdown()
