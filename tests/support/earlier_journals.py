"""Journals as earlier versions wrote them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from actors.journal.file import connect

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT_3 = """
CREATE TABLE fetcher (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    fetched INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0, next_key INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE job (
    fetcher INTEGER NOT NULL REFERENCES fetcher, key INTEGER NOT NULL,
    id TEXT NOT NULL, own_id INTEGER NOT NULL, payload TEXT,
    route TEXT NOT NULL DEFAULT '', state TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0, forgiven INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0, processor TEXT, error TEXT,
    fetched_at REAL NOT NULL, not_before REAL, ended_at REAL,
    PRIMARY KEY (fetcher, key)
) WITHOUT ROWID;
CREATE INDEX job_odd ON job (fetcher, state, key)
    WHERE state IN ('retrying', 'quarantined');
CREATE UNIQUE INDEX job_own_id ON job (fetcher, id) WHERE own_id = 1;
CREATE INDEX job_ended ON job (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE history (
    fetcher INTEGER NOT NULL, key INTEGER NOT NULL, at REAL NOT NULL,
    event TEXT NOT NULL, attempt INTEGER NOT NULL, processor TEXT, error TEXT,
    trace TEXT
);
CREATE INDEX history_job ON history (fetcher, key);
CREATE TABLE state (
    fetcher INTEGER PRIMARY KEY REFERENCES fetcher, value TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE TABLE large (
    fetcher INTEGER NOT NULL, key INTEGER NOT NULL, payload TEXT NOT NULL,
    PRIMARY KEY (fetcher, key)
) WITHOUT ROWID;
INSERT INTO fetcher VALUES (1, 'numbers', 5, 1, 0, 6), (2, 'others', 1, 0, 0, 2);
INSERT INTO job (fetcher, key, id, own_id, payload, state, fetched_at, attempt,
    processor, error, not_before, ended_at) VALUES
    (1, 1, '"id1"', 1, '{"n": 1}', 'ready', 1.8e9, 0, NULL, NULL, NULL, NULL),
    (1, 2, '"id2"', 1, NULL, 'leased', 1.8e9, 2, 'sqrt-1', NULL, NULL, NULL),
    (1, 3, '"id3"', 1, NULL, 'done', 1.8e9, 1, 'sqrt-1', NULL, NULL, 1.8e9),
    (1, 4, '"id4"', 1, 'null', 'retrying', 1.8e9, 1, 'sqrt-1', 'E', 1.8e9, NULL),
    (1, 5, '"#5"', 0, '"bad"', 'quarantined', 1.8e9, 6, 'sqrt-1', 'E', NULL, NULL),
    (2, 1, '"id1"', 1, '{"n": 1}', 'ready', 1.8e9, 0, NULL, NULL, NULL, NULL);
INSERT INTO large VALUES (1, 2, '{"n": 2}');
INSERT INTO history VALUES (1, 5, 1.8e9, 'quarantined', 6, 'sqrt-1', 'E', 'trace');
INSERT INTO state VALUES (1, '{"at":7}', 1.8e9);
PRAGMA user_version = 3;
"""

#: What makes one of layout 5 of it, with two ends that are kept of nine.
_LAYOUT_5 = """
ALTER TABLE job RENAME TO job_of_3;
DROP INDEX job_odd; DROP INDEX job_own_id; DROP INDEX job_ended;
CREATE TABLE job (
    fetcher INTEGER NOT NULL REFERENCES fetcher, key INTEGER NOT NULL,
    id TEXT NOT NULL, own_id INTEGER NOT NULL, route TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
    forgiven INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0,
    processor TEXT, error TEXT, fetched_at REAL NOT NULL, not_before REAL,
    ended_at REAL, PRIMARY KEY (fetcher, key)
) WITHOUT ROWID;
CREATE INDEX job_odd ON job (fetcher, state, key)
    WHERE state IN ('retrying', 'quarantined');
CREATE UNIQUE INDEX job_own_id ON job (fetcher, id) WHERE own_id = 1;
CREATE INDEX job_ended ON job (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE payload (place INTEGER PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO payload SELECT (fetcher << 40) + key, payload FROM job_of_3
    WHERE payload IS NOT NULL;
INSERT INTO payload SELECT (fetcher << 40) + key, payload FROM large;
INSERT INTO job SELECT fetcher, key, id, own_id, route, state, attempt, forgiven,
    crashes, processor, error, fetched_at, not_before, ended_at FROM job_of_3;
DROP TABLE large;
DROP TABLE job_of_3;
ALTER TABLE history RENAME TO history_of_4;
DROP INDEX history_job;
CREATE TABLE history (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, fetcher INTEGER NOT NULL,
    key INTEGER NOT NULL, at REAL NOT NULL, event TEXT NOT NULL,
    attempt INTEGER NOT NULL, processor TEXT, error TEXT, trace TEXT
);
CREATE INDEX history_job ON history (fetcher, key);
INSERT INTO history SELECT rowid, * FROM history_of_4;
DROP TABLE history_of_4;
CREATE TABLE ended (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, fetcher INTEGER NOT NULL,
    key INTEGER NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL,
    attempt INTEGER NOT NULL, processor TEXT, result TEXT, error TEXT,
    fetched_at REAL NOT NULL, ended_at REAL NOT NULL, duration_s REAL,
    bytes INTEGER NOT NULL
);
INSERT INTO ended VALUES
    (7, 1, 3, '"id3"', 'done', 1, 'sqrt-1', '1.5', NULL, 1.8e9, 1.8e9, 0.5, 150),
    (9, 2, 9, '"#9"', 'done', 1, 'sqrt-1', NULL, NULL, 1.8e9, 1.8e9, 0.5, 150);
DELETE FROM ended WHERE seq = 9;
PRAGMA user_version = 5;
"""

#: What makes of it a file as earlier versions wrote them.
EARLIER = {
    "5": _LAYOUT_5,
    "3": "",
    "3 without large": "UPDATE job SET payload = '{\"n\": 2}' WHERE key = 2; "
    "DROP TABLE large;",
    "2": "UPDATE job SET payload = '{\"n\": 2}' WHERE key = 2; DROP TABLE large; "
    "DROP TABLE state; PRAGMA user_version = 2;",
}


def earlier(path: Path, layout: str = "3") -> Path:
    """Write a journal as an earlier version did, in place of what is there."""
    path.unlink(missing_ok=True)
    path.touch()
    with contextlib.closing(connect(path)) as db:
        db.executescript(f"{LAYOUT_3} {EARLIER[layout]}")
    return path
