-- Data partitions; all data from before is in the default one.

CREATE TABLE partition (
    partition_key  INTEGER PRIMARY KEY,
    partition_name TEXT NOT NULL UNIQUE,
    created_at     INTEGER NOT NULL
);
INSERT INTO partition VALUES (1, 'Microsoft.Default', strftime('%s', 'now') * 10000000);

PRAGMA user_version = 2;
