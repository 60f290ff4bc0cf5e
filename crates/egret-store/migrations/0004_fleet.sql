-- What a token allows besides, and tokens and agents that are not taken any more.
ALTER TABLE tokens ADD COLUMN services TEXT NOT NULL DEFAULT '[]';  -- a JSON array of patterns; empty: all
ALTER TABLE tokens ADD COLUMN revoked_ms INTEGER;
ALTER TABLE agents ADD COLUMN services TEXT NOT NULL DEFAULT '[]';
ALTER TABLE agents ADD COLUMN revoked_ms INTEGER;

-- The number of an agent's sessions: the last one that it has confirmed, the last one that it was offered.
ALTER TABLE agents ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN offered INTEGER NOT NULL DEFAULT 0;
-- When a copy of its key last tried to log in.
ALTER TABLE agents ADD COLUMN doubled_ms INTEGER;
