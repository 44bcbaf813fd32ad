-- What is to be sent to other nodes, and how far it has come (daemon/laminad/outbox.h).

-- The [peer] sections that results are delivered to, as the daemon last read them, so that whoever publishes a
-- result needs no configuration. `paused` is an operator's word and outlives both.
CREATE TABLE destination (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('dimse', 'dicomweb', 'mllp', 'webhook')),
    profile TEXT NOT NULL,
    active INTEGER NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    id INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    -- NULL: the whole result as a message (mllp, webhook)
    instance_id INTEGER REFERENCES instance (id) ON DELETE CASCADE,
    state TEXT NOT NULL
        CHECK (state IN ('queued', 'sending', 'sent', 'delivered', 'failed', 'superseded')),
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before_ms INTEGER NOT NULL DEFAULT 0,
    since_ms INTEGER NOT NULL,  -- when it was queued, or retried by hand
    answer INTEGER,             -- the peer's last status: DIMSE or HTTP
    warning TEXT,
    last_error TEXT,
    commitment_uid TEXT,        -- transaction that asks for it
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
-- Nothing is sent to a peer under two rows.
CREATE UNIQUE INDEX delivery_object ON delivery (destination, instance_id) WHERE instance_id IS NOT NULL;
CREATE UNIQUE INDEX delivery_message ON delivery (destination, job_id) WHERE instance_id IS NULL;
CREATE INDEX delivery_waiting ON delivery (destination, not_before_ms, id) WHERE state = 'queued';
CREATE INDEX delivery_open ON delivery (destination, state, not_before_ms)
    WHERE state IN ('queued', 'sending', 'sent');
CREATE INDEX delivery_by_state ON delivery (state, id);
CREATE INDEX delivery_by_job ON delivery (job_id);
CREATE INDEX delivery_by_instance ON delivery (instance_id);
CREATE INDEX delivery_by_transaction ON delivery (commitment_uid) WHERE commitment_uid IS NOT NULL;

-- Storage Commitment that a sender asked us for and that has not been reported to it yet.
CREATE TABLE commitment_report (
    id INTEGER PRIMARY KEY,
    calling_ae TEXT NOT NULL,
    transaction_uid TEXT NOT NULL,
    instances TEXT NOT NULL,    -- [[SOP class UID, SOP instance UID] …]
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (calling_ae, transaction_uid)
) STRICT;
