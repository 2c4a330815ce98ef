-- Bulk updates of UIDs.

-- Instances as they were under their former UIDs, until another instance has these. The change feed gets no entry for
-- the former UIDs, and the entries that it has for them keep their metadata.
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
