"""Runs the older dbt-remote of this Python with a token that it is given: it has no way to be told one."""

import os
import sys

from dbt_remote.src.dbt_server import DbtServer

DbtServer.get_auth_token = lambda self: os.environ["TEST_TOKEN"]

from dbt_remote.cli import cli  # noqa: E402

cli(sys.argv[1:])
