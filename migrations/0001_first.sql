-- Studies, series and instances as they came in; jobs over series; results and their objects.
-- Times are milliseconds since 1970 UTC. Files are numbers in the store (daemon/laminad/store.h). States are those of
-- daemon/laminad/jobs.h and DESIGN; the CHECKs repeat them so that no other program can write a state that means nothing.

CREATE TABLE study (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('receiving', 'queued', 'running', 'done', 'failed', 'no_model')),
    patient_id TEXT,
    patient_name TEXT,
    birth_date TEXT,
    sex TEXT,
    study_date TEXT,
    study_time TEXT,
    accession_number TEXT,
    study_id TEXT,
    description TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX study_by_state ON study (state, id);
CREATE INDEX study_by_patient ON study (patient_id);
CREATE INDEX study_by_date ON study (study_date, id);

CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    study_id INTEGER NOT NULL REFERENCES study (id) ON DELETE CASCADE,
    uid TEXT NOT NULL,
    -- `result`: written by Lamina, never analysed
    state TEXT NOT NULL CHECK (state IN ('receiving', 'queued', 'running', 'done', 'failed', 'no_model', 'result')),
    reason TEXT,
    modality TEXT,
    number INTEGER,
    description TEXT,
    instances INTEGER NOT NULL DEFAULT 0,
    input_set TEXT, -- hash of the SOP instance UIDs that its jobs read; NULL until first complete
    received_ms INTEGER NOT NULL,
    UNIQUE (study_id, uid)
) STRICT;
CREATE INDEX series_receiving ON series (received_ms) WHERE state = 'receiving';

CREATE TABLE instance (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    uid TEXT NOT NULL UNIQUE,
    sop_class_uid TEXT NOT NULL,
    transfer_syntax_uid TEXT NOT NULL,
    number INTEGER,
    file INTEGER NOT NULL UNIQUE,
    bytes INTEGER NOT NULL,
    dataset_offset INTEGER NOT NULL, -- where the file meta information ends
    sender TEXT,
    received_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX instance_by_series ON instance (series_id, id);

-- The header as DICOM JSON, apart from the rows that are scanned.
CREATE TABLE metadata (
    instance_id INTEGER PRIMARY KEY REFERENCES instance (id) ON DELETE CASCADE,
    attributes TEXT NOT NULL
) STRICT;

CREATE TABLE job (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    weights_sha256 TEXT NOT NULL,
    input_set TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    reason TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    not_before_ms INTEGER NOT NULL DEFAULT 0,
    lease_owner TEXT,
    lease_until_ms INTEGER,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    -- promise 5: one job for one input set and one set of weights
    UNIQUE (series_id, model, version, weights_sha256, input_set)
) STRICT;
CREATE INDEX job_waiting ON job (not_before_ms, id) WHERE state = 'queued';
CREATE INDEX job_by_state ON job (state, id);

CREATE TABLE attempt (
    job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    outcome TEXT CHECK (outcome IN ('done', 'failed', 'lost', 'interrupted', 'cancelled')),
    reason TEXT,
    timings TEXT, -- {"stage":ms}
    PRIMARY KEY (job_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE result (
    job_id INTEGER PRIMARY KEY REFERENCES job (id) ON DELETE CASCADE,
    findings TEXT NOT NULL, -- task, timings_ms, segments, classification, detections of RESULT
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE result_object (
    job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    type TEXT NOT NULL,
    instance_id INTEGER NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
    PRIMARY KEY (job_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE picture (
    job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    file INTEGER NOT NULL UNIQUE,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job_id, name)
) STRICT, WITHOUT ROWID;
