-- Bulk updates of UIDs.

-- Instances as they were under UIDs that they have no more, until an instance has these UIDs anew: no entry of the change
-- feed tells that they are gone, and those that told of them stay as they were.
CREATE TABLE moved (
    partition_name      TEXT NOT NULL,
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    sop_instance_uid    TEXT NOT NULL,
    version             INTEGER NOT NULL,
    metadata            TEXT NOT NULL,
    PRIMARY KEY (partition_name, study_instance_uid, series_instance_uid, sop_instance_uid)
);

PRAGMA user_version = 4;
