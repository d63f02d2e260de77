#!/usr/bin/env python3
"""Makes server/tests/process/older-backup: databases as the first versions of the product wrote them.

    scripts/make-older-backup.py SERIES_FOLDER

records.db stops at migration 3, with the rows that sqlx keeps of each. catalog.db and the week file have format 1: their
tables are made by that format's own statements, and filled from SERIES_FOLDER, which this version wrote (the columns of a
chunk are stored alike in both). Tests read what lies in the repository; this is how it came there.
"""

import gzip
import hashlib
import pathlib
import sqlite3
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "server/tests/process/older-backup"
LAST_MIGRATION = 3

MIGRATIONS = """CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)"""

CHUNK = "day, s, t0, seq, t1, n, mn, mx, sum, last, crc, tb, vb"
RAW_1 = """CREATE TABLE chunk(
    day INTEGER NOT NULL, s INTEGER NOT NULL, t0 INTEGER NOT NULL, seq INTEGER NOT NULL,
    t1 INTEGER NOT NULL, n INTEGER NOT NULL, mn REAL NOT NULL, mx REAL NOT NULL,
    sum REAL NOT NULL, last REAL NOT NULL, crc INTEGER NOT NULL,
    tb BLOB NOT NULL, vb BLOB NOT NULL,
    UNIQUE(day, s, t0, seq)
);
CREATE TABLE tally(one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, chunks INTEGER NOT NULL);"""

SERIES = "id, facility, device, metric, last_at, last_value"
CATALOG_1 = """CREATE TABLE series(
    id INTEGER PRIMARY KEY,
    facility TEXT NOT NULL,
    device TEXT NOT NULL,
    metric TEXT NOT NULL,
    last_at INTEGER,
    last_value REAL,
    UNIQUE(facility, device, metric)
);
CREATE TABLE position(one INTEGER PRIMARY KEY CHECK (one = 1), replay_from INTEGER NOT NULL);
INSERT INTO position VALUES (1, 0);"""


def records(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(MIGRATIONS)
    for file in sorted((ROOT / "store/migrations").glob("*.sql")):
        version, _, name = file.stem.partition("_")
        if int(version) > LAST_MIGRATION:
            continue
        text = file.read_bytes()
        db.executescript(text.decode())
        row = (int(version), name.replace("_", " "), True, hashlib.sha384(text).digest(), 1_000_000)
        db.execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (?,?,?,?,?)", row
        )
    db.execute("INSERT INTO regions VALUES ('city', NULL, '市', 'City')")
    db.execute(
        "INSERT INTO facilities VALUES ('binhe', 'city', '滨河', 'Riverside', 'care_home', 'medium', 120, 110, '1 River Road')"
    )
    db.execute(
        "INSERT INTO points VALUES ('binhe', 'fridge-1', 'temperature', 'degC', 'fridge_air', '冰箱', 'Refrigerator', 10)"
    )
    finish(db)


def older(path, schema, creation, fill):
    db = sqlite3.connect(path)
    db.executescript(creation)
    db.execute("PRAGMA journal_mode=WAL")
    db.executescript(schema)
    for newer, table, columns in fill:
        db.execute("ATTACH ? AS newer", (str(newer),))
        db.execute(f"INSERT INTO {table} SELECT {columns} FROM newer.{table}")
        db.commit()
        db.execute("DETACH newer")
    db.execute("PRAGMA user_version=1")
    finish(db)


def finish(db):
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def main():
    series = pathlib.Path(sys.argv[1])
    TARGET.mkdir(parents=True, exist_ok=True)
    (raw,) = series.glob("raw-*.db")
    files = {"records.db": records}
    files["catalog.db"] = lambda path: older(path, CATALOG_1, "", [(series / "catalog.db", "series", SERIES)])
    fill = [(raw, "chunk", CHUNK), (raw, "tally", "one, seq, chunks")]
    creation = "PRAGMA page_size=2048; PRAGMA auto_vacuum=INCREMENTAL;"
    files[raw.name] = lambda path: older(path, RAW_1, creation, fill)
    for name, make in files.items():
        path = TARGET / name
        make(path)
        (TARGET / (name + ".gz")).write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
        path.unlink()


main()
