"""The tables of a run, and what marks a file as one.

Column names explain themselves to somebody who opens the file with another tool. A
change here raises `VERSION` and adds a step to `MIGRATIONS`.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from typing import Any

APPLICATION_ID = 0x5245454C  # "REEL"
VERSION = 1
FILE_NAME = "run.db"
LOCK_NAME = "run.lock"
ROLLUP_LEVELS = (64, 4096, 262144)

TABLES: dict[str, str] = {
    "run": """
        CREATE TABLE run (
            run_id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            created_at REAL NOT NULL,
            ended_at REAL,
            status TEXT NOT NULL,
            env_id TEXT,
            env_kwargs TEXT NOT NULL,
            observation_space TEXT NOT NULL,
            action_space TEXT NOT NULL,
            layout TEXT NOT NULL,
            presentation TEXT NOT NULL,
            algorithm TEXT,
            hyperparameters TEXT NOT NULL,
            seed INTEGER,
            provenance TEXT NOT NULL,
            lost_episodes INTEGER NOT NULL DEFAULT 0,
            lost_steps INTEGER NOT NULL DEFAULT 0,
            checksum INTEGER NOT NULL DEFAULT 0
        ) STRICT""",
    "episodes": """
        CREATE TABLE episodes (
            episode INTEGER PRIMARY KEY,
            first_step INTEGER NOT NULL,
            length INTEGER NOT NULL,
            episode_return REAL,
            terminated INTEGER NOT NULL,
            truncated INTEGER NOT NULL,
            incomplete INTEGER NOT NULL,
            running INTEGER NOT NULL,
            epsilon REAL,
            seed INTEGER,
            stage TEXT,
            started_at REAL NOT NULL,
            duration_s REAL NOT NULL,
            kept INTEGER NOT NULL,
            reason TEXT,
            tags TEXT
        ) STRICT""",
    "segments": """
        CREATE TABLE segments (
            first_step INTEGER PRIMARY KEY,
            count INTEGER NOT NULL,
            return_before REAL,
            codec INTEGER NOT NULL,
            checksum INTEGER NOT NULL,
            blob BLOB NOT NULL
        ) STRICT""",
    "rollups": """
        CREATE TABLE rollups (
            level INTEGER NOT NULL,
            bucket INTEGER NOT NULL,
            count INTEGER NOT NULL,
            return_min REAL, return_max REAL, return_sum REAL, return_count INTEGER,
            length_min INTEGER, length_max INTEGER, length_sum INTEGER,
            epsilon_min REAL, epsilon_max REAL, epsilon_sum REAL, epsilon_count INTEGER,
            checksum INTEGER,
            PRIMARY KEY (level, bucket)
        ) STRICT, WITHOUT ROWID""",
    "events": """
        CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            episode INTEGER NOT NULL,
            global_step INTEGER NOT NULL,
            kind TEXT NOT NULL,
            text TEXT NOT NULL,
            data TEXT NOT NULL,
            checksum INTEGER NOT NULL
        ) STRICT""",
    "keyframes": """
        CREATE TABLE keyframes (
            name TEXT NOT NULL,
            global_step INTEGER NOT NULL,
            episode INTEGER NOT NULL,
            dtype TEXT NOT NULL,
            shape TEXT NOT NULL,
            checksum INTEGER NOT NULL,
            blob BLOB NOT NULL,
            PRIMARY KEY (name, global_step)
        ) STRICT""",
}


RUN_COLUMNS = (
    "run_id", "name", "created_at", "ended_at", "status", "env_id", "env_kwargs",
    "observation_space", "action_space", "layout", "presentation", "algorithm",
    "hyperparameters", "seed", "provenance", "lost_episodes", "lost_steps",
)  # fmt: skip

MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {}
"""What makes a tape of version `n` one of version `n + 1`, by `n`. Each runs in a
transaction with the raising of `user_version`, so that a kill leaves one or the other.
"""


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of a new run, within the caller's transaction."""
    for statement in TABLES.values():
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring an older tape up to `VERSION`, a version a transaction.

    Only who holds the run's lock may do so; a reader leaves the file as it is.
    """
    while (version := connection.execute("PRAGMA user_version").fetchone()[0]) < VERSION:
        connection.execute("BEGIN IMMEDIATE")
        try:
            MIGRATIONS[version](connection)
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def seal_run(connection: sqlite3.Connection) -> None:
    """Store the checksum of the run's row as it is now."""
    row = connection.execute(f"SELECT {', '.join(RUN_COLUMNS)} FROM run").fetchone()
    connection.execute("UPDATE run SET checksum = ?", (row_checksum(row),))


def row_checksum(row: Sequence[Any]) -> int:
    """CRC-32 over a row's values as SQLite gives them back."""
    return zlib.crc32(json.dumps(list(row), default=repr).encode())
