-- Everything egret remembers. Jobs and outcomes are only ever added: a job is open while no outcome names it.
-- Times are milliseconds since 1970, ids are `ms << 20 | counter` and so rise with time.

-- "egrt": tells this file from another program's.
PRAGMA application_id = 0x65677274;

-- One row a start of the coordinator.
CREATE TABLE starts (
    number  INTEGER PRIMARY KEY,
    at_ms   INTEGER NOT NULL
) STRICT;

-- Service names, so that a job spends one byte on its own.
CREATE TABLE services (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE batches (
    id          INTEGER PRIMARY KEY,
    created_ms  INTEGER NOT NULL
) STRICT;

-- A batch without a row here is still receiving.
CREATE TABLE batch_ends (
    batch     INTEGER PRIMARY KEY,
    closed    INTEGER NOT NULL,  -- 1: all of it arrived; 0: cancelled, its jobs never run
    jobs      INTEGER NOT NULL,
    rejected  INTEGER NOT NULL
) STRICT;

-- Lines of a batch that were not taken; `line` counts from 1.
CREATE TABLE rejected (
    batch   INTEGER NOT NULL,
    line    INTEGER NOT NULL,
    code    TEXT NOT NULL,
    detail  TEXT NOT NULL,
    PRIMARY KEY (batch, line)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id       INTEGER PRIMARY KEY,
    batch    INTEGER,
    service  INTEGER NOT NULL REFERENCES services (id),
    spec     BLOB NOT NULL
) STRICT;
CREATE INDEX jobs_of_batch ON jobs (batch, id) WHERE batch IS NOT NULL;

-- In order of ending, so that a commit dirties few pages; the narrow index keeps the first outcome only.
CREATE TABLE outcomes (
    seq       INTEGER PRIMARY KEY,
    job       INTEGER NOT NULL,
    batch     INTEGER,
    state     INTEGER NOT NULL,  -- 0 done, 1 failed, 2 expired, 3 cancelled
    ended_ms  INTEGER NOT NULL,
    body      BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX outcome_of_job ON outcomes (job);
-- A batch's results are a range of this, and its counts need nothing else.
CREATE INDEX outcomes_of_batch ON outcomes (batch, seq, state, ended_ms) WHERE batch IS NOT NULL;

-- Every job below has ended or will never run: a start need not look there. One row.
CREATE TABLE low_water (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    job   INTEGER NOT NULL
) STRICT;
INSERT INTO low_water VALUES (1, 0);

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    secret_hash  BLOB NOT NULL,
    uses         INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    tags         TEXT NOT NULL     -- a JSON array of strings
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL,
    public_key   BLOB NOT NULL,
    tags         TEXT NOT NULL,
    enrolled_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE token_uses (
    token  TEXT NOT NULL,
    agent  INTEGER NOT NULL,
    PRIMARY KEY (token, agent)
) STRICT, WITHOUT ROWID;

-- The last checkpoint of each ledger.
CREATE TABLE ledgers (
    egress    TEXT NOT NULL,
    service   INTEGER NOT NULL REFERENCES services (id),
    taken_ms  INTEGER NOT NULL,
    state     BLOB NOT NULL,
    PRIMARY KEY (egress, service)
) STRICT;

CREATE TABLE egresses (
    address   TEXT PRIMARY KEY,
    agent     INTEGER NOT NULL,
    memory      INTEGER NOT NULL,   -- any 64 bits, so it may read as a negative number
    since_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Idempotency keys; no answer yet: the request is under way.
CREATE TABLE keys (
    key          TEXT PRIMARY KEY,
    fingerprint  BLOB NOT NULL,
    claimed_ms   INTEGER NOT NULL,
    answer       BLOB
) STRICT;
CREATE INDEX keys_by_age ON keys (claimed_ms);

-- Written to see whether a write succeeds. One row.
CREATE TABLE checks (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    count  INTEGER NOT NULL
) STRICT;
INSERT INTO checks VALUES (1, 0);
