"""Nothing reaches the network when the papers and the model are here."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import socket, sys

def refuse(*args, **kwargs):
    raise SystemExit(f"reached for the network: {args[:2]}")

socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = socket.socket.connect_ex = refuse
from app.cli import main
code = main(sys.argv[1:])
import os
assert os.environ["LANGSMITH_TRACING"] == "false"
sys.exit(code)
"""


def test_indexing_and_asking_open_no_socket(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            "ask",
            "Why is the scale applied to the query?",
            "--papers",
            "data/papers/mlstm-formulations.pdf",
            "--index",
            str(tmp_path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "LANGSMITH_TRACING": "true",
            "LANGCHAIN_TRACING_V2": "true",
            "LANGSMITH_API_KEY": "key",
        },
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "[1]" in done.stdout
