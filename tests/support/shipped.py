"""The configs in configs/, as plain values with what they include."""

from explainer.cli.including import read_config
from explainer.cli.reading import find_config, run_configs

NAMES = run_configs()


def content_of(name):
    """Settings of a config, by its bare name."""
    return read_config(find_config(name))
