-- Jobs that wait stand in order, line by line, so that nobody has to hold all of them; what was counted at each
-- reading is kept. New: an owner, orders, answers.

ALTER TABLE batches ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX batches_of_owner ON batches (owner);

-- Owner names, so that a job spends one byte on its own.
CREATE TABLE owners (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE
) STRICT;

-- The lines jobs wait in, so that a job spends a few bytes on its own.
CREATE TABLE flows (
    id       INTEGER PRIMARY KEY,
    service  INTEGER NOT NULL REFERENCES services (id),
    owner    TEXT NOT NULL,     -- '': nobody's
    class    INTEGER NOT NULL CHECK (class IN (0, 1, 2)),  -- interactive, normal, bulk
    egress   TEXT NOT NULL,     -- which egresses may serve it, as JSON; '': any
    batch    INTEGER
) STRICT;
-- `ifnull`, because NULLs would not count as equal; ids are never negative.
CREATE UNIQUE INDEX flow_by_parts ON flows (ifnull(batch, -1), service, owner, class, egress);

-- What the spec of an older job says of its place; one that says nothing readable comes first, and fails soon.
CREATE VIEW jobs_read AS
SELECT id, batch, service, spec,
       CASE CASE WHEN json_valid(CAST(spec AS TEXT)) THEN json_extract(CAST(spec AS TEXT), '$.priority') END
           WHEN 'interactive' THEN 0 WHEN 'bulk' THEN 2 ELSE 1 END AS class,
       max(0, ifnull(CAST(CASE WHEN json_valid(CAST(spec AS TEXT))
           THEN json_extract(CAST(spec AS TEXT), '$.deadline_ms') END AS INTEGER), 0)) AS deadline_ms
FROM jobs;

INSERT INTO flows (service, owner, class, egress, batch)
SELECT DISTINCT service, '', class, '', batch FROM jobs_read;

CREATE TABLE jobs_placed (
    id           INTEGER PRIMARY KEY,
    batch        INTEGER,
    owner        INTEGER REFERENCES owners (id),  -- NULL: nobody's
    flow         INTEGER NOT NULL REFERENCES flows (id),
    deadline_ms  INTEGER NOT NULL,
    spec         BLOB NOT NULL
) STRICT;
INSERT INTO jobs_placed
SELECT j.id, j.batch, NULL, f.id, j.deadline_ms, j.spec
FROM jobs_read j CROSS JOIN flows f ON ifnull(f.batch, -1) = ifnull(j.batch, -1)
    AND f.service = j.service AND f.owner = '' AND f.class = j.class AND f.egress = ''
ORDER BY j.id;
DROP VIEW jobs_read;
DROP TABLE jobs;
ALTER TABLE jobs_placed RENAME TO jobs;
CREATE INDEX jobs_of_batch ON jobs (batch) WHERE batch IS NOT NULL;
CREATE INDEX jobs_of_owner ON jobs (owner) WHERE owner IS NOT NULL;

-- Jobs that have not ended, in the order of their line. A row leaves with the job's outcome, in the same transaction.
-- The job is a part of the order, because a whole upload may have one deadline.
CREATE TABLE waiting (
    flow         INTEGER NOT NULL,
    deadline_ms  INTEGER NOT NULL,
    job          INTEGER NOT NULL,
    PRIMARY KEY (flow, deadline_ms, job)
) STRICT, WITHOUT ROWID;
INSERT INTO waiting
SELECT j.flow, j.deadline_ms, j.id FROM jobs j
WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.job = j.id)
  AND (j.batch IS NULL OR EXISTS (SELECT 1 FROM batch_ends e WHERE e.batch = j.batch AND e.closed = 1))
ORDER BY j.flow, j.deadline_ms, j.id;
-- Where a job stands; also the open jobs by id.
CREATE UNIQUE INDEX waiting_of_job ON waiting (job);

-- Flows of batches that were cancelled while receiving; a few rows at a time, they leave `waiting`.
CREATE TABLE discarded (
    flow  INTEGER PRIMARY KEY
) STRICT;

DROP TABLE low_water;

-- How many jobs of a batch ended how: what its outcomes add up to.
CREATE TABLE batch_counts (
    batch          INTEGER PRIMARY KEY,
    done           INTEGER NOT NULL,
    failed         INTEGER NOT NULL,
    expired        INTEGER NOT NULL,
    cancelled      INTEGER NOT NULL,
    last_ended_ms  INTEGER NOT NULL
) STRICT;
INSERT INTO batch_counts
SELECT batch, count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1),
       count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 3), max(ended_ms)
FROM outcomes WHERE batch IS NOT NULL GROUP BY batch;
-- A batch's results are a range of this: `seq` is its second part by nature.
DROP INDEX outcomes_of_batch;
CREATE INDEX outcomes_of_batch ON outcomes (batch) WHERE batch IS NOT NULL;

-- What the operator ordered, such as a pause, with its why.
CREATE TABLE orders (
    key    TEXT PRIMARY KEY,
    value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Answers to be given again. `seq` rises with each one saved, so the oldest come first.
CREATE TABLE answers (
    seq            INTEGER PRIMARY KEY,
    key            BLOB NOT NULL UNIQUE,
    answered_ms    INTEGER NOT NULL,
    keep_until_ms  INTEGER NOT NULL,
    body           BLOB NOT NULL
) STRICT;
-- What they take together. One row.
CREATE TABLE answers_size (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    bytes  INTEGER NOT NULL
) STRICT;
INSERT INTO answers_size VALUES (1, 0);
