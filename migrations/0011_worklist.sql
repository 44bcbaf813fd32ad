-- The worklist (UPS-RS, PS3.18 section 11).

CREATE TABLE workitem (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('SCHEDULED', 'IN PROGRESS', 'COMPLETED', 'CANCELED')),
    attributes TEXT NOT NULL, -- the data set as DICOM JSON, in the order of its tags, without Transaction UID
    transaction_uid TEXT,     -- who shows it performs the workitem; NULL: nobody yet, or Lamina
    name_key TEXT,            -- lam_fold_name() of the patient's name
    -- What Lamina reads in the data set. `ours`: it performs the workitem, or will unless another one claims it.
    ours INTEGER NOT NULL,
    ready INTEGER NOT NULL,   -- Input Readiness State
    model TEXT,               -- only this one; NULL: those that want the input
    priority INTEGER NOT NULL, -- 0 comes first
    start_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    retrieve_root TEXT,       -- where its output is retrieved, set when Lamina begins; NULL: not said
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX workitem_by_state ON workitem (state, id);
CREATE INDEX workitem_ours ON workitem (state, priority, id) WHERE ours AND state IN ('SCHEDULED', 'IN PROGRESS');
CREATE INDEX workitem_ended ON workitem (updated_ms) WHERE state IN ('COMPLETED', 'CANCELED');

-- Input Information Sequence, an item a row. The jobs of a workitem are those over these series, so that its state
-- follows from theirs however often a series grows.
CREATE TABLE workitem_input (
    workitem_id INTEGER NOT NULL REFERENCES workitem (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    study_uid TEXT NOT NULL,
    series_uid TEXT, -- NULL: all of the study
    instances TEXT,  -- a JSON array of SOP instance UIDs that have to be here; NULL: whatever there is
    PRIMARY KEY (workitem_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX workitem_input_by_study ON workitem_input (study_uid);
