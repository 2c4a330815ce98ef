-- Bulk updates.

-- Set if the instance was updated: the version that STOW-RS made, and its metadata. Versions between are not kept.
ALTER TABLE instance ADD COLUMN original_version INTEGER;
ALTER TABLE instance ADD COLUMN original_metadata TEXT;

-- Operations, all of which have ended. `results` is JSON text.
CREATE TABLE operation (
    operation_id    TEXT PRIMARY KEY,
    created_at      INTEGER NOT NULL,
    last_updated_at INTEGER NOT NULL,
    results         TEXT NOT NULL
);

PRAGMA user_version = 3;
