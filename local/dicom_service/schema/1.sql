-- The service's tables. A version is the sequence number of the change that made it; times are ticks of 100 ns since
-- 1970-01-01 UTC. The change feed's State and Metadata are not stored: they follow from `instance` when the feed is read.

CREATE TABLE counter (last_sequence INTEGER NOT NULL);
INSERT INTO counter VALUES (0);

CREATE TABLE reservation (
    sequence    INTEGER PRIMARY KEY,
    reserved_at INTEGER NOT NULL
);

-- The instances that exist, each in its current version.
CREATE TABLE instance (
    partition_name      TEXT NOT NULL,
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    sop_instance_uid    TEXT NOT NULL,
    version             INTEGER NOT NULL,
    patient_id          TEXT,
    modality            TEXT,
    metadata            TEXT NOT NULL,
    PRIMARY KEY (partition_name, study_instance_uid, series_instance_uid, sop_instance_uid)
);
CREATE INDEX instance_by_patient ON instance (partition_name, patient_id);

-- All changes; `version` is the one that the change made or, for a delete, removed.
CREATE TABLE change (
    sequence            INTEGER PRIMARY KEY,
    timestamp           INTEGER NOT NULL,
    action              TEXT NOT NULL,
    partition_name      TEXT NOT NULL,
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    sop_instance_uid    TEXT NOT NULL,
    version             INTEGER NOT NULL
);
CREATE INDEX change_by_time ON change (timestamp, sequence);

PRAGMA user_version = 1;
