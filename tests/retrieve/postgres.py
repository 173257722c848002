"""A private PostgreSQL with pgvector, and langchain-core's vector-store interface over its psql.

The way out for a library that outgrows one machine, shown on one: no package of Python is needed.
"""

import csv
import io
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore


def server_programs() -> Path | None:
    """Folder with initdb, pg_ctl and psql of a PostgreSQL that has pgvector; None without one.

    Debian's packages from version 13 on (postgresql-17-pgvector), or the build of PyPI's pgserver.
    """
    for share in Path("/usr/share/postgresql").glob("*/extension/vector.control"):
        return Path("/usr/lib/postgresql", share.parts[4], "bin")
    spec = find_spec("pgserver")
    folder = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    return folder if folder and folder.is_dir() else None


@contextmanager
def running_server(programs: Path):
    """A new cluster in a folder of its own, reached by a Unix socket there and nowhere else.

    Yields the command that runs psql on it. PostgreSQL does not run as root: nobody runs it then.
    """
    folder = Path(tempfile.mkdtemp(prefix="pgvector-"))
    who = {"user": "nobody"} if os.getuid() == 0 else {}
    try:
        if who:
            shutil.chown(folder, "nobody")
            if not programs.is_relative_to("/usr"):  # nobody may not look into root's folders
                packages = programs.parents[2]
                for name in ("pgserver", "pgserver.libs"):
                    shutil.copytree(packages / name, folder / name)
                programs = folder / programs.relative_to(packages)

        def run(name, *arguments):
            command = [str(programs / name), "-D", str(folder / "data"), *arguments]
            done = subprocess.run(
                command,
                cwd=folder,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                **who,
            )
            assert done.returncode == 0, done.stdout

        run("initdb", "-U", "app", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -F"
        run("pg_ctl", "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            yield [
                str(programs / "psql"),
                "-XqtA",
                "-h",
                str(folder),
                "-U",
                "app",
                "-d",
                "postgres",
            ]
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class PgVectorStore(VectorStore):
    """Documents in a table with their vectors; every search is exact and every score a cosine."""

    def __init__(self, psql, embedding, width):
        self._psql, self._embedding = psql, embedding
        self._run(
            "CREATE EXTENSION IF NOT EXISTS vector; CREATE TABLE IF NOT EXISTS chunks (id text "
            f"PRIMARY KEY, text text NOT NULL, metadata json NOT NULL, vector vector({width}))"
        )

    @property
    def embeddings(self):
        return self._embedding

    def _run(self, sql, rows="", **values):
        variables = [f"--set={name}={value}" for name, value in values.items()]
        command = [*self._psql, "--set=ON_ERROR_STOP=1", *variables]
        script = f"SET client_min_messages = warning;\n{sql};\n{rows}"
        done = subprocess.run(command, input=script, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def add_texts(self, texts, metadatas=None, *, ids, **kwargs):
        texts = list(texts)
        vectors = self._embedding.embed_documents(texts)
        lines = io.StringIO()
        for row in zip(ids, texts, metadatas or [{}] * len(texts), vectors, strict=True):
            csv.writer(lines, lineterminator="\n").writerow([*row[:2], *map(json.dumps, row[2:])])
        self._run("COPY chunks FROM STDIN WITH (FORMAT csv)", lines.getvalue() + "\\.\n")
        return list(ids)

    @classmethod
    def from_texts(cls, texts, embedding, metadatas=None, *, psql, width, ids, **kwargs):
        store = cls(psql, embedding, width)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def similarity_search(self, query, k=4, **kwargs):
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(self, query, k=4, filter=None, **kwargs):
        """The k nearest that a filter lets through: more are fetched until there are so many."""
        wanted, limit = json.dumps(self._embedding.embed_query(query)), 4 * k
        while True:
            found = self._run(
                "SELECT coalesce(json_agg(nearest), '[]') FROM (SELECT id, text, metadata, "
                "1 - (vector <=> :'wanted') AS score FROM chunks ORDER BY vector <=> :'wanted', id "
                f"LIMIT {limit}) AS nearest",
                wanted=wanted,
            )
            rows = json.loads(found)
            pairs = [
                (Document(row["text"], metadata=row["metadata"], id=row["id"]), row["score"])
                for row in rows
            ]
            kept = [pair for pair in pairs if filter is None or filter(pair[0])]
            if len(kept) >= k or len(rows) < limit:
                return kept[:k]
            limit *= 2
