-- When the end of an association says that a series is complete.

-- The associations that brought objects to a series since it began to be received, and have not been released. 0: what
-- no release will end: uploads, and associations of a lamina-dimse that is gone.
CREATE TABLE series_association (
    series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    association INTEGER NOT NULL,
    PRIMARY KEY (series_id, association)
) STRICT, WITHOUT ROWID;
